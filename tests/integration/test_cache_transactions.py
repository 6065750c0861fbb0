"""Reads inside a transaction are answered from what is kept where each of its statements sees what was committed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from tests.support.kept import SETTINGS, Kept, enter
from tests.support.node import install, run_async
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

SCHEMA = """
    CREATE TABLE items (id int PRIMARY KEY, n int);
    INSERT INTO items SELECT n, n FROM generate_series(1, 20) AS n;
    CREATE TABLE tenants (id int, tenant text);
    INSERT INTO tenants VALUES (1, 'a'), (2, 'b');
    CREATE VIEW own AS SELECT id FROM tenants WHERE tenant = current_setting('app.tenant', true);
"""
READ = "SELECT count(*), sum(n) FROM items"
OWN = "SELECT id FROM own"

Client = psycopg.Connection


def prepare(database: Database) -> None:
    with connect(database.server, database.name) as owner:
        owner.execute("SET ROLE app")
        owner.execute(SCHEMA)


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    prepare(module_database)
    with serving(module_database, SETTINGS) as running:
        yield running


@pytest.fixture
def kept(proxy: Proxy) -> Iterator[Kept]:
    with Kept(proxy) as found:
        yield found


@pytest.fixture
def reader(proxy: Proxy) -> Iterator[Client]:
    with enter(proxy) as client:
        yield client


@pytest.fixture
def writer(proxy: Proxy) -> Iterator[Client]:
    with enter(proxy) as client:
        yield client


@contextmanager
def transaction(client: Client, *begins: str) -> Iterator[None]:
    for statement in begins or ("BEGIN READ ONLY",):
        client.execute(statement)
    yield
    client.execute("ROLLBACK")


# --- which transactions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begins",
    [
        ["BEGIN READ ONLY"],
        ["begin /* of a report */ read only;"],
        ["START TRANSACTION READ ONLY"],
        ["BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"],
        ["BEGIN TRANSACTION READ ONLY, ISOLATION LEVEL READ UNCOMMITTED"],
        ["BEGIN", "SET TRANSACTION READ ONLY"],
        ["BEGIN", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY"],
        ["SET default_transaction_read_only = on", "BEGIN"],
        ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "BEGIN"],
        [
            "SET default_transaction_isolation = 'repeatable read'",
            "BEGIN READ ONLY",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        ],
    ],
)
def test_reads_of_a_read_only_transaction_are_answered(
    reader: Client, writer: Client, kept: Kept, begins: list[str]
):
    kept.wait(writer, READ)

    def is_answered() -> bool:  # not behind a SET that its server is still asked about
        with transaction(reader, *begins):
            reader.execute(READ)  # settings of isolation are of the key
            hit = kept.is_hit(reader, READ) or kept.is_hit(reader, READ)
            assert reader.info.transaction_status == TransactionStatus.INTRANS
        return hit

    kept.until(is_answered)


@pytest.mark.parametrize(
    "begins",
    [
        ["BEGIN"],
        ["BEGIN READ WRITE"],
        ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"],
        ["BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"],
        ["BEGIN READ ONLY", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
        ["BEGIN READ ONLY", "SET TRANSACTION READ WRITE"],
        ["BEGIN READ ONLY", "SET LOCAL transaction_isolation = 'repeatable read'"],
        ["SET default_transaction_isolation = 'Repeatable Read'", "BEGIN READ ONLY"],
        ["SET default_transaction_read_only = on", "BEGIN READ WRITE"],
        ["BEGIN READ ONLY; SELECT 1"],
        ["BEGIN READ ONLY", "COMMIT AND CHAIN"],
    ],
)
def test_reads_of_other_transactions_are_not(reader: Client, writer: Client, kept: Kept, begins: list[str]):
    kept.wait(writer, READ)
    with transaction(reader, *begins):
        assert not kept.is_hit(reader, READ)
        assert not kept.is_hit(reader, READ)


def test_snapshot_that_a_transaction_keeps_is_a_reason(reader: Client, kept: Kept):
    kept.wait(reader, READ)
    with transaction(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
        reader.execute(READ)
        reader.execute(READ)
    rows = kept.console.execute("SHOW CACHE BYPASS").fetchall()
    assert "its transaction keeps its snapshot" in [row["reason"] for row in rows]


def test_what_is_read_inside_is_kept_for_others_and_is_what_others_have_read(
    proxy: Proxy, reader: Client, writer: Client, kept: Kept
):
    kept.wait(writer, READ)
    writer.execute("UPDATE items SET n = n + 1 WHERE id = 1")
    with transaction(reader):
        assert not kept.is_hit(reader, READ)
        with enter(proxy) as other:
            assert kept.is_hit(other, READ)
        assert reader.execute(READ).fetchone() == writer.execute(READ).fetchone()


def test_each_statement_sees_what_was_committed_by_then(reader: Client, writer: Client, kept: Kept):
    for _ in range(10):
        kept.wait(writer, READ)
        with transaction(reader):
            before = reader.execute(READ).fetchone()
            writer.execute("UPDATE items SET n = n + 1 WHERE id = 2")
            after = reader.execute(READ).fetchone()
            assert before is not None
            assert after == (before[0], before[1] + 1)
            kept.until(lambda: kept.is_hit(reader, READ))


# --- what ends it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "middle",
    [
        "SET LOCAL app.tenant = 'b'",
        "SELECT set_config('app.tenant', 'b', true)",
        "SAVEPOINT a",
        "DECLARE c CURSOR FOR SELECT 1",
        "SELECT now()",
        "SELECT pg_backend_pid()",
        "LOCK TABLE items IN ACCESS SHARE MODE",
        "BEGIN",
    ],
)
def test_anything_but_such_a_read_ends_it(reader: Client, kept: Kept, middle: str):
    kept.wait(reader, READ)
    with transaction(reader):
        kept.until(lambda: kept.is_hit(reader, READ))
        reader.execute(middle)
        assert not kept.is_hit(reader, READ)
        assert not kept.is_hit(reader, READ)


def test_tenant_that_a_transaction_has_set_for_itself_is_told_its_own(reader: Client, kept: Kept):
    reader.execute("SET app.tenant = 'a'")
    assert kept.wait(reader, OWN) == [(1,)]
    with transaction(reader):
        kept.until(lambda: kept.is_hit(reader, OWN))
        reader.execute("SET LOCAL app.tenant = 'b'")
        assert reader.execute(OWN).fetchall() == [(2,)]
    with transaction(reader, "BEGIN READ ONLY; SET LOCAL app.tenant = 'b'"):
        assert reader.execute(OWN).fetchall() == [(2,)]


def test_what_a_function_has_set_for_its_transaction_counts(reader: Client, kept: Kept):
    reader.execute("SET app.tenant = 'a'")
    reader.execute(
        "CREATE OR REPLACE FUNCTION be(text) RETURNS text STABLE LANGUAGE sql AS"
        " 'SELECT set_config(''app.tenant'', $1, true)'; CREATE OR REPLACE VIEW being AS SELECT be('b')"
    )
    kept.wait(reader, OWN)
    for middle in ("SELECT be('b')", "SELECT * FROM being"):
        with transaction(reader):
            reader.execute(middle)
            assert reader.execute(OWN).fetchall() == [(2,)]


def test_failed_transaction_says_so_to_what_is_kept_too(reader: Client, kept: Kept):
    kept.wait(reader, READ)
    with transaction(reader):
        kept.until(lambda: kept.is_hit(reader, READ))
        with pytest.raises(errors.DivisionByZero):
            reader.execute("SELECT 1 / 0")
        with pytest.raises(errors.InFailedSqlTransaction):
            reader.execute(READ)
    with transaction(reader):
        reader.execute("SAVEPOINT a")
        with pytest.raises(errors.DivisionByZero):
            reader.execute("SELECT 1 / 0")
        reader.execute("ROLLBACK TO a")
        assert not kept.is_hit(reader, READ)


def test_setting_of_the_transaction_is_that_of_this_one(reader: Client, kept: Kept):
    asks = [
        f"SELECT current_setting('transaction_{name}')" for name in ("isolation", "read_only", "deferrable")
    ]
    kept.wait(reader, READ)
    for _ in range(2):
        assert [reader.execute(ask).fetchone() for ask in asks] == [("read committed",), ("off",), ("off",)]
        with transaction(reader, "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY"):
            told = [reader.execute(ask).fetchone() for ask in asks]
            assert told == [("read uncommitted",), ("on",), ("off",)]


def test_in_a_transaction_that_only_reads_nothing_can_be_written(reader: Client, kept: Kept):
    kept.wait(reader, READ)
    with transaction(reader):
        kept.until(lambda: kept.is_hit(reader, READ))
        with pytest.raises(errors.ReadOnlySqlTransaction):
            reader.execute("UPDATE items SET n = 0")


# --- by drivers ----------------------------------------------------------------------------------------------


def test_psycopg(proxy: Proxy, writer: Client, kept: Kept):
    kept.wait(writer, READ)
    with psycopg.connect(proxy.dsn()) as client:
        client.read_only = True
        for prepare in (False, True):
            for _ in range(2):
                client.execute(READ, prepare=prepare)
                kept.until(lambda: kept.is_hit(client, READ, prepare=prepare))  # noqa: B023  # called here
                client.commit()
        with client.pipeline():
            found = [client.execute(READ) for _ in range(3)]
        assert len({tuple(cursor.fetchall()) for cursor in found}) == 1
        kept.until(lambda: kept.is_hit(client, READ))


async def test_asyncpg(proxy: Proxy, writer: Client, kept: Kept):
    kept.wait(writer, READ)
    client = await asyncpg.connect(proxy.dsn())
    for _ in range(2):
        async with client.transaction(readonly=True):
            for _ in range(2):  # the first of them goes on with what its Parse and Describe have begun
                await client.fetch(READ)
                await client.fetchval("SELECT n FROM items WHERE id = $1", 3)
            before, found = kept.count(READ), [await client.fetch(READ) for _ in range(50)]
            assert kept.count(READ) < before + 50  # its server is asked now and then
            assert found == [found[0]] * 50
            assert await client.fetchval("SELECT n FROM items WHERE id = $1", 3) == 3
            async for row in client.cursor("SELECT n FROM items ORDER BY id"):
                assert row["n"] >= 1
    await client.close()


def test_node_postgres(proxy: Proxy, writer: Client, kept: Kept, tmp_path: Path):
    folder = install(tmp_path, "pg@8")
    body = """
        const client = new Client({ connectionString: dsn });
        await client.connect();
        const text = "SELECT n AS node FROM items WHERE id = $1";
        const read = id => client.query({ name: "one", text, values: [id] });
        const found = [];
        for (let number = 0; number < 10; number++) {
            await client.query("BEGIN READ ONLY");
            found.push((await read(4)).rows[0].node);
            found.push((await client.query("SELECT n AS node FROM items WHERE id = 5")).rows[0].node);
            await client.query("COMMIT");
        }
        await client.end();
        return found;
        """
    kept.wait(writer, READ)
    before = kept.count("AS node")
    found = run_async(folder, 'const { Client } = require("pg");', body, proxy.dsn())
    assert found == [4, 5] * 10
    assert kept.count("AS node") < before + 20


# --- with what else there is ---------------------------------------------------------------------------------


def test_transaction_is_paid_for_once_and_is_never_refused(database: Database):
    prepare(database)
    config = """
        [limits.tiers.all]
        rate = "4/h"
        [[limits.rules]]
        name = "all"
        key = "{application_name}"
        tier = "none"
        [limits.rules.tiers]
        limited = "all"
    """
    with (
        serving(database, {**SETTINGS, "limits.mode": "on", "limits.trust": "app"}, config=config) as proxy,
        Kept(proxy) as kept,
    ):
        with enter(proxy) as other:
            kept.wait(other, READ)
        with enter(proxy, application_name="limited") as client:
            for _ in range(3):
                client.execute("BEGIN READ ONLY")
                for _ in range(50):
                    client.execute(READ)
                kept.until(lambda: kept.is_hit(client, READ))
                client.execute("COMMIT")
        rows = kept.console.execute("SHOW LIMITS").fetchall()
        assert [(row["transactions"], row["refused"]) for row in rows if row["key"] == "limited"] == [(3, 0)]


def test_nobody_is_told_what_a_transaction_read_under_a_setting_that_was_made_unseen(
    reader: Client, writer: Client, kept: Kept
):
    writer.execute("""
        CREATE TABLE events (id int);
        CREATE FUNCTION be_a() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM set_config(''app.tenant'', ''a'', false); RETURN NEW; END';
        CREATE TRIGGER be_a BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION be_a();
    """)
    kept.until(lambda: "can be kept" in kept.explain(OWN))
    writer.execute("INSERT INTO events VALUES (1)")
    for _ in range(20):
        with transaction(writer):
            for _ in range(3):
                writer.execute(OWN)
    assert reader.execute(OWN).fetchall() == []
