"""Reads go to replicas and writes to the primary: a real primary and two streaming replicas, drivers as they are."""

import asyncio
import threading
import time
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, host, routing, wait_for_answer
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client, until


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    with routing(hosts) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


def test_reads_are_shared_by_the_replicas(client: psycopg.Connection):
    assert {host(client) for _ in range(50)} == REPLICAS  # of a session that has written nothing


def test_writes_go_to_the_primary(client: psycopg.Connection):
    client.execute("INSERT INTO items VALUES (1, 'one') ON CONFLICT DO NOTHING")
    with client.transaction():
        assert host(client) == "primary"
    assert (
        host(client, "WITH x AS (DELETE FROM items WHERE id = 0) SELECT current_setting('test.host')")
        == "primary"
    )


def test_a_client_reads_what_it_wrote(client: psycopg.Connection):
    for number in range(200):
        client.execute(
            "INSERT INTO items VALUES (2, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name", [number]
        )
        assert client.execute("SELECT name FROM items WHERE id = 2").fetchone() == (str(number),)


def begin_on_replica(client: psycopg.Connection, timeout: float = 10) -> str:
    """Once a replica has all that others have committed, a transaction that only reads is its own."""
    deadline = time.monotonic() + timeout
    while True:
        client.execute("BEGIN READ ONLY")
        found = host(client)
        if found in REPLICAS:
            return found
        client.execute("COMMIT")
        assert time.monotonic() < deadline, "the primary answers all the time"


def test_a_read_only_transaction_is_a_replicas(client: psycopg.Connection):
    first = begin_on_replica(client)
    assert {host(client) for _ in range(10)} == {first}
    client.execute("COMMIT")


@pytest.mark.parametrize("prepare", [False, True])
def test_parameters_and_prepared_statements_are_routed(client: psycopg.Connection, prepare: bool):
    found = set()
    for _ in range(50):
        row = client.execute(
            "SELECT current_setting('test.host') WHERE %s = 1", [1], prepare=prepare
        ).fetchone()
        assert row is not None
        found.add(row[0])
    assert found == REPLICAS


async def test_asyncpg_is_routed(proxy: Proxy):
    connection = await asyncpg.connect(
        proxy.dsn(),
        server_settings={"dbproxy.consistency": "session"},  # else it waits for what others have written
    )
    try:
        await connection.execute("INSERT INTO items VALUES (3, 'three') ON CONFLICT DO NOTHING")
        found = set()
        async with asyncio.timeout(10):  # until they have the row, the primary answers
            while not found >= REPLICAS:
                found.add(await connection.fetchval("SELECT current_setting('test.host') WHERE $1", True))
        async with connection.transaction(readonly=True):
            assert (await connection.fetchval("SHOW test.host")) in REPLICAS
        async with connection.transaction():
            assert (await connection.fetchval("SHOW test.host")) == "primary"
    finally:
        await connection.close()


def test_settings_come_along_to_the_replicas(client: psycopg.Connection):
    client.execute("SET work_mem = '7MB'; SET TIME ZONE 'Asia/Tokyo'")
    wait_for_answer(client)
    found = set()
    for _ in range(50):
        row = client.execute(
            "SELECT current_setting('test.host'), current_setting('work_mem'), current_setting('TimeZone')"
        ).fetchone()
        assert row is not None
        found.add(row[0])
        assert row[1:] == ("7MB", "Asia/Tokyo")
    assert found == REPLICAS


def test_hint_decides(client: psycopg.Connection):
    wait_for_answer(client)
    assert host(client, "/* dbproxy: primary */ SHOW test.host") == "primary"
    assert {host(client, "/* dbproxy: replica(replica2) */ SHOW test.host") for _ in range(20)} == {
        "replica2"
    }
    assert host(client, "/* dbproxy: replica(nobody) */ SHOW test.host") == "primary"
    client.execute("SET dbproxy.route = 'primary'")
    assert {host(client) for _ in range(20)} == {"primary"}
    client.execute("RESET dbproxy.route")
    wait_for_answer(client)


def test_cancel_reaches_the_replica(client: psycopg.Connection):
    wait_for_answer(client)
    timer = threading.Timer(0.3, client.cancel)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        client.execute("SELECT pg_sleep(60)")
    timer.join()
    assert host(client) in REPLICAS


def test_copy_and_long_answers_come_from_a_replica(client: psycopg.Connection):
    wait_for_answer(client)
    with client.cursor() as cursor:
        with cursor.copy(
            "COPY (SELECT current_setting('test.host') FROM generate_series(1, 50000)) TO STDOUT"
        ) as rows:
            hosts = set(rows.rows())
        assert len(hosts) == 1
        assert {name for (name,) in hosts} <= REPLICAS
        found = cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 20000)").fetchall()
        assert len(found) == 20000


def test_statements_of_one_pipeline_are_answered_in_their_order(client: psycopg.Connection):
    wait_for_answer(client)
    with client.pipeline():
        cursors = [client.execute("SELECT %s::int", [number]) for number in range(300)]
        cursors.append(
            client.execute("INSERT INTO items VALUES (7, 'seven') ON CONFLICT DO NOTHING RETURNING -1")
        )
    assert [row[0] for cursor in cursors[:300] for row in cursor.fetchall()] == list(range(300))


def test_a_volatile_function_is_the_primarys(client: psycopg.Connection):
    client.execute(
        "CREATE OR REPLACE FUNCTION sneaky() RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO items VALUES (9, 'x') ON CONFLICT DO NOTHING; RETURN current_setting('test.host'); END $$"
    )
    assert host(client, "SELECT sneaky()") == "primary"


def test_a_read_that_fails_on_a_replica_is_answered_by_the_primary(proxy: Proxy, client: psycopg.Connection):
    """Declared stable, it writes all the same: 25006 there, and on the primary PostgreSQL's own words."""
    client.execute(
        "CREATE OR REPLACE FUNCTION liar() RETURNS text STABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('liars'); RETURN current_setting('test.host'); END $$"
    )
    client.execute("CREATE SEQUENCE IF NOT EXISTS liars")
    with open_client(proxy.dsn("dbproxy")) as console:

        def was_rescued() -> bool:
            assert host(client, "SELECT liar()") == "primary"
            return any("read only" in row for row in console.execute("SHOW RESCUES").fetchall())

        until(was_rescued, "no replica was asked, once the catalog has the function")
