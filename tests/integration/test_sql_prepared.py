"""PREPARE, EXECUTE and DEALLOCATE, mixed with the protocol's own prepared statements, on any server."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import pq

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import SETTINGS, elsewhere, look, look_elsewhere, open_client, wait_for_kept

NAMES = """
SELECT name, statement, parameter_types::text, from_sql FROM pg_prepared_statements
 WHERE name NOT LIKE 'dbproxy_%' ORDER BY name"""  # those that all clients share can be seen


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, SETTINGS) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection
    wait_for_kept(proxy, 0)


@pytest.fixture
def direct(module_database: Database) -> Iterator[psycopg.Connection]:
    with open_client(module_database.dsn) as connection:
        yield connection


def parse(client: psycopg.Connection, name: str, sql: str) -> None:
    """Prepare by the protocol, under this very name."""
    check(client.pgconn.prepare(name.encode(), sql.encode()))


def run(client: psycopg.Connection, name: str, *values: str) -> list[bytes | None]:
    """Execute by the protocol; the first row."""
    result = check(client.pgconn.exec_prepared(name.encode(), [value.encode() for value in values]))
    return [result.get_value(0, column) for column in range(result.nfields)]


def check(result: pq.PGresult) -> pq.PGresult:
    if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
        raise psycopg.errors.lookup(str(result.error_field(pq.DiagnosticField.SQLSTATE), "ascii"))()
    return result


def test_prepared_statement_is_executed_on_any_server(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE mine (int) AS SELECT $1 + 1")
    for number in range(3):
        with elsewhere(proxy, client):
            assert client.execute(f"EXECUTE mine ({number})").fetchone() == (number + 1,)
    wait_for_kept(proxy, 0)


def test_statement_prepared_inside_a_message_is_executed_on_any_server(
    proxy: Proxy, client: psycopg.Connection
):
    client.execute("SELECT 1; PREPARE mine AS SELECT 'it''s; $$'; PREPARE other AS SELECT 2")
    with elsewhere(proxy, client):
        assert client.execute("EXECUTE mine").fetchone() == ("it's; $$",)
        assert client.execute("EXECUTE other").fetchone() == (2,)


def test_statements_are_those_of_their_client_alone(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE mine AS SELECT 1")
    with open_client(proxy.dsn()) as other:
        assert look(other, "prepared")["prepared"] == []
        other.execute("PREPARE mine AS SELECT 2")
        for _ in range(2):
            with elsewhere(proxy, client):
                assert client.execute("EXECUTE mine").fetchone() == (1,)
            with elsewhere(proxy, other):
                assert other.execute("EXECUTE mine").fetchone() == (2,)
    with open_client(proxy.dsn()) as third:
        assert look(third, "prepared")["prepared"] == []
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            third.execute("EXECUTE mine")


def test_deallocated_statement_is_gone_on_every_server(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE one AS SELECT 1")
    client.execute("PREPARE two AS SELECT 2")
    client.execute("DEALLOCATE one")
    with elsewhere(proxy, client):
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            client.execute("EXECUTE one")
        assert client.execute("EXECUTE two").fetchone() == (2,)
    client.execute("DEALLOCATE ALL")
    with elsewhere(proxy, client), pytest.raises(psycopg.errors.InvalidSqlStatementName):
        client.execute("EXECUTE two")
    client.execute("PREPARE one AS SELECT 3")
    with elsewhere(proxy, client):
        assert client.execute("EXECUTE one").fetchone() == (3,)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_prepare_outlives_a_rollback(
    proxy: Proxy, client: psycopg.Connection, direct: psycopg.Connection, end: str
):
    """PostgreSQL's PREPARE is no part of the transaction."""
    for connection in (direct, client):
        connection.execute("BEGIN")
        connection.execute("PREPARE mine AS SELECT 1")
        connection.execute(end)
    assert direct.execute("EXECUTE mine").fetchone() == (1,)
    with elsewhere(proxy, client):
        assert client.execute("EXECUTE mine").fetchone() == (1,)


def test_parsed_statement_is_executed_and_deallocated_by_sql(proxy: Proxy, client: psycopg.Connection):
    """PHP's PDO does: it parses pdo_stmt_00000001, and says DEALLOCATE."""
    parse(client, "pdo_stmt_1", "SELECT $1::int + 1")
    with elsewhere(proxy, client):
        assert run(client, "pdo_stmt_1", "1") == [b"2"]
    with elsewhere(proxy, client):
        assert client.execute("EXECUTE pdo_stmt_1 (2)").fetchone() == (3,)
    with elsewhere(proxy, client):
        assert client.execute("DEALLOCATE pdo_stmt_1").statusmessage == "DEALLOCATE"
    with elsewhere(proxy, client):
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            run(client, "pdo_stmt_1", "1")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            client.execute("DEALLOCATE pdo_stmt_1")
    parse(client, "pdo_stmt_1", "SELECT 'new'")
    with elsewhere(proxy, client):
        assert run(client, "pdo_stmt_1") == [b"new"]


def test_prepared_statement_is_bound_by_the_protocol(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE mine (int) AS SELECT $1 * 2 AS twice")
    for number in range(3):
        with elsewhere(proxy, client):
            assert run(client, "mine", str(number)) == [str(2 * number).encode()]
    with elsewhere(proxy, client):
        described = check(client.pgconn.describe_prepared(b"mine"))
        assert (described.nparams, described.fname(0)) == (1, b"twice")


def test_name_is_taken_whichever_way_it_was_made(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE one AS SELECT 1")
    parse(client, "two", "SELECT 2")
    with elsewhere(proxy, client):
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            parse(client, "one", "SELECT 3")
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            client.execute("PREPARE two AS SELECT 3")
    with elsewhere(proxy, client):
        assert client.execute("EXECUTE one").fetchone() == (1,)
        assert run(client, "two") == [b"2"]


def test_statement_whose_table_was_dropped_has_its_name_until_it_is_deallocated(client: psycopg.Connection):
    client.execute("CREATE TABLE short_lived (a int)")
    parse(client, "by_protocol", "SELECT * FROM short_lived")
    client.execute("PREPARE by_sql AS SELECT * FROM short_lived")
    client.execute("DROP TABLE short_lived")
    for name in ("by_protocol", "by_sql"):
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            client.execute(f"PREPARE {name} AS SELECT 1")
        with pytest.raises(psycopg.errors.UndefinedTable):
            client.execute(f"EXECUTE {name}")
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            client.execute(f"PREPARE {name} AS SELECT 1", binary=True)
        client.execute(f"DEALLOCATE {name}")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            client.execute(f"EXECUTE {name}")


def test_statement_that_prepare_did_not_replace_is_executed(client: psycopg.Connection):
    parse(client, "mine", "SELECT 1")
    with client.transaction():
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement), client.transaction():
            client.execute("PREPARE mine AS SELECT 2")
        assert client.execute("EXECUTE mine").fetchone() == (1,)
        client.execute("DEALLOCATE mine")
        client.execute("PREPARE mine AS SELECT 3")
        assert client.execute("EXECUTE mine").fetchone() == (3,)
    assert client.execute("EXECUTE mine").fetchone() == (3,)


def test_pg_prepared_statements_shows_the_clients_own_by_its_own_names(
    proxy: Proxy, client: psycopg.Connection, direct: psycopg.Connection
):
    for connection in (direct, client):
        connection.execute("PREPARE by_sql (int) AS SELECT $1;")
        parse(connection, "by_protocol", "SELECT $1::text")
        parse(connection, "gone", "SELECT 1")
        connection.execute("DEALLOCATE gone")
    expected = direct.execute(NAMES).fetchall()
    assert [row[0] for row in expected] == ["by_protocol", "by_sql"]
    assert client.execute(NAMES).fetchall() == expected
    with elsewhere(proxy, client):
        assert client.execute(NAMES).fetchall() == expected


def test_execute_does_to_the_session_what_its_statement_does(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE tune AS SELECT set_config('work_mem', '9MB', false)")
    with elsewhere(proxy, client):
        client.execute("EXECUTE tune")
    with elsewhere(proxy, client):
        assert client.execute("SHOW work_mem").fetchone() == ("9MB",)
    client.execute("PREPARE lock AS SELECT pg_advisory_lock(1)")
    with elsewhere(proxy, client):
        client.execute("EXECUTE lock")
    wait_for_kept(proxy, 1)
    client.execute("SELECT pg_advisory_unlock(1)")
    wait_for_kept(proxy, 0)


def test_execute_follows_the_clients_search_path(proxy: Proxy, client: psycopg.Connection):
    client.execute("CREATE SCHEMA a; CREATE SCHEMA b")
    client.execute("CREATE TABLE a.t AS SELECT 'a' AS name; CREATE TABLE b.t AS SELECT 'b' AS name")
    client.execute("SET search_path = a")
    client.execute("PREPARE mine AS SELECT name FROM t")
    with elsewhere(proxy, client):
        assert client.execute("EXECUTE mine").fetchone() == ("a",)
    with open_client(proxy.dsn(), options="-c search_path=b") as other:
        other.execute("PREPARE mine AS SELECT name FROM t")
        with elsewhere(proxy, other):
            assert other.execute("EXECUTE mine").fetchone() == ("b",)


@pytest.mark.parametrize("run", ["EXECUTE text", "EXECUTE 'EXECUTE mine (20)'"])
def test_execute_in_a_function_finds_what_its_client_prepared(
    proxy: Proxy, client: psycopg.Connection, run: str
):
    client.execute(f"""CREATE OR REPLACE FUNCTION run(text text) RETURNS int LANGUAGE plpgsql AS $$
        DECLARE answer int; BEGIN {run} INTO answer; RETURN answer; END $$""")
    client.execute("PREPARE mine (int) AS SELECT $1 + 22")
    with elsewhere(proxy, client):
        assert client.execute("SELECT run('EXECUTE mine (20)')").fetchone() == (42,)
    client.execute("DO $$ BEGIN EXECUTE 'EXECUTE mine (20)'; END $$")
    wait_for_kept(proxy, 0)
    client.execute("DROP FUNCTION run")


def test_channels_are_shown_though_a_statement_cannot_be_read_any_more(client: psycopg.Connection):
    client.execute("CREATE TABLE IF NOT EXISTS answers AS SELECT 42 AS answer")
    parse(client, "mine", "SELECT answer FROM answers")
    client.execute("BEGIN")
    client.execute("SET search_path = pg_catalog")
    assert client.execute("SELECT pg_listening_channels()").fetchall() == []
    client.execute("ROLLBACK")
    client.execute("DROP TABLE answers")


def test_create_table_as_execute_and_explain_execute(proxy: Proxy, client: psycopg.Connection):
    client.execute("PREPARE mine AS SELECT 42 AS answer")
    with elsewhere(proxy, client):
        client.execute("CREATE TABLE answers AS EXECUTE mine")
    with elsewhere(proxy, client):
        assert client.execute("SELECT answer FROM answers").fetchone() == (42,)
        assert "Result" in client.execute("EXPLAIN EXECUTE mine").fetchone()[0]
    client.execute("DROP TABLE answers")


def test_nothing_is_left_of_statements_on_the_servers(proxy: Proxy):
    with open_client(proxy.dsn()) as client:
        client.execute("PREPARE mine AS SELECT 1")
        parse(client, "two", "SELECT 2")
        client.execute("EXECUTE two")
        with elsewhere(proxy, client):
            client.execute("EXECUTE mine")
    wait_for_kept(proxy, 0)
    with open_client(proxy.dsn()) as other:
        assert look(other, "prepared") == look_elsewhere(proxy, other, "prepared") == {"prepared": []}
