"""Replicas that are stopped, slow or cut off under clients who read all the time: nobody waits for them."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.crowd import TABLE, Crowd
from tests.support.faults import Line
from tests.support.hosts import SETTINGS, create_hosts, family, urls, wait_for_replicas
from tests.support.postgres import PASSWORD, Database, connect, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

HEALTH_TIMEOUT = 5.0  # seconds: a host that is taken out by its probes is waited for much longer than that
SLOW = {
    **SETTINGS,
    "pool.size": 10,
    "routing.balancing": "peak_ewma",
    "health.lag_interval": "250ms",
    "health.timeout": f"{HEALTH_TIMEOUT:g}s",
}


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Postgres]]:
    with create_hosts(max_connections=200) as servers:
        primary, *replicas = servers
        primary.psql(TABLE)
        with connect(primary) as owner:
            owner.execute("CREATE TABLE ready (); GRANT ALL ON ready TO app")
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield servers


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """All of its processes, as a host is that hangs."""
    pids = family(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def rescues(proxy: Proxy) -> dict[str, int]:
    """How often reads were sent elsewhere, by reason."""
    with open_client(proxy.dsn("pgbouncer")) as console:
        found: dict[str, int] = {}
        for row in console.execute("SHOW RESCUES").fetchall():
            found[row[3]] = found.get(row[3], 0) + row[4]
        return found


@pytest.mark.parametrize("number", [1, 2])
async def test_replicas_that_are_stopped_whole_hold_up_nobody(hosts: list[Postgres], number: int):
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    with serving(database, {**SLOW, "replicas": urls(database, replicas)}) as proxy:
        wait_for_replicas(proxy.dsn())
        crowd = Crowd(proxy.dsn(), 50)
        async with crowd.busy():
            await crowd.go_on(2000)
            crowd.longest = 0.0
            with ExitStack() as stack:
                for replica in replicas[:number]:
                    stack.enter_context(stopped(replica))
                await crowd.until(lambda: proxy.log().count("replica does not answer") == number)
                await crowd.go_on(5000)
                longest = crowd.longest
            before = crowd.hosts["replica1"]
            await crowd.until(lambda: crowd.hosts["replica1"] > before)
    assert not crowd.stuck
    assert not crowd.errors, crowd.said
    assert longest < HEALTH_TIMEOUT  # no measurement: who is held up waits for the probe


async def test_no_more_than_one_of_twenty_reads_is_hedged_from_a_replica_a_hundred_times_slower(
    hosts: list[Postgres],
):
    async with Line(hosts[1].port) as line:
        with through(hosts, line) as proxy:
            crowd = Crowd(proxy.dsn(), 20)
            async with crowd.busy():
                await crowd.go_on(1000)
                line.down.delay = 0.1
                await crowd.go_on(5000)
                line.down.delay = 0.0
            found = rescues(proxy)
    assert not crowd.stuck
    assert not crowd.errors, crowd.said
    assert 0 < found["hedged"] <= 0.05 * (crowd.answers + 200)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_line_that_drops_all_that_goes_one_way_holds_up_nobody(hosts: list[Postgres], way: str):
    async with Line(hosts[1].port) as line:
        with through(hosts, line, **{"routing.balancing": "random"}) as proxy:  # it is asked, however slow
            crowd = Crowd(proxy.dsn(), 20)
            async with crowd.busy():
                await crowd.go_on(1000)
                crowd.longest = 0.0
                getattr(line, way).dropping = True
                await crowd.go_on(2000)
                longest = crowd.longest
                getattr(line, way).dropping = False
                line.cut()
    assert not crowd.stuck
    assert not crowd.errors, crowd.said
    assert longest < HEALTH_TIMEOUT


async def ask_all_ways(dsn: str, client: int, times: int) -> None:
    """Each answer has to be the one to what this client has asked just now."""
    prepared = 2 if client % 2 else None
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, prepare_threshold=prepared
    ) as connection:
        for turn in range(times):
            number = client * 1_000_000 + turn * 10
            answer = await (await connection.execute("SELECT %s::int", [number])).fetchone()
            assert answer == (number,)
            async with connection.pipeline():
                cursors = [await connection.execute("SELECT %s::int, 'p'", [number + n]) for n in range(5)]
            assert [await cursor.fetchone() for cursor in cursors] == [(number + n, "p") for n in range(5)]
            async with connection.cursor().copy(f"COPY (SELECT {number}) TO STDOUT") as copy:
                assert [bytes(data) async for data in copy] == [b"%d\n" % number]


async def test_answers_are_their_clients_own_however_often_reads_are_hedged(hosts: list[Postgres]):
    often = {"routing.hedge_after": "10ms", "routing.balancing": "random"}
    async with Line(hosts[1].port) as line:
        with through(hosts, line, **often) as proxy:
            await asyncio.to_thread(wait_for_replicas, proxy.dsn())
            line.down.delay = 0.04
            await asyncio.gather(*(ask_all_ways(proxy.dsn(), client, 20) for client in range(1, 21)))
            found = rescues(proxy)
    assert found["hedged"] > 10


@contextmanager
def through(hosts: list[Postgres], line: Line, **settings: str) -> Iterator[Proxy]:
    """A proxy that reaches the first replica by the line."""
    primary, _, other = hosts
    first = f"postgresql://app:{PASSWORD}@127.0.0.1:{line.port}/postgres"
    database = Database(primary, "postgres")
    replicas = f"{first},{urls(database, [other])}"
    with serving(database, {**SLOW, "replicas": replicas, **settings}) as proxy:
        yield proxy
