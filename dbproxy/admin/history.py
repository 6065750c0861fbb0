"""The last minutes, a point for each second, so that who begins to look sees where things come from.

The counters are those of SHOW STATS and /metrics; a point tells how much they have grown.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from operator import sub
from time import time
from typing import NamedTuple

from dbproxy.observe.quantile import quantile
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import ACTIVE
from dbproxy.pool.stats import BOUNDS_US, NONE, PoolStats

KEPT = 300  # points


class Point(NamedTuple):
    """Of one second. The first three are by second; a quantile, in microseconds, is None where nothing ended."""

    at: float  # seconds since 1970
    queries: float
    transactions: float
    errors: float
    p50_us: int | None
    p95_us: int | None
    p99_us: int | None
    wait_p95_us: int | None
    active: int  # servers that are lent
    waiting: int  # clients
    clients: int


class Counts(NamedTuple):
    """What a pool has counted so far."""

    queries: int
    transactions: int
    errors: int
    query_buckets: Sequence[int]
    wait_buckets: Sequence[int]


NOTHING = Counts(0, 0, 0, NONE, NONE)


class History:
    """`sample` is called once a second. A pool that is new counts from nothing, one that is gone no longer counts."""

    def __init__(self, now: float) -> None:
        self.points: deque[Point] = deque(maxlen=KEPT)
        self.at = now
        self.before: dict[PoolStats, Counts] = {}

    def sample(self, primaries: Iterable[Pool], pools: Iterable[Pool], clients: int, now: float) -> Point:
        """`primaries` are those that count, `pools` those and their replicas'."""
        counted = {pool.stats: count(pool.stats) for pool in primaries}
        grown = [grow(self.before.get(stats, NOTHING), counts) for stats, counts in counted.items()]
        seconds = max(now - self.at, 0.001)
        pools = list(pools)
        queries = add(counts.query_buckets for counts in grown)
        waits = add(counts.wait_buckets for counts in grown)
        point = Point(
            at=round(time(), 3),
            queries=round(sum(counts.queries for counts in grown) / seconds, 2),
            transactions=round(sum(counts.transactions for counts in grown) / seconds, 2),
            errors=round(sum(counts.errors for counts in grown) / seconds, 2),
            p50_us=tell(queries, 0.5),
            p95_us=tell(queries, 0.95),
            p99_us=tell(queries, 0.99),
            wait_p95_us=tell(waits, 0.95),
            active=sum(len(pool.lists[ACTIVE]) for pool in pools),
            waiting=sum(len(pool.waiting) for pool in pools),
            clients=clients,
        )
        self.before, self.at = counted, now
        self.points.append(point)
        return point


def count(stats: PoolStats) -> Counts:
    buckets = (stats.query_buckets.copy(), stats.wait_buckets.copy())
    return Counts(stats.query_count, stats.xact_count, stats.error_count, *buckets)


def grow(before: Counts, after: Counts) -> Counts:
    return Counts(
        after.queries - before.queries,
        after.transactions - before.transactions,
        after.errors - before.errors,
        list(map(sub, after.query_buckets, before.query_buckets)),
        list(map(sub, after.wait_buckets, before.wait_buckets)),
    )


def add(rows: Iterable[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(NONE, *rows, strict=True)]


def tell(buckets: Sequence[int], share: float) -> int | None:
    return round(quantile(buckets, BOUNDS_US, share)) if any(buckets) else None
