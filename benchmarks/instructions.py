"""Instructions for each query, and whether they are within the budget: `python -m benchmarks.instructions`.

Counted by callgrind while `pgbench -S` runs a fixed number of transactions twice, some and many more: the difference is
that of the queries alone, less what the idle process runs in that time. One client at a time is always the same work,
so that it can be held to a budget (`--check`, budget.toml); of several, as many as happen to be there at once share a
turn of the event loop. Medians over rounds: now and then a round has the garbage collector in it.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean, median

from benchmarks.callgrind import VALGRIND, Counter, under_callgrind
from benchmarks.targets import PGBOUNCER, Target, environment_for, pgbouncer, pgbouncer_version, proxy
from dbproxy import compiled
from dbproxy.demo.installation import PostgresError, embedded
from dbproxy.demo.postgres import Postgres, create_primary

MODES = ["simple", "extended", "prepared"]
ROUTING = ["off", "observe", "on"]
POOL = 20
SOME, MANY, FEWER = 800, 16_000, 4_800  # transactions; FEWER still give half a per cent for a single client
BUDGET = Path(__file__).with_name("budget.toml")
TOLERANCE = 0.05  # what one run differs from the next by
IDLE_SECONDS = 1.0
STEADY = {  # so that counts come out the same twice: hosts are probed at the start, and no more
    "PYTHONHASHSEED": "0",
    "DBPROXY_HEALTH__INTERVAL": "10m",
    "DBPROXY_HEALTH__LAG_INTERVAL": "0",
    "DBPROXY_ROUTING__SLOW_START": "0",
    "DBPROXY_ROUTING__CONSISTENCY": "session",  # with global, replicas take reads only once they were probed again
}

Figures = dict[str, dict[str, int]]  # target, mode: instructions for each query


class Measurement:
    """Of one process."""

    def __init__(self, primary: Postgres, target: Target) -> None:
        self.primary = primary
        self.target = target
        self.counter = Counter(target.process, primary.socket_dir)
        self._run("simple", 1, SOME)  # what is done once at the start is over then
        self.idle = fmean(self._idle() for _ in range(6))  # on a busy machine one window says little

    def per_query(self, mode: str, clients: int, rounds: int, many: int) -> int:
        """Servers are open and statements prepared before the first round."""
        self._run(mode, clients, SOME)
        few, lot = (median(self._count(mode, clients, n) for _ in range(rounds)) for n in (SOME, many))
        return round((lot - few) / (many - SOME))

    def _idle(self) -> float:
        """Instructions for each second."""
        instructions, seconds = self.counter.count(lambda: time.sleep(IDLE_SECONDS))
        return instructions / seconds

    def _count(self, mode: str, clients: int, transactions: int) -> float:
        """Less what is run without them."""
        instructions, seconds = self.counter.count(lambda: self._run(mode, clients, transactions))
        return instructions - self.idle * seconds

    def order(self, command: str) -> str:
        """On the proxy's console; what it says."""
        environment = {**environment_for(self.primary, self.target.port), "PGDATABASE": "dbproxy"}
        return self.primary.installation.run("psql", "-XAqtc", command, environment=environment)

    def share_at_primary(self) -> float:
        """Of all that routing has decided."""
        rows = [line.split("|") for line in self.order("SHOW ROUTES").splitlines()]
        return sum(int(row[4]) for row in rows if row[2] == "primary") / sum(int(row[4]) for row in rows)

    def _run(self, mode: str, clients: int, transactions: int) -> None:
        load = ["-n", "-S", "-M", mode, "-c", str(clients), "-t", str(transactions // clients)]
        environment = environment_for(self.primary, self.target.port)
        self.primary.installation.run("pgbench", *load, environment=environment)


@contextmanager
def measured_proxy(primary: Postgres, more: Mapping[str, str]) -> Iterator[Measurement]:
    with proxy(primary, POOL, {**STEADY, **more}, under=under_callgrind(primary.socket_dir)) as target:
        yield Measurement(primary, target)


@contextmanager
def measured_pgbouncer(primary: Postgres) -> Iterator[Measurement]:
    with pgbouncer(primary, POOL, under=under_callgrind(primary.socket_dir)) as target:
        yield Measurement(primary, target)


def wait_for_replay(primary: Postgres, replicas: Sequence[Postgres]) -> None:
    """Until the replicas are where the primary's WAL ends: they are asked where they are at the start alone."""
    end = primary.psql("SELECT pg_current_wal_insert_lsn()")
    while any(replica.psql(f"SELECT pg_last_wal_replay_lsn() < '{end}'") != "f" for replica in replicas):
        time.sleep(0.05)


class Bench:
    """All that is measured, one process after the other."""

    def __init__(self, primary: Postgres, arguments: argparse.Namespace) -> None:
        self.primary = primary
        self.arguments = arguments
        self.figures: dict[int, Figures] = {clients: {} for clients in arguments.clients}

    def run(self) -> None:
        if PGBOUNCER and self.arguments.transactions == MANY:
            with measured_pgbouncer(self.primary) as pooler:
                modes = MODES if pgbouncer_version() >= (1, 21) else MODES[:2]
                self._measure("PgBouncer", pooler, modes)
        with measured_proxy(self.primary, {}) as alone:
            self._measure("alone", alone)
        with ExitStack() as stack:
            replicas = [stack.enter_context(self.primary.create_replica(name)) for name in ("one", "two")]
            wait_for_replay(self.primary, replicas)
            urls = ",".join(replica.dsn() for replica in replicas)
            more = {"DATABASE_READ_REPLICAS": urls, "DBPROXY_AUTH__ADMIN_USERS": self.primary.superuser}
            with measured_proxy(self.primary, more) as routed:
                for position in ROUTING:
                    routed.order(f"SET routing = '{position}'")
                    self._measure(position, routed)
                if routed.share_at_primary() > 0.1:
                    raise PostgresError(
                        "the primary has answered reads that were to cost what a replica's do"
                    )

    def _measure(self, name: str, measurement: Measurement, modes: list[str] = MODES) -> None:
        arguments = self.arguments
        for clients, figures in self.figures.items():
            figures[name] = {
                mode: measurement.per_query(mode, clients, arguments.rounds, arguments.transactions)
                for mode in modes
            }


def judge(figures: Figures, budget: Figures) -> Iterator[str]:
    """A line for each figure that is over its budget, or has none."""
    for name, modes in figures.items():
        for mode, number in modes.items():
            allowed = budget.get(name, {}).get(mode, 0)
            if number > allowed * (1 + TOLERANCE):
                yield f"{name}, {mode}: {number:,} instructions for each query, budget {allowed:,}"


def write_budget(figures: Figures) -> str:
    tables = (
        (name, "".join(f"{mode} = {number}\n" for mode, number in modes.items()))
        for name, modes in figures.items()
    )
    head = (
        "# Instructions for each query, one client: what `make instructions CHECK=1` allows, and 5 % more.\n"
    )
    return (
        head
        + "# Written by `python -m benchmarks.instructions --budget`.\n"
        + "".join(f"\n[{name}]\n{table}" for name, table in tables)
    )


def table(figures: Figures) -> str:
    rows = [["", *MODES], ["---", *["---:"] * len(MODES)]]
    for name, modes in figures.items():
        title = name if name == "PgBouncer" else f"dbproxy, {name}" + " with replicas" * (name in ROUTING)
        rows.append([title, *(f"{modes[mode]:,}" if mode in modes else "-" for mode in MODES)])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--check", action="store_true", help="one client only, and compare with budget.toml")
    parser.add_argument("--budget", action="store_true", help="the same, but write budget.toml anew")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transactions", type=int, default=MANY)
    arguments = parser.parse_args()
    if arguments.check or arguments.budget:
        arguments.clients, arguments.transactions = [1], FEWER
    return arguments


def main() -> int:
    arguments = parse_arguments()
    if not VALGRIND or not compiled():
        print(
            "SKIPPED: instructions are not counted:",
            "valgrind is not installed" if not VALGRIND else "not compiled",
        )
        return 0
    with create_primary(installation=embedded(), auth="trust", settings={"max_connections": 100}) as primary:
        primary.installation.run("pgbench", "-i", "-q", "-s", "1", environment=primary.environment())
        bench = Bench(primary, arguments)
        bench.run()
    for clients, figures in bench.figures.items():
        print(f"instructions in user space for each query, {clients} clients:\n\n{table(figures)}")
    if arguments.budget:
        BUDGET.write_text(write_budget(bench.figures[1]))
    lines = list(judge(bench.figures[1], tomllib.loads(BUDGET.read_text()))) if arguments.check else []
    print("\n".join(lines) or "within the budget" * arguments.check)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
