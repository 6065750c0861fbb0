"""Hosts that are killed, stopped and promoted under clients who read and write all the time."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest
from psycopg.pq import ExecStatus, PGconn

from dbproxy.demo.postgres import Postgres
from tests.support.crowd import TABLE, Crowd, read_ledger, wait_for_standby
from tests.support.hosts import SETTINGS, create_hosts, family, urls, wait_for_replicas
from tests.support.postgres import Database, connect, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving

FAST = {**SETTINGS, "health.timeout": "500ms", "health.failure_threshold": 2, "health.interval": "1s"}
LOST = {"write 08006", "write 08007", "write 57P01", "read 08006", "read 57P01"}
# A read whose answer had begun is not asked again elsewhere.
LOST |= {"read 08007"}
# psycopg may see the end of a connection before it looks at the error that came ahead of it.
LOST |= {"write None", "read None"}


@pytest.fixture
def hosts() -> Iterator[list[Postgres]]:
    """The primary waits for replica1 at each commit: what it has acknowledged is there after a promotion."""
    with create_hosts() as servers:
        wait_for_standby(servers[0])
        yield servers


@pytest.fixture
def proxy(hosts: list[Postgres], request: pytest.FixtureRequest) -> Iterator[Proxy]:
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    with connect(primary) as owner:
        owner.execute(TABLE)
        owner.execute("CREATE TABLE ready (); GRANT ALL ON ready TO app")
    for replica in replicas:
        wait_for_replay(primary, replica)
    settings = {**FAST, "replicas": urls(database, replicas), **getattr(request, "param", {})}
    with serving(database, settings) as running:
        wait_for_replicas(running.dsn())
        yield running


async def wait_for_number(
    tasks: list[asyncio.Task], number: int
) -> tuple[set[asyncio.Task], set[asyncio.Task]]:
    """Those that are done once so many are, and the others."""
    done: set[asyncio.Task] = set()
    pending = set(tasks)
    while len(done) < number:
        finished, pending = await asyncio.wait(pending, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert finished, f"only {len(done)} of {number} were done in time"
        done |= finished
    return done, pending


async def test_replica_that_is_killed_costs_no_read(proxy: Proxy, hosts: list[Postgres]):
    crowd = Crowd(proxy.dsn(), 20)
    async with crowd.busy():
        await crowd.go_on()
        os.kill(hosts[1].pid, signal.SIGKILL)
        await crowd.go_on(2000)
    assert not crowd.stuck
    assert not crowd.errors, crowd.said
    assert crowd.hosts["replica2"] > 0


async def test_replica_that_is_stopped_costs_no_read_and_comes_back(proxy: Proxy, hosts: list[Postgres]):
    crowd = Crowd(proxy.dsn(), 20)
    async with crowd.busy():
        await crowd.go_on()
        stopped = family(hosts[1])
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            await crowd.until(lambda: "host down" in proxy.log())
            await crowd.go_on(2000)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        before = crowd.hosts["replica1"]
        await crowd.until(lambda: crowd.hosts["replica1"] > before)
    assert not crowd.stuck
    assert not crowd.errors, crowd.said


async def test_promoted_replica_takes_the_writes(proxy: Proxy, hosts: list[Postgres]):
    crowd = Crowd(proxy.dsn(), 20, every=3)
    async with crowd.busy():
        await crowd.go_on()
        os.kill(hosts[0].pid, signal.SIGKILL)
        await crowd.until(lambda: "primary lost" in proxy.log())
        written = len(crowd.acknowledged)
        await asyncio.to_thread(hosts[1].promote)
        await crowd.until(lambda: len(crowd.acknowledged) > written + 100)
        await crowd.go_on(1000)
    assert not crowd.stuck
    assert set(crowd.errors) <= LOST, crowd.said
    assert crowd.errors.total() <= 20, "each client lost no more than what it had under way"
    found = read_ledger(hosts[1])
    assert not crowd.missing(found)
    assert not crowd.refused & found


async def test_login_while_there_is_no_primary_waits_for_one(proxy: Proxy, hosts: list[Postgres]):
    os.kill(hosts[0].pid, signal.SIGKILL)
    crowd = Crowd(proxy.dsn(), 1)
    await crowd.until(lambda: "primary lost" in proxy.log())
    opening = asyncio.create_task(
        psycopg.AsyncConnection.connect(proxy.dsn(), options="-c work_mem=7MB", autocommit=True)
    )
    await asyncio.to_thread(hosts[1].promote)
    connection = await opening
    try:
        await connection.execute("INSERT INTO ledger VALUES (1, 1)")
    finally:
        await connection.close()
    assert read_ledger(hosts[1]) == {(1, 1)}


@pytest.mark.parametrize("proxy", [{"pool.max_waiting": 2}], indirect=True)
async def test_only_so_many_wait_for_a_primary(proxy: Proxy, hosts: list[Postgres]):
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True, prepare_threshold=None)
            )
            for _ in range(4)
        ]
        os.kill(hosts[0].pid, signal.SIGKILL)
        await Crowd(proxy.dsn(), 1).until(lambda: "primary lost" in proxy.log())
        writes = [
            asyncio.create_task(connection.execute("INSERT INTO ledger VALUES (%s, 1)", [number]))
            for number, connection in enumerate(connections)
        ]
        refused, _ = await wait_for_number(writes, 2)
        for write in refused:
            with pytest.raises(psycopg.errors.TooManyConnections, match="max_waiting: 2 clients wait"):
                await write
        await asyncio.to_thread(hosts[1].promote)
        await asyncio.gather(*(write for write in writes if write not in refused))
        for connection in connections:  # those that were refused, too, are still there
            await connection.execute("SELECT 1")
    assert len(read_ledger(hosts[1])) == 2


async def test_transaction_that_is_open_on_the_lost_primary_gets_one_clear_error(
    proxy: Proxy, hosts: list[Postgres]
):
    async with await psycopg.AsyncConnection.connect(proxy.dsn()) as connection:
        await connection.execute("INSERT INTO ledger VALUES (1, 1)")
        os.kill(hosts[0].pid, signal.SIGKILL)
        await Crowd(proxy.dsn(), 1).until(lambda: "primary lost" in proxy.log())
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("INSERT INTO ledger VALUES (1, 2)")
    await asyncio.to_thread(hosts[1].promote)
    assert read_ledger(hosts[1]) == set()


async def test_replication_connection_ends_with_its_host(proxy: Proxy, hosts: list[Postgres]):
    """A frozen one would not end it: who streams from there would wait for ever."""
    with connect(hosts[0]) as owner:
        owner.execute("ALTER ROLE app REPLICATION")
    dsn = f"{proxy.dsn()}?replication=database"
    line = await asyncio.to_thread(lambda: PGconn.connect(dsn.encode()))
    assert line.exec_(b"IDENTIFY_SYSTEM").status == ExecStatus.TUPLES_OK
    frozen = family(hosts[0])
    try:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        gone = await proxy.logged(
            lambda row: row["event"] == "client disconnected" and "primary" in row["reason"]
        )
        assert gone["reason"] == "primary is down"
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
