"""Writes dbproxy.json, the dashboard that Grafana imports: `python deploy/grafana/dashboard.py`.

What it shows is below: a row is a title and its panels, a panel a title, a unit and its queries. `SELECTED` and `HERE`
stand for what is chosen at the top of the page.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dbproxy.json")
HERE = 'job="$job", instance=~"$instance"'
SELECTED = f'{HERE}, database=~"$database"'
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT, PAGE_WIDTH = 8, 8, 24  # of a panel and of the page, in Grafana's units
LATER = "There is nothing to see before this version has it: no data."

Json = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """`queries` are expressions by what their series are called."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    description: str = ""
    limits: tuple[float, float] | None = None  # the warning's and the critical one's
    kind: str = "timeseries"


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]
    later: bool = False  # shows what is not there yet


def rate(metric: str, by: str = "", more: str = "", where: str = SELECTED) -> str:
    """Per second."""
    labels = f"{where}, {more}" if more else where
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', labels)})"


def quantiles(metric: str) -> dict[str, str]:
    return {f"p{100 * q:g}": quantile(q, metric) for q in (0.5, 0.9, 0.95, 0.99)}


KEPT = "dbproxy_cache_requests_total"
QUERY, WAIT, LENT = (f"dbproxy_{what}_duration_seconds" for what in ("query", "wait", "transaction"))
NO_LIMIT = 'sqlstate!="53400"'  # what a rate limit refuses is no failure: the row Limits shows it
LIMITED, HELD, REDIS = (
    f"dbproxy_limit_{what}" for what in ("decisions_total", "delay_seconds", "redis_seconds")
)
REFUSED = (
    f"({rate('dbproxy_refusals_total', 'database', NO_LIMIT)} or 0 * {rate(f'{QUERY}_count', 'database')})"
)
ASKED = f"({rate(f'{QUERY}_count', 'database')} + {REFUSED})"
FAILED = f"({rate('dbproxy_errors_total', 'database')} + {REFUSED})"
ON_HOST = "job, instance, database, user, host"
LENT_NOW = f'sum by ({ON_HOST}) (dbproxy_pool_servers{{{SELECTED}, state="active"}})'

ROWS = (
    Row(
        "At a glance",
        (
            Panel(
                "p95 of queries",
                {"{{database}}": quantile(0.95, QUERY, "database")},
                "s",
                limits=(0.5, 1),
            ),
            Panel("Queries", {"{{database}}": rate(f"{QUERY}_count", "database")}, "reqps"),
            Panel(
                "Requests that fail",
                {"{{database}}": f"{FAILED} / {ASKED}"},
                "percentunit",
                limits=(0.005, 0.02),
            ),
        ),
    ),
    Row(
        "Latency",
        (
            Panel("Queries, waiting included", quantiles(QUERY), "s", limits=(0.5, 1)),
            Panel("Of that, waiting for a server", quantiles(WAIT), "s"),
            Panel("How long a server is lent for a transaction", quantiles(LENT), "s"),
        ),
    ),
    Row(
        "Throughput",
        (
            Panel(
                "Queries and transactions",
                {"queries": rate(f"{QUERY}_count"), "transactions": rate(f"{LENT}_count")},
                "reqps",
            ),
            Panel(
                "Bytes",
                {
                    "from clients": rate("dbproxy_received_bytes_total"),
                    "to clients": rate("dbproxy_sent_bytes_total"),
                },
                "Bps",
            ),
            Panel(
                "CPU and memory of the proxy",
                {
                    "{{instance}} CPU": f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])",
                    "{{instance}} GB": f"process_resident_memory_bytes{{{HERE}}} / 1e9",
                },
                description="One process uses one core at most.",
            ),
        ),
    ),
    Row(
        "Errors",
        (
            Panel(
                "Answered by servers with an error",
                {"{{database}}": rate("dbproxy_errors_total", "database")},
                "reqps",
            ),
            Panel(
                "Refused by the proxy, by SQLSTATE",
                {"{{sqlstate}}": rate("dbproxy_refusals_total", "sqlstate")},
                "reqps",
                "53300: no server was free in time, or too many wait; 08001: none was reached; 53400: a rate limit.",
            ),
            Panel(
                "Logins refused, connections that ended",
                {
                    "login refused {{reason}}": rate("dbproxy_login_failures_total", "reason", where=HERE),
                    "{{reason}}": rate("dbproxy_disconnects_total", "reason", where=HERE),
                },
                "reqps",
            ),
        ),
    ),
    Row(
        "Pools",
        (
            Panel(
                "Utilisation",
                {
                    "{{database}}/{{user}} {{host}}": f"{LENT_NOW} / on ({ON_HOST}) dbproxy_pool_size{{{SELECTED}}}"
                },
                "percentunit",
                "Connections that are lent, of those that the pool may have to this host.",
                (0.8, 0.95),
            ),
            Panel(
                "Clients that wait for a server",
                {"{{database}}/{{user}} {{host}}": f"dbproxy_pool_waiting_clients{{{SELECTED}}}"},
            ),
            Panel(
                "How long the first of them has waited",
                {"{{database}}/{{user}} {{host}}": f"dbproxy_pool_longest_wait_seconds{{{SELECTED}}}"},
                "s",
            ),
            Panel(
                "Servers by state",
                {"{{state}}": f"sum by (state) (dbproxy_pool_servers{{{SELECTED}}})"},
            ),
            Panel(
                "Pinned servers, by reason", {"{{reason}}": f"sum by (reason) (dbproxy_pins{{{SELECTED}}})"}
            ),
            Panel("Servers lent", {"{{database}}": rate(f"{WAIT}_count", "database")}, "ops"),
        ),
    ),
    Row(
        "Connections, direct and pooled",
        (
            Panel(
                "What PostgreSQL holds, and would hold without the proxy",
                {
                    "direct: clients": f"sum(dbproxy_clients{{{HERE}}})",
                    "pooled: servers": f"sum(dbproxy_servers{{{HERE}}})",
                },
                description="Without the proxy each client is a connection of PostgreSQL's; with it, each server is. "
                "What goes past it is postgres_exporter's pg_stat_database_numbackends less these.",
            ),
            Panel("Clients by state", {"{{state}}": f"sum by (state) (dbproxy_clients{{{HERE}}})"}),
            Panel("Connections by host", {"{{host}}": f"sum by (host) (dbproxy_host_connections{{{HERE}}})"}),
        ),
    ),
    Row(
        "Replicas",
        (
            Panel(
                "Lag",
                {"{{host}}": f"max by (host) (dbproxy_host_lag_seconds{{{HERE}}})"},
                "s",
                limits=(5, 30),
            ),
            Panel("Lag in WAL", {"{{host}}": f"max by (host) (dbproxy_host_lag_bytes{{{HERE}}})"}, "bytes"),
            Panel(
                "Role and state",
                {"{{host}} {{role}} {{state}}": f"max by (host, role, state) (dbproxy_host_state{{{HERE}}})"},
            ),
            Panel("Reads", {"{{host}}": rate("dbproxy_host_reads_total", "host", where=HERE)}, "reqps"),
            Panel(
                "Share of requests that leave the primary",
                {
                    "{{database}}": rate("dbproxy_route_decisions_total", "database", 'host!="primary"')
                    + " / "
                    + rate("dbproxy_route_decisions_total", "database")
                },
                "percentunit",
            ),
            Panel(
                "Reads that another host answered instead",
                {"{{host}} {{reason}}": rate("dbproxy_rescues_total", "host, reason")},
                "reqps",
            ),
        ),
    ),
    Row(
        "Slow queries",
        (
            Panel(
                "Over slow_query.threshold",
                {"{{database}}": rate("dbproxy_slow_queries_total", "database")},
                "reqps",
            ),
            Panel(
                "Their share",
                {
                    "{{database}}": rate("dbproxy_slow_queries_total", "database")
                    + " / "
                    + rate(f"{QUERY}_count", "database")
                },
                "percentunit",
            ),
            Panel(
                "How queries are spread",
                {"{{le}}": f"sum by (le) (increase({QUERY}_bucket{{{SELECTED}}}[$__rate_interval]))"},
                kind="heatmap",
                description="A click on an example leads to its trace, where an application sends a traceparent.",
            ),
        ),
    ),
    Row(
        "Cache",
        (
            Panel(
                "Hit rate",
                {
                    "hits": rate(KEPT, more='outcome!~"miss|bypass|coalesced"')
                    + " / "
                    + rate(KEPT, more='outcome!~"bypass|coalesced"')
                },
                "percentunit",
                "Where answers are kept: of what they could be given for, how much they were; "
                "in `observe`, would have been.",
            ),
            Panel("Requests", {"{{outcome}}": rate(KEPT, "outcome")}, "reqps"),
            Panel(
                "Not looked for, by reason",
                {"{{reason}}": rate("dbproxy_cache_bypass_total", "reason")},
                "reqps",
            ),
            Panel(
                "What servers are spared",
                {"{{database}}": rate("dbproxy_cache_saved_seconds_total", "database")},
                description="Seconds of work each second.",
            ),
            Panel(
                "Invalidations, answers that were not kept, evictions",
                {
                    "by {{source}}": rate("dbproxy_cache_invalidations_total", "source", where=HERE),
                    "not kept: {{reason}}": rate("dbproxy_cache_fills_discarded_total", "reason"),
                    "evicted": rate("dbproxy_cache_evictions_total", where=HERE),
                },
            ),
            Panel("Bytes", {"{{tier}}": f"sum by (tier) (dbproxy_cache_bytes{{{HERE}}})"}, "bytes"),
            Panel("Answers", {"{{tier}}": f"sum by (tier) (dbproxy_cache_entries{{{HERE}}})"}),
            Panel(
                "Mismatches",
                {"{{database}}": f"sum by (database) (dbproxy_cache_mismatches_total{{{SELECTED}}})"},
                description="Kept answers that were not the server's, since start: any one is a mistake of the proxy.",
            ),
        ),
    ),
    Row(
        "Limits",
        (
            Panel(
                "Decisions",
                {"{{outcome}}": rate("dbproxy_limit_decisions_total", "outcome", where=HERE)},
                "reqps",
                "Where limits are on or observed; `observed` would have been refused or delayed.",
            ),
            Panel(
                "Share that is blocked, or would be",
                {
                    "{{tier}}": rate(LIMITED, "tier", 'outcome=~"rejected|observed"', HERE)
                    + " / "
                    + rate(LIMITED, "tier", 'outcome!="exempt"', HERE)
                },
                "percentunit",
                limits=(0.1, 0.2),
            ),
            Panel(
                "How long requests are held back",
                {
                    f"p{100 * q:g}": f"histogram_quantile({q}, {rate(f'{HELD}_bucket', 'le', where=HERE)})"
                    for q in (0.5, 0.95, 0.99)
                },
                "s",
            ),
            Panel("Keys that are told apart", {"{{instance}}": f"dbproxy_limit_keys{{{HERE}}}"}),
            Panel(
                "Without Redis",
                {"{{instance}}": f"dbproxy_limit_degraded{{{HERE}}}"},
                description="Where limits are shared: 1 while each proxy has its share of them, as Redis is gone.",
            ),
            Panel(
                "Answers of Redis",
                {
                    f"p{100 * q:g}": f"histogram_quantile({q}, {rate(f'{REDIS}_bucket', 'le', where=HERE)})"
                    for q in (0.5, 0.99)
                },
                "s",
                "Where limits are shared.",
            ),
        ),
    ),
    Row(
        "Batches",
        (
            Panel(
                "Rows",
                {
                    "{{exported_job}} {{outcome}}": rate(
                        "dbproxy_batch_rows_total", "exported_job, outcome", where=HERE
                    )
                },
                "rowsps",
            ),
            Panel("Progress", {"{{exported_job}}": f"dbproxy_batch_progress_ratio{{{HERE}}}"}, "percentunit"),
            Panel("Time left", {"{{exported_job}}": f"dbproxy_batch_eta_seconds{{{HERE}}}"}, "s"),
            Panel(
                "What it waits for",
                {
                    "{{exported_job}} {{reason}}": rate(
                        "dbproxy_batch_throttled_seconds_total", "exported_job, reason", where=HERE
                    )
                },
                "percentunit",
                "The share of the time that each batch waits, by what for.",
            ),
            Panel(
                "How long a chunk takes",
                {
                    "{{exported_job}}": rate("dbproxy_batch_chunk_seconds_total", "exported_job", where=HERE)
                    + " / "
                    + rate("dbproxy_batch_chunks_total", "exported_job", where=HERE)
                },
                "s",
            ),
            Panel(
                "Tried again",
                {
                    "{{exported_job}} {{sqlstate}}": rate(
                        "dbproxy_batch_retries_total", "exported_job, sqlstate", where=HERE
                    )
                },
                "cps",
                "By SQLSTATE: 40P01 is a deadlock, 55P03 a row that others have, 57014 a chunk that takes too long.",
            ),
        ),
    ),
    Row(
        "Partitions",
        (
            Panel(
                "Time until there is none for new rows",
                {"{{table}}": f"min by (table) (dbproxy_partition_headroom_seconds{{{HERE}}})"},
                "s",
            ),
            Panel(
                "Rows that are left to copy",
                {"{{exported_job}}": f"dbproxy_partition_rows_remaining{{{HERE}}}"},
            ),
            Panel(
                "Rows in the default partition", {"{{table}}": f"dbproxy_partition_default_rows{{{HERE}}}"}
            ),
        ),
        later=True,
    ),
)


def write_dashboard() -> str:
    dashboard = {
        "uid": "dbproxy",
        "title": "dbproxy",
        "description": "Written by deploy/grafana/dashboard.py. docs/observability.md says what each metric means.",
        "tags": ["postgresql", "dbproxy"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(write_variables())},
        "annotations": {"list": []},
        "panels": list(write_panels()),
    }
    return json.dumps(dashboard, indent=1) + "\n"


def write_variables() -> Iterator[Json]:
    yield {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield write_variable("job", "label_values(dbproxy_build_info, job)", many=False)
    yield write_variable("instance", 'label_values(dbproxy_build_info{job="$job"}, instance)')
    yield write_variable("database", f"label_values({QUERY}_count{{{HERE}}}, database)")


def write_variable(name: str, query: str, *, many: bool = True) -> Json:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "allValue": ".*" if many else None,
        "current": {"text": "All", "value": "$__all"} if many else {},
    }


def write_panels() -> Iterator[Json]:
    """Rows below each other, their panels from left to right."""
    top, number = 0, 0
    for row in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": PAGE_WIDTH, "h": 1},
        }
        top += 1
        for index, panel in enumerate(row.panels):
            number += 1
            left = index * WIDTH % PAGE_WIDTH
            place = {"x": left, "y": top + index * WIDTH // PAGE_WIDTH * HEIGHT, "w": WIDTH, "h": HEIGHT}
            yield {"id": number, "gridPos": place, **write_panel(panel, later=row.later)}
        top += -(-len(row.panels) * WIDTH // PAGE_WIDTH) * HEIGHT


def write_panel(panel: Panel, *, later: bool) -> Json:
    defaults: Json = {"unit": panel.unit, "min": 0, "noValue": "no data", "custom": {"fillOpacity": 10}}
    if panel.limits is not None:
        warning, critical = panel.limits
        colours = [("green", None), ("orange", warning), ("red", critical)]
        steps = [{"color": colour, "value": value} for colour, value in colours]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"] = {"fillOpacity": 10, "thresholdsStyle": {"mode": "line"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": LATER if later else panel.description,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            write_target(chr(ord("A") + i), legend, expression, panel.kind)
            for i, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def write_target(reference: str, legend: str, expression: str, kind: str) -> Json:
    """A query; those of histograms ask for examples, too."""
    return {
        "refId": reference,
        "datasource": SOURCE,
        "expr": expression,
        "legendFormat": legend,
        "format": "heatmap" if kind == "heatmap" else "time_series",
        "exemplar": "_bucket{" in expression,
    }


if __name__ == "__main__":
    FILE.write_text(write_dashboard())
