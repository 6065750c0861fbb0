"""Counters by database, and their averages over the last period, as SHOW STATS has them.

Two snapshots are kept, so that an average always spans between one and two periods, never all since start.
Durations are averaged per transaction, per query and per wait; everything else per second.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dbproxy.pool.pool import Pool
from dbproxy.pool.stats import PoolStats

PERIOD = 60.0  # seconds

# PgBouncer's order; the names are those of PoolStats.
COUNTERS = (
    "server_assignment_count",
    "xact_count",
    "query_count",
    "bytes_received",
    "bytes_sent",
    "xact_time_us",
    "query_time_us",
    "wait_time_us",
    "client_parse_count",
    "server_parse_count",
    "bind_count",
    "login_count",
)
PER_ITEM = {
    "xact_time_us": "xact_count",
    "query_time_us": "query_count",
    "wait_time_us": "server_assignment_count",
}
Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of each database at one moment."""

    at: float
    databases: dict[str, Counts] = field(default_factory=dict)


def take(pools: Iterable[Pool], now: float) -> Snapshot:
    databases: dict[str, Counts] = {}
    for pool in pools:
        counts = databases.setdefault(pool.database, dict.fromkeys(COUNTERS, 0))
        _add(counts, pool.stats)
    return Snapshot(now, databases)


def _add(counts: Counts, stats: PoolStats) -> None:
    for name in COUNTERS:
        counts[name] += getattr(stats, name)


class Averages:
    """The snapshots. `sample` is called a few times a second and takes one when it is due."""

    def __init__(self, now: float) -> None:
        self.older = self.newer = Snapshot(now)

    def sample(self, pools: Iterable[Pool], now: float) -> None:
        if now - self.newer.at >= PERIOD:
            self.older, self.newer = self.newer, take(pools, now)

    def of(self, database: str, counts: Counts, now: float) -> Counts:
        """The averages of a database whose counters are `counts` now."""
        return average(counts, self.older.databases.get(database, {}), now - self.older.at)

    def of_all(self, counts: Counts, now: float) -> Counts:
        """The same for all databases together."""
        return average(counts, total(self.older.databases.values()), now - self.older.at)


def total(databases: Iterable[Counts]) -> Counts:
    rows = list(databases)
    return {name: sum(counts[name] for counts in rows) for name in COUNTERS}


def average(counts: Counts, before: Counts, seconds: float) -> Counts:
    """Growth per second, of times per item, over a second at least; what was forgotten meanwhile is 0."""
    grown = {name: max(0, counts[name] - before.get(name, 0)) for name in COUNTERS}
    return {name: _rate(name, grown, seconds) for name in COUNTERS}


def _rate(name: str, grown: Counts, seconds: float) -> int:
    if name in PER_ITEM:
        return grown[name] // max(1, grown[PER_ITEM[name]])
    return int(grown[name] / max(1.0, seconds))
