"""What Prometheus reads: the same plain ints as the console, so that the data path knows no metric objects.

`dbproxy_*` names are our own, with real histograms; `pgbouncer_*` (see pgbouncer_names) are for dashboards
that were made for PgBouncer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dbproxy.observe.figures import (
    FeatureFigures,
    HostFigures,
    HubFigures,
    PoolFigures,
    PoolStats,
    ProxyFigures,
    RouteFigures,
)
from dbproxy.observe.labels import POOL_LABELS, label, pool_labels
from dbproxy.observe.pgbouncer_names import pgbouncer_metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST


class ProxyCollector(Collector):
    """Asks `read` for the figures at each scrape; `bounds_us` are the upper bounds of the pools' buckets."""

    def __init__(
        self, read: Callable[[], ProxyFigures], bounds_us: Sequence[int], version: str, *, compiled: bool
    ) -> None:
        self.read = read
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
        yield from self._histograms(figures.pools)
        yield from _hub_metrics(figures.hubs)
        yield from _host_metrics(figures.hosts)
        yield from _route_metrics(figures.routes)
        yield from _feature_metrics(figures.features)
        yield from pgbouncer_metrics(figures, self.build["version"])

    def _histograms(self, pools: Sequence[PoolFigures]) -> Iterator[Metric]:
        query = _histogram("query", "Time from a request to the end of its answer, waiting included")
        xact = _histogram("transaction", "Time that a server was lent for a transaction")
        wait = _histogram("wait", "Time that a client waited for a server")
        for pool in pools:
            labels, stats = pool_labels(pool), pool.stats
            query.add_metric(labels, self._cumulate(stats.query_buckets), stats.query_time_us / 1e6)
            xact.add_metric(labels, self._cumulate(stats.xact_buckets), stats.xact_time_us / 1e6)
            wait.add_metric(labels, self._cumulate(stats.wait_buckets), stats.wait_time_us / 1e6)
        yield from (query, xact, wait)

    def _cumulate(self, buckets: Sequence[int]) -> list[tuple[str, float]]:
        return list(zip(self.bounds, accumulate(map(float, buckets)), strict=True))


def build_registry(collector: ProxyCollector) -> CollectorRegistry:
    """The proxy's metrics and its process's (CPU, memory, open files), apart from the global registry."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def expose(registry: CollectorRegistry) -> bytes:
    """The body of `/metrics`, of content type `CONTENT_TYPE`."""
    return generate_latest(registry)


def _histogram(what: str, help_text: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"dbproxy_{what}_duration_seconds", help_text, labels=POOL_LABELS)


def _process_metrics(figures: ProxyFigures) -> Iterator[Metric]:
    yield _by_key(
        GaugeMetricFamily("dbproxy_clients", "Client connections", labels=["state"]), figures.clients
    )
    yield _by_key(
        GaugeMetricFamily("dbproxy_servers", "Server connections", labels=["state"]), figures.servers
    )
    lost = CounterMetricFamily("dbproxy_disconnects", "Connections ended", labels=["side", "reason"])
    for side, reasons in (("client", figures.client_disconnects), ("server", figures.server_disconnects)):
        for reason, count in reasons.items():
            lost.add_metric((side, label(reason)), count)
    yield lost
    failures = CounterMetricFamily("dbproxy_login_failures", "Client logins refused", labels=["reason"])
    yield _by_key(failures, figures.login_failures)


def _by_key(
    family: GaugeMetricFamily | CounterMetricFamily, counts: Mapping[str, int]
) -> GaugeMetricFamily | CounterMetricFamily:
    for key, count in counts.items():
        family.add_metric((label(key),), count)
    return family


_COUNTERS: dict[str, tuple[str, Callable[[PoolStats], int]]] = {
    "dbproxy_slow_queries": ("Queries over the slow-query threshold", lambda stats: stats.slow_query_count),
    "dbproxy_errors": ("ErrorResponse messages that servers sent", lambda stats: stats.error_count),
    "dbproxy_logins": ("Client logins", lambda stats: stats.login_count),
    "dbproxy_audits": ("Questions what a transaction left behind", lambda stats: stats.audit_count),
    "dbproxy_replays": ("Loans that began by giving the server settings", lambda stats: stats.replay_count),
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
        "dbproxy_pins", "Clients that keep a server beyond their transaction", labels=labels
    )
    begun = CounterMetricFamily("dbproxy_pins", "Pins that began", labels=labels)
    refused = CounterMetricFamily("dbproxy_refused_pins", "Statements refused for their pin", labels=labels)
    for pool in pools:
        counts = ((held, pool.pins), (begun, pool.stats.pin_counts), (refused, pool.stats.refused_pin_counts))
        for family, by_reason in counts:
            for reason, count in by_reason.items():
                family.add_metric((*pool_labels(pool), reason), count)
    yield from (held, begun, refused)


_HUB_GAUGES: dict[str, tuple[str, Callable[[HubFigures], int]]] = {
    "dbproxy_listen_connections": ("Server connections to hear notifications", lambda hub: hub.connections),
    "dbproxy_listen_channels": ("Channels listened to", lambda hub: hub.channels),
    "dbproxy_listeners": ("Clients that listen", lambda hub: hub.listeners),
}
_HUB_COUNTERS: dict[str, tuple[str, Callable[[HubFigures], int]]] = {
    "dbproxy_notifications_received": ("Notifications from servers", lambda hub: hub.notifications),
    "dbproxy_notifications_delivered": ("Notifications to clients", lambda hub: hub.delivered),
    "dbproxy_listen_losses": ("Listening connections lost in use", lambda hub: hub.losses),
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
    "dbproxy_host_lag_seconds": ("How long ago the primary was beyond it", lambda host: host.lag_seconds),
    "dbproxy_host_lag_bytes": ("WAL of the primary not replayed yet", lambda host: host.lag_bytes),
    "dbproxy_host_active_reads": ("Reads that run there", lambda host: host.active),
    "dbproxy_host_latency_seconds": (
        "How long reads take there, peaks above all",
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
    state = GaugeMetricFamily("dbproxy_host_state", "1: what it is now", labels=["host", "role", "state"])
    reads = CounterMetricFamily("dbproxy_host_reads", "Reads that it was picked for", labels=["host"])
    for host in hosts:
        state.add_metric((label(host.name), host.role, host.state), 1)
        reads.add_metric((label(host.name),), host.reads)
    yield from (state, reads)


def _route_metrics(routes: Sequence[RouteFigures]) -> Iterator[Metric]:
    labels = [*POOL_LABELS, "host", "reason"]
    decisions = CounterMetricFamily("dbproxy_route_decisions", "Where requests went, and why", labels=labels)
    rescues = CounterMetricFamily("dbproxy_rescues", "Reads that a replica could not answer", labels=labels)
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
    mode = GaugeMetricFamily("dbproxy_feature_mode", "1: how it stands now", labels=[*labels, "mode"])
    percent = GaugeMetricFamily("dbproxy_feature_percent", "The share of sessions with it", labels=labels)
    sessions = GaugeMetricFamily("dbproxy_feature_sessions", "Sessions in the arm", labels=[*labels, "arm"])
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
