"""Reads of every session see all that was committed to what they read, before replicas that are 500 ms late.

Applications hand each request another connection of their pool: so does a crowd here.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from typing import Protocol

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, SETTINGS, create_hosts, host, urls, wait_for_answer
from tests.support.postgres import Database, connect, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

DELAY = {"recovery_min_apply_delay": "500ms"}
CLIENTS = 20
PAIRS = 500
NUMBERS = count(1000)  # of writes, so that each is another
SCHEMA = """
CREATE TABLE pairs (id int PRIMARY KEY, number int);
INSERT INTO pairs SELECT id, 0 FROM generate_series(1, 100) AS id;
CREATE TABLE others (id int PRIMARY KEY, number int DEFAULT 0);
INSERT INTO others VALUES (1), (2);
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE);
CREATE TABLE watched (id int PRIMARY KEY);
CREATE TABLE told (id int);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS '
    BEGIN INSERT INTO told VALUES (NEW.id); RETURN NEW; END';
CREATE TRIGGER tell AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tell();
CREATE VIEW shown AS SELECT id, number FROM pairs WHERE number > 0;
CREATE FUNCTION count_pairs() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(number) FROM pairs';
CREATE FUNCTION count_hidden() RETURNS bigint LANGUAGE plpgsql STABLE AS '
    BEGIN RETURN (SELECT sum(number) FROM pairs); END';
CREATE FUNCTION put_eleven() RETURNS int LANGUAGE sql AS 'UPDATE pairs SET number = 11 WHERE id > 1; SELECT 11';
CREATE FUNCTION put(number int) RETURNS void LANGUAGE plpgsql AS '
    BEGIN EXECUTE ''UPDATE pairs SET number = $1'' USING number; END';
"""
QUIET = "SELECT current_setting('test.host') FROM others WHERE id = 1"  # of a table that nobody writes


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Postgres]]:
    with create_hosts(replicas=DELAY) as servers:
        yield servers


@contextmanager
def serve(hosts: list[Postgres], **settings: object) -> Iterator[Proxy]:
    """In front of a database of its own, once replicas answer its reads."""
    with create_database(hosts[0]) as database, serve_database(hosts, database, settings) as running:
        yield running


@contextmanager
def serve_database(
    hosts: list[Postgres], database: Database, settings: Mapping[str, object]
) -> Iterator[Proxy]:
    primary, *replicas = hosts
    with connect(primary, database.name) as owner:
        owner.execute("GRANT CREATE ON SCHEMA public TO app; SET ROLE app")
        owner.execute(SCHEMA)
    for replica in replicas:
        wait_for_replay(primary, replica)
    given = {**SETTINGS, "pool.size": 10, "replicas": urls(database, replicas), **settings}
    with serving(database, given) as running:
        if "routing.consistency" in settings:
            with open_client(running.dsn()) as client:
                wait_for_answer(client, QUIET)
        else:
            wait_for_tables(running)
        yield running


def wait_for_tables(proxy: Proxy) -> None:
    """Return once it is known what is read and written: a write keeps nobody from reading something else."""
    deadline = time.monotonic() + 20
    with open_client(proxy.dsn()) as client:
        wait_for_answer(client, QUIET)
        while True:
            client.execute("UPDATE pairs SET number = 0 WHERE id = 1")
            if host(client, QUIET) in REPLICAS:
                return
            assert time.monotonic() < deadline, "the database is not read"
            time.sleep(0.05)  # another process: asked, not awaited


class Clients(Protocol):
    def execute(self, sql: str, values: list[object] | None = None, /) -> psycopg.Cursor: ...


class Crowd:
    """An application's pool: each statement goes by another of its connections."""

    def __init__(self, proxy: Proxy, stack: ExitStack) -> None:
        self.clients = [stack.enter_context(open_client(proxy.dsn())) for _ in range(CLIENTS)]

    def execute(self, sql: str, values: list[object] | None = None) -> psycopg.Cursor:
        return random.choice(self.clients).execute(sql, values)  # no secret


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    with serve(hosts) as running:
        yield running


@pytest.fixture
def crowd(proxy: Proxy) -> Iterator[Crowd]:
    with ExitStack() as stack:
        yield Crowd(proxy, stack)


def count_stale(writer: Clients, reader: Clients, pairs: int = PAIRS) -> int:
    """Write, then read: how often the read did not see the write."""
    stale = 0
    for number in islice(NUMBERS, pairs):
        row = number % 100 + 1
        writer.execute("UPDATE pairs SET number = %s WHERE id = %s", [number, row])
        stale += reader.execute("SELECT number FROM pairs WHERE id = %s", [row]).fetchone() != (number,)
    return stale


class Readers:
    """Who reads something else meanwhile: which hosts answered."""

    def __init__(self, proxy: Proxy, sql: str) -> None:
        self.proxy = proxy
        self.sql = sql
        self.hosts: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.read)

    def __enter__(self) -> "Readers":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def read(self) -> None:
        with open_client(self.proxy.dsn()) as client:
            while not self.stop.is_set():
                self.hosts.append(host(client, self.sql))
                self.stop.wait(0.002)


def test_by_any_connection_every_commit_is_seen_and_other_tables_are_read_from_replicas(
    proxy: Proxy, crowd: Crowd
):
    with Readers(proxy, QUIET) as others:
        assert count_stale(crowd, crowd) == 0
    assert set(others.hosts) >= REPLICAS
    assert (
        others.hosts.count("primary") < len(others.hosts) / 10
    )  # of a machine so busy that a replica is late


def test_with_session_consistency_the_same_crowd_sees_old_rows(hosts: list[Postgres]):
    """So that the above can fail."""
    with serve(hosts, **{"routing.consistency": "session"}) as proxy, ExitStack() as stack:
        crowd = Crowd(proxy, stack)
        assert count_stale(crowd, crowd) > 0


WRITES: dict[str, tuple[str, str]] = {  # what is written, and a read that must see it
    "by a foreign key": ("DELETE FROM parents WHERE id = 1", "SELECT count(*) = 0 FROM children"),
    "by a trigger": ("INSERT INTO watched VALUES (1)", "SELECT count(*) = 1 FROM told"),
    "by a function": ("SELECT put(1)", "SELECT sum(number) = 100 FROM pairs"),
    "by DO": ("DO 'BEGIN UPDATE pairs SET number = 2; END'", "SELECT sum(number) = 200 FROM pairs"),
    "by a CTE": ("WITH w AS (UPDATE pairs SET number = 3 RETURNING 1) SELECT count(*) FROM w",
                 "SELECT sum(number) = 300 FROM pairs"),
    "and read by a view": ("UPDATE pairs SET number = 4", "SELECT sum(number) = 400 FROM shown"),
    "and read by a function in SQL": ("UPDATE pairs SET number = 5", "SELECT count_pairs() = 500"),
    "and read by a function that is not read": ("UPDATE pairs SET number = 6",
                                                "SELECT count_hidden() = 600"),
    "and the clock is read, too": ("UPDATE pairs SET number = 7",
                                  "SELECT sum(number) = 700 AND now() > '2000-01-01' FROM pairs"),
    "by DDL": ("ALTER TABLE others ADD COLUMN added int DEFAULT 8", "SELECT sum(added) = 16 FROM others"),
    "by TRUNCATE": ("TRUNCATE told", "SELECT count(*) = 0 FROM told"),
    "in several statements": ("UPDATE pairs SET number = 9; UPDATE others SET number = 9",
                              "SELECT (SELECT sum(number) FROM pairs) = 900; SELECT sum(number) = 18 FROM others"),
    "in a chain of transactions": ("BEGIN; UPDATE pairs SET number = 10; COMMIT AND CHAIN",
                                   "SELECT sum(number) = 1000 FROM pairs"),
}  # fmt: skip


def seen(cursor: psycopg.Cursor) -> bool:
    rows = cursor.fetchall()
    while cursor.nextset():
        rows += cursor.fetchall()
    return all(value is True for row in rows for value in row)


@pytest.fixture(scope="module")
def family(proxy: Proxy) -> None:
    with open_client(proxy.dsn()) as client:
        client.execute("INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1, 1)")
        wait_for_answer(client, "SELECT current_setting('test.host') FROM children")


def test_what_a_temporary_table_s_default_writes_is_seen(proxy: Proxy):
    with open_client(proxy.dsn()) as writer, open_client(proxy.dsn()) as reader:
        writer.execute("CREATE TEMP TABLE mine (a int)")
        for text in (
            "ALTER TABLE mine ADD COLUMN b int DEFAULT put_eleven()",
            "UPDATE pairs SET number = 0 WHERE id > 1",
            "INSERT INTO mine VALUES (1)",
        ):
            wait_for_tables(proxy)
            wait_for_answer(reader, "SELECT current_setting('test.host') FROM pairs WHERE id = 2")
            writer.execute(text)
        assert seen(reader.execute("SELECT sum(number) = 1089 FROM pairs WHERE id > 1"))


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_is_seen(proxy: Proxy, what: str):
    written, read = WRITES[what]
    with open_client(proxy.dsn()) as writer, open_client(proxy.dsn()) as reader:
        wait_for_answer(reader, QUIET)
        writer.execute(written)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:  # from the commit until replicas have replayed it, and behind that
            assert seen(reader.execute(read))


def test_writer_reads_other_tables_from_replicas_itself(proxy: Proxy):
    with open_client(proxy.dsn()) as client:
        wait_for_answer(client, QUIET)
        client.execute("UPDATE pairs SET number = -1 WHERE id = 1")
        assert host(client, "SELECT current_setting('test.host') FROM pairs WHERE id = 1") == "primary"
        assert host(client, QUIET) in REPLICAS


def test_session_may_wish_for_less_or_more(proxy: Proxy):
    with open_client(proxy.dsn()) as writer, open_client(proxy.dsn()) as reader:
        reader.execute("SET dbproxy.consistency = 'session'")
        wait_for_answer(reader, QUIET)
        writer.execute("UPDATE pairs SET number = -2 WHERE id = 1")
        sql = "SELECT current_setting('test.host') FROM pairs WHERE id = 1"
        assert host(reader, sql) in REPLICAS
        writer.execute("UPDATE pairs SET number = -3 WHERE id = 1")
        reader.execute("SET dbproxy.consistency = 'global'")
        assert host(reader, sql) == "primary"


def test_consistency_changes_at_run_time(hosts: list[Postgres]):
    with (
        serve(hosts) as proxy,
        psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console,
        open_client(proxy.dsn()) as writer,
        open_client(proxy.dsn()) as reader,
    ):
        for consistency in ("session", "global", "eventual", "global"):
            console.execute(f"SET routing.consistency = '{consistency}'")
            if consistency == "global":
                assert count_stale(writer, reader, 100) == 0
            else:
                deadline = time.monotonic() + 20
                while not count_stale(writer, reader, 20):  # a replica may be out
                    assert time.monotonic() < deadline, f"no read is stale with {consistency}"


def test_reads_are_not_stale_while_another_host_becomes_the_primary():
    with create_hosts(replicas=DELAY) as own, ExitStack() as stack:
        primary, first, _ = own
        proxy = stack.enter_context(serve_database(own, Database(primary, "postgres"), {}))
        crowd = Crowd(proxy, stack)
        assert count_stale(crowd, crowd, 50) == 0
        wait_for_replay(primary, first)
        os.kill(primary.pid, signal.SIGKILL)
        first.promote()
        wait_until_written(proxy)
        with ExitStack() as others:  # those that were at the old one are lost
            crowd = Crowd(proxy, others)
            assert count_stale(crowd, crowd, 50) == 0


def wait_until_written(proxy: Proxy) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with open_client(proxy.dsn()) as client:
                client.execute("UPDATE pairs SET number = 0 WHERE id = 1")
                return
        except psycopg.Error:
            assert time.monotonic() < deadline, "no primary takes writes"
            time.sleep(0.05)  # other processes: asked, not awaited
