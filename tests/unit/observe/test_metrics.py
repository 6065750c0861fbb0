"""`/metrics` shows the figures as they are, under our names and PgBouncer's."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from dbproxy.observe.exemplars import Exemplar, Exemplars
from dbproxy.observe.figures import (
    DatabaseFigures,
    FeatureFigures,
    HostFigures,
    HostPoolFigures,
    HubFigures,
    PoolFigures,
    ProxyFigures,
    RouteFigures,
    TraceFigures,
)
from dbproxy.observe.metrics import ProxyCollector, build_registry, expose

BOUNDS = [1000, 2000]
OPENMETRICS = (
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"  # as Prometheus asks
)
TRACE = "5bd66ef5095369c7b0d1f8f4bd33716a"


@dataclass
class Stats:
    xact_count: int = 4
    query_count: int = 6
    bytes_received: int = 100
    bytes_sent: int = 200
    xact_time_us: int = 4_000_000
    query_time_us: int = 3_000_000
    wait_time_us: int = 500_000
    server_assignment_count: int = 5
    client_parse_count: int = 1
    server_parse_count: int = 2
    bind_count: int = 3
    login_count: int = 7
    slow_query_count: int = 8
    error_count: int = 9
    audit_count: int = 10
    replay_count: int = 11
    pin_counts: dict[str, int] = field(default_factory=lambda: {"temp": 12})
    refused_pin_counts: dict[str, int] = field(default_factory=lambda: {"lock": 13})
    query_buckets: list[int] = field(default_factory=lambda: [1, 2, 3])
    xact_buckets: list[int] = field(default_factory=lambda: [4, 0, 0])
    wait_buckets: list[int] = field(default_factory=lambda: [0, 5, 0])


def figures() -> ProxyFigures:
    return ProxyFigures(
        pools=[
            PoolFigures(
                database="app",
                user="a",
                stats=Stats(),
                cl_waiting=3,
                sv_active=2,
                maxwait_us=1_500_000,
                pins={"temp": 2},
                refusals={"53300": 14},
            ),
            PoolFigures(database="app", user='b"\udcff', stats=Stats()),
        ],
        host_pools=[
            HostPoolFigures(
                database="app",
                user="a",
                host="replica1",
                size=50,
                waiting=3,
                longest_wait_s=1.5,
                servers={"active": 2, "idle": 1},
            )
        ],
        databases=[
            DatabaseFigures(name="app", host="h", port=5432, database="app", pool_size=50, paused=True)
        ],
        hubs=[
            HubFigures(
                database="app", connections=1, channels=2, listeners=3, notifications=4, delivered=5, losses=6
            )
        ],
        hosts=[
            HostFigures(
                name="replica1",
                role="replica",
                state="up",
                up=True,
                lag_bytes=7,
                lag_seconds=0.5,
                reads=8,
                active=9,
                latency_s=0.25,
                servers=10,
            )
        ],
        routes=[
            RouteFigures(
                database="app",
                user="a",
                decisions={("replica1", "read"): 11, ("primary", "not a read"): 12},
                rescues={("replica1", "read only"): 13},
            )
        ],
        features=[
            FeatureFigures(
                feature="routing",
                database="app",
                user="a",
                mode="on",
                percent=20,
                name=name,
                sessions=sessions,
                requests=2,
                errors=1,
                microseconds=500_000,
            )
            for name, sessions in (("treated", 1), ("control", 4))
        ],
        lists={"pools": 2, "users": 2},
        clients={"active": 4, "waiting": 3},
        servers={"idle": 1},
        client_disconnects={"client closed": 10},
        server_disconnects={"server_lifetime": 11},
        login_failures={"28P01": 12},
        max_client_conn=10_000,
        uptime_s=60.5,
    )


def make_registry() -> CollectorRegistry:
    return build_registry(ProxyCollector(figures, BOUNDS, "0.1.0", compiled=True))


@pytest.fixture
def registry() -> CollectorRegistry:
    return make_registry()


APP_A = {"database": "app", "user": "a"}
ON_REPLICA = {**APP_A, "host": "replica1"}
ROUTING = {**APP_A, "feature": "routing"}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("dbproxy_build_info", {"version": "0.1.0", "compiled": "true"}, 1),
        ("dbproxy_uptime_seconds", {}, 60.5),
        ("dbproxy_clients", {"state": "waiting"}, 3),
        ("dbproxy_servers", {"state": "idle"}, 1),
        ("dbproxy_disconnects_total", {"side": "client", "reason": "client closed"}, 10),
        ("dbproxy_disconnects_total", {"side": "server", "reason": "server_lifetime"}, 11),
        ("dbproxy_login_failures_total", {"reason": "28P01"}, 12),
        ("dbproxy_slow_queries_total", APP_A, 8),
        ("dbproxy_errors_total", APP_A, 9),
        ("dbproxy_logins_total", APP_A, 7),
        ("dbproxy_audits_total", APP_A, 10),
        ("dbproxy_replays_total", APP_A, 11),
        ("dbproxy_pins", {**APP_A, "reason": "temp"}, 2),
        ("dbproxy_pins_begun_total", {**APP_A, "reason": "temp"}, 12),
        ("dbproxy_refused_pins_total", {**APP_A, "reason": "lock"}, 13),
        ("dbproxy_refusals_total", {**APP_A, "sqlstate": "53300"}, 14),
        ("dbproxy_pool_size", ON_REPLICA, 50),
        ("dbproxy_pool_waiting_clients", ON_REPLICA, 3),
        ("dbproxy_pool_longest_wait_seconds", ON_REPLICA, 1.5),
        ("dbproxy_pool_servers", {**ON_REPLICA, "state": "active"}, 2),
        ("dbproxy_query_duration_seconds_bucket", {**APP_A, "le": "0.001"}, 1),
        ("dbproxy_query_duration_seconds_bucket", {**APP_A, "le": "0.002"}, 3),
        ("dbproxy_query_duration_seconds_bucket", {**APP_A, "le": "+Inf"}, 6),
        ("dbproxy_query_duration_seconds_count", APP_A, 6),
        ("dbproxy_query_duration_seconds_sum", APP_A, 3.0),
        ("dbproxy_transaction_duration_seconds_count", APP_A, 4),
        ("dbproxy_wait_duration_seconds_sum", APP_A, 0.5),
        ("dbproxy_listen_connections", {"database": "app"}, 1),
        ("dbproxy_listen_channels", {"database": "app"}, 2),
        ("dbproxy_listeners", {"database": "app"}, 3),
        ("dbproxy_notifications_received_total", {"database": "app"}, 4),
        ("dbproxy_notifications_delivered_total", {"database": "app"}, 5),
        ("dbproxy_listen_losses_total", {"database": "app"}, 6),
        ("dbproxy_host_up", {"host": "replica1"}, 1),
        ("dbproxy_host_state", {"host": "replica1", "role": "replica", "state": "up"}, 1),
        ("dbproxy_host_lag_seconds", {"host": "replica1"}, 0.5),
        ("dbproxy_host_lag_bytes", {"host": "replica1"}, 7),
        ("dbproxy_host_reads_total", {"host": "replica1"}, 8),
        ("dbproxy_host_active_reads", {"host": "replica1"}, 9),
        ("dbproxy_host_latency_seconds", {"host": "replica1"}, 0.25),
        ("dbproxy_host_connections", {"host": "replica1"}, 10),
        ("dbproxy_route_decisions_total", {**APP_A, "host": "replica1", "reason": "read"}, 11),
        ("dbproxy_route_decisions_total", {**APP_A, "host": "primary", "reason": "not a read"}, 12),
        ("dbproxy_rescues_total", {**APP_A, "host": "replica1", "reason": "read only"}, 13),
        ("dbproxy_feature_mode", {**ROUTING, "mode": "on"}, 1),
        ("dbproxy_feature_percent", ROUTING, 20),
        ("dbproxy_feature_sessions", {**ROUTING, "arm": "control"}, 4),
        ("dbproxy_feature_requests_total", {**ROUTING, "arm": "treated"}, 2),
        ("dbproxy_feature_errors_total", {**ROUTING, "arm": "treated"}, 1),
        ("dbproxy_feature_seconds_total", {**ROUTING, "arm": "treated"}, 0.5),
        ("pgbouncer_up", {}, 1),
        ("pgbouncer_version_info", {"version": "dbproxy 0.1.0"}, 1),
        ("pgbouncer_pools", {}, 2),
        ("pgbouncer_config_max_client_connections", {}, 10_000),
        ("pgbouncer_pools_client_waiting_connections", APP_A, 3),
        ("pgbouncer_pools_server_active_connections", APP_A, 2),
        ("pgbouncer_pools_client_maxwait_seconds", APP_A, 1.5),
        ("pgbouncer_stats_totals_queries_pooled_total", {"database": "app"}, 12),
        ("pgbouncer_stats_queries_pooled_total", {"database": "app"}, 12),
        ("pgbouncer_stats_totals_server_in_transaction_seconds_total", {"database": "app"}, 8.0),
        ("pgbouncer_stats_totals_server_assignments_total", {"database": "app"}, 10),
    ],
)
def test_every_figure_is_exposed(
    registry: CollectorRegistry, name: str, labels: dict[str, str], value: float
) -> None:
    assert registry.get_sample_value(name, labels) == value


def test_databases_carry_pgbouncers_labels(registry: CollectorRegistry) -> None:
    labels = {"name": "app", "host": "h", "port": "5432", "database": "app"}
    labels |= {"force_user": "", "pool_mode": "transaction"}
    assert registry.get_sample_value("pgbouncer_databases_pool_size", labels) == 50
    assert registry.get_sample_value("pgbouncer_databases_paused", labels) == 1


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain; version=0.0.4", text_string_to_metric_families),
        ("text/plain;q=0.5, */*;q=0.1", "text/plain; version=0.0.4", text_string_to_metric_families),
        (
            OPENMETRICS,
            "application/openmetrics-text; version=1.0.0",
            openmetrics.text_string_to_metric_families,
        ),
    ],
)
def test_the_page_is_valid_whatever_a_client_calls_itself(
    registry: CollectorRegistry, accept: str, content_type: str, parse: Callable[[str], Iterable[Metric]]
) -> None:
    body, kind = expose(registry, accept)
    assert kind.startswith(content_type)
    families = list(parse(body.decode()))
    names = [family.name for family in families]  # the parser cuts _total off
    assert len(names) == len(set(names))
    assert all(family.documentation for family in families)
    assert "process_cpu_seconds" in names
    users = {s.labels["user"] for f in families if f.name == "dbproxy_errors" for s in f.samples}
    assert users == {"a", 'b"?'}


def test_a_bucket_shows_the_trace_of_a_request_that_it_counts() -> None:
    exemplars = Exemplars(BOUNDS)
    exemplars.note("app", "a", Exemplar(TRACE, 0.0015, 1_700_000_000.25))
    exemplars.note("app", "a", Exemplar("f" * 32, 90.0, 1_700_000_001.0))
    registry = build_registry(ProxyCollector(figures, BOUNDS, "0.1.0", compiled=True, exemplars=exemplars))
    families = openmetrics.text_string_to_metric_families(expose(registry, OPENMETRICS)[0].decode())
    (query,) = (family for family in families if family.name == "dbproxy_query_duration_seconds")
    found = {s.labels["le"]: s.exemplar for s in query.samples if s.exemplar and s.labels["user"] == "a"}
    assert set(found) == {"0.002", "+Inf"}
    assert (found["0.002"].labels, found["0.002"].value) == ({"trace_id": TRACE}, 0.0015)
    assert TRACE not in expose(registry)[0].decode()


def test_a_scrape_shows_the_ints_of_that_moment() -> None:
    stats = Stats()
    pool = PoolFigures(database="app", user="a", stats=stats)
    registry = build_registry(
        ProxyCollector(lambda: ProxyFigures(pools=[pool]), BOUNDS, "0.1.0", compiled=False)
    )
    before = registry.get_sample_value("dbproxy_query_duration_seconds_count", APP_A)
    stats.query_buckets[0] += 1
    assert before == 6
    assert registry.get_sample_value("dbproxy_query_duration_seconds_count", APP_A) == 7


def test_buckets_that_do_not_fit_the_bounds_are_an_error() -> None:
    pool = PoolFigures(database="app", user="a", stats=Stats(query_buckets=[1]))
    collector = ProxyCollector(lambda: ProxyFigures(pools=[pool]), BOUNDS, "0.1.0", compiled=False)
    with pytest.raises(ValueError, match="zip"):
        list(collector.collect())


def test_tracing_is_told_once_it_has_been_on() -> None:
    def expose_traces(traces: TraceFigures) -> str:
        read = lambda: ProxyFigures(traces=traces)  # noqa: E731
        return expose(build_registry(ProxyCollector(read, BOUNDS, "1", compiled=True)))[0].decode()

    assert "dbproxy_spans" not in expose_traces(TraceFigures())
    spans, contexts = {"exported": 3}, {("comment", "true"): 2}
    text = expose_traces(
        TraceFigures(mode="on", spans=spans, contexts=contexts, bounds=(0.5,), buckets=(1, 1), seconds=2.0)
    )
    assert 'dbproxy_spans_total{outcome="exported"} 3.0' in text
    assert 'dbproxy_trace_contexts_total{source="comment",valid="true"} 2.0' in text
    assert 'dbproxy_trace_export_seconds_bucket{le="+Inf"} 2.0' in text
    assert "dbproxy_trace_export_seconds_sum 2.0" in text
