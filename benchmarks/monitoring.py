"""What it costs to see everything: `python -m benchmarks.monitoring`.

Three proxies before one PostgreSQL: one tells nothing; one counts what each statement costs, logs slow queries, serves
metrics and the page, as it is by default; one also traces a tenth of the requests to a collector. Each round they run
one after another, each of them first in its turn: what is told is the median of the differences to the first.
"""

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from statistics import median

from benchmarks.pgbench import Load, run_pgbench
from benchmarks.receiver import Receiver
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import Target, environment_for, proxy
from dbproxy.demo.installation import embedded
from dbproxy.demo.postgres import Postgres, create_primary, free_port

POOL = 20
OFF = {
    "QUERY_MONITORING_ENABLED": "false",
    "DBPROXY_TRACING__MODE": "off",
    "DBPROXY_SLOW_QUERY__THRESHOLD": "1h",
}
STATES = ["off", "default", "traced"]
HEAD = ["mode", "clients", "proxy", "CPU µs/query", "more than off, µs", "by quarters, µs"]


def default() -> dict[str, str]:
    return {"DBPROXY_HTTP__PORT": str(free_port())}


def seeing(receiver: Receiver) -> dict[str, str]:
    """The settings of who sees everything."""
    return {
        **default(),
        "DBPROXY_TRACING__MODE": "on",
        "DBPROXY_TRACING__SAMPLE_RATE": "0.1",
        "DBPROXY_TRACING__ENDPOINT": f"http://127.0.0.1:{receiver.port}",
    }


def measure(primary: Postgres, target: Target, load: Load) -> float:
    """CPU microseconds for each query, without the logins."""
    environment = environment_for(primary, target.port)
    start = target.cpu_seconds()
    short = run_pgbench(primary.installation, environment, load, once=True)
    middle = target.cpu_seconds()
    run = run_pgbench(primary.installation, environment, load)
    spent = (target.cpu_seconds() - middle) - (middle - start)
    return spent / (run.queries - short.queries) * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--modes", nargs="+", default=["simple", "extended", "prepared"])
    parser.add_argument("--clients", nargs="+", type=int, default=[16])
    arguments = parser.parse_args()
    loads = [Load(m, c, arguments.seconds) for m in arguments.modes for c in arguments.clients]
    results: dict[Load, list[dict[str, float]]] = defaultdict(list)
    settings = {"max_connections": max(arguments.clients) + 3 * POOL + 50}
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        primary = stack.enter_context(
            create_primary(installation=embedded(), auth="trust", settings=settings)
        )
        primary.installation.run("pgbench", "-i", "-q", "-s", "10", environment=primary.environment())
        targets = {
            state: stack.enter_context(proxy(primary, POOL, settings))
            for state, settings in zip(STATES, (OFF, default(), seeing(receiver)), strict=True)
        }
        for number in range(arguments.rounds):
            for load in loads:
                print(f"round {number + 1}: {load.mode}, {load.clients} clients", file=sys.stderr, flush=True)
                first = number % len(STATES)
                turns = STATES[first:] + STATES[:first]
                results[load].append({state: measure(primary, targets[state], load) for state in turns})
        assert receiver.requests, "no span has come"
    facts = {"load": f"pgbench -S, pool of {POOL}, {arguments.rounds} rounds of {arguments.seconds} s"}
    text = describe_machine(facts) + "\n" + build_table(results)
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


def build_table(results: dict[Load, list[dict[str, float]]]) -> str:
    rows = [HEAD, ["---"] * 3 + ["---:"] * (len(HEAD) - 3)]
    for load, rounds in results.items():
        for state in STATES:
            differences = sorted(spent[state] - spent["off"] for spent in rounds)
            quarter = len(differences) // 4
            middle = f"{differences[quarter]:+.2f} to {differences[-1 - quarter]:+.2f}"
            cells = [f"{median(spent[state] for spent in rounds):.1f}", f"{median(differences):+.2f}", middle]
            rows.append([load.mode, str(load.clients), state, *cells])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


if __name__ == "__main__":
    sys.exit(main())
