"""What Prometheus reads: the same plain ints as the console, so that the data path knows no metric objects.

`dbproxy_*` names are our own, with real histograms; `pgbouncer_*` (see pgbouncer_names) are for dashboards
that were made for PgBouncer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

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

from dbproxy.observe.batches import batch_metrics
from dbproxy.observe.caches import cache_metrics
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.families import Readings, by_key, cumulate, read_all, spell_bounds
from dbproxy.observe.figures import (
    FeatureFigures,
    HubFigures,
    ProxyFigures,
    QueryStatsFigures,
    TraceFigures,
)
from dbproxy.observe.hosts import host_metrics, route_metrics
from dbproxy.observe.labels import POOL_LABELS, label
from dbproxy.observe.limits import rate_limit_metrics
from dbproxy.observe.pgbouncer_names import pgbouncer_metrics
from dbproxy.observe.pools import duration_metrics, host_pool_metrics, limit_metrics, pool_metrics


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
        self.bounds = spell_bounds([bound / 1e6 for bound in bounds_us])
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
        yield from pool_metrics(figures.pools)
        yield from limit_metrics(figures.pools, figures.login_limits)
        yield from host_pool_metrics(figures.host_pools)
        yield from duration_metrics(figures.pools, self.bounds, self.exemplars)
        yield from _hub_metrics(figures.hubs)
        yield from host_metrics(figures.hosts)
        yield from route_metrics(figures.routes)
        yield from _feature_metrics(figures.features)
        if figures.query_stats is not None:
            yield from _query_metrics(figures.query_stats)
        yield from rate_limit_metrics(figures.limits)
        yield from cache_metrics(figures.cache)
        yield from batch_metrics(figures.batches)
        yield from _trace_metrics(figures.traces)
        yield from pgbouncer_metrics(figures, self.build["version"])


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


def _process_metrics(figures: ProxyFigures) -> Iterator[Metric]:
    yield by_key(
        GaugeMetricFamily("dbproxy_clients", "Clients: `active` ones hold a server", labels=["state"]),
        figures.clients,
    )
    yield by_key(
        GaugeMetricFamily("dbproxy_servers", "Server connections: `active` ones are lent", labels=["state"]),
        figures.servers,
    )
    lost = CounterMetricFamily(
        "dbproxy_disconnects", "Client connections that ended", labels=["side", "reason"]
    )
    by_key(lost, figures.client_disconnects, ("client",))
    yield by_key(lost, figures.server_disconnects, ("server",))
    failures = CounterMetricFamily(
        "dbproxy_login_failures", "Client logins refused, by SQLSTATE", labels=["reason"]
    )
    yield by_key(failures, figures.login_failures)
    handshakes = CounterMetricFamily(
        "dbproxy_tls_handshakes",
        "TLS handshakes, with clients or servers, that were `done` or `failed`",
        labels=["side", "outcome"],
    )
    for (side, outcome), count in figures.tls_handshakes.items():
        handshakes.add_metric((side, outcome), count)
    yield handshakes
    unwritten = CounterMetricFamily(
        "dbproxy_log_lines_not_written",
        "Log lines summed, or lost as they could not be written",
        labels=["reason"],
    )
    yield by_key(unwritten, figures.log_lines)


_HUB_GAUGES: Readings[HubFigures] = {
    "dbproxy_listen_connections": (
        "Server connections to hear notifications on",
        lambda hub: hub.connections,
    ),
    "dbproxy_listen_channels": ("Channels that are heard", lambda hub: hub.channels),
    "dbproxy_listeners": ("Clients that listen", lambda hub: hub.listeners),
}
_HUB_COUNTERS: Readings[HubFigures] = {
    "dbproxy_notifications_received": ("Notifications from servers", lambda hub: hub.notifications),
    "dbproxy_notifications_delivered": ("Notifications to clients", lambda hub: hub.delivered),
    "dbproxy_listen_losses": (
        "Listening connections that were lost while clients listened: notifications may have been, too",
        lambda hub: hub.losses,
    ),
}


def _hub_metrics(hubs: Sequence[HubFigures]) -> Iterator[Metric]:
    for kind, readings in ((GaugeMetricFamily, _HUB_GAUGES), (CounterMetricFamily, _HUB_COUNTERS)):
        yield from read_all(kind, readings, hubs, ["database"], lambda hub: (label(hub.database),))


_ARM_COUNTERS: Readings[FeatureFigures] = {
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
        sessions.add_metric(_arm_labels(arm), arm.sessions)
        if arm.name == "treated":  # what is the same in the other
            own = _arm_labels(arm)[:-1]
            mode.add_metric((*own, arm.mode), 1)
            percent.add_metric(own, arm.percent)
    yield from (mode, percent, sessions)
    yield from read_all(CounterMetricFamily, _ARM_COUNTERS, arms, [*labels, "arm"], _arm_labels)


def _arm_labels(arm: FeatureFigures) -> tuple[str, ...]:
    return label(arm.database), label(arm.user), arm.feature, arm.name


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
    yield by_key(spans, traces.spans)
    yield GaugeMetricFamily("dbproxy_spans_waiting", "Spans that wait to be exported", traces.waiting)
    contexts = CounterMetricFamily(
        "dbproxy_trace_contexts", "Trace contexts of clients", labels=["source", "valid"]
    )
    for labels, count in traces.contexts.items():
        contexts.add_metric(labels, count)
    yield contexts
    export = HistogramMetricFamily("dbproxy_trace_export_seconds", "How long sending a batch of spans took")
    export.add_metric((), cumulate(spell_bounds(traces.bounds), traces.buckets), traces.seconds)
    yield export
