"""A cancel reaches the query of whoever asked, and no other (DESIGN promise 4)."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import asyncpg
import psycopg
import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_for_activity

SLEEP = build.query("SELECT pg_sleep(66)")


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """A pool of one: the server of one client is at once another's."""
    with serving(module_database, {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}) as running:
        yield running


@pytest.fixture
def clients(proxy: Proxy, module_database: Database) -> Iterator[tuple[BlockingClient, BlockingClient]]:
    with ExitStack() as stack:
        who = {"user": "app", "database": module_database.name}
        one, other = (stack.enter_context(BlockingClient(proxy.host, proxy.port, **who)) for _ in range(2))
        yield one, other


def test_running_query_is_canceled(clients: tuple[BlockingClient, BlockingClient], module_database: Database):
    one, other = clients
    one.send(SLEEP)
    wait_for_activity(module_database, "SELECT pg_sleep(66)")
    one.cancel()
    assert error_of(one.read_until_ready())["C"] == "57014"
    assert one.values("SELECT 1") == other.values("SELECT 1") == ["1"]


def test_waiting_query_is_canceled_without_a_server(
    clients: tuple[BlockingClient, BlockingClient], module_database: Database
):
    one, other = clients
    one.ask(build.query("BEGIN"))
    for request in (build.query("SELECT 1"), build.parse("", "SELECT 1") + build.sync()):
        other.send(request)
        while True:  # the request and the cancel come by different lines
            other.cancel()
            other.socket.settimeout(0.1)
            try:
                answer = other.read_until_ready()
            except TimeoutError:
                continue
            break
        assert error_of(answer)["C"] == "57014"
    one.ask(build.query("COMMIT"))
    assert other.values("SELECT 1") == ["1"]


def test_cancel_by_somebody_who_runs_nothing_does_nothing(
    clients: tuple[BlockingClient, BlockingClient], module_database: Database
):
    one, other = clients
    assert one.values("SELECT 1") == ["1"]
    other.send(build.query("SELECT pg_sleep(0.3), 7"))
    wait_for_activity(module_database, "SELECT pg_sleep(0.3), 7")
    for _ in range(5):
        one.cancel()
    assert not error_of(other.read_until_ready())


def test_wrong_key_cancels_nothing(clients: tuple[BlockingClient, BlockingClient], module_database: Database):
    one, _ = clients
    one.send(build.query("SELECT pg_sleep(0.3), 8"))
    wait_for_activity(module_database, "SELECT pg_sleep(0.3), 8")
    right, one.key = one.key, b"\0\0\0\0"
    one.cancel()
    one.key = right
    assert not error_of(one.read_until_ready())


def test_late_cancel_never_hits_the_next_client(clients: tuple[BlockingClient, BlockingClient]):
    """The cancel races with the end of the query, over and over; whoever has the server next is unharmed."""
    one, other = clients
    canceled = 0
    for _ in range(300):
        one.send(build.query(f"SELECT pg_sleep({random.uniform(0, 0.002):.6f})"))
        cancel = threading.Thread(target=one.cancel)
        cancel.start()
        other.send(build.query("SELECT pg_sleep(0.002)"))
        canceled += bool(error_of(one.read_until_ready()))
        assert not error_of(other.read_until_ready())
        cancel.join()
    assert canceled


async def test_asyncpg_timeouts_hit_only_the_asker(proxy: Proxy):
    async def hasty() -> int:
        connection = await asyncpg.connect(proxy.dsn())
        late = 0
        for _ in range(30):
            try:
                await connection.fetchval("SELECT pg_sleep(0.01)", timeout=0.01)
            except TimeoutError:
                late += 1
            assert await connection.fetchval("SELECT 7") == 7
        await connection.close()
        return late

    async def patient() -> None:
        connection = await asyncpg.connect(proxy.dsn())
        for _ in range(60):
            await connection.fetchval("SELECT pg_sleep(0.002)")
        await connection.close()

    late, *_ = await asyncio.gather(hasty(), patient(), patient())
    assert late


async def test_many_clients_cancel_at_random(module_database: Database):
    """Over a pool of four; a query that nobody canceled never fails."""

    async def work(proxy: Proxy, cancels: bool) -> None:
        async with await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as connection:
            for _ in range(25):
                asked = asyncio.create_task(connection.execute("SELECT pg_sleep(0.003)"))
                if cancels:
                    await asyncio.sleep(random.uniform(0, 0.006))
                    await connection.cancel_safe()
                try:
                    await asked
                except psycopg.errors.QueryCanceled:
                    assert cancels

    with serving(module_database, {"pool.size": 4, "auth.type": "trust"}) as proxy:
        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(work(proxy, number % 2 == 0))
