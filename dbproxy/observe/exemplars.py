"""Examples for the buckets of the latency histogram: the trace of a request that was counted there.

Whoever knows a request's trace tells `note` of it, beside the data path: where traces are exported, the thread that
does so, of each request that is a span; elsewhere the log of slow queries, from the `traceparent` that an application
put into a comment. /metrics shows the last one of each bucket to who asks for OpenMetrics.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import NamedTuple

MOST_POOLS = 1000  # for which some are kept


class Exemplar(NamedTuple):
    """A request of this trace took so long, and ended then (seconds since the epoch)."""

    trace_id: str
    seconds: float
    at: float


class Exemplars:
    """By database and user, the last for each bucket; `bounds_us` are the upper bounds of the buckets.

    Threads may note and find at the same time.
    """

    def __init__(self, bounds_us: Sequence[int]) -> None:
        self.bounds = bounds_us
        self.lock = Lock()
        self.by_pool: dict[tuple[str, str], dict[int, Exemplar]] = {}

    def note(self, database: str, user: str, exemplar: Exemplar) -> None:
        """A request that the histogram has counted."""
        key = database, user
        bucket = bisect_right(self.bounds, int(exemplar.seconds * 1e6))
        with self.lock:
            if key not in self.by_pool and len(self.by_pool) >= MOST_POOLS:
                del self.by_pool[next(iter(self.by_pool))]
            self.by_pool.setdefault(key, {})[bucket] = exemplar

    def find(self, database: str, user: str) -> Mapping[int, Exemplar]:
        """By the index of the bucket; a copy."""
        with self.lock:
            return dict(self.by_pool.get((database, user), {}))
