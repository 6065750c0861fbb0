"""What Prometheus reads: the same plain ints as the console, so that the data path knows no metric objects.

`dbproxy_*` names are our own, with real histograms; `pgbouncer_*` (see pgbouncer_names) are for dashboards
that were made for PgBouncer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as Example

from dbproxy.observe.exemplars import Exemplar, Exemplars
from dbproxy.observe.figures import (
    FeatureFigures,
    HostFigures,
    HubFigures,
    PoolFigures,
    PoolStats,
    ProxyFigures,
    QueryStatsFigures,
    RouteFigures,
    TraceFigures,
)
from dbproxy.observe.labels import POOL_LABELS, label, pool_labels
from dbproxy.observe.pgbouncer_names import pgbouncer_metrics
from dbproxy.observe.pools import host_pool_metrics, refusal_metrics

Bucket = tuple[str, float] | tuple[str, float, Example]


class ProxyCollector(Collector):
    """Asks `read` for the figures at each scrape; `bounds_us` are the upper bounds of the pools' buckets."""

    def __init__(
        self,
        read: Callable[[], ProxyFigures],
        bounds_us: Sequence[int],
        version: str,
        *,
        compiled: bool,
        exemplars: Exemplars | None = None,
    ) -> None:
        self.read = read
        self.exemplars = exemplars or Exemplars(bounds_us)
        self.bounds = [*(repr(bound / 1e6) for bound in bounds_us), "+Inf"]
        self.build = {"version": version, "compiled": str(compiled).lower()}

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is read before the first scrape

    def collect(self) -> Iterator[Metric]:
        figures = self.read()
        build = InfoMetricFamily("dbproxy_build", "Version, and whether the hot modules are compiled")
        build.add_metric((), self.build)
        yield build
        yield GaugeMetricFamily("dbproxy_uptime_seconds", "Time since start", figures.uptime_s)
        yield from _process_metrics(figures)
        yield from _pool_counters(figures.pools)
        yield from _pin_metrics(figures.pools)
        yield from refusal_metrics(figures.pools)
        yield from host_pool_metrics(figures.host_pools)
        yield from self._histograms(figures.pools)
        yield from _hub_metrics(figures.hubs)
        yield from _host_metrics(figures.hosts)
        yield from _route_metrics(figures.routes)
        yield from _feature_metrics(figures.features)
        if figures.query_stats is not None:
            yield from _query_metrics(figures.query_stats)
        yield from _trace_metrics(figures.traces)
        yield from pgbouncer_metrics(figures, self.build["version"])

    def _histograms(self, pools: Sequence[PoolFigures]) -> Iterator[Metric]:
        query = _histogram("query", "Time from a request to the end of its answer, waiting included")
        xact = _histogram("transaction", "Time that a server was lent for a transaction")
        wait = _histogram("wait", "Time that a client waited for a server; 0 where it did not")
        for pool in pools:
            labels, stats = pool_labels(pool), pool.stats
            buckets = self._cumulate(stats.query_buckets, self.exemplars.find(pool.database, pool.user))
            query.add_metric(labels, buckets, stats.query_time_us / 1e6)
            xact.add_metric(labels, self._cumulate(stats.xact_buckets), stats.xact_time_us / 1e6)
            wait.add_metric(labels, self._cumulate(stats.wait_buckets), stats.wait_time_us / 1e6)
        yield from (query, xact, wait)

    def _cumulate(
        self, buckets: Sequence[int], exemplars: Mapping[int, Exemplar] = MappingProxyType({})
    ) -> list[Bucket]:
        counted = zip(self.bounds, accumulate(map(float, buckets)), strict=True)
        return [
            (bound, count, _example(exemplars[i])) if i in exemplars else (bound, count)
            for i, (bound, count) in enumerate(counted)
        ]


def _example(exemplar: Exemplar) -> Example:
    return Example({"trace_id": exemplar.trace_id}, exemplar.seconds, exemplar.at)


def build_registry(collector: ProxyCollector) -> CollectorRegistry:
    """The proxy's metrics and its process's (CPU, memory, open files), apart from the global registry."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def expose(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """The body of `/metrics` and its content type: OpenMetrics if that header asks for it, else Prometheus' text."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _histogram(what: str, help_text: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"dbproxy_{what}_duration_seconds", help_text, labels=POOL_LABELS)


def _process_metrics(figures: ProxyFigures) -> Iterator[Metric]:
    yield _by_key(
        GaugeMetricFamily("dbproxy_clients", "Clients: `active` ones hold a server", labels=["state"]),
        figures.clients,
    )
    yield _by_key(
        GaugeMetricFamily("dbproxy_servers", "Server connections: `active` ones are lent", labels=["state"]),
        figures.servers,
    )
    lost = CounterMetricFamily(
        "dbproxy_disconnects", "Client connections that ended", labels=["side", "reason"]
    )
    for side, reasons in (("client", figures.client_disconnects), ("server", figures.server_disconnects)):
        for reason, count in reasons.items():
            lost.add_metric((side, label(reason)), count)
    yield lost
    failures = CounterMetricFamily(
        "dbproxy_login_failures", "Client logins refused, by SQLSTATE", labels=["reason"]
    )
    yield _by_key(failures, figures.login_failures)
    unwritten = CounterMetricFamily(
        "dbproxy_log_lines_not_written",
        "Log lines summed, or lost as they could not be written",
        labels=["reason"],
    )
    yield _by_key(unwritten, figures.log_lines)


def _by_key(
    family: GaugeMetricFamily | CounterMetricFamily, counts: Mapping[str, int]
) -> GaugeMetricFamily | CounterMetricFamily:
    for key, count in counts.items():
        family.add_metric((label(key),), count)
    return family


_COUNTERS: dict[str, tuple[str, Callable[[PoolStats], int]]] = {
    "dbproxy_slow_queries": ("Queries over `slow_query.threshold`", lambda stats: stats.slow_query_count),
    "dbproxy_errors": ("Errors that servers answered with", lambda stats: stats.error_count),
    "dbproxy_logins": ("Client logins", lambda stats: stats.login_count),
    "dbproxy_audits": (
        "How often a server was asked what a transaction left behind",
        lambda stats: stats.audit_count,
    ),
    "dbproxy_replays": (
        "Loans that began by giving the server the client's settings",
        lambda stats: stats.replay_count,
    ),
    "dbproxy_received_bytes": ("Bytes received from clients", lambda stats: stats.bytes_received),
    "dbproxy_sent_bytes": ("Bytes sent to clients", lambda stats: stats.bytes_sent),
}


def _pool_counters(pools: Sequence[PoolFigures]) -> Iterator[Metric]:
    for name, (help_text, read) in _COUNTERS.items():
        family = CounterMetricFamily(name, help_text, labels=POOL_LABELS)
        for pool in pools:
            family.add_metric(pool_labels(pool), read(pool.stats))
        yield family


def _pin_metrics(pools: Sequence[PoolFigures]) -> Iterator[Metric]:
    labels = [*POOL_LABELS, "reason"]
    held = GaugeMetricFamily(
        "dbproxy_pins",
        "Clients that keep their server beyond the transaction; one with two reasons counts for both",
        labels=labels,
    )
    begun = CounterMetricFamily("dbproxy_pins_begun", "How often a pin began", labels=labels)
    refused = CounterMetricFamily(
        "dbproxy_refused_pins", "Statements refused because of `pool.refuse_pins`", labels=labels
    )
    for pool in pools:
        counts = ((held, pool.pins), (begun, pool.stats.pin_counts), (refused, pool.stats.refused_pin_counts))
        for family, by_reason in counts:
            for reason, count in by_reason.items():
                family.add_metric((*pool_labels(pool), reason), count)
    yield from (held, begun, refused)


_HUB_GAUGES: dict[str, tuple[str, Callable[[HubFigures], int]]] = {
    "dbproxy_listen_connections": (
        "Server connections to hear notifications on",
        lambda hub: hub.connections,
    ),
    "dbproxy_listen_channels": ("Channels that are heard", lambda hub: hub.channels),
    "dbproxy_listeners": ("Clients that listen", lambda hub: hub.listeners),
}
_HUB_COUNTERS: dict[str, tuple[str, Callable[[HubFigures], int]]] = {
    "dbproxy_notifications_received": ("Notifications from servers", lambda hub: hub.notifications),
    "dbproxy_notifications_delivered": ("Notifications to clients", lambda hub: hub.delivered),
    "dbproxy_listen_losses": (
        "Listening connections that were lost while clients listened: notifications may have been, too",
        lambda hub: hub.losses,
    ),
}


def _hub_metrics(hubs: Sequence[HubFigures]) -> Iterator[Metric]:
    kinds = ((GaugeMetricFamily, _HUB_GAUGES), (CounterMetricFamily, _HUB_COUNTERS))
    for family_class, metrics in kinds:
        for name, (help_text, read) in metrics.items():
            family = family_class(name, help_text, labels=["database"])
            for hub in hubs:
                family.add_metric((label(hub.database),), read(hub))
            yield family


_HOST_GAUGES: dict[str, tuple[str, Callable[[HostFigures], float]]] = {
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


def _host_metrics(hosts: Sequence[HostFigures]) -> Iterator[Metric]:
    for name, (help_text, read) in _HOST_GAUGES.items():
        family = GaugeMetricFamily(name, help_text, labels=["host"])
        for host in hosts:
            family.add_metric((label(host.name),), read(host))
        yield family
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


def _route_metrics(routes: Sequence[RouteFigures]) -> Iterator[Metric]:
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


_ARM_COUNTERS: dict[str, tuple[str, Callable[[FeatureFigures], float]]] = {
    "dbproxy_feature_requests": (
        "Requests of its sessions, while there are some in both arms",
        lambda arm: arm.requests,
    ),
    "dbproxy_feature_errors": ("Those of them that failed", lambda arm: arm.errors),
    "dbproxy_feature_seconds": ("How long they took, waiting included", lambda arm: arm.microseconds / 1e6),
}


def _feature_metrics(arms: Sequence[FeatureFigures]) -> Iterator[Metric]:
    labels = [*POOL_LABELS, "feature"]
    mode = GaugeMetricFamily(
        "dbproxy_feature_mode", "1 for how it stands: off, observe or on", labels=[*labels, "mode"]
    )
    percent = GaugeMetricFamily(
        "dbproxy_feature_percent", "The share of sessions for which it is there, in percent", labels=labels
    )
    sessions = GaugeMetricFamily(
        "dbproxy_feature_sessions",
        "Sessions with it (treated) and without it (control)",
        labels=[*labels, "arm"],
    )
    for arm in arms:
        own = (label(arm.database), label(arm.user), arm.feature)
        sessions.add_metric((*own, arm.name), arm.sessions)
        if arm.name == "treated":  # what is the same in the other
            mode.add_metric((*own, arm.mode), 1)
            percent.add_metric(own, arm.percent)
    yield from (mode, percent, sessions)
    for name, (help_text, read) in _ARM_COUNTERS.items():
        family = CounterMetricFamily(name, help_text, labels=[*labels, "arm"])
        for arm in arms:
            family.add_metric((label(arm.database), label(arm.user), arm.feature, arm.name), read(arm))
        yield family


def _query_metrics(found: QueryStatsFigures) -> Iterator[Metric]:
    yield GaugeMetricFamily("dbproxy_query_stats_entries", "Statements counted apart", found.entries)
    yield GaugeMetricFamily("dbproxy_query_stats_memory_bytes", "Memory of their figures", found.memory_bytes)
    yield CounterMetricFamily("dbproxy_query_stats_evicted", "Statements added to <other>", found.evicted)
    yield CounterMetricFamily(
        "dbproxy_query_stats_other_calls", "Calls of statements in <other>", found.other_calls
    )


def _trace_metrics(traces: TraceFigures) -> Iterator[Metric]:
    """Of tracing; nothing while it has never been on."""
    if traces.mode == "off" and not any(traces.spans.values()):
        return
    spans = CounterMetricFamily("dbproxy_spans", "What became of requests' spans", labels=["outcome"])
    yield _by_key(spans, traces.spans)
    yield GaugeMetricFamily("dbproxy_spans_waiting", "Spans that wait to be exported", traces.waiting)
    contexts = CounterMetricFamily(
        "dbproxy_trace_contexts", "Trace contexts of clients", labels=["source", "valid"]
    )
    for labels, count in traces.contexts.items():
        contexts.add_metric(labels, count)
    yield contexts
    bounds = [*map(repr, traces.bounds), "+Inf"]
    export = HistogramMetricFamily("dbproxy_trace_export_seconds", "How long sending a batch of spans took")
    export.add_metric(
        (), list(zip(bounds, accumulate(map(float, traces.buckets)), strict=True)), traces.seconds
    )
    yield export
