"""`ALTER ROLE … SET` and its like hold for every login after them, and for none before, as on a direct connection."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

SETTINGS = {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust", "pool.query_wait_timeout": "5s"}
NAMES = ("work_mem", "TimeZone", "search_path", "statement_timeout", "role")


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """A pool of one: those who were there before and those who come have the same server."""
    with serving(module_database, SETTINGS) as running:
        yield running


@pytest.fixture
def owner(module_database: Database) -> Iterator[psycopg.Connection]:
    """The superuser's own line to PostgreSQL; what it alters is taken back."""
    database = module_database
    with connect(database.server, database.name) as connection:
        yield connection
        connection.execute(f"ALTER ROLE {database.user} RESET ALL")
        connection.execute(f"ALTER DATABASE {database.name} RESET ALL")
        connection.execute(f"ALTER ROLE {database.user} IN DATABASE {database.name} RESET ALL")


@contextmanager
def enter(proxy: Proxy, **parameters: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True, **parameters) as connection:  # type: ignore[arg-type]
        yield connection


def show(client: psycopg.Connection, name: str) -> str:
    row = client.execute("SELECT current_setting(%s, true)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def look(client: psycopg.Connection) -> list[str | None]:
    """What it is shown, and what it was told of it."""
    return [*(show(client, name) for name in NAMES), client.info.parameter_status("TimeZone")]


def alter(owner: psycopg.Connection, database: Database) -> None:
    owner.execute(f"ALTER ROLE {database.user} SET work_mem = '9MB'")
    owner.execute(f"ALTER DATABASE {database.name} SET TimeZone = 'Europe/Lisbon'")
    owner.execute(f"ALTER ROLE {database.user} IN DATABASE {database.name} SET search_path = other, public")
    owner.execute(f"ALTER ROLE {database.user} SET statement_timeout = '70s'")


OLD = ["4MB", "Etc/UTC", '"$user", public', "0", "none", "Etc/UTC"]
NEW = ["9MB", "Europe/Lisbon", "other, public", "70s", "none", "Europe/Lisbon"]


def test_the_next_login_has_the_new_values_and_who_was_there_keeps_the_old(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with enter(proxy) as first:
        assert look(first) == OLD
        alter(owner, module_database)
        with enter(proxy) as second:
            for _ in range(3):
                assert (look(second), look(first)) == (NEW, OLD)
            for taken_back in ("RESET ALL", "DISCARD ALL", "RESET TimeZone"):
                first.execute(taken_back)
                second.execute(taken_back)
                assert (look(second), look(first)) == (NEW, OLD)
            first.execute("SET TimeZone = 'Asia/Tokyo'")
            assert (show(first, "TimeZone"), show(second, "TimeZone")) == ("Asia/Tokyo", "Europe/Lisbon")
            owner.execute(f"ALTER DATABASE {module_database.name} RESET TimeZone")
            with enter(proxy) as third:
                assert (show(third, "TimeZone"), show(second, "TimeZone")) == ("Etc/UTC", "Europe/Lisbon")
            first.execute("RESET TimeZone")
            assert (look(second), look(first)) == (NEW, OLD)


def test_a_login_is_told_the_new_values_though_the_only_server_is_taken(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with enter(proxy) as first:
        with first.transaction():
            first.execute("SELECT 1")
            alter(owner, module_database)
            with enter(proxy) as second:
                assert second.info.parameter_status("TimeZone") == "Europe/Lisbon"
                assert look(first) == OLD
        with enter(proxy) as third:
            assert (look(third), look(first)) == (NEW, OLD)


def test_a_server_that_is_opened_later_gives_a_session_what_it_began_with(
    owner: psycopg.Connection, module_database: Database
):
    with serving(module_database, {**SETTINGS, "pool.size": 2}) as proxy, ExitStack() as stack:
        first, second = (stack.enter_context(enter(proxy)) for _ in range(2))
        assert look(first) == OLD
        alter(owner, module_database)
        with first.transaction(), second.transaction():
            assert (look(first), look(second)) == (OLD, OLD)  # on two servers, one of them opened now
        assert (look(first), look(second)) == (OLD, OLD)


def test_what_a_login_asks_for_weighs_more(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with enter(proxy, options="-c TimeZone=Asia/Tokyo") as first:
        assert first.info.parameter_status("TimeZone") == "Asia/Tokyo"
        alter(owner, module_database)
        with enter(proxy, options="-c work_mem=7MB") as second:
            assert (show(second, "work_mem"), show(second, "TimeZone")) == ("7MB", "Europe/Lisbon")
            assert second.info.parameter_status("TimeZone") == "Europe/Lisbon"
            assert (show(first, "work_mem"), show(first, "TimeZone")) == ("4MB", "Asia/Tokyo")


def test_half_a_date_style_is_completed_by_the_new_one(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with enter(proxy, options="-c DateStyle=German") as first:
        assert first.info.parameter_status("DateStyle") == "German, DMY"
        owner.execute(f"ALTER DATABASE {module_database.name} SET DateStyle = 'SQL, YMD'")
        with enter(proxy, options="-c DateStyle=ISO") as second:
            assert second.info.parameter_status("DateStyle") == show(second, "DateStyle") == "ISO, YMD"


def test_settings_that_are_nobodys_but_the_applications(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with enter(proxy) as first:
        show(first, "app.tenant")
        owner.execute(f"ALTER DATABASE {module_database.name} SET app.tenant = 'new'")
        with enter(proxy) as second:
            assert (show(second, "app.tenant"), show(first, "app.tenant")) == ("new", "")
            owner.execute(f"ALTER DATABASE {module_database.name} RESET app.tenant")
            with enter(proxy) as third:
                assert show(third, "app.tenant") in ("", "None")
                assert (show(second, "app.tenant"), show(first, "app.tenant")) == ("new", "")


def test_what_only_a_superuser_may_set_is_new_for_who_comes_and_harms_nobody(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with enter(proxy) as first:
        first.execute("SELECT 1")
        owner.execute(f"ALTER ROLE {module_database.user} SET log_min_duration_statement = '77s'")
        with enter(proxy) as second:
            assert show(second, "log_min_duration_statement") == "77s"
            first.execute("SELECT 1")


def test_a_role_that_a_login_begins_with(proxy: Proxy, owner: psycopg.Connection, module_database: Database):
    owner.execute("DROP ROLE IF EXISTS altered_role")
    owner.execute("CREATE ROLE altered_role")
    owner.execute(f"GRANT altered_role TO {module_database.user}")
    try:
        with enter(proxy) as first:
            assert look(first) == OLD
            owner.execute(f"ALTER ROLE {module_database.user} SET role = 'altered_role'")
            with enter(proxy) as second:
                assert (show(second, "role"), show(first, "role")) == ("altered_role", "none")
                assert (show(second, "role"), show(first, "role")) == ("altered_role", "none")
    finally:
        owner.execute(f"ALTER ROLE {module_database.user} RESET role")
        owner.execute("DROP ROLE altered_role")


def test_a_configuration_that_is_read_again_is_everybodys(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    try:
        with enter(proxy) as first:
            assert look(first) == OLD
            owner.execute("ALTER SYSTEM SET work_mem = '11MB'")
            owner.execute("ALTER SYSTEM SET TimeZone = 'Asia/Tokyo'")
            owner.execute("SELECT pg_reload_conf()")
            with connect(module_database.server, module_database.name) as direct:
                while show(direct, "work_mem") != "11MB":
                    pass
            with enter(proxy) as second:
                assert (show(second, "work_mem"), show(second, "TimeZone")) == ("11MB", "Asia/Tokyo")
                assert second.info.parameter_status("TimeZone") == "Asia/Tokyo"
            assert (show(first, "work_mem"), show(first, "TimeZone")) == ("11MB", "Asia/Tokyo")
            assert first.info.parameter_status("TimeZone") == "Asia/Tokyo"
    finally:
        owner.execute("ALTER SYSTEM RESET ALL")
        owner.execute("SELECT pg_reload_conf()")
        with connect(module_database.server, module_database.name) as direct:
            while show(direct, "work_mem") == "11MB":
                pass


def test_statements_find_the_tables_of_the_search_path_that_their_session_began_with(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    owner.execute("CREATE SCHEMA other")
    owner.execute("CREATE TABLE public.place AS SELECT 'public' AS name")
    owner.execute("CREATE TABLE other.place AS SELECT 'other' AS name")
    owner.execute(
        "GRANT USAGE ON SCHEMA other TO PUBLIC; GRANT SELECT ON public.place, other.place TO PUBLIC"
    )
    with enter(proxy) as first:
        find = "SELECT name FROM place"
        assert first.execute(find, prepare=True).fetchone() == ("public",)
        alter(owner, module_database)
        with enter(proxy) as second:
            for _ in range(3):
                assert second.execute(find, prepare=True).fetchone() == ("other",)
                assert first.execute(find, prepare=True).fetchone() == ("public",)


def test_in_session_mode_as_well(owner: psycopg.Connection, module_database: Database):
    settings = {**SETTINGS, "pool.size": 2, "pool.mode": "session"}
    with serving(module_database, settings) as proxy, enter(proxy) as first:
        assert look(first) == OLD
        alter(owner, module_database)
        with enter(proxy) as second:
            assert (look(second), look(first)) == (NEW, OLD)


def test_many_logins_at_once_cost_few_questions(
    proxy: Proxy, owner: psycopg.Connection, module_database: Database
):
    with ExitStack() as stack:
        clients = [stack.enter_context(enter(proxy)) for _ in range(20)]
        alter(owner, module_database)
        clients += [stack.enter_context(enter(proxy)) for _ in range(20)]
        assert [look(client) for client in clients] == [OLD] * 20 + [NEW] * 20


def test_it_can_be_left_out(owner: psycopg.Connection, module_database: Database):
    with serving(module_database, {**SETTINGS, "pool.follow_defaults": False}) as proxy:
        with enter(proxy) as first:
            assert look(first) == OLD
        alter(owner, module_database)
        with enter(proxy) as second:
            assert look(second) == OLD


def test_it_is_begun_and_left_off_while_the_proxy_runs(owner: psycopg.Connection, module_database: Database):
    admins = {"auth.admin_users": module_database.user}
    with (
        serving(module_database, {**SETTINGS, **admins}) as proxy,
        psycopg.connect(proxy.dsn(dbname="dbproxy"), autocommit=True) as console,
    ):
        with enter(proxy) as first:
            assert look(first) == OLD
        console.execute("SET pool.follow_defaults = 'false'")
        alter(owner, module_database)
        with enter(proxy) as second:
            assert look(second) == OLD
        console.execute("SET pool.follow_defaults = 'true'")
        with enter(proxy) as third:
            assert look(third) == NEW
