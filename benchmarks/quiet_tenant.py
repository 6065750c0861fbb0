"""What a tenant at many times its limit costs another: `python -m benchmarks.quiet_tenant`.

The quiet tenant asks seldom and on time (`pgbench -S -R`): by itself, beside a loud one that asks for 100 times its
limit, and beside the same traffic that no limit is for. Rounds are short, many and interleaved, as others may use the
machine, too; told are medians over them, half of the rounds' p99 being within the brackets.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.pgbench import Load, run_pgbench
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import Target, environment_for, proxy
from dbproxy.demo.installation import embedded
from dbproxy.demo.postgres import Postgres, create_primary

POOL = 20
ALONE, LIMITED, UNLIMITED = STATES = ("alone", "beside a loud one", "beside as much without a limit")
LOUD = {LIMITED: "loud", UNLIMITED: "free"}
QUIET = "quiet"
HEAD = [
    "quiet tenant",
    "p50 ms",
    "p99 ms",
    "p99 / alone",
    "loud: asked a second",
    "refused",
    "proxy CPU",
    "µs for each asked",
]


@dataclass(frozen=True)
class Round:
    """Of the quiet tenant's times in milliseconds; the proxy's CPU in cores."""

    p50: float
    p99: float
    proxy: float
    asked: float = 0.0
    refused: float = 0.0


class Bench:
    def __init__(self, primary: Postgres, target: Target, arguments: argparse.Namespace) -> None:
        self.primary = primary
        self.target = target
        self.load = Load("simple", arguments.clients, arguments.seconds, rate=arguments.rate)
        self.asks = arguments.limit * arguments.times
        self.at_once = arguments.at_once
        self.rounds: dict[str, list[Round]] = defaultdict(list)

    def run(self, state: str) -> None:
        """The loud one has begun by then, and has used what it may."""
        environment = environment_for(self.primary, self.target.port) | {"PGUSER": QUIET}
        loud = self.shout(LOUD[state]) if state in LOUD else None
        run_pgbench(self.primary.installation, environment, self.load, once=True)
        before = self.target.cpu_seconds()
        run = run_pgbench(self.primary.installation, environment, self.load)
        spent = (self.target.cpu_seconds() - before) / self.load.seconds
        told = json.loads(loud.communicate()[0]) if loud is not None else {}
        self.rounds[state].append(Round(run.percentile_ms(0.5), run.percentile_ms(0.99), spent, **told))

    def shout(self, user: str) -> subprocess.Popen[str]:
        words = [str(word) for word in (self.target.port, user, self.asks, self.at_once)]
        loud = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.flood", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert loud.stdout is not None
        loud.stdout.readline()
        return loud

    def row(self, state: str) -> list[str]:
        rounds, alone = self.rounds[state], self.rounds[ALONE]
        asked = middle(rounds, "asked")
        least, _, most = quantiles([one.p99 for one in rounds], n=4)
        return [
            state,
            f"{middle(rounds, 'p50'):.2f}",
            f"{middle(rounds, 'p99'):.2f} ({least:.2f} to {most:.2f})",
            f"{middle(rounds, 'p99') / middle(alone, 'p99'):.2f}",
            f"{asked:,.0f}" if asked else "-",
            f"{middle(rounds, 'refused') / asked:.0%}" if asked else "-",
            f"{middle(rounds, 'proxy'):.2f}",
            f"{(middle(rounds, 'proxy') - middle(alone, 'proxy')) / asked * 1e6:.0f}" if asked else "-",
        ]


def middle(rounds: Sequence[Round], name: str) -> float:
    return float(median(getattr(one, name) for one in rounds))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quiet_tenant", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4, help="of the quiet tenant")
    parser.add_argument("--rate", type=int, default=400, help="what the quiet tenant asks a second")
    parser.add_argument("--limit", type=int, default=50, help="what the loud one may ask a second,")
    parser.add_argument("--times", type=int, default=100, help="and how many times that it does")
    parser.add_argument("--at-once", type=int, default=1, help="of these in a pipeline")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    settings = {
        "DBPROXY_LIMITS__MODE": "on",
        "DBPROXY_LIMITS__TIER": "loud",
        "DBPROXY_LIMITS__TIERS__LOUD__RATE": f"{arguments.limit}/s",
        "DBPROXY_LIMITS__EXEMPT": f"{QUIET},{LOUD[UNLIMITED]}",
    }
    with ExitStack() as stack:
        primary = stack.enter_context(
            create_primary(installation=embedded(), auth="trust", settings={"max_connections": 3 * POOL + 50})
        )
        primary.installation.run("pgbench", "-i", "-q", "-s", "10", environment=primary.environment())
        for user in (QUIET, *LOUD.values()):
            primary.psql(f"CREATE ROLE {user} LOGIN IN ROLE pg_read_all_data")
        target = stack.enter_context(proxy(primary, POOL, settings))
        bench = Bench(primary, target, arguments)
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            for state in STATES if number % 2 else reversed(STATES):
                bench.run(state)
    rows = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1), *map(bench.row, STATES)]
    facts = {
        "load": f"pgbench -S -R {arguments.rate}, {arguments.clients} clients, {arguments.seconds} s a round",
        "limit": f"{arguments.limit}/s, asked for {arguments.times} times as much, {arguments.at_once} at once",
    }
    text = describe_machine(facts) + "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
