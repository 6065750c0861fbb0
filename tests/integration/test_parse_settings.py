"""A statement is what its own client's Parse has read: under its settings, by its clock, of that moment's catalog."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of, first_value
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import bind, describe, describe_portal, execute

SYNC = build.sync()
NOON = "SELECT extract(epoch FROM '2024-01-01 12:00'::timestamptz)::int"
UTC_NOON, TOKYO_NOON = "1704110400", "1704078000"
TOKYO = "SET TimeZone = 'Asia/Tokyo'"


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    settings = {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust"}
    with serving(module_database, settings) as running:
        yield running


@pytest.fixture
def enter(proxy: Proxy, module_database: Database):
    """Log in, with these settings."""
    clients: list[BlockingClient] = []

    def log_in(**settings: str) -> BlockingClient:
        options = {"TimeZone": "UTC", **settings}
        client = BlockingClient(
            proxy.host, proxy.port, user=module_database.user, database=module_database.name, **options
        )
        clients.append(client)
        return client

    yield log_in
    for client in clients:
        client.close()


@contextmanager
def elsewhere(holder: BlockingClient) -> Iterator[None]:
    """The server that was lent last is held by another: whoever comes gets the other one."""
    holder.ask(build.query("BEGIN; SELECT 1"))
    yield
    holder.ask(build.query("ROLLBACK"))


def run(client: BlockingClient, name: str, *values: str) -> str | None:
    return value(client.ask(bind(name, *values), execute(), SYNC))


def prepare(client: BlockingClient, name: str, sql: str) -> str | None:
    """Parse and run."""
    return value(client.ask(build.parse(name, sql), bind(name), execute(), SYNC))


def value(answer: list[tuple[str, bytes]]) -> str | None:
    fields = error_of(answer)
    if fields:
        return f"{fields['C']} {fields['M']}"
    return next((first_value(payload) for kind, payload in answer if kind == "D"), None)


CHANGED = "0A000 cached plan must not change result type"

# --- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "one", "two", "sql"),
    [
        ("TimeZone", "UTC", "Asia/Tokyo", NOON),
        ("DateStyle", "ISO, MDY", "ISO, DMY", "SELECT '01/02/2024'::date - date '2024-01-01'"),
        ("IntervalStyle", "postgres", "sql_standard", "SELECT extract(epoch FROM '-1 2:03:04'::interval)"),
        ("standard_conforming_strings", "on", "off", r"SELECT length('a\nb')"),
        ("transform_null_equals", "off", "on", "SELECT coalesce((NULL = NULL)::int, 2)"),
        ("array_nulls", "on", "off", "SELECT ('{NULL}'::text[])[1] IS NULL"),
        ("bytea_output", "hex", "escape", r"SELECT '\x4142'::bytea::text"),
        ("extra_float_digits", "1", "0", "SELECT (0.1::float8 + 0.2::float8)::text"),
        ("client_encoding", "UTF8", "LATIN1", "SELECT length('é')"),
        ("search_path", "pg_catalog", "public", "SELECT to_regclass('pg_class') IS NULL"),
    ],
)
def test_equal_texts_under_other_settings_are_other_statements(
    enter, setting: str, one: str, two: str, sql: str
):
    first, second = enter(**{setting: one}), enter(**{setting: two})
    for _ in range(2):
        found = [prepare(client, "s", sql) for client in (first, second)]
        expected = [client.ask(build.query(sql)) for client in (first, second)]
        assert found == [value(answer) for answer in expected]
        for client in (first, second):
            client.ask(build.close_statement("s"), SYNC)


def test_text_that_settings_do_not_concern_is_shared(enter, proxy: Proxy):
    first, second = enter(), enter(TimeZone="Asia/Tokyo")
    before = [prepare(client, "s", "SELECT 40 + 2 FROM pg_class LIMIT 1") for client in (first, second)]
    assert (before, names_on(first, "SELECT 40 + 2 %")) == (["42", "42"], ["1"])


def names_on(client: BlockingClient, like: str) -> list[str | None]:
    """How many statements that are like this the server has: through a function, which shows ours, too."""
    client.values("CREATE OR REPLACE FUNCTION prepared(text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "
                  "pg_prepared_statements WHERE statement LIKE $1'")  # fmt: skip
    return client.values(f"SELECT prepared('{like}')")


def test_client_that_changes_its_settings_keeps_what_it_has_prepared(enter):
    client, other = enter(), enter()
    assert prepare(client, "s", NOON) == UTC_NOON
    client.ask(build.query(TOKYO))
    assert run(client, "s") == UTC_NOON
    with elsewhere(other):
        assert run(client, "s") == UTC_NOON
        assert client.values("SHOW TimeZone") == ["Asia/Tokyo"]
    assert prepare(client, "again", NOON) == TOKYO_NOON


def test_others_do_not_get_what_it_reads_again_under_its_new_settings(enter, proxy: Proxy):
    """PostgreSQL reads a text again when its tables have changed, under the settings of who runs it."""
    client, other = enter(), enter()
    client.ask(build.query("CREATE TABLE touched (a int); INSERT INTO touched VALUES (1)"))
    sql = NOON + " FROM touched"
    with elsewhere(enter()):  # all on one server
        assert [prepare(one, "s", sql) for one in (client, other)] == [UTC_NOON, UTC_NOON]
        client.ask(build.query(TOKYO))
        other.ask(build.query("ALTER TABLE touched ALTER a SET STATISTICS 7"))
        run(client, "s")
        assert run(other, "s") == UTC_NOON


@pytest.mark.parametrize("change", [TOKYO, "SET LOCAL TimeZone = 'Asia/Tokyo'"])
def test_statement_is_read_by_the_settings_of_its_transaction(enter, change: str):
    client, other, third = enter(), enter(), enter()
    assert prepare(other, "s", NOON) == UTC_NOON
    client.ask(build.query("BEGIN"))
    client.ask(build.query(change))
    assert prepare(client, "s", NOON) == TOKYO_NOON
    client.ask(build.query("PREPARE p AS " + NOON))
    client.ask(build.query("COMMIT"))
    client.ask(build.query("SET TimeZone = 'UTC'"))
    with elsewhere(third):
        assert run(client, "s") == TOKYO_NOON
        assert value(client.ask(build.query("EXECUTE p"))) == TOKYO_NOON
    assert prepare(third, "s", NOON) == UTC_NOON


def test_statement_whose_settings_were_rolled_back_is_to_be_prepared_anew_elsewhere(enter):
    client, other = enter(), enter()
    client.ask(build.query("BEGIN"))
    client.ask(build.query("SET LOCAL TimeZone = 'Asia/Tokyo'"))
    assert prepare(client, "s", NOON) == TOKYO_NOON
    client.ask(build.query("ROLLBACK"))
    client.ask(build.query("SELECT 1"))  # behind what the server is asked then: it is free now
    with elsewhere(other):
        assert run(client, "s") == CHANGED


def test_prepare_by_sql_keeps_its_settings_on_another_server(enter):
    client, other = enter(), enter()
    client.ask(build.query("PREPARE p AS " + NOON))
    client.ask(build.parse("q", NOON), SYNC)
    client.ask(build.query(TOKYO))
    with elsewhere(other):
        assert client.values("EXECUTE p") == [UTC_NOON]
        assert client.values("EXECUTE q") == [UTC_NOON]
        assert client.values("SHOW TimeZone") == ["Asia/Tokyo"]


def test_unnamed_statement_keeps_its_settings_on_another_server(enter):
    client, other = enter(), enter()
    client.ask(build.parse("", NOON), SYNC)
    client.ask(build.parse("s", TOKYO), bind("s"), execute(), SYNC)
    with elsewhere(other):
        assert run(client, "") == UTC_NOON


@pytest.fixture(scope="module")
def seekers(module_database: Database) -> None:
    """Two roles, `seeker1` and `seeker2`: each finds a table `sought` of its own, of other columns."""
    with connect(module_database.server, module_database.name) as direct:
        for number, columns in ((1, "a int"), (2, "a text, b int")):
            direct.execute(f"CREATE ROLE seeker{number}")
            direct.execute(f"GRANT seeker{number} TO {module_database.user}")
            direct.execute(f"CREATE SCHEMA seeker{number} AUTHORIZATION seeker{number}")
            direct.execute(f"CREATE TABLE seeker{number}.sought ({columns})")
            direct.execute(f"INSERT INTO seeker{number}.sought VALUES ({number})")
            direct.execute(f"GRANT ALL ON seeker{number}.sought TO public")


@pytest.mark.usefixtures("seekers")
@pytest.mark.parametrize("name", ["s", ""])
def test_statement_is_read_by_the_role_that_was_set_just_ahead(enter, name: str):
    """Also where the server was not asked yet what has become of it."""
    client, other = enter(), enter()
    for number in (1, 2):  # no Query, which would end the unnamed statement
        client.ask(build.parse(f"role{number}", f"SET ROLE seeker{number}"), SYNC)
    client.send(bind("role1"), execute(), SYNC, build.parse(name, "SELECT * FROM sought"), SYNC)
    client.read_until_ready()
    client.read_until_ready()
    assert run(client, name) == "1"
    client.ask(bind("role2"), execute(), SYNC)
    assert run(client, name) == CHANGED  # behind what the server is asked then: it is free now
    with elsewhere(other):
        assert run(client, name) == CHANGED


@pytest.mark.usefixtures("seekers")
def test_role_is_part_of_the_search_path(enter):
    one, two = enter(), enter()
    one.ask(build.query("SET ROLE seeker1"))
    two.ask(build.query("SET ROLE seeker2"))
    for client in (one, two):
        client.ask(build.parse("s", "SELECT * FROM sought"), SYNC)
    for _ in range(3):
        for client, number in ((one, "1"), (two, "2")):
            assert run(client, "s") == number
            client.ask(build.query("BEGIN"))
            assert run(client, "s") == number
            client.ask(build.query("COMMIT"))
    one.ask(build.query("SET ROLE seeker2"))
    assert [run(one, "s"), run(one, "s")] == [CHANGED, CHANGED]
    with elsewhere(two):
        assert run(one, "s") == CHANGED
    one.ask(build.query("SET ROLE seeker1"))
    assert [run(one, "s"), run(two, "s")] == ["1", "2"]


# --- the moment ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("literal", ["'now'", "E'\\x6eow'", "$$ NOW $$", "'no'\n'w'"])
def test_now_as_a_literal_is_that_of_the_clients_own_parse(enter, literal: str):
    sql = f"SELECT extract(epoch FROM {literal}::timestamptz)"
    client, other = enter(), enter()
    moments = [datetime.now(UTC).timestamp()]
    for one, name in ((client, "a"), (other, "a"), (client, "b"), (other, "b")):
        moments.append(float(prepare(one, name, sql) or 0))
    assert moments == sorted(set(moments))
    assert float(run(client, "a") or 0) == moments[1]


# --- objects that are dropped and made again ------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'ok'::mood",
        "SELECT 'ok'::mood::text",
        "SELECT ARRAY['ok']::mood[]",
        "SELECT $1::mood",
        "INSERT INTO moods VALUES ($1) RETURNING m::text",
        "SELECT 'mood'::regtype::text",
        "SELECT m FROM moods LIMIT 1",
    ],
)
@pytest.mark.parametrize("described", [True, False])
def test_client_that_comes_after_a_type_was_made_again_is_served(
    enter, module_database: Database, sql: str, described: bool
):
    with psycopg.connect(module_database.dsn, autocommit=True) as direct:
        make = "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('ok')"
        direct.execute(make)
        values = ("ok",) if "$1" in sql else ()
        before, after = enter(), enter()
        asks = [describe("s")] if described else []
        question = (build.parse("s", sql), *asks, bind("s", *values), execute(), SYNC)
        expected = value(before.ask(*question))
        direct.execute("DROP TABLE moods; DROP TYPE mood;" + make)
        try:
            assert value(after.ask(*question)) == expected
            assert run(after, "s", *values) == expected
        finally:
            direct.execute("DROP TABLE moods; DROP TYPE mood")


# --- rows of another shape ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ddl", ["ADD b int", "ALTER a TYPE text", "DROP a"])
@pytest.mark.parametrize("name", ["s", ""])
@pytest.mark.parametrize("renewed", [True, False])
def test_client_that_was_told_columns_by_a_portal_is_refused_others(
    enter, ddl: str, name: str, renewed: bool
):
    client, other = enter(), enter()
    client.ask(build.query("DROP TABLE IF EXISTS shaped; CREATE TABLE shaped (a int, c int)"))
    client.ask(build.query("INSERT INTO shaped VALUES (1, 3)"))
    sql = "SELECT * FROM shaped"
    client.ask(build.parse(name, sql), bind(name), describe_portal(), execute(), SYNC)
    other.ask(build.parse("s", sql), bind("s"), execute(), SYNC)
    other.ask(build.query("ALTER TABLE shaped " + ddl))
    if renewed:  # by another, whom nobody had told anything
        assert not error_of(other.ask(bind("s"), describe_portal(), execute(), SYNC))
    with elsewhere(other):
        assert [run(client, name), run(client, name)] == [CHANGED, CHANGED]
    assert run(client, name) == CHANGED
    answer = client.ask(bind(name), describe_portal(), execute(), SYNC)
    assert error_of(answer) == {} or value(answer) == CHANGED


@pytest.mark.parametrize("name", ["s", ""])
def test_client_that_was_told_columns_by_a_portal_is_served_while_they_stay(enter, name: str):
    client, other = enter(), enter()
    answer = client.ask(build.parse(name, "SELECT 7, 'x'"), bind(name), describe_portal(), execute(), SYNC)
    assert value(answer) == "7"
    for _ in range(2):
        with elsewhere(other):
            assert [run(client, name), run(client, name)] == ["7", "7"]


def test_being_described_is_of_a_statement_not_of_the_request(enter):
    client, other = enter(), enter()
    client.ask(
        build.query("DROP TABLE IF EXISTS shaped; CREATE TABLE shaped (a int); INSERT INTO shaped VALUES (1)")
    )
    for name, sql in (("s", "SELECT * FROM shaped"), ("o", "SELECT 1")):
        client.ask(build.parse(name, sql), describe(name), bind(name), describe_portal(), execute(), SYNC)
    other.ask(build.query("ALTER TABLE shaped ADD b int"))
    assert value(client.ask(describe("o"), bind("s"), execute(), SYNC)) == CHANGED
