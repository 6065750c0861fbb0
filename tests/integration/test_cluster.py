"""The cluster before real hosts: a primary and two streaming replicas that hang, die, lag and are promoted."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psutil
import pytest

from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Settings
from dbproxy.demo.postgres import Postgres
from tests.support.postgres import PASSWORD, connect, create_cluster, wait_for_replay

PATIENCE = 30.0  # seconds: only a bug takes that long
HEALTH = {"lag_interval": "50ms", "timeout": "500ms"}


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Postgres]]:
    """A primary and two replicas; leave them as you found them."""
    with create_cluster() as primary, replicas_of(primary) as replicas:
        yield [primary, *replicas]


@pytest.fixture
def own_hosts(own_primary: Postgres) -> Iterator[list[Postgres]]:
    """As above, for one test that kills and promotes."""
    with replicas_of(own_primary) as replicas:
        yield [own_primary, *replicas]


@contextmanager
def replicas_of(primary: Postgres) -> Iterator[list[Postgres]]:
    with primary.create_replica("replica1") as one, primary.create_replica("replica2") as two:
        yield [one, two]


@asynccontextmanager
async def watching(
    hosts: list[Postgres], user: str = "", dbname: str = "postgres", **health: object
) -> AsyncIterator[Cluster]:
    """A cluster that watches them, all found."""
    urls = [host.dsn(dbname, user, PASSWORD if user else None) for host in hosts]
    sections: dict[str, Any] = {"health": HEALTH | health, "routing": {"slow_start": 0}}
    tables = [{"url": url} for url in urls[1:]]
    cluster = Cluster(Settings.model_validate({"primary": {"url": urls[0]}, "replicas": tables, **sections}))
    task = asyncio.create_task(cluster.run())
    try:
        await until(lambda: states(cluster) == ["up"] * len(hosts))
        yield cluster
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # whatever the condition
            await asyncio.sleep(0.005)


def states(cluster: Cluster) -> list[str]:
    return [member.state for member in cluster.members]


def readers(cluster: Cluster, lsn: int = 0) -> set[str]:
    picked = {cluster.readers.pick(time.monotonic(), lsn) for _ in range(50)}
    return {member.name for member in picked if member}


@contextmanager
def stopped(server: Postgres) -> Iterator[None]:
    """Every process of it hangs, as if its machine did."""
    postmaster = psutil.Process(server.pid)
    postmaster.suspend()
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def follow(replica: Postgres, leader: Postgres) -> None:
    """Have a replica stream from another primary, as an operator does after a failover."""
    place = f"host={leader.host} port={leader.port} user={leader.superuser} password={leader.password}"
    replica.psql(f"ALTER SYSTEM SET primary_conninfo = '{place}'")
    replica.psql("SELECT pg_reload_conf()")


def write(primary: Postgres) -> int:
    """Commit something, and return where that is in the WAL."""
    with connect(primary) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS written (at timestamptz)")
        connection.execute("INSERT INTO written VALUES (now())")
        found = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("user", ["", "app"])
async def test_roles_and_positions_are_found_by_a_superuser_and_by_anybody(hosts: list[Postgres], user: str):
    async with watching(hosts, user) as cluster:
        assert [member.role for member in cluster.members] == ["primary", "replica", "replica"]
        assert [member.position.timeline for member in cluster.members] == [1, 1, 1]
        assert cluster.positions
        assert readers(cluster) == {"replica1", "replica2"}


async def test_a_database_that_is_watched_can_be_dropped(hosts: list[Postgres]):
    hosts[0].psql("CREATE DATABASE watched")
    async with watching(hosts[:1], dbname="watched"):
        hosts[0].psql("DROP DATABASE watched")


async def test_a_replica_is_read_at_a_position_once_it_has_replayed_it(hosts: list[Postgres]):
    async with watching(hosts, lag_interval="10s") as cluster:
        lsn = write(hosts[0])
        cluster.note_primary_lsn(lsn, time.monotonic())
        assert readers(cluster, lsn) == set()
        arrived = asyncio.Event()
        cluster.on_position = lambda member: arrived.set() if member.position.lsn >= lsn else None
        cluster.want(lsn, time.monotonic())
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()
        assert readers(cluster, lsn)


async def test_a_replica_does_not_lag_behind_an_idle_primary_after_a_switch_of_its_wal_file(
    hosts: list[Postgres],
):
    write(hosts[0])
    hosts[0].psql("SELECT pg_switch_wal()")
    for replica in hosts[1:]:
        wait_for_replay(hosts[0], replica)
    async with watching(hosts) as cluster:
        await until(
            lambda: all(
                member.lag.seconds == 0.0 and member.health.successes > 2 for member in cluster.members
            )
        )


async def test_a_replica_that_hangs_is_out_and_comes_back(hosts: list[Postgres]):
    async with watching(hosts) as cluster:
        with stopped(hosts[1]):
            await until(lambda: cluster.member("replica1").state == "down")
            assert readers(cluster) == {"replica2"}
            assert cluster.member("replica1").health.last_error == "no answer within 0.5 s"
        await until(lambda: states(cluster) == ["up"] * 3)
        assert readers(cluster) == {"replica1", "replica2"}


async def test_a_replica_that_takes_no_new_connections_is_out(hosts: list[Postgres]):
    async with watching(hosts, interval="500ms") as cluster:
        os.kill(hosts[1].pid, signal.SIGSTOP)
        try:
            await until(lambda: cluster.member("replica1").state == "down")
        finally:
            os.kill(hosts[1].pid, signal.SIGCONT)
        await until(lambda: states(cluster) == ["up"] * 3)


async def test_a_replica_that_is_killed_is_out_and_comes_back(own_hosts: list[Postgres]):
    replica = own_hosts[1]
    async with watching(own_hosts) as cluster:
        await asyncio.to_thread(replica.stop, "immediate")
        await until(lambda: cluster.member("replica1").state == "down")
        assert readers(cluster) == {"replica2"}
        await asyncio.to_thread(replica.start)
        await until(lambda: states(cluster) == ["up"] * 3)
        assert readers(cluster) == {"replica1", "replica2"}


async def test_a_replica_that_does_not_replay_lags_and_is_out_until_it_does(hosts: list[Postgres]):
    async with watching(hosts, lag_warn="100ms", lag_limit="300ms") as cluster:
        replica = cluster.member("replica1")
        hosts[1].psql("SELECT pg_wal_replay_pause()")
        try:
            write(hosts[0])
            await until(lambda: replica.state == "lagging")
            assert readers(cluster) == {"replica2"}
            assert replica.lag.bytes > 0
        finally:
            hosts[1].psql("SELECT pg_wal_replay_resume()")
        await until(lambda: replica.state == "up")
        assert replica.lag.bytes == 0


@pytest.mark.parametrize("user", ["", "app"])
async def test_a_promotion_is_found_and_replicas_follow_while_the_old_primary_is_fenced(
    own_hosts: list[Postgres], user: str
):
    primary, promoted, _ = own_hosts
    async with watching(own_hosts, user) as cluster:
        heard: list[str | None] = []
        cluster.on_primary = lambda member: heard.append(member.name if member else None)
        await asyncio.to_thread(primary.stop, "immediate")
        await until(lambda: cluster.primary is None)
        asked = time.monotonic()
        promotion = asyncio.to_thread(promoted.psql, "SELECT pg_promote(wait => true)")
        await asyncio.gather(promotion, until(lambda: cluster.primary is not None))
        print(f"a promotion was found {time.monotonic() - asked:.3f} s after it was asked for")  # noqa: T201
        assert heard == [None, "replica1"]
        assert cluster.member("replica1").position.timeline == 2
        follow(own_hosts[2], promoted)
        lsn = write(promoted)
        await until(lambda: cluster.member("replica2").position.lsn >= lsn)
        assert readers(cluster, lsn) == {"replica2"}

        await asyncio.to_thread(primary.start)
        await until(lambda: cluster.member("primary").state == "fenced")
        assert heard == [None, "replica1"]
        assert readers(cluster) == {"replica2"}


async def test_a_promotion_beside_a_living_primary_wins_as_its_timeline_is_newer(own_hosts: list[Postgres]):
    async with watching(own_hosts) as cluster:
        await asyncio.to_thread(own_hosts[1].promote)
        await until(lambda: cluster.member("primary").state == "fenced")
        assert cluster.primary is cluster.member("replica1")


async def test_a_primary_that_hangs_is_lost_and_is_the_same_one_afterwards(own_hosts: list[Postgres]):
    async with watching(own_hosts) as cluster:
        with stopped(own_hosts[0]):
            await until(lambda: cluster.primary is None)
            assert readers(cluster) == {"replica1", "replica2"}
        await until(lambda: cluster.primary is cluster.member("primary"))
