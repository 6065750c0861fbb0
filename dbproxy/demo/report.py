"""What the demo prints."""

import shutil
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from dbproxy.demo.claims import Claim, Figures, count_reads
from dbproxy.demo.proxy import POOL_SIZE, SLOW_AFTER
from dbproxy.demo.stage import DATABASE, Stage
from dbproxy.demo.workload import Outcome

SHARES = (0.50, 0.95, 0.99)
ERRORS_SHOWN = 5
NUMBERS = ("number", "p50 ms", "p95 ms", "p99 ms")


def print_report(console: Console, figures: Figures) -> None:
    console.print(build_latencies(figures))
    console.print(build_facts(figures))
    for error, count in figures.outcome.errors.most_common(ERRORS_SHOWN):
        console.print(f"  {count} of {error}", markup=False, style="red")


def build_latencies(figures: Figures) -> Table:
    """Durations: of the clients' actions as they saw them, of queries and waits as the proxy did."""
    table = Table(title="How long it took")
    table.add_column("")
    for column in NUMBERS:
        table.add_column(column, justify="right")
    for name, latencies in sorted(figures.outcome.latencies.items(), key=lambda item: -len(item[1])):
        table.add_row(name, f"{len(latencies):,}", *show_shares(latencies))
    table.add_section()
    for name, metric in (("queries, by the proxy", "query"), ("waits for a server", "wait")):
        metric = f"dbproxy_{metric}_duration_seconds"
        shares = [f"{figures.scrape.quantile(metric, share, DATABASE) * 1000:.1f}" for share in SHARES]
        table.add_row(name, f"{figures.scrape.total(f'{metric}_count'):,}", *shares)
    return table


def build_facts(figures: Figures) -> Table:
    outcome = figures.outcome
    queries = figures.scrape.total("dbproxy_query_duration_seconds_count")
    table = Table(title="What happened", show_header=False)
    table.add_row("clients", f"{len(outcome.answered)}")
    table.add_row("server connections used", f"{outcome.servers} of a pool of {POOL_SIZE}")
    table.add_row("queries", f"{queries:,} ({show_rate(queries, outcome)})")
    table.add_row("errors", f"{outcome.errors.total()}")
    slow = len(outcome.latencies["slow"])
    table.add_row(f"slow queries logged (over {SLOW_AFTER * 1000:g} ms)", f"{figures.slow_logged} of {slow}")
    reads = count_reads(figures.scrape)
    for replica in figures.replicas:
        seen = f"{replica.state}, {replica.behind} bytes behind, {replica.rows:,} rows, {reads[replica.name]:,} reads"
        table.add_row(replica.name, seen)
    return table


def print_addresses(console: Console, stage: Stage) -> None:
    psql = "psql" if shutil.which("psql") else str(stage.primary.installation.bin_path("psql"))
    host, port = stage.proxy.http_address
    lines = {
        "try it": f"{psql} {stage.dsn()}",
        "console": f"{psql} {stage.dsn('dbproxy')} -c 'SHOW POOLS'",
        "page": f"http://{host}:{port}/",
        "metrics": f"http://{host}:{port}/metrics",
        "log": str(stage.proxy.log_path),
    }
    console.print()
    for name, value in lines.items():
        console.print(f"{name:<8} {value}", markup=False, soft_wrap=True)


def print_claims(console: Console, claims: Iterable[Claim]) -> None:
    console.print()
    for claim in claims:
        verdict = "[green]ok    [/]" if claim.holds else "[bold red]failed[/]"
        console.print(f"{verdict} {claim.sentence} ({claim.seen})", soft_wrap=True)


def show_rate(queries: int, outcome: Outcome) -> str:
    return f"{queries / outcome.seconds:,.0f} a second" if outcome.seconds else "-"


def show_shares(latencies: Sequence[float]) -> list[str]:
    """SHARES of the durations, in milliseconds."""
    ordered = sorted(latencies)
    return [f"{ordered[int(share * (len(ordered) - 1))] * 1000:.1f}" for share in SHARES]
