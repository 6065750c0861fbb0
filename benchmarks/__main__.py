"""Direct, PgBouncer and dbproxy side by side; rounds are interleaved: a slow minute hits all alike."""

import argparse
import sys
from collections import defaultdict
from contextlib import ExitStack
from functools import partial

from benchmarks.encryption import LIBPQ, encrypt
from benchmarks.pgbench import MODES, Load, run_pgbench
from benchmarks.report import Figures, build_table, describe_machine, write_report
from benchmarks.targets import PGBOUNCER, Target, environment_for, pgbouncer, pgbouncer_version, proxy
from dbproxy.demo.installation import Installation, PostgresError, installations
from dbproxy.demo.postgres import Postgres, create_primary


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4, help="length of one run of pgbench")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 16, 64, 200])
    parser.add_argument("--pool", type=int, default=20, help="server connections of the poolers")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables: 100,000 rows each")
    parser.add_argument("--postgres", default="embedded", help="whose PostgreSQL: embedded, debian-15 ...")
    parser.add_argument("--tls", action="store_true", help="encrypt every line, on both sides of the poolers")
    parser.add_argument("--pin", type=int, metavar="CPU", help="keep the poolers on this CPU")
    arguments = parser.parse_args()
    if arguments.tls and arguments.postgres == "embedded":
        parser.error("the embedded PostgreSQL has no TLS: --postgres debian-15")
    if arguments.quick:
        arguments.rounds = arguments.seconds = arguments.scale = 1
    return arguments


class Bench:
    """All the runs, their figures, and why what is missing is missing."""

    def __init__(self, arguments: argparse.Namespace, primary: Postgres) -> None:
        self.arguments = arguments
        self.primary = primary
        self.loads = [Load(m, c, arguments.seconds) for m in arguments.modes for c in arguments.clients]
        self.results: dict[tuple[str, Load], list[Figures]] = defaultdict(list)
        self.reasons: list[str] = []
        self.libpq = LIBPQ if arguments.tls else {}
        self.certificate = encrypt(primary) if arguments.tls else None
        self.failed = False

    def run(self) -> None:
        with ExitStack() as stack:
            targets = [Target("direct", self.primary.port), *self._start_poolers(stack)]
            for number in range(self.arguments.rounds):
                for load in self.loads:
                    print(
                        f"round {number + 1}: {load.mode}, {load.clients} clients",
                        file=sys.stderr,
                        flush=True,
                    )
                    for target in targets:
                        self._measure(target, load)

    def _start_poolers(self, stack: ExitStack) -> list[Target]:
        started = []
        if not PGBOUNCER:
            self.reasons.append("PgBouncer is not installed")
        size, certificate = self.arguments.pool, self.certificate
        poolers = (
            partial(pgbouncer, more=certificate.for_pgbouncer() if certificate else None),
            partial(proxy, more=certificate.for_proxy() if certificate else None),
        )
        for start in poolers if PGBOUNCER else poolers[1:]:
            try:
                started.append(stack.enter_context(start(self.primary, size)))
            except PostgresError as error:
                self._fail(f"{error.message}: {error.detail}")
        for target in started:
            if self.arguments.pin is not None and target.process:
                target.process.cpu_affinity([self.arguments.pin])
        return started

    def _measure(self, target: Target, load: Load) -> None:
        if target.name == "PgBouncer" and load.mode == "prepared" and pgbouncer_version() < (1, 21):
            self.reasons.append("PgBouncer before 1.21 has no prepared statements in transaction mode")
            return
        try:
            self.results[target.name, load].append(self._run(target, load))
        except PostgresError as error:
            self._fail(f"{target.name}, {load.mode}, {load.clients} clients: {error.detail[-300:]}")

    def _run(self, target: Target, load: Load) -> Figures:
        """A run of one query for each client goes before, to be taken off: it costs what the logins cost."""
        environment = {**environment_for(self.primary, target.port), **self.libpq}
        start = target.cpu_seconds()
        short = run_pgbench(self.primary.installation, environment, load, once=True)
        middle = target.cpu_seconds()
        run = run_pgbench(self.primary.installation, environment, load)
        cpu_us = ((target.cpu_seconds() - middle) - (middle - start)) / (run.queries - short.queries) * 1e6
        return Figures(run.tps, run.percentile_ms(0.5), run.percentile_ms(0.99), cpu_us)

    def _fail(self, reason: str) -> None:
        self.failed = True
        self.reasons.append(f"FAILED: {reason}")

    def report(self) -> str:
        arguments, installation = self.arguments, self.primary.installation
        facts = {
            "PostgreSQL and pgbench": f"{installation.version} ({installation.name})",
            "PgBouncer": ".".join(map(str, pgbouncer_version())) or "none",
            "load": f"pgbench -S, scale {arguments.scale}, pool of {arguments.pool}, TCP on loopback, "
            f"{'TLS on every line, ' if arguments.tls else ''}trust",
            "rounds": f"{arguments.rounds} interleaved, {arguments.seconds} s each, medians",
            "poolers kept on CPU": "any" if arguments.pin is None else arguments.pin,
        }
        return f"{describe_machine(facts)}\n{build_table(self.results, self.loads, self.reasons)}"


def find_installation(name: str) -> Installation:
    found = {installation.name: installation for installation in installations()}
    if name not in found:
        sys.exit(f"no PostgreSQL '{name}' here; there is: {', '.join(found)}")
    return found[name]


def main() -> int:
    arguments = parse_arguments()
    installation = find_installation(arguments.postgres)
    settings = {"max_connections": max(arguments.clients) + arguments.pool * 2 + 50}
    with create_primary(installation=installation, auth="trust", settings=settings) as primary:
        tables = ["-i", "-q", "-s", str(arguments.scale)]
        installation.run("pgbench", *tables, environment=primary.environment())
        bench = Bench(arguments, primary)
        bench.run()
    text = bench.report()
    print(f"{text}\nwritten to {write_report(text)}")
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
