"""Metrics of the hosts, and of where requests went."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dbproxy.observe.families import Readings, read_all
from dbproxy.observe.figures import HostFigures, RouteFigures
from dbproxy.observe.labels import POOL_LABELS, label

_GAUGES: Readings[HostFigures] = {
    "dbproxy_host_up": ("1 if the host may be given queries", lambda host: float(host.up)),
    "dbproxy_host_lag_seconds": (
        "How far it is behind the primary, as last known",
        lambda host: host.lag_seconds,
    ),
    "dbproxy_host_lag_bytes": (
        "WAL of the primary that it has not replayed, as last known",
        lambda host: host.lag_bytes,
    ),
    "dbproxy_host_active_reads": ("Reads that run there", lambda host: host.active),
    "dbproxy_host_latency_seconds": (
        "How long reads take there: a moving average that jumps to each peak",
        lambda host: host.latency_s,
    ),
    "dbproxy_host_connections": ("Server connections to it", lambda host: host.servers),
}


def host_metrics(hosts: Sequence[HostFigures]) -> Iterator[Metric]:
    yield from read_all(GaugeMetricFamily, _GAUGES, hosts, ["host"], lambda host: (label(host.name),))
    state = GaugeMetricFamily(
        "dbproxy_host_state",
        "1 for what it is now: the states are those of failover.md",
        labels=["host", "role", "state"],
    )
    reads = CounterMetricFamily(
        "dbproxy_host_reads",
        "Reads that it was chosen for; while routing is observed, would have been",
        labels=["host"],
    )
    for host in hosts:
        state.add_metric((label(host.name), host.role, host.state), 1)
        reads.add_metric((label(host.name),), host.reads)
    yield from (state, reads)


def route_metrics(routes: Sequence[RouteFigures]) -> Iterator[Metric]:
    labels = [*POOL_LABELS, "host", "reason"]
    decisions = CounterMetricFamily(
        "dbproxy_route_decisions", "Where requests went and why, as in SHOW ROUTES", labels=labels
    )
    rescues = CounterMetricFamily(
        "dbproxy_rescues", "Reads that this replica could not answer: another host did", labels=labels
    )
    for route in routes:
        for family, counts in ((decisions, route.decisions), (rescues, route.rescues)):
            for (host, reason), count in counts.items():
                family.add_metric((label(route.database), label(route.user), label(host), reason), count)
    yield from (decisions, rescues)
