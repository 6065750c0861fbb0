"""Users who are in no file: their passwords are asked of PostgreSQL (`auth.query`)."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.postgres import PASSWORD, Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

LOOKUP = """
CREATE SCHEMA auth;
CREATE SEQUENCE auth.calls;
GRANT USAGE ON SCHEMA auth TO asker;
GRANT USAGE ON SEQUENCE auth.calls TO asker;
CREATE FUNCTION auth.find(name text, OUT text, OUT text) RETURNS SETOF record SECURITY DEFINER LANGUAGE sql
  SET search_path = pg_catalog, pg_temp
  AS 'SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = $1 AND nextval(''auth.calls'') > 0';
"""
SOON = "DO $$BEGIN EXECUTE format('ALTER USER brief VALID UNTIL %L', now() + interval '6 s'); END$$"
# What an owner of the database could put into the way of such a query.
TRAP = """
CREATE FUNCTION public.starts_with(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
ALTER ROLE asker SET search_path = public, pg_catalog;
"""


@pytest.fixture(scope="module")
def asked(module_database: Database) -> Iterator[Database]:
    """With a user `asker`, who may run `auth.find`, and one whose password will expire."""
    server, name = module_database.server, module_database.name
    with connect(server, name) as connection:
        connection.execute(f"CREATE USER asker PASSWORD '{PASSWORD}'")
        connection.execute(LOOKUP + TRAP)
    yield module_database
    with connect(server, name) as connection:
        connection.execute(
            "DROP SCHEMA auth CASCADE; DROP FUNCTION public.starts_with(text, text); DROP USER asker"
        )


def settings(database: Database, query: str = "SELECT * FROM auth.find($1)", **more: object) -> str:
    lines = {"user": "asker", "query": query, "dbname": database.name, **more}
    keys = "".join(f"{key} = {value!r}\n" for key, value in lines.items())
    return f"[auth]\n{keys}[users.asker]\npassword = '{PASSWORD}'\n"


def url(database: Database) -> str:
    """Without a user: the proxy knows nobody's password but asker's."""
    return f"postgresql://{database.server.host}:{database.server.port}/{database.name}"


def who_am_i(proxy: Proxy, user: str = "app", password: str = PASSWORD) -> str:
    with psycopg.connect(proxy.dsn(user=user, password=password)) as connection:
        row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


def refusal(proxy: Proxy, user: str = "app", password: str = PASSWORD) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        who_am_i(proxy, user, password)
    return str(refused.value).partition("FATAL:  ")[2].strip()


def is_let_in(proxy: Proxy, user: str, password: str) -> bool:
    try:
        return who_am_i(proxy, user, password) == user
    except psycopg.OperationalError:
        return False


def calls(database: Database) -> int:
    with connect(database.server, database.name) as connection:
        row = connection.execute("SELECT last_value - (NOT is_called)::int FROM auth.calls").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("user", "method"), [("app", "scram-sha-256"), ("app_md5", "md5"), ("app_password", "password")]
)
def test_each_kind_of_secret_opens_proxy_and_server(asked: Database, user: str, method: str) -> None:
    more = {"type": method, "allow_cleartext": True}
    config = settings(asked, **more).replace("True", "true")
    with serving(asked, config=config, url=url(asked)) as proxy:
        assert who_am_i(proxy, user) == user
        wrong, unknown = refusal(proxy, user, "wrong"), refusal(proxy, "nobody", "wrong")
        assert wrong == unknown.replace("nobody", user) == f'password authentication failed for user "{user}"'
        details = [line["detail"] for line in proxy.log_lines() if line["event"] == "client refused"]
        assert details[0].startswith("the password is wrong")
        assert details[1].startswith("there is no such user")


@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_password_in_plain_text_opens_proxy_and_server(asked: Database, method: str) -> None:
    config = settings(asked, query=f"SELECT $1::text, '{PASSWORD}'", type=method)
    with serving(asked, config=config, url=url(asked)) as proxy:
        assert who_am_i(proxy) == "app"
        assert "password authentication failed" in refusal(proxy, "app", "wrong")


def test_pgbouncers_query_is_the_default(asked: Database) -> None:
    server = asked.server
    config = f'[auth]\nuser = "postgres"\n[users.postgres]\npassword = "{server.password}"\n'
    with serving(asked, config=config, url=url(asked)) as proxy:
        assert who_am_i(proxy) == "app"
        assert "password authentication failed" in refusal(proxy, "app", "wrong")


def test_answers_are_shared_and_kept_for_a_while(asked: Database) -> None:
    with serving(asked, config=settings(asked, query_ttl="1h"), url=url(asked)) as proxy:
        before = calls(asked)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: who_am_i(proxy), range(8))) == {"app"}
        for _ in range(3):
            refusal(proxy, "nobody")
        assert calls(asked) == before + 1  # nobody has no row, and no call
    with serving(asked, config=settings(asked, query_ttl="0s"), url=url(asked)) as proxy:
        before = calls(asked)
        who_am_i(proxy)
        who_am_i(proxy)
        assert calls(asked) == before + 2


def test_users_are_looked_up_though_no_pool_has_a_server_free(asked: Database) -> None:
    """Not even that of the user who asks."""
    config = settings(asked, query_ttl="0s") + "[pool]\nsize = 1\nreserve_size = 0\n"
    with serving(asked, config=config, url=url(asked)) as proxy:
        dsn = proxy.dsn(user="asker", password=PASSWORD)
        with (
            psycopg.connect(dsn) as holder,
            psycopg.connect(proxy.dsn(user="app", password=PASSWORD)) as other,
        ):
            holder.execute("SELECT 1")
            other.execute("SELECT 1")
            assert "password authentication failed" in refusal(proxy, "app", "wrong")
            assert who_am_i(proxy, "app_trust", PASSWORD) == "app_trust"


def test_password_that_expires_counts_no_longer_though_it_is_kept(asked: Database) -> None:
    """CVE-2025-2291; this query does not even look at it."""
    with connect(asked.server) as connection:
        connection.execute(f"CREATE USER brief PASSWORD '{PASSWORD}'")
        try:
            with serving(asked, config=settings(asked, query_ttl="1h"), url=url(asked)) as proxy:
                connection.execute(SOON)
                assert who_am_i(proxy, "brief") == "brief"
                deadline = time.monotonic() + 20
                while is_let_in(proxy, "brief", PASSWORD):
                    assert time.monotonic() < deadline, "the password never expires"
                (line,) = [line for line in proxy.log_lines() if line["event"] == "client refused"]
                assert line["detail"].startswith("the user's pass")
        finally:
            connection.execute("DROP OWNED BY brief; DROP USER brief")


def test_search_path_is_nobody_elses(asked: Database) -> None:
    """CVE-2025-12819: the password is whether `starts_with` is PostgreSQL's own, and what the path is."""
    query = "SELECT $1::text, CASE WHEN starts_with('a', 'b') THEN 'trapped' ELSE current_setting('search_path') END"
    config = settings(asked, query, type="password", allow_cleartext=True).replace("True", "true")
    with serving(asked, config=config, url=url(asked)) as proxy:
        assert who_am_i(proxy, "app_trust", "pg_catalog, pg_temp") == "app_trust"
        assert "password authentication failed" in refusal(proxy, "app_trust", "trapped")


def test_new_password_counts_after_a_login_with_the_old_one_failed(asked: Database) -> None:
    with connect(asked.server) as connection:
        connection.execute(f"CREATE USER changing PASSWORD '{PASSWORD}'")
        try:
            with serving(asked, config=settings(asked, query_ttl="1h"), url=url(asked)) as proxy:
                assert who_am_i(proxy, "changing") == "changing"
                connection.execute("ALTER USER changing PASSWORD 'other'")
                deadline = time.monotonic() + 20
                while not is_let_in(proxy, "changing", "other"):
                    assert time.monotonic() < deadline, "the new password never counts"
                assert "password authentication failed" in refusal(proxy, "changing")
        finally:
            connection.execute("DROP USER changing")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"query": "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1"}, "permission denied"),
        ({"query": "SELECT 'one' WHERE $1 <> ''"}, "it must give one row at most"),
        ({"query": "SELECT $1::text, 'SCRAM-SHA-256$4096:x'"}, "malformed"),
        ({"dbname": "missing"}, 'database "missing" does not exist'),
        (
            {"query": "SELECT $1, pg_sleep(60)", "query_timeout": "100ms"},
            "no answer within auth.query_timeout",
        ),
    ],
)
def test_query_that_fails_is_told_in_the_log(asked: Database, change: dict[str, object], told: str) -> None:
    lines = {"query": "SELECT * FROM auth.find($1)", **change}
    with serving(asked, config=settings(asked, **lines), url=url(asked)) as proxy:  # type: ignore[arg-type]
        assert refusal(proxy) == 'cannot look up user "app" now'
        (line,) = [line for line in proxy.log_lines() if line["event"] == "users cannot be looked up"]
        assert told in line["error"]


def test_database_may_ask_by_a_query_of_its_own(asked: Database) -> None:
    config = settings(asked, "SELECT $1, 'nobody knows this'") + (
        f'[databases.own]\ndbname = "{asked.name}"\nauth_query = "SELECT * FROM auth.find($1)"\n'
    )
    with serving(asked, config=config, url=url(asked)) as proxy:
        with psycopg.connect(proxy.dsn("own", user="app", password=PASSWORD)) as connection:
            assert connection.execute("SELECT session_user").fetchone() == ("app",)
        assert "password authentication failed" in refusal(proxy)


def test_rules_about_roles_are_kept_where_only_the_database_has_who_asks(asked: Database) -> None:
    with connect(asked.server, asked.name) as connection:
        connection.execute("CREATE ROLE crew; GRANT crew TO app; CREATE USER stranger PASSWORD 'x'")
    config = (
        f"[auth]\ntype = 'hba'\nhba = ['host {asked.name} +crew all md5']\n"
        f"[users.asker]\npassword = '{PASSWORD}'\n"
        f"[databases.{asked.name}]\nauth_user = 'asker'\nauth_query = 'SELECT * FROM auth.find($1)'\n"
    )
    try:
        with serving(asked, {}, config=config, url=url(asked)) as proxy:
            assert who_am_i(proxy) == "app"
            assert "no pg_hba.conf entry" in refusal(proxy, "stranger", "x")
    finally:
        with connect(asked.server, asked.name) as connection:
            connection.execute("DROP ROLE crew; DROP USER stranger")
