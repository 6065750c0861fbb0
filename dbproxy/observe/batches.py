"""Metrics of batches that run, or have ended within a day, as their ledgers tell (SHOW BATCHES tells of all).

A batch is another process: it may have a day's work done between two looks, and be gone before the first.
"""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dbproxy.observe.families import Readings, by_key, read_all
from dbproxy.observe.figures import BatchFigures
from dbproxy.observe.labels import label

LABELS = ["database", "job"]
_COUNTERS: Readings[BatchFigures] = {
    "dbproxy_batch_chunks": ("Chunks that were committed", lambda batch: batch.done.chunks),
    "dbproxy_batch_chunk_seconds": (
        "Time that they have taken, all together",
        lambda batch: batch.done.worked_s,
    ),
}
_GAUGES: Readings[BatchFigures] = {
    "dbproxy_batch_chunk_rows": ("Rows in a chunk, now", lambda batch: batch.done.chunk_size),
    "dbproxy_batch_progress_ratio": (
        "How much of what there is it has gone through, from 0 to 1",
        lambda batch: batch.ratio,
    ),
}


def batch_metrics(batches: Sequence[BatchFigures]) -> Iterator[Metric]:
    """Nothing where there are none."""
    if not batches:
        return
    yield from read_all(CounterMetricFamily, _COUNTERS, batches, LABELS, name)
    yield from read_all(GaugeMetricFamily, _GAUGES, batches, LABELS, name)
    yield from _by_outcome(batches)
    eta = GaugeMetricFamily(
        "dbproxy_batch_eta_seconds", "Time to its end, if it has to wait for nothing", labels=LABELS
    )
    state = GaugeMetricFamily("dbproxy_batch_state", "1 for how it stands", labels=[*LABELS, "state"])
    for batch in batches:
        state.add_metric((*name(batch), batch.state), 1)
        if batch.eta_s is not None:
            eta.add_metric(name(batch), batch.eta_s)
    yield from (eta, state)


def _by_outcome(batches: Sequence[BatchFigures]) -> Iterator[Metric]:
    rows = CounterMetricFamily(
        "dbproxy_batch_rows",
        "Rows that were changed, left out with an error, or skipped",
        labels=[*LABELS, "outcome"],
    )
    throttled = CounterMetricFamily(
        "dbproxy_batch_throttled_seconds", "Time that it has waited, by what for", labels=[*LABELS, "reason"]
    )
    retries = CounterMetricFamily(
        "dbproxy_batch_retries", "Chunks that were tried again, by SQLSTATE", labels=[*LABELS, "sqlstate"]
    )
    for batch in batches:
        skipped = max(0, batch.done.seen - batch.done.rows - batch.done.errors)
        by_key(rows, {"ok": batch.done.rows, "error": batch.done.errors, "skipped": skipped}, name(batch))
        by_key(throttled, batch.throttled, name(batch))
        by_key(retries, batch.retries, name(batch))
    yield from (rows, throttled, retries)


def name(batch: BatchFigures) -> tuple[str, ...]:
    return label(batch.database), label(batch.id)
