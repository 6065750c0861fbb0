"""The same figures under the names that dashboards ask for which were made for exporters of PgBouncer's.

Those are prometheus-community/pgbouncer_exporter, and prometheus-pgbouncer-exporter on PyPI, whose names for the same
are others. One table for each group: the field of our figures (PgBouncer's column), the metric's name, its help.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from dbproxy.observe.figures import DatabaseFigures, PoolFigures, ProxyFigures
from dbproxy.observe.labels import POOL_LABELS, label, pool_labels

_POOLS = [
    ("cl_active", "client_active_connections", "Clients linked to a server or idle, able to send queries"),
    ("cl_active_cancel_req", "client_active_cancel_connections", "Cancel requests sent on, reply awaited"),
    ("cl_waiting", "client_waiting_connections", "Clients waiting for a server"),
    ("cl_waiting_cancel_req", "client_waiting_cancel_connections", "Cancel requests not sent on yet"),
    ("sv_active", "server_active_connections", "Servers lent to a client"),
    ("sv_active_cancel", "server_active_cancel_connections", "Servers that carry a cancel request"),
    ("sv_being_canceled", "server_being_canceled_connections", "Servers kept until their cancels are done"),
    ("sv_idle", "server_idle_connections", "Servers idle and ready"),
    ("sv_used", "server_used_connections", "Servers idle for long, to be checked before use"),
    ("sv_tested", "server_testing_connections", "Servers being reset or checked"),
    ("sv_login", "server_login_connections", "Servers logging in"),
]
_STATS = [
    ("query_count", "queries_pooled", "Queries"),
    ("query_time_us", "queries_duration_seconds", "Time of queries"),
    ("bytes_received", "received_bytes", "Bytes received from clients"),
    ("bytes_sent", "sent_bytes", "Bytes sent to clients"),
    ("wait_time_us", "client_wait_seconds", "Time that clients waited for a server"),
    ("xact_count", "sql_transactions_pooled", "Transactions"),
    ("xact_time_us", "server_in_transaction_seconds", "Time that servers were in a transaction"),
    ("client_parse_count", "client_parses", "Prepared statements that clients parsed"),
    ("server_parse_count", "server_parses", "Prepared statements parsed on servers"),
    ("bind_count", "binds", "Prepared statements bound"),
    ("server_assignment_count", "server_assignments", "Times that a server was lent to a client"),
]
# As the one on PyPI has them: in microseconds, and only these.
_OTHER_STATS = [
    ("xact_count", "transactions", "Transactions"),
    ("query_count", "queries", "Queries"),
    ("xact_time_us", "transactions_duration_microseconds", "Time that servers were in a transaction"),
    ("query_time_us", "queries_duration_microseconds", "Time of queries"),
    ("wait_time_us", "waiting_duration_microseconds", "Time that clients waited for a server"),
]
_OTHER_DATABASES = [
    ("pool_size", "database_pool_size", "Most server connections of a pool"),
    ("reserve_pool", "database_reserve_pool_size", "Further connections for clients that wait long"),
    ("current_connections", "database_current_connections", "Server connections of the database"),
    ("max_connections", "database_max_connections", "Most server connections of the database"),
]
_DATABASES = [
    ("pool_size", "pool_size", "Most server connections of a pool"),
    ("reserve_pool", "reserve_pool", "Further server connections for clients that wait long"),
    ("max_connections", "max_connections", "Most server connections of the database"),
    ("current_connections", "current_connections", "Server connections of the database"),
    ("max_client_connections", "max_client_connections", "Most clients of the database"),
    ("current_client_connections", "current_client_connections", "Clients of the database"),
    ("paused", "paused", "1 if the database is paused"),
    ("disabled", "disabled", "1 if the database is disabled"),
]
_DATABASE_LABELS = ("name", "host", "port", "database", "force_user", "pool_mode")
LISTS = [
    ("databases", "databases", "Databases"),
    ("users", "users", "Users"),
    ("pools", "pools", "Pools"),
    ("free_clients", "free_clients", "Client objects kept for reuse"),
    ("used_clients", "used_clients", "Clients"),
    ("login_clients", "login_clients", "Clients logging in"),
    ("free_servers", "free_servers", "Server objects kept for reuse"),
    ("used_servers", "used_servers", "Servers"),
    ("dns_names", "cached_dns_names", "Host names in the DNS cache"),
    ("dns_zones", "cached_dns_zones", "Zones in the DNS cache"),
    ("dns_queries", "in_flight_dns_queries", "DNS queries under way"),
]


def pgbouncer_metrics(figures: ProxyFigures, version: str) -> Iterator[Metric]:
    info = InfoMetricFamily("pgbouncer_version", "Version of the pooler")
    info.add_metric((), {"version": f"dbproxy {version}"})
    yield info
    yield GaugeMetricFamily("pgbouncer_up", "1: the pooler answered", 1)
    limit = figures.max_client_conn
    for name in ("connections", "conn"):
        yield GaugeMetricFamily(f"pgbouncer_config_max_client_{name}", "Most client connections", limit)
    yield GaugeMetricFamily(
        "pgbouncer_config_max_user_connections",
        "Most server connections of a user; 0: any",
        figures.max_user_connections,
    )
    yield from _lists(figures)
    yield from _databases(figures.databases)
    yield from _pools(figures.pools)
    yield from _stats(figures.pools)


def _lists(figures: ProxyFigures) -> Iterator[Metric]:
    for row, name, help_text in LISTS:
        if row in figures.lists:
            yield GaugeMetricFamily(f"pgbouncer_{name}", help_text, figures.lists[row])


def _databases(databases: Sequence[DatabaseFigures]) -> Iterator[Metric]:
    for field, name, help_text in _DATABASES:
        family = GaugeMetricFamily(f"pgbouncer_databases_{name}", help_text, labels=_DATABASE_LABELS)
        for database in databases:
            labels = [label(str(getattr(database, key))) for key in _DATABASE_LABELS]
            family.add_metric(labels, getattr(database, field))
        yield family
    for field, name, help_text in _OTHER_DATABASES:
        labels = ["database", "backend_database"]
        family = GaugeMetricFamily(f"pgbouncer_databases_{name}", help_text, labels=labels)
        for database in databases:
            family.add_metric((label(database.name), label(database.database)), getattr(database, field))
        yield family


def _pools(pools: Sequence[PoolFigures]) -> Iterator[Metric]:
    for field, name, help_text in _POOLS:
        family = GaugeMetricFamily(f"pgbouncer_pools_{name}", help_text, labels=POOL_LABELS)
        for pool in pools:
            family.add_metric(pool_labels(pool), getattr(pool, field))
        yield family
    oldest = "Age of the client that waits longest"
    family = GaugeMetricFamily("pgbouncer_pools_client_maxwait_seconds", oldest, labels=POOL_LABELS)
    for pool in pools:
        family.add_metric(pool_labels(pool), pool.maxwait_us / 1e6)
    yield family


def _stats(pools: Sequence[PoolFigures]) -> Iterator[Metric]:
    """By database, all its users together; under the exporter's present prefix and the one dashboards use."""
    for field, name, help_text in _STATS:
        totals = _total(pools, field)
        for prefix in ("pgbouncer_stats_totals", "pgbouncer_stats"):
            family = CounterMetricFamily(f"{prefix}_{name}", help_text, labels=["database"])
            for database, total in totals.items():
                family.add_metric((database,), total / 1e6 if field.endswith("_us") else total)
            yield family
    for field, name, help_text in _OTHER_STATS:
        family = CounterMetricFamily(f"pgbouncer_stats_{name}", help_text, labels=["database"])
        for database, total in _total(pools, field).items():
            family.add_metric((database,), total)
        yield family


def _total(pools: Sequence[PoolFigures], field: str) -> Counter[str]:
    totals: Counter[str] = Counter()
    for pool in pools:
        totals[label(pool.database)] += getattr(pool.stats, field)
    return totals
