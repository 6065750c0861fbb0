"""The demo from start to end."""

import json
import os
import time

from rich.console import Console

from dbproxy.demo.claims import Figures, Replica, judge, judge_end
from dbproxy.demo.installation import PostgresError
from dbproxy.demo.interrupts import Interrupts
from dbproxy.demo.report import print_addresses, print_claims, print_report
from dbproxy.demo.scrape import Scrape, fetch
from dbproxy.demo.stage import DATABASE, USER, Stage, is_alive, set_stage
from dbproxy.demo.workload import CLIENTS, SECONDS, run_workload

DONE, FAILED = 0, 1
CATCH_UP_TIMEOUT = 10.0
ROWS = "SELECT (SELECT count(*) FROM visits) + (SELECT count(*) FROM transfers)"


def show(check: bool) -> int:
    console = Console(highlight=False)
    with Interrupts() as interrupts:
        try:
            return perform(console, check, interrupts)
        except KeyboardInterrupt:
            console.print("\nStopped: every process has ended, the data is gone.")
            return FAILED if check else DONE


def perform(console: Console, check: bool, interrupts: Interrupts) -> int:
    console.print("Starting PostgreSQL (a primary, two replicas) and the proxy …")
    with set_stage(os.environ) as stage:
        console.print(f"{CLIENTS} clients log in, then work for {SECONDS:g} s …\n")
        figures = measure(stage, interrupts)
        print_report(console, figures)
        print_addresses(console, stage)
        if not check:
            return wait(console, stage)
        claims = judge(figures)
        processes, folders = stage.processes(), stage.folders()
    claims += judge_end(
        stage.proxy.exit_code, list(filter(is_alive, processes)), [f for f in folders if f.exists()]
    )
    print_claims(console, claims)
    return DONE if all(claim.holds for claim in claims) else FAILED


def wait(console: Console, stage: Stage) -> int:
    """Until Ctrl-C, which is an exception; a proxy that ends before it has failed."""
    console.print("\nIt all keeps running. Ctrl-C ends every process and removes the data.")
    stage.proxy.wait()
    console.print(
        f"The proxy has ended by itself. It said:\n{stage.proxy.log_path.read_text()[-2000:]}", markup=False
    )
    return FAILED


def measure(stage: Stage, interrupts: Interrupts) -> Figures:
    scrapes: list[Scrape] = []
    outcome = interrupts.run(
        run_workload(
            stage.dsn(),
            stage.primary.dsn(DATABASE),
            lambda: scrapes.append(Scrape(fetch(stage.proxy.http_address, "/metrics"))),
        )
    )
    logged, left_out = count_sleeps(stage, len(outcome.latencies["slow"]))
    return Figures(
        outcome=outcome,
        scrape=scrapes[0],
        slow_logged=logged,
        slow_left_out=left_out,
        replicas=read_replicas(stage),
        rows=int(stage.primary.psql(ROWS, DATABASE)),
        balance=int(stage.primary.psql("SELECT sum(balance) FROM accounts", DATABASE)),
        greeting=ask_psql(stage),
        health=json.loads(fetch(stage.proxy.http_address, "/health/ready"))["status"],
    )


def count_sleeps(stage: Stage, expected: int) -> tuple[int, int]:
    """Slow queries of the workload in the proxy's log, and how many queries that left out.

    On a busy machine all may be slow for a moment: there are so many lines in a second, and then one tells of more.
    """
    deadline = time.monotonic() + CATCH_UP_TIMEOUT
    while True:
        logged = sum("pg_sleep" in event["statement"] for event in stage.proxy.events("slow query"))
        left_out = sum(event["count"] for event in stage.proxy.events("slow queries not logged"))
        if logged + left_out >= expected or time.monotonic() > deadline:
            return logged, left_out
        time.sleep(0.05)


def ask_psql(stage: Stage) -> str:
    """The answer to `SELECT 1` through the proxy; the password goes by the environment, unseen in `ps`."""
    place = {"PGHOST": stage.proxy.host, "PGPORT": str(stage.proxy.port), "PGDATABASE": DATABASE}
    login = {"PGUSER": USER, "PGPASSWORD": stage.password}
    flags = ("-X", "-A", "-t", "-c", "SELECT 1")
    try:
        return stage.primary.installation.run("psql", *flags, environment=place | login).strip()
    except PostgresError as error:
        return error.detail


def read_replicas(stage: Stage) -> tuple[Replica, ...]:
    """The replicas, once they have all that was written, or as they are after a while."""
    written = stage.primary.psql("SELECT pg_current_wal_lsn()")
    query = (
        f"SELECT application_name, state, greatest(pg_wal_lsn_diff('{written}', replay_lsn), 0)::bigint"  # noqa: S608
        " FROM pg_stat_replication ORDER BY 1"
    )
    deadline = time.monotonic() + CATCH_UP_TIMEOUT
    while True:
        rows = [line.split("|") for line in stage.primary.psql(query).splitlines()]
        if all(behind == "0" for _, _, behind in rows) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    counts = {replica.name: int(replica.psql(ROWS, DATABASE)) for replica in stage.replicas}
    return tuple(Replica(name, state, int(behind or 0), counts.get(name, 0)) for name, state, behind in rows)
