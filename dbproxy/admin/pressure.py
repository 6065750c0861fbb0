"""`/pressure`: how much the application has to bear, in few words, for jobs that run beside it (jobs.pressure).

`?database=` tells of those databases only that live on the same server as that one.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from dbproxy.admin.figures import place
from dbproxy.admin.house import House
from dbproxy.cluster.rotation import list_lags
from dbproxy.observe.quantile import quantile
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import ACTIVE
from dbproxy.pool.stats import BOUNDS_US, NONE

log = structlog.get_logger(__name__)

INTERVAL = 2.0  # seconds from one sample of the durations to the next
MINUTE = 30  # samples
MOMENTS = 10.0  # seconds at most that are called the last ones
ENOUGH = 1000  # queries, for which it does not look further back
LEAST = {0.95: 100, 0.99: 500}  # queries, of which such a quantile says something
Counts = list[int]  # by bucket
Buckets = Mapping[str, Counts]  # by database


class Durations:
    """How long queries took of late, by database: samples of counters since start, oldest first."""

    def __init__(self, now: float) -> None:
        self.samples: deque[tuple[float, Buckets]] = deque([(now, {})], MINUTE + 1)

    def sample(self, pools: Iterable[Pool], now: float) -> None:
        self.samples.append((now, add_up(pools)))

    def lately(self, pools: Iterable[Pool], now: float) -> Counts:
        """Of the last moments: 2 to 10 seconds, as many as it takes to have ENOUGH."""
        total, found = add_up(pools), NONE
        for at, past in reversed(self.samples):
            if now - at >= INTERVAL or at == self.samples[0][0]:
                found = subtract(total, past)
                if sum(found) >= ENOUGH or now - at > MOMENTS - INTERVAL:
                    break
        return found

    def usually(self, pools: Iterable[Pool]) -> Counts:
        """Of the last minute."""
        return subtract(add_up(pools), self.samples[0][1])


def subtract(total: Buckets, past: Buckets) -> Counts:
    """What has been counted since; less is counted now if its pool was forgotten."""
    found = NONE
    for database, buckets in total.items():
        before = past.get(database, NONE)
        found = [sum_ + max(0, new - old) for sum_, new, old in zip(found, buckets, before, strict=True)]
    return found


def tell_quantile(buckets: Counts, q: float) -> float | None:
    """Seconds; None where there were too few queries."""
    return quantile(buckets, BOUNDS_US, q) / 1e6 if sum(buckets) >= LEAST[q] else None


def add_up(pools: Iterable[Pool]) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for pool in pools:
        buckets = found.get(pool.database, NONE)
        found[pool.database] = [
            one + other for one, other in zip(buckets, pool.stats.query_buckets, strict=True)
        ]
    return found


class PressurePage:
    """`start` and `stop`; requests are answered in between."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.durations = Durations(monotonic())
        self.task: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/pressure", self.show)]

    def start(self) -> None:
        self.task = asyncio.create_task(self.run(), name="pressure")

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                self.durations.sample(list(self.house.pools.values()), monotonic())
            except Exception:
                log.exception("internal error", during="pressure")

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(self.describe(request.query.get("database", ""), monotonic()))

    def describe(self, database: str, now: float) -> dict[str, Any]:
        pools = list_neighbours(self.house, database)
        lately, usually = self.durations.lately(pools, now), self.durations.usually(pools)
        utilisation, name = max(((utilise(pool), tell(pool)) for pool in pools), default=(0.0, ""))
        return {
            "replicas": describe_lags(self.house),
            "utilisation": round(utilisation, 1),
            "pool": name,
            "waiting": sum(len(pool.waiting) for pool in pools),
            "p95_s": tell_quantile(lately, 0.95),
            "usual_p95_s": tell_quantile(usually, 0.95),
            "p99_s": tell_quantile(lately, 0.99),
            "usual_p99_s": tell_quantile(usually, 0.99),
        }


def list_neighbours(house: House, database: str) -> list[Pool]:
    """The primary's pools of all databases that are on one server with this one; "": all."""
    pools = list(house.pools.values())
    if not database:
        return pools
    where = place(house, database)[:2]
    return [pool for pool in pools if place(house, pool.database)[:2] == where]


def utilise(pool: Pool) -> float:
    """In percent; 0 in session mode, where a server that is lent need not have anything to do."""
    if pool.settings.mode == "session" or not pool.settings.size:
        return 0.0
    return 100.0 * len(pool.lists[ACTIVE]) / pool.settings.size


def tell(pool: Pool) -> str:
    return f"{pool.user}@{pool.database}"


def describe_lags(house: House) -> list[dict[str, Any]] | None:
    """None where hosts are not watched, as there is one alone."""
    if not house.settings.is_watched():
        return None
    return [{"name": lag.name, "lag_s": lag.seconds} for lag in list_lags(house.cluster)]
