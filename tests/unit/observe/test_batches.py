"""Batches as Prometheus is told of them."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dbproxy.observe.batches import batch_metrics
from dbproxy.observe.figures import BatchCounts, BatchFigures


def read(batches: Sequence[BatchFigures]) -> CollectorRegistry:
    class Shown(Collector):
        def collect(self) -> Iterator[Metric]:
            return batch_metrics(batches)

    registry = CollectorRegistry()
    registry.register(Shown())
    return registry


def test_nothing_is_told_where_there_are_none() -> None:
    assert list(batch_metrics([])) == []


def test_all_of_a_batch_is_told() -> None:
    batch = BatchFigures(
        id="t-1", database="shop", state="running", done=BatchCounts(
            rows=90, seen=100, estimate=400, errors=1, chunks=4, chunk_size=500, worked_s=2.0,
        ), eta_s=6.0, throttled={"lag": 2.5}, retries={"40P01": 3},
    )  # fmt: skip
    found = read([batch, BatchFigures(id="t-2", database="shop", state="done", done=BatchCounts(seen=5))])
    labels = {"database": "shop", "job": "t-1"}
    for name, more, value in (
        ("rows_total", {"outcome": "ok"}, 90),
        ("rows_total", {"outcome": "error"}, 1),
        ("rows_total", {"outcome": "skipped"}, 9),
        ("chunks_total", {}, 4),
        ("chunk_seconds_total", {}, 2.0),
        ("chunk_rows", {}, 500),
        ("progress_ratio", {}, 0.25),
        ("eta_seconds", {}, 6.0),
        ("throttled_seconds_total", {"reason": "lag"}, 2.5),
        ("retries_total", {"sqlstate": "40P01"}, 3),
        ("state", {"state": "running"}, 1),
    ):
        assert found.get_sample_value(f"dbproxy_batch_{name}", labels | more) == value, name
    other = {"database": "shop", "job": "t-2"}
    assert found.get_sample_value("dbproxy_batch_progress_ratio", other) == 1.0
    assert found.get_sample_value("dbproxy_batch_eta_seconds", other) is None


def test_statement_that_inserts_more_than_it_reads_skips_nothing() -> None:
    found = read([BatchFigures(id="t-1", database="shop", done=BatchCounts(rows=300, seen=100))])
    labels = {"database": "shop", "job": "t-1", "outcome": "skipped"}
    assert found.get_sample_value("dbproxy_batch_rows_total", labels) == 0
