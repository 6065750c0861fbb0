"""One fault: hosts of its own, the pooler before them, the crowd, and what came of it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from benchmarks.targets import PGBOUNCER, pgbouncer, pgbouncer_version
from dbproxy.demo.postgres import Postgres
from dbproxy.routing.rescue import HEDGED
from tests.chaos.faults import Case, Hosts
from tests.support.crowd import TABLE, Crowd, read_ledger, wait_for_standby
from tests.support.faults import Line
from tests.support.hosts import create_hosts
from tests.support.postgres import PASSWORD, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client

SETTINGS = {
    "pool.size": 10,
    "auth.type": "trust",
    "auth.admin_users": "app",
    "health.timeout": "500ms",
    "health.interval": "1s",
    "routing.slow_start": "1s",
    "health.lag_limit": "2s",
    "health.lag_warn": "1s",
}
EVERY = 3  # statements of a client who writes, of which one is a write
LOST = {
    "08006",
    "08007",
    "57P01",
    "None",
}  # what a client may be told of a primary that is lost under its write


@dataclass
class Outcome:
    fault: str
    pooler: str
    before: float  # statements a second
    under: float
    errors: Counter[str]
    longest: float  # seconds that a statement took
    recovered: float | None  # seconds from the fault to the first write behind it; None: never
    missing: int  # rows that were acknowledged and are not there
    stuck: int  # clients that were not answered at all
    surplus: int  # rows that were refused and are there
    hosts: Counter[str] = field(default_factory=Counter)
    primary: bool = False
    hedged: int = 0  # reads that were asked of another host for being late

    @property
    def broken(self) -> bool:
        """Whether a promise was."""
        if self.pooler != "dbproxy":
            return False
        told = {error.split()[-1] for error in self.errors}
        excused = LOST if self.primary else set()
        return bool(self.missing or self.surplus or self.stuck or self.recovered is None or told - excused)


@contextmanager
def servers(*, synchronous: bool) -> Iterator[list[Postgres]]:
    with create_hosts(max_connections=200) as hosts:
        primary, *replicas = hosts
        primary.psql(TABLE)
        if synchronous:
            wait_for_standby(primary)
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield hosts


@asynccontextmanager
async def staged(*, synchronous: bool) -> AsyncIterator[Hosts]:
    stage = servers(synchronous=synchronous)
    primary, *replicas = await asyncio.to_thread(stage.__enter__)
    try:
        async with AsyncExitStack() as stack:
            lines = [await stack.enter_async_context(Line(replica.port)) for replica in replicas]
            yield Hosts(primary, replicas, lines)
    finally:
        await asyncio.to_thread(stage.__exit__, None, None, None)


async def run_fault(name: str, case: Case, clients: int, seconds: float) -> list[Outcome]:
    """Through dbproxy; a fault of the primary also through PgBouncer, if it is installed."""
    async with staged(synchronous=case.primary) as hosts:
        urls = ",".join(f"postgresql://app:{PASSWORD}@127.0.0.1:{line.port}/postgres" for line in hosts.lines)
        url = hosts.primary.dsn("postgres", "app", PASSWORD)
        async with Proxy(url, settings={**SETTINGS, "replicas": urls}) as proxy:
            found = [await measure(name, "dbproxy", proxy.dsn(), hosts, case, clients, seconds)]
            found[0].hedged = await asyncio.to_thread(count_hedged, proxy)
    if case.primary and PGBOUNCER:
        async with staged(synchronous=True) as hosts:
            start = pgbouncer(hosts.primary, 10, f"user=app password={PASSWORD}")
            target = await asyncio.to_thread(start.__enter__)
            dsn = f"postgresql://app@127.0.0.1:{target.port}/postgres"
            try:
                found.append(await measure(name, "PgBouncer", dsn, hosts, case, clients, seconds))
            finally:
                await asyncio.to_thread(start.__exit__, None, None, None)
    return found


def count_hedged(proxy: Proxy) -> int:
    with open_client(proxy.dsn("pgbouncer")) as console:
        rows = console.execute("SHOW RESCUES").fetchall()
    return sum(count for _, _, _, reason, count, _ in rows if reason == HEDGED)


async def measure(
    name: str, pooler: str, dsn: str, hosts: Hosts, case: Case, clients: int, seconds: float
) -> Outcome:
    crowd = Crowd(dsn, clients, every=EVERY)
    crowd.prepares = pooler == "dbproxy" or pgbouncer_version() >= (1, 21)
    async with crowd.busy():
        await crowd.until(lambda: crowd.answers > clients * 10)
        crowd.longest, start = 0.0, crowd.answers
        await asyncio.sleep(seconds)
        before = (crowd.answers - start) / seconds
        began, start = time.monotonic(), crowd.answers
        first = asyncio.create_task(first_write(crowd, 4 * seconds, lost=case.primary))
        async with case.fault(hosts):
            await asyncio.sleep(seconds)
            under = (crowd.answers - start) / (time.monotonic() - began)
        await asyncio.sleep(seconds)
        wrote = await first
    survivor = hosts.replicas[0] if case.primary else hosts.primary
    ledger = await asyncio.to_thread(read_ledger, survivor)
    return Outcome(
        fault=name,
        pooler=pooler,
        before=before,
        under=under,
        errors=crowd.errors,
        longest=crowd.longest,
        recovered=wrote - began if wrote else None,
        missing=len(crowd.missing(ledger)),
        stuck=crowd.stuck,
        surplus=len(crowd.refused & ledger),
        hosts=crowd.hosts,
        primary=case.primary,
    )


async def first_write(crowd: Crowd, patience: float, *, lost: bool) -> float:
    """When the first write behind the fault was acknowledged; behind the loss of the primary, if it is `lost`."""
    deadline = time.monotonic() + patience
    began = time.monotonic()
    while time.monotonic() < deadline:
        silence = 0.5 if lost else 0.0  # until then what was under way is still answered
        if crowd.wrote_at > began + silence:
            return crowd.wrote_at
        await asyncio.sleep(0.005)  # a number that changes: nothing to await
    return 0.0
