"""Kept answers as Prometheus is told of them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dbproxy.observe.caches import cache_metrics
from dbproxy.observe.figures import CacheFigures, CacheUserFigures, SharedCacheFigures, TimeFigures


def read(cache: CacheFigures) -> CollectorRegistry:
    class Shown(Collector):
        def collect(self) -> Iterator[Metric]:
            return cache_metrics(cache)

    registry = CollectorRegistry()
    registry.register(Shown())
    return registry


def test_nothing_is_told_while_no_answers_are_kept() -> None:
    assert list(cache_metrics(CacheFigures())) == []


def test_what_became_of_requests_is_told_by_database_and_user() -> None:
    user = CacheUserFigures(
        database="shop",
        user="app",
        requests={"hit": 7, "miss": 2},
        bypassed={"no read": 3},
        discarded={"raced": 1},
        kept=2,
        saved_s=1.5,
        mismatches=1,
    )
    found = read(
        CacheFigures(users=[user], invalidations={"write": 4}, entries={"memory": 2}, bytes={"memory": 900})
    )
    labels = {"database": "shop", "user": "app"}
    for name, more, value in (
        ("requests_total", {"outcome": "hit"}, 7),
        ("bypass_total", {"reason": "no read"}, 3),
        ("fills_discarded_total", {"reason": "raced"}, 1),
        ("fills_total", {}, 2),
        ("saved_seconds_total", {}, 1.5),
        ("mismatches_total", {}, 1),
    ):
        assert found.get_sample_value(f"dbproxy_cache_{name}", labels | more) == value, name
    assert found.get_sample_value("dbproxy_cache_invalidations_total", {"source": "write"}) == 4
    assert found.get_sample_value("dbproxy_cache_entries", {"tier": "memory"}) == 2
    assert found.get_sample_value("dbproxy_cache_bytes", {"tier": "memory"}) == 900


def test_redis_is_told_of_where_proxies_share_by_it() -> None:
    shared = SharedCacheFigures(
        away=True,
        found={"hit": 3},
        kept={"kept": 2},
        errors=1,
        answers=TimeFigures(bounds=(0.001,), buckets=(2, 1), seconds=0.5),
    )
    found = read(CacheFigures(users=[CacheUserFigures(database="shop", user="app")], shared=shared))
    assert found.get_sample_value("dbproxy_cache_degraded") == 1
    assert found.get_sample_value("dbproxy_cache_redis_lookups_total", {"outcome": "hit"}) == 3
    assert found.get_sample_value("dbproxy_cache_redis_fills_total", {"outcome": "kept"}) == 2
    assert found.get_sample_value("dbproxy_cache_redis_errors_total") == 1
    assert found.get_sample_value("dbproxy_cache_redis_seconds_count") == 3
