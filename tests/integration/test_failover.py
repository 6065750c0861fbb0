"""Hosts that are killed, stopped and promoted under clients who read and write all the time."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.integration.test_routing import SETTINGS, create_replica, urls, wait_for_replicas
from tests.support.postgres import Database, connect, create_cluster, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving

PATIENCE = 10.0
FAST = {**SETTINGS, "health.timeout": "500ms", "health.failure_threshold": 2, "health.interval": "1s"}


@pytest.fixture
def hosts() -> Iterator[list[Postgres]]:
    with (
        create_cluster(**{"test.host": "primary"}) as primary,
        create_replica(primary, "replica1") as one,
        create_replica(primary, "replica2") as two,
    ):
        yield [primary, one, two]


@pytest.fixture
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    with connect(primary) as owner:
        owner.execute("CREATE TABLE ledger (client int, number int, PRIMARY KEY (client, number))")
        owner.execute("GRANT ALL ON ledger TO app; GRANT pg_monitor TO app")
    for replica in replicas:
        wait_for_replay(primary, replica)
    with serving(database, {**FAST, "replicas": urls(database, replicas)}) as running:
        wait_for_replicas(running)
        yield running


class Crowd:
    """Clients that read (and write, `writes`) in autocommit as fast as they can."""

    def __init__(self, proxy: Proxy, size: int, *, writes: bool = False) -> None:
        self.proxy = proxy
        self.size = size
        self.writes = writes
        self.answers = 0
        self.written = 0  # commits that were acknowledged
        self.hosts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.acknowledged: set[tuple[int, int]] = set()
        self.refused: set[tuple[int, int]] = set()
        self.longest = 0.0
        self.tasks: list[asyncio.Task[None]] = []
        self.last_write = 0.0

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.size):
                self.tasks.append(tasks.create_task(self.run(number, stop)))
            try:
                yield
            finally:
                stop.set()
                _, stuck = await asyncio.wait(self.tasks, timeout=PATIENCE)
                for task in stuck:
                    task.cancel()
                assert not stuck

    async def run(self, number: int, stop: asyncio.Event) -> None:
        connection = None
        turn = 0
        while not stop.is_set():
            turn += 1
            began = time.monotonic()
            try:
                if connection is None:
                    connection = await psycopg.AsyncConnection.connect(
                        self.proxy.dsn(), autocommit=True, prepare_threshold=turn % 2 or None
                    )
                if self.writes and turn % 3 == 0:
                    await self.write(connection, number, turn)
                else:
                    answer = await connection.execute("SELECT current_setting('test.host') WHERE %s = 1", [1])
                    self.hosts[(await answer.fetchone())[0]] += 1
                self.answers += 1
            except psycopg.Error as error:
                self.errors.append(f"{error.sqlstate} {error}")
                if connection is not None and connection.closed:
                    await connection.close()
                    connection = None
            self.longest = max(self.longest, time.monotonic() - began)
        if connection is not None:
            await connection.close()

    async def write(self, connection: psycopg.AsyncConnection, client: int, number: int) -> None:
        try:
            await connection.execute("INSERT INTO ledger VALUES (%s, %s)", [client, number])
        except psycopg.Error as error:
            if error.sqlstate not in ("08007", "08006"):
                self.refused.add((client, number))
            raise
        self.acknowledged.add((client, number))
        self.written += 1
        self.last_write = time.monotonic()

    async def until(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():  # noqa: ASYNC110  # plain numbers: nothing to await
                    await asyncio.sleep(0.01)
        except TimeoutError:
            for task in self.tasks:
                task.cancel()
            raise AssertionError(f"{self.answers} answers, then none; {self.errors}") from None

    async def go_on(self, answers: int = 500) -> None:
        wanted = self.answers + answers
        await self.until(lambda: self.answers >= wanted)


async def test_replica_that_is_killed_costs_no_read(proxy: Proxy, hosts: list[Postgres]):
    crowd = Crowd(proxy, 20)
    async with crowd.busy():
        await crowd.go_on()
        os.kill(hosts[1].pid, signal.SIGKILL)
        await crowd.go_on(2000)
    assert crowd.errors == []
    assert crowd.hosts["replica2"] > 0


async def test_replica_that_is_stopped_costs_no_read_and_comes_back(proxy: Proxy, hosts: list[Postgres]):
    crowd = Crowd(proxy, 20)
    async with crowd.busy():
        await crowd.go_on()
        stopped = [hosts[1].pid, *children(hosts[1].pid)]
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
    assert crowd.errors == []


async def test_promoted_replica_takes_the_writes(proxy: Proxy, hosts: list[Postgres]):
    crowd = Crowd(proxy, 20, writes=True)
    async with crowd.busy():
        await crowd.go_on()
        os.kill(hosts[0].pid, signal.SIGKILL)
        await crowd.until(lambda: "primary lost" in proxy.log())
        written = crowd.written
        hosts[1].promote()
        await crowd.until(lambda: crowd.written > written)
        await crowd.go_on(1000)
    # psycopg may see the end of the connection before it looks at the error that came ahead of it.
    assert {error[:5] for error in crowd.errors} <= {"08006", "08007", "57P01", "None "}, Counter(
        crowd.errors
    )
    assert len(crowd.errors) <= 20, "each client lost no more than what it had under way"
    with connect(hosts[1]) as direct:
        found = set(direct.execute("SELECT client, number FROM ledger").fetchall())
    assert crowd.refused & found == set()
    missing = crowd.acknowledged - found
    assert len(missing) <= 20, (
        "what had not reached the replica when the primary was killed is lost (asynchronous)"
    )


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
