"""What is not as it should be, though clients may be served all the same, and since when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbproxy.admin.figures import longest_wait
from dbproxy.admin.house import Caches, House, list_pools
from dbproxy.admin.limit_figures import shared_figures
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member
from dbproxy.limits.limiter import Limiter
from dbproxy.pool.pool import Pool

LONG_WAIT = 1.0  # seconds from which on somebody who waits for a server is worth a word
WRONG = ("down", "lagging", "fenced", "disabled", "draining")  # states of a host


@dataclass(frozen=True)
class Degradation:
    """`kind` stays as long as it lasts, `reason` may change; `since` (monotonic seconds) where that is known."""

    what: str
    kind: str
    reason: str
    since: float | None = None


class Watch:
    """Notes since when each has been seen."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], float] = {}

    def note(self, found: Iterable[Degradation], now: float) -> list[tuple[Degradation, float]]:
        """Each with the moment when it began, the oldest first; those that are over are forgotten."""
        before, self.seen = self.seen, {}
        dated = []
        for one in found:
            key = one.what, one.kind
            since = self.seen[key] = one.since if one.since is not None else before.get(key, now)
            dated.append((one, since))
        return sorted(dated, key=lambda pair: pair[1])


def find_degradations(house: House, cluster: Cluster, now: float) -> Iterator[Degradation]:
    """`cluster` is what is known of the hosts."""
    if house.stopping:
        yield Degradation("proxy", "stopping", "the proxy is shutting down")
    if house.paused:
        yield Degradation("proxy", "paused", "clients wait for RESUME")
    for database in sorted(house.paused_databases):
        yield Degradation(f"database {database}", "paused", f"clients wait for RESUME {database}")
    yield from _find_in_hosts(cluster)
    yield from _find_in_limits(house.limits.limiter)
    yield from _find_in_caches(house.caches)
    for pool in list_pools(house, ""):
        yield from _find_in_pool(house, pool, now)


def _find_in_hosts(cluster: Cluster) -> Iterator[Degradation]:
    if cluster.primary is None and cluster.members:
        yield Degradation("primary", "lost", "no host takes writes", cluster.primary_lost_at)
    for member in cluster.members:
        if member.state in WRONG:
            yield Degradation(f"host {member.name}", member.state, _describe(member), member.since)
        elif member.lag.late:
            yield Degradation(f"host {member.name}", "late", f"lags by {member.lag.seconds:.1f} s")


def _find_in_limits(limiter: Limiter) -> Iterator[Degradation]:
    for rule in limiter.book.rules:
        if rule.reading.error:
            reason = f"its source cannot be read, the tiers of before stay: {rule.reading.error}"
            yield Degradation(f"limits {rule.name}", "source not read", reason)
    shared = shared_figures(limiter.store) if limiter.store is not None else None
    if shared is not None and shared.degraded:
        yield Degradation("limits", "not shared", f"Redis is gone: {shared.error}", shared.since)


def _find_in_caches(caches: Caches) -> Iterator[Degradation]:
    tier = caches.tier.figures() if caches.tier is not None else None
    if tier is not None and tier.away:
        yield Degradation("cache", "not shared", f"Redis is gone: {tier.error}", tier.since)
    for place, watched in caches.watched.items():
        if watched.writers is not None and watched.writers.error is not None:
            reason = f"nothing is answered from what is kept: {watched.writers.error.message}"
            yield Degradation(f"cache of {place}", "writes not followed", reason)


def _describe(member: Member) -> str:
    match member.state:
        case "lagging":
            return f"lags by {member.lag.seconds:.1f} s: it gets no reads"
        case "fenced":
            return "takes writes, but is not the primary"
        case "down":
            return member.health.last_error or "does not answer"
        case state:
            return f"{state} by order of an administrator"


def _find_in_pool(house: House, pool: Pool, now: float) -> Iterator[Degradation]:
    if not pool.failures and not pool.waiting:
        return  # as nearly all are
    host = house.host_of(pool)
    what = f"pool {pool.database}/{pool.user}" + (f" on {host}" if host else "")
    if pool.failures and pool.last_error is not None:
        yield Degradation(what, "no connection", pool.last_error.message)
    wait = longest_wait(pool, now)
    if wait >= LONG_WAIT:
        reason = f"{len(pool.waiting)} clients wait for a server, the first for {wait:.0f} s"
        yield Degradation(what, "waiting", reason, now - wait)
