"""What a client SETs comes along from server to server, is undone as on a direct connection, and is nobody else's."""

from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_until
from tests.support.two_servers import (
    SETTINGS,
    assert_alike,
    elsewhere,
    look,
    look_elsewhere,
    open_client,
    wait_for_kept,
)

FUNCTIONS = """
CREATE FUNCTION tune(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN set_config(name, value, false); END $$;
CREATE FUNCTION tune_time() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET TimeZone = 'Asia/Tokyo'; END $$;
CREATE FUNCTION tune_inside() RETURNS void LANGUAGE plpgsql SET work_mem = '7MB' AS $$
    BEGIN SET LOCAL work_mem = '9MB'; SET enable_seqscan = off; END $$;
"""
SCRIPTS = {  # statements, each a message of its own
    "set": ["SET work_mem = '9MB'"],
    "set to": ["SET SESSION search_path TO pg_catalog, public"],
    "list": ["SET search_path = 'a b', \"c,d\""],
    "time zone": ["SET TIME ZONE 'Asia/Tokyo'"],
    "time zone offset": ["SET TIME ZONE -7"],
    "time zone interval": ["SET TIME ZONE INTERVAL '-08:30' HOUR TO MINUTE"],
    "characteristics": ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
    "role": ["SET ROLE pg_monitor"],
    "role and back": ["SET ROLE pg_monitor", "RESET ROLE"],
    "role none": ["SET ROLE pg_monitor", "SET ROLE NONE"],
    "role local": ["BEGIN", "SET LOCAL ROLE pg_monitor", "COMMIT"],
    "set_config": ["SELECT set_config('work_mem', '9MB', false)"],
    "set_config local": ["SELECT set_config('work_mem', '9MB', true)"],
    "set_config computed": ["SELECT set_config(name, '9MB', false) FROM pg_settings WHERE name = 'work_mem'"],
    "update": ["UPDATE pg_settings SET setting = '9000' WHERE name = 'work_mem'"],
    "do": ["DO $$ BEGIN SET work_mem = '9MB'; END $$"],
    "function": ["SELECT tune('work_mem', '9MB')"],
    "function that reports": ["SELECT tune_time()"],
    "function with a setting": ["SELECT tune_inside()"],
    "odd values": ["SET custom.one = 'it''s \\ ü \U0001f418'", "SET application_name = 'a''b\\c'"],
    "scs off": ["SET standard_conforming_strings = off", "SET application_name = 'a\\\\b'"],
    "custom": ["SET custom.one = '1'", "SELECT set_config('Custom.Two', '2', false)"],
    "custom reset": ["SET custom.one = '1'", "SET custom.two = '2'", "RESET custom.one"],
    "custom reset all": ["SET custom.one = '1'", "RESET ALL"],
    "custom discard all": ["SET custom.one = '1'", "DISCARD ALL"],
    "reset": ["SET work_mem = '9MB'", "SET jit = off", "RESET work_mem"],
    "default": ["SET work_mem = '9MB'", "SET work_mem TO DEFAULT"],
    "reset all": ["SET work_mem = '9MB'", "SET TIME ZONE 'UTC'", "RESET ALL"],
    "discard all": ["SET work_mem = '9MB'", "SET ROLE pg_monitor", "DISCARD ALL"],
    "discard plans": ["SET work_mem = '9MB'", "DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP"],
    "committed": ["BEGIN", "SET work_mem = '9MB'", "COMMIT"],
    "rolled back": ["SET work_mem = '7MB'", "BEGIN", "SET work_mem = '9MB'", "ROLLBACK"],
    "reset rolled back": ["SET work_mem = '7MB'", "BEGIN", "RESET ALL", "ROLLBACK"],
    "to a savepoint": [
        "BEGIN",
        "SET work_mem = '7MB'",
        "SAVEPOINT a",
        "SET work_mem = '9MB'",
        "SET jit = off",
        "ROLLBACK TO a",
        "COMMIT",
    ],
    "released": ["BEGIN", "SAVEPOINT a", "SET work_mem = '9MB'", "RELEASE a", "COMMIT"],
    "failed": ["BEGIN", "SET work_mem = '9MB'", "SELECT 1/0", "COMMIT"],
    "failed and saved": [
        "BEGIN", "SET work_mem = '9MB'", "SAVEPOINT a", "SET jit = off; SELECT 1/0", "ROLLBACK TO a", "COMMIT"
    ],
    "refused": ["SET work_mem = '9MB'", "SET work_mem = '1'", "SET no_such_thing = 1", "SET fsync = off"],
    "one message": ["SET work_mem = '9MB'; SET jit = off; SELECT 1"],
    "one message that fails": ["SET work_mem = '9MB'; SELECT 1/0; SET jit = off"],
    "one message in pieces": ["SET work_mem = '9MB'; COMMIT; SET jit = off; SELECT 1/0"],
    "local": ["BEGIN", "SET LOCAL work_mem = '9MB'", "COMMIT"],
    "local and then not": ["BEGIN", "SET LOCAL work_mem = '9MB'", "SET work_mem = '7MB'", "COMMIT"],
    "not and then local": ["BEGIN", "SET work_mem = '7MB'", "SET LOCAL work_mem = '9MB'", "COMMIT"],
    "twice": ["SET work_mem = '9MB'", "SET work_mem = '7MB'"],
    "transaction": ["BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "COMMIT"],
    "chained": ["BEGIN", "SET work_mem = '9MB'", "COMMIT AND CHAIN", "SET jit = off", "ROLLBACK"],
}  # fmt: skip
PINNED = {"set_config computed", "update", "function"}  # which one is set cannot be told
LOGINS = {"plain": "", "with options": "-c work_mem=5MB -c search_path=one,two -c custom.one=login"}
SEEN = ("settings", "custom", "users")


@pytest.fixture(scope="module", autouse=True)
def functions(module_database: Database) -> None:
    with connect(module_database.server, module_database.name) as admin:
        admin.execute(f"GRANT pg_monitor TO {module_database.user}")
    with open_client(module_database.dsn) as direct:
        direct.execute(FUNCTIONS)


@pytest.fixture(scope="module")
def proxy(module_database: Database, functions: None) -> Iterator[Proxy]:
    with serving(module_database, SETTINGS) as running:
        yield running


def run(client: psycopg.Connection, script: list[str]) -> list[str]:
    """What became of each statement."""
    outcomes = []
    for statement in script:
        try:
            outcomes.append(str(client.execute(statement.encode()).statusmessage))
        except psycopg.Error as error:
            outcomes.append(str(error.sqlstate))
    return outcomes


@pytest.mark.parametrize("options", LOGINS.values(), ids=LOGINS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_settings_are_those_of_a_direct_connection_on_every_server(
    module_database: Database, proxy: Proxy, name: str, options: str
):
    script = SCRIPTS[name]
    with (
        open_client(module_database.dsn, options=options) as direct,
        open_client(proxy.dsn(), options=options) as client,
        open_client(proxy.dsn(), options=options) as other,
    ):
        untouched = look(direct, *SEEN)
        assert run(client, script) == run(direct, script)
        expected = look(direct, *SEEN)
        assert_alike(look(client, *SEEN), expected)
        if name in PINNED:
            wait_for_kept(proxy, 1)
        else:
            assert_alike(look_elsewhere(proxy, client, *SEEN), expected)
            assert_alike(look_elsewhere(proxy, other, *SEEN), untouched)
        assert_alike(look(other, *SEEN), untouched)
        told = ("TimeZone", "application_name", "standard_conforming_strings", "search_path", "DateStyle")
        for setting in told:
            assert client.info.parameter_status(setting) == direct.info.parameter_status(setting)
    wait_for_kept(proxy, 0)


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT set_config(%s, %s, false)", ["work_mem", "9MB"]),
        ("SELECT set_config(%s, %s, %s)", ["custom.one", "ü", False]),
        ("SELECT set_config(%s, %s, %s)", ["work_mem", "9MB", True]),
        ("SELECT set_config(%b, %b, false), %b::int, %b::bytea", ["work_mem", "9MB", 7, b"\0\xff'\\"]),
    ],
)
@pytest.mark.parametrize("prepare", [False, True])
def test_settings_are_those_of_a_direct_connection_whatever_comes_as_a_parameter(
    module_database: Database, proxy: Proxy, sql: str, values: list[object], prepare: bool
):
    with open_client(module_database.dsn) as direct, open_client(proxy.dsn()) as client:
        for connection in (direct, client):
            connection.execute(sql, values, prepare=prepare)
        expected = look(direct, *SEEN)
        assert_alike(look(client, *SEEN), expected)
        assert_alike(look_elsewhere(proxy, client, *SEEN), expected)


async def test_asyncpg_sets_with_binary_parameters(proxy: Proxy):
    connection = await asyncpg.connect(proxy.dsn())
    for value in ("9MB", "7MB"):
        await connection.fetchval("SELECT set_config($1, $2, $3)", "work_mem", value, False)
        assert await connection.fetchval("SHOW work_mem") == value
    await connection.close()


def test_pipeline_with_an_error_in_the_middle(module_database: Database, proxy: Proxy):
    with open_client(module_database.dsn) as direct, open_client(proxy.dsn()) as client:
        for connection in (direct, client):
            with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline() as pipeline:
                connection.execute("SET work_mem = '9MB'")
                pipeline.sync()
                connection.execute("SET jit = off")
                connection.execute("SELECT 1/0")
                connection.execute("SET work_mem = '7MB'")
        expected = look(direct, *SEEN)
        assert_alike(look(client, *SEEN), expected)
        assert_alike(look_elsewhere(proxy, client, *SEEN), expected)


def test_superuser_is_somebody_else_on_every_server_and_itself_for_the_next(module_database: Database):
    url = module_database.server.dsn(module_database.name)
    with (
        serving(module_database, {**SETTINGS, "auth.type": "trust"}, url=url) as proxy,
        open_client(url) as direct,
        open_client(proxy.dsn()) as client,
        open_client(proxy.dsn()) as other,
    ):
        untouched = look(direct, *SEEN)
        script = ["SET SESSION AUTHORIZATION app_trust", "SET ROLE app", "SET work_mem = '9MB'"]
        assert run(client, script) == run(direct, script)
        expected = look(direct, *SEEN)
        for _ in range(2):
            assert_alike(look_elsewhere(proxy, client, *SEEN), expected)
            assert_alike(look(other, *SEEN), untouched)
        script = ["RESET SESSION AUTHORIZATION"]
        assert run(client, script) == run(direct, script)
        assert_alike(look_elsewhere(proxy, client, *SEEN), look(direct, *SEEN))


@pytest.mark.parametrize("encoding", ["LATIN1", "UTF8"])
def test_encoding_of_one_client_is_not_the_next_ones(proxy: Proxy, encoding: str):
    with open_client(proxy.dsn()) as client, open_client(proxy.dsn()) as other:
        client.execute(f"SET client_encoding = '{encoding}'")
        client.execute("SET application_name = 'mine'")
        for connection, expected in ((client, encoding), (other, "UTF8")) * 2:
            with elsewhere(proxy, connection):
                assert connection.execute("SHOW client_encoding").fetchone() == (expected,)
                assert connection.execute("SELECT 'ü', length('ü')").fetchone() == ("ü", 1)


def test_application_name_in_pg_stat_activity_is_the_present_clients(module_database: Database, proxy: Proxy):
    active = "FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    with (
        open_client(proxy.dsn(), application_name="one") as one,
        open_client(proxy.dsn(), application_name="two") as two,
    ):
        for client, name in ((one, "one"), (two, "two"), (one, "one")):
            client.execute("BEGIN")
            wait_until(module_database, f"(SELECT application_name {active}) = %s", [name])
            client.execute("COMMIT")
        one.execute("SET application_name = 'renamed'")
        two.execute("BEGIN; SELECT 1; COMMIT")
        one.execute("BEGIN")
        wait_until(module_database, f"(SELECT application_name {active}) = 'renamed'")


def test_set_of_one_client_is_not_reported_to_one_that_logs_in_later(module_database: Database, proxy: Proxy):
    with open_client(proxy.dsn()) as first:
        first.execute("SET TimeZone = 'Asia/Tokyo'")
        assert first.info.parameter_status("TimeZone") == "Asia/Tokyo"
        with (
            open_client(module_database.dsn, options="-c work_mem=5MB") as direct,
            open_client(proxy.dsn(), options="-c work_mem=5MB") as second,
        ):
            for name in ("TimeZone", "client_encoding", "is_superuser"):
                assert second.info.parameter_status(name) == direct.info.parameter_status(name)


def test_no_server_is_kept_for_settings(proxy: Proxy):
    with open_client(proxy.dsn()) as client:
        client.execute("SET work_mem = '9MB'; SET custom.one = 'mine'; SET TIME ZONE 'Asia/Tokyo'")
        wait_for_kept(proxy, 0)
