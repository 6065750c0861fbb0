"""Kept answers while replicas are late, others write, and the primary is lost: nobody sees less than he may."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.crowd import wait_for_standby
from tests.support.hosts import SETTINGS, create_hosts, urls, wait_for_replicas
from tests.support.kept import SETTINGS as KEPT
from tests.support.kept import Kept
from tests.support.postgres import Database, connect, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.staleness import SCHEMA, Report, Steadfast, Storm

MANY = pytest.mark.parametrize("reads", [4000, pytest.param(70_000, marks=pytest.mark.soak)])  # of each storm
CLIENTS = 6  # that read, and as many that write
FAST = {"health.timeout": "500ms", "health.failure_threshold": 2, "health.interval": "1s"}
PUBLISHED = "plain, parents, children, sources, copies, debts, savings"  # they have a primary key


@pytest.fixture
def hosts() -> Iterator[list[Postgres]]:
    """The primary waits for replica1 at each commit: what it has acknowledged is there after a promotion."""
    with create_hosts(replicas={"recovery_min_apply_delay": "500ms"}, wal_level="logical") as servers:
        primary, *replicas = servers
        wait_for_standby(primary)
        with connect(primary) as owner:
            owner.execute("GRANT ALL ON SCHEMA public TO app; ALTER ROLE app REPLICATION; SET ROLE app")
            owner.execute(f"{SCHEMA}; CREATE TABLE ready ()")
            owner.execute("RESET ROLE")
            owner.execute(f"CREATE PUBLICATION dbproxy_cache FOR TABLE {PUBLISHED}")
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield servers


@contextmanager
def keeping(hosts: list[Postgres], **settings: object) -> Iterator[Proxy]:
    """A proxy that has begun to answer from what it keeps."""
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    given = {**SETTINGS, **KEPT, **FAST, "replicas": urls(database, replicas), **settings}
    with serving(database, given) as proxy:
        with Kept(proxy) as kept, psycopg.connect(proxy.dsn(), autocommit=True) as client:
            kept.wait(client, "SELECT count(*) FROM plain")
        yield proxy


@asynccontextmanager
async def clients(dsn: str) -> AsyncIterator[list[Steadfast]]:
    found = [Steadfast(dsn, number) for number in range(CLIENTS)]
    try:
        yield found
    finally:
        for client in found:
            await client.close()


async def run(dsn: str, storm: Storm) -> Report:
    async with clients(dsn) as readers, clients(dsn) as writers:
        return await storm.run(readers, writers)


async def run_and_promote(
    hosts: list[Postgres], proxies: list[Proxy], dsns: list[str], reads: int
) -> list[Report]:
    """A storm at each of these, and when all are a third through the primary is killed; what each has seen."""
    storms = [Storm(reads, seed=number) for number in range(len(dsns))]
    tasks = [asyncio.create_task(run(dsn, storm)) for dsn, storm in zip(dsns, storms, strict=True)]

    async def until(holds: Callable[[], bool]) -> None:
        while not holds():
            assert not any(task.done() for task in tasks), "it is over before"
            await asyncio.sleep(0.01)  # other processes: asked, not awaited

    await until(lambda: all(storm.report.reads > reads // 3 for storm in storms))
    os.kill(hosts[0].pid, signal.SIGKILL)
    await until(lambda: all("primary lost" in proxy.log() for proxy in proxies))
    written = [storm.report.commits for storm in storms]
    await asyncio.to_thread(hosts[1].promote)
    reports = await asyncio.gather(*tasks)
    assert all(report.commits > before + 50 for report, before in zip(reports, written, strict=True))
    return reports


def assert_current(proxy: Proxy, report: Report) -> None:
    assert (report.stale, report.backwards, report.uneven) == ([], [], [])
    with Kept(proxy) as kept:
        assert kept.count("SELECT") < report.reads, "nothing was kept"


@MANY
async def test_nobody_sees_less_than_was_committed_with_late_replicas_and_a_failover(
    hosts: list[Postgres], reads: int
):
    with keeping(hosts, **{"routing.consistency": "global"}) as proxy:
        wait_for_replicas(proxy.dsn())
        (report,) = await run_and_promote(hosts, [proxy], [proxy.dsn()], reads)
        assert_current(proxy, report)


@MANY
async def test_nobody_sees_less_than_was_committed_while_others_write_through_a_failover(
    hosts: list[Postgres], reads: int
):
    """Two proxies, and clients of none: what these write is told by the stream, and never seen to be undone."""
    settings = {"cache.invalidation": "wal", "routing.mode": "off"}
    places = ",".join(f"{host.host}:{host.port}" for host in hosts)
    beside = f"postgresql://app:secret@{places}/postgres?target_session_attrs=read-write"
    with ExitStack() as stack:
        proxies = [stack.enter_context(keeping(hosts, **settings)) for _ in range(2)]
        dsns = [*(proxy.dsn() for proxy in proxies), beside]
        reports = await run_and_promote(hosts, proxies, dsns, reads)
        for proxy, report in zip(proxies, reports, strict=False):
            assert_current(proxy, report)
