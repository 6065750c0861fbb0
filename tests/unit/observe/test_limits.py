"""Limits as Prometheus is told of them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dbproxy.observe.figures import LimitFigures, SharedLimitFigures, TimeFigures
from dbproxy.observe.limits import rate_limit_metrics


def read(limits: LimitFigures) -> CollectorRegistry:
    class Shown(Collector):
        def collect(self) -> Iterator[Metric]:
            return rate_limit_metrics(limits)

    registry = CollectorRegistry()
    registry.register(Shown())
    return registry


def test_decisions_are_counted_by_tier_and_outcome():
    found = read(
        LimitFigures(decisions={"free": {"allowed": 10, "rejected": 3}}, keys=7, source_ages={"user": 9.5})
    )
    labels = {"tier": "free", "outcome": "rejected"}
    assert found.get_sample_value("dbproxy_limit_decisions_total", labels) == 3
    assert found.get_sample_value("dbproxy_limit_keys") == 7
    assert found.get_sample_value("dbproxy_limit_source_age_seconds", {"rule": "user"}) == 9.5
    assert found.get_sample_value("dbproxy_limit_degraded") is None, "nothing is shared"


def test_delays_are_a_histogram():
    found = read(LimitFigures(delays=TimeFigures(bounds=(0.1, 1.0), buckets=(1, 2, 3), seconds=9.0)))
    buckets = [
        found.get_sample_value("dbproxy_limit_delay_seconds_bucket", {"le": bound})
        for bound in ("0.1", "1.0", "+Inf")
    ]
    assert buckets == [1, 3, 6]
    assert found.get_sample_value("dbproxy_limit_delay_seconds_sum") == 9


def test_shared_limits_say_how_it_stands_with_redis():
    found = read(LimitFigures(shared=SharedLimitFigures(since=1.0, proxies=4, leases={"granted": 5})))
    assert found.get_sample_value("dbproxy_limit_degraded") == 1
    assert found.get_sample_value("dbproxy_limit_proxies") == 4
    assert found.get_sample_value("dbproxy_limit_leases_total", {"outcome": "granted"}) == 5
    assert found.get_sample_value("dbproxy_limit_redis_seconds_count") == 0
