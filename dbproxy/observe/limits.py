"""Metrics of rate limits: what was decided by tier, how long requests were held back, and how it stands with Redis.

Keys have none: there may be a hundred thousand. `/limits` and SHOW LIMITS tell of those that use most.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dbproxy.observe.families import by_key, histogram
from dbproxy.observe.figures import LimitFigures, SharedLimitFigures
from dbproxy.observe.labels import label


def rate_limit_metrics(limits: LimitFigures) -> Iterator[Metric]:
    decisions = CounterMetricFamily(
        "dbproxy_limit_decisions",
        "Requests that limits have judged: `observed` would have been refused or delayed",
        labels=["tier", "outcome"],
    )
    for tier, counts in limits.decisions.items():
        by_key(decisions, counts, (label(tier),))
    yield decisions
    yield histogram(
        "dbproxy_limit_delay_seconds", "How long requests were held back by a limit", limits.delays
    )
    yield GaugeMetricFamily("dbproxy_limit_keys", "Keys that are told apart", limits.keys)
    yield CounterMetricFamily(
        "dbproxy_limit_keys_without_room",
        "Times that a key shared the limit of others, as `limits.max_keys` were in use",
        limits.without_room,
    )
    ages = GaugeMetricFamily(
        "dbproxy_limit_source_age_seconds", "Time since a rule's `source` was read", labels=["rule"]
    )
    yield by_key(ages, limits.source_ages)
    if limits.shared is not None:
        yield from _shared_metrics(limits.shared)


def _shared_metrics(shared: SharedLimitFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "dbproxy_limit_degraded",
        "1 while Redis is gone: each proxy has its share of the limits",
        shared.degraded,
    )
    yield GaugeMetricFamily(
        "dbproxy_limit_proxies", "Proxies that share the limits, as last seen", shared.proxies
    )
    yield histogram("dbproxy_limit_redis_seconds", "How long Redis took for an answer", shared.answers)
    leases = CounterMetricFamily(
        "dbproxy_limit_leases", "Leases of tokens that were asked for in Redis", labels=["outcome"]
    )
    yield by_key(leases, shared.leases)
