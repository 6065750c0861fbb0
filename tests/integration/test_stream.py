"""Everybody's writes, as the cache hears of them by a replication slot: which transaction has changed which tables."""

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from dbproxy.app.stream import Stream
from dbproxy.cache.publication import (
    CANDIDATES,
    NAME,
    PUBLISHED,
    Candidate,
    Choice,
    choose,
    spell_publication,
)
from dbproxy.demo.installation import Installation, installations
from dbproxy.demo.postgres import Postgres
from tests.support.certificates import Authority, tls_postgres
from tests.support.follower import Heard, following
from tests.support.postgres import PASSWORD, Database, connect, create_cluster, create_database
from tests.support.serving import wait_until

COMMIT = "SELECT pg_logical_emit_message(true, '', '')"  # that changes nothing

TABLES = """
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE "Odd name" (id int PRIMARY KEY);
CREATE TABLE full_rows (v int); ALTER TABLE full_rows REPLICA IDENTITY FULL;
CREATE TABLE no_identity (v int);
CREATE TABLE base (id int PRIMARY KEY); CREATE TABLE heir () INHERITS (base);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, of int REFERENCES parent ON DELETE CASCADE);
CREATE TABLE journal (id serial PRIMARY KEY, v int);
CREATE TABLE watched (id int PRIMARY KEY);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO journal (v) VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION note();
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
CREATE TABLE mixed (id int) PARTITION BY RANGE (id);
CREATE TABLE mixed_1 PARTITION OF mixed (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
CREATE TABLE mixed_2 PARTITION OF mixed FOR VALUES FROM (10) TO (20);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
INSERT INTO plain SELECT n, 'x' FROM generate_series(1, 10) n;
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);
"""


@pytest.fixture(scope="module", params=installations(), ids=lambda one: one.name)
def cluster(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    installation: Installation = request.param
    with (
        create_cluster(installation, wal_level="logical", max_prepared_transactions=2) as server,
        connect(server) as connection,
    ):
        connection.execute("ALTER ROLE app REPLICATION")
        yield server


@pytest.fixture
def database(cluster: Postgres) -> Iterator[Database]:
    with create_database(cluster) as fresh:
        with connect(cluster, fresh.name) as connection:
            connection.execute(f"GRANT CREATE ON DATABASE {fresh.name} TO app")
            connection.execute("SET ROLE app")
            connection.execute(TABLES)
        yield fresh
        wait_until(fresh, "count(*) = 0 FROM pg_replication_slots")  # a database with one cannot be dropped


@pytest.fixture
def writer(database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        yield connection


def publish(writer: psycopg.Connection) -> Choice:
    """As it is installed, or made to fit the tables that there are now."""
    exists = writer.execute("SELECT FROM pg_publication WHERE pubname = %s", [NAME]).fetchone() is not None
    choice = choose(Candidate(*row) for row in writer.execute(CANDIDATES).fetchall())
    with writer.transaction():
        for statement in spell_publication(choice.published, exists=exists):
            writer.execute(statement.encode())
    return choice


@asynccontextmanager
async def hearing(database: Database) -> AsyncIterator[tuple[Stream, Heard]]:
    async with following(database.dsn, database.name, "app") as (stream, heard):
        await heard.wait(lambda: heard.names()[-1:] == ["began"])
        yield stream, heard


def oids(writer: psycopg.Connection, *names: str) -> frozenset[int]:
    found = writer.execute("SELECT oid::int FROM pg_class WHERE relname = ANY (%s)", [list(names)]).fetchall()
    assert len(found) == len(names)
    return frozenset(oid for (oid,) in found)


def position(writer: psycopg.Connection) -> int:
    row = writer.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


async def catch_up(writer: psycopg.Connection, heard: Heard) -> None:
    """Until all that was written by now was told. The WAL's end itself need not be flushed before another commit."""
    end = position(writer)
    writer.execute(COMMIT)
    await heard.wait(lambda: heard.position >= end)


def write(writer: psycopg.Connection, *statements: str) -> int:
    """In one transaction: its id."""
    with writer.transaction():
        for statement in statements:
            writer.execute(statement.encode())
        row = writer.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0]) & 0xFFFFFFFF


WRITES = {
    "foreign key": (["DELETE FROM parent"], {"parent", "child"}),
    "insert": (["INSERT INTO plain VALUES (100, 'x')"], {"plain"}),
    "update": (["UPDATE plain SET v = 'y' WHERE id = 1"], {"plain"}),
    "update of a key": (["UPDATE plain SET id = 200 WHERE id = 1"], {"plain"}),
    "delete": (["DELETE FROM plain"], {"plain"}),
    "truncate": (["TRUNCATE plain, full_rows"], {"plain", "full_rows"}),
    "truncate with a cascade": (["TRUNCATE parent CASCADE"], {"parent", "child"}),
    "several": (["INSERT INTO plain VALUES (101, 'x')", 'INSERT INTO "Odd name" VALUES (1)'], {"plain", "Odd name"}),
    "all columns as identity": (["INSERT INTO full_rows VALUES (1)", "UPDATE full_rows SET v = 2"], {"full_rows"}),
    "trigger": (["INSERT INTO watched VALUES (7)"], {"watched", "journal"}),
    "partition": (["INSERT INTO parted VALUES (5)"], {"parted_1"}),
    "from partition to partition": (
        ["INSERT INTO parted VALUES (6)", "UPDATE parted SET id = 15 WHERE id = 6"],
        {"parted_1", "parted_2"},
    ),
    "truncate of all partitions": (["TRUNCATE parted"], {"parted_1", "parted_2"}),
    "savepoint that was rolled back": (
        ["SAVEPOINT a", "DELETE FROM parent", "ROLLBACK TO a", "INSERT INTO plain VALUES (100, 'x')"],
        {"plain"},
    ),
    "long rows": (["INSERT INTO plain SELECT n, repeat(md5(n::text), 10000) FROM generate_series(50, 60) n",
                   "INSERT INTO parent VALUES (9)"], {"plain", "parent"}),
    "do": (["DO $$ BEGIN EXECUTE 'DELETE FROM ' || 'plain'; END $$"], {"plain"}),
}  # fmt: skip


async def test_each_transaction_is_told_with_all_tables_that_it_has_changed(
    database: Database, writer: psycopg.Connection
):
    publish(writer)
    async with hearing(database) as (stream, heard):
        expected = {}
        for name, (statements, tables) in WRITES.items():
            before = position(writer)
            expected[name] = write(writer, *statements), before, oids(writer, *tables)
        await catch_up(writer, heard)
        for name, (xid, before, tables) in expected.items():
            lsn, told = heard.commits[xid]
            assert told == tables, name
            assert before < lsn <= heard.position, name
        assert oids(writer, "parted_1", "mixed_1", "plain") < stream.source.published
        assert not oids(writer, "mixed_2", "no_identity", "unlogged", "heir") & stream.source.published
        assert stream.source.system[0].isdigit()


async def test_copy_is_told_once(database: Database, writer: psycopg.Connection):
    publish(writer)
    async with hearing(database) as (_, heard):
        with writer.cursor().copy('COPY "Odd name" FROM STDIN') as copy:
            for number in range(1000):
                copy.write_row([number])
        await heard.wait(lambda: bool(heard.commits))
        assert heard.told[1:] == [("committed", oids(writer, "Odd name"))]


async def test_prepared_transaction_is_told_when_it_commits(database: Database, writer: psycopg.Connection):
    publish(writer)
    async with hearing(database) as (_, heard):
        writer.execute("BEGIN")
        xid = write(writer, "DELETE FROM plain")
        writer.execute("PREPARE TRANSACTION 'a'")
        await catch_up(writer, heard)
        assert not heard.commits
        writer.execute("COMMIT PREPARED 'a'")
        await heard.wait(lambda: xid in heard.commits)


async def test_stream_waits_for_who_has_written_before_it(database: Database, writer: psycopg.Connection):
    """Its transaction would be told in part, or not at all."""
    publish(writer)
    with psycopg.connect(database.dsn) as other:
        other.execute("DELETE FROM parent")
        async with following(database.dsn, database.name, "app") as (_, heard):
            await asyncio.to_thread(
                wait_until,
                database,
                "count(*) = 1 FROM pg_replication_slots WHERE database = current_database()",
            )
            assert heard.told == []
            other.commit()
            await heard.wait(lambda: heard.names() == ["began"])
            xid = write(writer, "DELETE FROM plain")
            await heard.wait(lambda: bool(heard.commits))
            assert set(heard.commits) == {xid}


async def test_what_was_rolled_back_is_not_told_and_what_was_not_published_neither(
    database: Database, writer: psycopg.Connection
):
    choice = publish(writer)
    assert set(choice.left_out) == {"public.no_identity", "public.heir", "public.mixed_2"}
    async with hearing(database) as (_, heard):
        writer.execute("BEGIN; DELETE FROM plain; ROLLBACK")
        writer.execute("INSERT INTO no_identity VALUES (1)")
        writer.execute("UPDATE no_identity SET v = 2; DELETE FROM no_identity")  # as ever, not 55000
        writer.execute("INSERT INTO heir VALUES (1)")
        writer.execute("UPDATE heir SET id = 2")
        writer.execute("INSERT INTO mixed VALUES (15)")
        writer.execute("UPDATE mixed SET id = 16")
        await catch_up(writer, heard)
        assert heard.names() == ["began"]


async def test_stream_that_is_lost_makes_all_void_and_begins_anew(
    database: Database, writer: psycopg.Connection
):
    publish(writer)
    async with hearing(database) as (_, heard), asyncio.timeout(30):
        with connect(database.server, database.name) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()"
            )
        await heard.wait(lambda: heard.names() == ["began", "lost", "began"])
        assert "terminat" in str(heard.told[1][1])
        xid = write(writer, "DELETE FROM plain")
        await heard.wait(lambda: xid in heard.commits)


async def test_what_committed_before_the_position_has_been_told(
    database: Database, writer: psycopg.Connection
):
    publish(writer)

    async def write_and_compare(heard: Heard, key: int) -> None:
        async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as one:
            for number in range(40):
                table = random.choice(("plain", "parent"))
                cursor = await one.execute(
                    f"INSERT INTO {table} VALUES ({1000 + 100 * key + number})"
                    " RETURNING pg_current_xact_id()::text::bigint & 4294967295"
                )
                (xid,) = await cursor.fetchone() or (0,)
                cursor = await one.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
                (lsn,) = await cursor.fetchone() or (0,)
                if random.random() < 0.5:
                    await one.execute(COMMIT)
                    await heard.wait(lambda lsn=lsn: heard.position >= lsn)  # type: ignore[misc]
                assert heard.position < lsn or xid in heard.commits

    async with hearing(database) as (_, heard):
        await asyncio.gather(*(write_and_compare(heard, key) for key in range(6)))


async def test_server_that_stops_does_not_wait_for_it_and_is_followed_again(
    cluster: Postgres, database: Database
):
    """A fast shutdown waits until all that was sent is confirmed."""
    with psycopg.connect(database.dsn, autocommit=True) as one:
        publish(one)
    async with hearing(database) as (_, heard):
        with psycopg.connect(database.dsn, autocommit=True) as one:
            xid = write(one, "DELETE FROM plain")
        async with asyncio.timeout(10):
            await asyncio.to_thread(cluster.restart, "fast")
        assert xid in heard.commits
        await heard.wait(lambda: heard.names() == ["began", "committed", "lost", "began"])
        with psycopg.connect(database.dsn, autocommit=True) as one:
            xid = write(one, "DELETE FROM child")
        await heard.wait(lambda: xid in heard.commits)


async def test_slot_goes_with_a_proxy_that_was_killed(database: Database, writer: psycopg.Connection):
    publish(writer)
    slots = "count(*) = %s FROM pg_replication_slots WHERE temporary AND database = current_database()"
    command = [sys.executable, "-m", "tests.support.follower", database.dsn, database.name, "app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as proxy:  # noqa: ASYNC220
        try:
            assert proxy.stdout is not None
            assert b"began\n" in proxy.stdout
            wait_until(database, slots, [1])
            proxy.send_signal(signal.SIGKILL)
            wait_until(database, slots, [0])
        finally:
            proxy.kill()


async def test_tables_that_are_published_later_are_told_once_it_begins_anew(
    database: Database, writer: psycopg.Connection
):
    publish(writer)
    async with hearing(database) as (stream, heard):
        writer.execute("CREATE TABLE later (id int PRIMARY KEY)")
        writer.execute("CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (20) TO (30)")
        assert not oids(writer, "later") & stream.source.published
        publish(writer)
        rows = [[str(value).lower()[:1].encode() if isinstance(value, bool) else value.encode() for value in row]
                for row in writer.execute(PUBLISHED).fetchall()]  # fmt: skip
        stream.check(rows)
        assert heard.names()[-1] == "lost"
        await heard.wait(lambda: heard.names()[-1] == "began")
        assert oids(writer, "later", "parted_3") < stream.source.published
        stream.check(rows)
        assert heard.names()[-1] == "began"
        xid = write(writer, "INSERT INTO later VALUES (1)", "INSERT INTO parted VALUES (25)")
        await heard.wait(lambda: xid in heard.commits)
        assert heard.commits[xid][1] == oids(writer, "later", "parted_3")


async def test_publication_that_is_dropped_ends_the_stream(database: Database, writer: psycopg.Connection):
    publish(writer)
    async with hearing(database) as (stream, heard):
        writer.execute(f"DROP PUBLICATION {NAME}")
        writer.execute("DELETE FROM plain")
        await heard.wait(lambda: "lost" in heard.names())
        await heard.wait(lambda: stream.error is not None and "has no publication" in stream.error.message)
        assert stream.error is not None
        assert stream.error.hint == "Run: dbproxy cache install"
        publish(writer)
        await heard.wait(lambda: heard.names()[-1] == "began")


async def test_who_may_not_replicate_is_told_what_to_do(database: Database, writer: psycopg.Connection):
    publish(writer)
    url = database.dsn.replace("app:", "app_md5:")
    async with following(url, database.name, "app_md5") as (stream, heard):
        await heard.wait(lambda: stream.error is not None)
        assert stream.error is not None
        assert "REPLICATION" in stream.error.hint
        assert f"{database.server.host}:{database.server.port}" in stream.error.message
        assert heard.told == []


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "wal_level = logical"),
        ({"wal_level": "logical", "max_replication_slots": 0}, "max_replication_slots"),
        ({"wal_level": "logical", "max_wal_senders": 0}, "max_wal_senders"),
    ],
)
async def test_server_without_what_it_takes_is_told_with_what_to_do(
    settings: dict[str, str | int], hint: str
):
    with (
        create_cluster(**settings) as server,
        create_database(server) as database,
        connect(server, database.name) as admin,
    ):
        admin.execute("ALTER ROLE app REPLICATION")
        admin.execute("CREATE TABLE t (id int PRIMARY KEY)")
        publish(admin)
        async with following(database.dsn, database.name, "app") as (stream, heard):
            await heard.wait(lambda: stream.error is not None)
            assert stream.error is not None
            assert hint in stream.error.hint
            assert heard.told == []


async def test_login_is_as_that_of_other_servers(tmp_path: Path):
    """Encrypted, the certificate judged, the password by SCRAM and bound to the line."""
    authority, other = Authority(tmp_path), tmp_path / "other"
    other.mkdir()
    with tls_postgres(authority, wal_level="logical") as server, connect(server) as admin:
        admin.execute("ALTER ROLE app REPLICATION")
        admin.execute("CREATE TABLE t (id int PRIMARY KEY)")
        publish(admin)
        url = f"postgresql://app:{PASSWORD}@localhost:{server.port}/postgres?sslmode=verify-full&sslrootcert={{}}"
        bound = url.format(authority.path) + "&channel_binding=require"
        async with following(bound, "postgres", "app") as (_, heard):
            await heard.wait(lambda: heard.names() == ["began"])
            shown = "SELECT usename, s.ssl FROM pg_stat_replication r JOIN pg_stat_ssl s USING (pid)"
            assert admin.execute(shown).fetchall() == [("app", True)]
            xid = write(admin, "INSERT INTO t VALUES (1)")
            await heard.wait(lambda: xid in heard.commits)
        stranger = url.format(Authority(other).path)
        async with following(stranger, "postgres", "app") as (stream, heard):
            await heard.wait(lambda: stream.error is not None)
            assert stream.error is not None
            assert "certificate verify failed" in stream.error.message
