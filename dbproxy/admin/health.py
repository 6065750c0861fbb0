"""Whether the proxy can serve, as far as it knows without asking the primary."""

from collections.abc import Iterable

from dbproxy.errors import ServerUnavailable
from dbproxy.pool.pool import Pool


def find_fault(*, stopping: bool, pools: Iterable[Pool], now: float) -> str:
    """Why the proxy cannot serve; empty if nothing is known to be wrong.

    `pools` are those of the primary. A server that refuses a login (a wrong database name) is there all the
    same. A failure is remembered until it is time to try again, not longer: where traffic stays away from who
    is unhealthy, nobody would try.
    """
    if stopping:
        return "the proxy is shutting down"
    pools = list(pools)
    if any(pool.size() > pool.opening for pool in pools):
        return ""
    return next((fault for fault in (_failure(pool, now) for pool in pools) if fault), "")


def _failure(pool: Pool, now: float) -> str:
    error = pool.last_error
    retried = now >= pool.retry_at and not pool.opening and not pool.waiting
    return error.message if isinstance(error, ServerUnavailable) and not retried else ""
