"""Metrics of kept answers: what became of requests, why some were not looked for, what is kept, what ends it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dbproxy.observe.families import Readings, by_key, histogram, read_all
from dbproxy.observe.figures import CacheFigures, CacheUserFigures, SharedCacheFigures
from dbproxy.observe.labels import POOL_LABELS, label

_COUNTERS: Readings[CacheUserFigures] = {
    "dbproxy_cache_fills": ("Answers that were kept", lambda user: user.kept),
    "dbproxy_cache_saved_seconds": (
        "What servers would have taken for the answers that were given",
        lambda user: user.saved_s,
    ),
    "dbproxy_cache_mismatches": (
        "Answers that were kept, and were not what the server said: mistakes",
        lambda user: user.mismatches,
    ),
}


def cache_metrics(cache: CacheFigures) -> Iterator[Metric]:
    """Nothing while no answers are kept."""
    if not cache.users:
        return
    families = [
        CounterMetricFamily(name, text, labels=[*POOL_LABELS, by])
        for name, text, by in (
            ("dbproxy_cache_requests", "Requests by what became of them", "outcome"),
            ("dbproxy_cache_bypass", "Requests that were not looked for", "reason"),
            ("dbproxy_cache_fills_discarded", "Answers that were heard, and not kept", "reason"),
        )
    ]
    for user in cache.users:
        for family, counts in zip(families, (user.requests, user.bypassed, user.discarded), strict=True):
            by_key(family, counts, _labels(user))
    yield from families
    yield from read_all(CounterMetricFamily, _COUNTERS, cache.users, POOL_LABELS, _labels)
    invalidations = CounterMetricFamily(
        "dbproxy_cache_invalidations", "Times that a table's answers were over", labels=["source"]
    )
    yield by_key(invalidations, cache.invalidations)
    yield by_key(
        GaugeMetricFamily("dbproxy_cache_entries", "Answers that are kept", labels=["tier"]), cache.entries
    )
    yield by_key(GaugeMetricFamily("dbproxy_cache_bytes", "What they take", labels=["tier"]), cache.bytes)
    yield GaugeMetricFamily("dbproxy_cache_limit_bytes", "What they may take in memory", cache.limit_bytes)
    yield CounterMetricFamily("dbproxy_cache_evictions", "Answers that made room for others", cache.evictions)
    if cache.shared is not None:
        yield from _shared_metrics(cache.shared)


def _shared_metrics(shared: SharedCacheFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily("dbproxy_cache_degraded", "1 while Redis does not answer in time", shared.away)
    found = CounterMetricFamily("dbproxy_cache_redis_lookups", "Looks in Redis", labels=["outcome"])
    yield by_key(found, shared.found)
    kept = CounterMetricFamily("dbproxy_cache_redis_fills", "Answers for Redis", labels=["outcome"])
    yield by_key(kept, shared.kept)
    yield CounterMetricFamily("dbproxy_cache_redis_errors", "Calls of Redis that failed", shared.errors)
    yield histogram("dbproxy_cache_redis_seconds", "How long Redis took for an answer", shared.answers)


def _labels(user: CacheUserFigures) -> tuple[str, ...]:
    return label(user.database), label(user.user)
