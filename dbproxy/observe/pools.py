"""Metrics of the pools: what each has done and refused, how long that took, and how full it is on each host."""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.families import Readings, by_key, cumulate, read_all
from dbproxy.observe.figures import HostPoolFigures, PoolFigures
from dbproxy.observe.labels import POOL_LABELS, label, pool_labels

HOST_LABELS = (*POOL_LABELS, "host")
_COUNTERS: Readings[PoolFigures] = {
    "dbproxy_slow_queries": ("Queries over `slow_query.threshold`", lambda pool: pool.stats.slow_query_count),
    "dbproxy_errors": ("Errors that servers answered with", lambda pool: pool.stats.error_count),
    "dbproxy_logins": ("Client logins", lambda pool: pool.stats.login_count),
    "dbproxy_audits": (
        "How often a server was asked what a transaction left behind",
        lambda pool: pool.stats.audit_count,
    ),
    "dbproxy_replays": (
        "Loans that began by giving the server the client's settings",
        lambda pool: pool.stats.replay_count,
    ),
    "dbproxy_received_bytes": ("Bytes received from clients", lambda pool: pool.stats.bytes_received),
    "dbproxy_sent_bytes": ("Bytes sent to clients", lambda pool: pool.stats.bytes_sent),
}
_HOST_GAUGES: Readings[HostPoolFigures] = {
    "dbproxy_pool_size": ("Server connections that it may have, without the reserve", lambda pool: pool.size),
    "dbproxy_pool_waiting_clients": ("Clients that wait for one of them", lambda pool: pool.waiting),
    "dbproxy_pool_longest_wait_seconds": (
        "How long the first of these has waited",
        lambda pool: pool.longest_wait_s,
    ),
}


def pool_metrics(pools: Sequence[PoolFigures]) -> Iterator[Metric]:
    yield from read_all(CounterMetricFamily, _COUNTERS, pools, POOL_LABELS, pool_labels)
    labels = [*POOL_LABELS, "reason"]
    held = GaugeMetricFamily(
        "dbproxy_pins",
        "Clients that keep their server beyond the transaction; one with two reasons counts for both",
        labels=labels,
    )
    begun = CounterMetricFamily("dbproxy_pins_begun", "How often a pin began", labels=labels)
    barred = CounterMetricFamily(
        "dbproxy_refused_pins", "Statements refused because of `pool.refuse_pins`", labels=labels
    )
    refused = CounterMetricFamily(
        "dbproxy_refusals",
        "Requests that the proxy answered with an error of its own: no server was free, or could be reached",
        labels=[*POOL_LABELS, "sqlstate"],
    )
    for pool in pools:
        own = pool_labels(pool)
        by_key(held, pool.pins, own)
        by_key(begun, pool.stats.pin_counts, own)
        by_key(barred, pool.stats.refused_pin_counts, own)
        by_key(refused, pool.refusals, own)
    yield from (held, begun, barred, refused)


def host_pool_metrics(pools: Sequence[HostPoolFigures]) -> Iterator[Metric]:
    """A pool to each host: its limit is its own."""
    states = GaugeMetricFamily(
        "dbproxy_pool_servers",
        "Server connections to the host: `active` ones are lent",
        labels=[*HOST_LABELS, "state"],
    )
    for pool in pools:
        by_key(states, pool.servers, _labels(pool))
    yield states
    yield from read_all(GaugeMetricFamily, _HOST_GAUGES, pools, HOST_LABELS, _labels)


def duration_metrics(
    pools: Sequence[PoolFigures], bounds: Sequence[str], exemplars: Exemplars
) -> Iterator[Metric]:
    """Histograms; `bounds`: the upper ones of their buckets, as labels."""
    query = _histogram("query", "Time from a request to the end of its answer, waiting included")
    xact = _histogram("transaction", "Time that a server was lent for a transaction")
    wait = _histogram("wait", "Time that a client waited for a server; 0 where it did not")
    for pool in pools:
        own, stats = pool_labels(pool), pool.stats
        examples = exemplars.find(pool.database, pool.user)
        query.add_metric(own, cumulate(bounds, stats.query_buckets, examples), stats.query_time_us / 1e6)
        xact.add_metric(own, cumulate(bounds, stats.xact_buckets), stats.xact_time_us / 1e6)
        wait.add_metric(own, cumulate(bounds, stats.wait_buckets), stats.wait_time_us / 1e6)
    yield from (query, xact, wait)


def _histogram(what: str, help_text: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"dbproxy_{what}_duration_seconds", help_text, labels=POOL_LABELS)


def limit_metrics(pools: Sequence[PoolFigures], logins: Mapping[str, int]) -> Iterator[Metric]:
    """`logins`: refused by a limit on clients, whoever asked."""
    family = CounterMetricFamily(
        "dbproxy_limits_reached",
        "Times that a limit or timeout struck, by its setting; of logins without a database and user",
        labels=[*POOL_LABELS, "limit"],
    )
    for pool in pools:
        for limit, count in pool.limits.items():
            family.add_metric((*pool_labels(pool), limit), count)
    for limit, count in logins.items():
        family.add_metric(("", "", limit), count)
    yield family


def _labels(pool: HostPoolFigures) -> tuple[str, str, str]:
    """The values for HOST_LABELS."""
    return label(pool.database), label(pool.user), label(pool.host)
