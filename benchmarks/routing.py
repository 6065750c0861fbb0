"""What routing costs for each query, and what it moves off the primary: `python -m benchmarks.routing`.

The same reads with routing off, observed, and on, before a primary and two replicas; rounds are interleaved. On a
machine whose hosts share its CPUs no more is answered for there being replicas: what counts is the primary's share.
"""

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

import psutil  # type: ignore[import-untyped, unused-ignore]  # publishes no types

from benchmarks.pgbench import Load, run_pgbench
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import Target, environment_for, proxy
from dbproxy.demo.installation import embedded
from dbproxy.demo.postgres import Postgres, create_primary

POSITIONS = ["off", "observe", "on"]
POOL = 20
HEAD = [
    "mode",
    "clients",
    "routing",
    "tps",
    "dbproxy CPU µs/query",
    "primary CPU µs/query",
    "replicas CPU µs/query",
]


class Figures(NamedTuple):
    """Of one run; CPU microseconds for each query."""

    tps: float
    proxy_us: float
    primary_us: float
    replicas_us: float


def cpu_seconds(server: Postgres) -> float:
    """Of all its processes that are there."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:2]) for process in family if process.is_running()))


def measure(hosts: list[Postgres], target: Target, load: Load) -> Figures:
    """A short run goes before it: connections are open then, and the catalog is read."""
    primary, *replicas = hosts
    environment = environment_for(primary, target.port)
    run_pgbench(primary.installation, environment, Load(load.mode, load.clients, 1))
    before = [target.cpu_seconds(), cpu_seconds(primary), sum(map(cpu_seconds, replicas))]
    run = run_pgbench(primary.installation, environment, load)
    after = [target.cpu_seconds(), cpu_seconds(primary), sum(map(cpu_seconds, replicas))]
    spent = [(end - start) / run.queries * 1e6 for start, end in zip(before, after, strict=True)]
    return Figures(run.tps, *spent)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--modes", nargs="+", default=["simple", "extended", "prepared"])
    parser.add_argument("--clients", nargs="+", type=int, default=[16, 64])
    arguments = parser.parse_args()
    loads = [Load(m, c, arguments.seconds) for m in arguments.modes for c in arguments.clients]
    results: dict[tuple[Load, str], list[Figures]] = defaultdict(list)
    settings = {"max_connections": max(arguments.clients) + 3 * POOL + 50}
    with ExitStack() as stack:
        primary = stack.enter_context(
            create_primary(installation=embedded(), auth="trust", settings=settings)
        )
        primary.installation.run("pgbench", "-i", "-q", "-s", "10", environment=primary.environment())
        hosts = [primary, *(stack.enter_context(primary.create_replica(name)) for name in ("one", "two"))]
        urls = ",".join(host.dsn() for host in hosts[1:])
        targets = {
            position: stack.enter_context(
                proxy(primary, POOL, {"DATABASE_READ_REPLICAS": urls, "DBPROXY_ROUTING__MODE": position})
            )
            for position in POSITIONS
        }
        for number in range(arguments.rounds):
            for load in loads:
                print(f"round {number + 1}: {load.mode}, {load.clients} clients", file=sys.stderr, flush=True)
                for position, target in targets.items():
                    results[load, position].append(measure(hosts, target, load))
    text = (
        describe_machine({"load": f"pgbench -S, pool of {POOL}, two replicas"}) + "\n" + table(loads, results)
    )
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


def table(loads: list[Load], results: dict[tuple[Load, str], list[Figures]]) -> str:
    rows = [HEAD, ["---"] * 3 + ["---:"] * (len(HEAD) - 3)]
    for load in loads:
        for position in POSITIONS:
            tps, *spent = (median(values) for values in zip(*results[load, position], strict=True))
            rows.append(
                [load.mode, str(load.clients), position, f"{tps:,.0f}", *(f"{us:.1f}" for us in spent)]
            )
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    sys.exit(main())
