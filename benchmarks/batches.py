"""What a batch costs the application beside it, and how fast one is: `python -m benchmarks.batches`.

pgbench reads and writes rows of a table through the proxy, on time (`-R`), in rounds of some seconds: first alone, then
while a batch changes each row of that table once, and another one deletes two fifths of them, both with their throttle,
and alone again, as others may use the machine: what it was alone are the rounds before and after.
The replica's lag is asked of the primary all the time. Told are the application's p99 (median and worst round), its
deadlocks, the longest chunk, and whether each row was changed exactly once. Then a batch that nothing holds up,
beside one statement that does the same, on tables that nobody else uses.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any

import asyncpg

from benchmarks.cache import build_table
from benchmarks.pgbench import Run, read_run
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import Target, environment_for, proxy
from dbproxy.app.jobs import make_guard
from dbproxy.cli.words import parse_overrides
from dbproxy.config import load
from dbproxy.config.batch import BatchSettings
from dbproxy.config.url import parse_url
from dbproxy.demo.installation import account, embedded, temp_dir
from dbproxy.demo.postgres import HOST, Postgres, create_primary, free_port
from dbproxy.jobs.batch import Batch, Primary, Rows, read_statement
from dbproxy.jobs.pressure.guard import Guard

POOL = 20
TABLE = """
CREATE TABLE {0} (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, hits int NOT NULL DEFAULT 0, note text)
WITH (fillfactor = 80); INSERT INTO {0} SELECT g, 0, 0, 'some words of row ' || g FROM generate_series(1, {1}) g;
"""
READ = "SELECT n, hits FROM t WHERE id = :id;\n"
WRITE = "UPDATE t SET hits = hits + 1 WHERE id = :id;\n"
UPDATE = "UPDATE t SET n = n + 1 WHERE {chunk}"
DELETE = "DELETE FROM t WHERE {chunk} AND id % 5 < 2"
LAG = "SELECT COALESCE(extract(epoch FROM max(replay_lag)), 0)::float8 FROM pg_stat_replication"
# As on a server that has run for a while: WAL files that can be written over, as making one holds up who commits.
USED = "SELECT pg_logical_emit_message(false, 'used', repeat('x', 16 << 20)) FROM generate_series(1, {})"
DEADLOCKS = "SELECT sum(deadlocks)::int8 FROM pg_stat_database"
HEAD = [
    "",
    "seconds",
    "rounds",
    "p50 ms",
    "p99 ms",
    "/ alone",
    "worst",
    "lag s",
    "longest chunk s",
    "throttled s",
]


class Watched:
    """A throttle that notes how long chunks took, and for how long it has held them up."""

    def __init__(self, inner: Guard) -> None:
        self.inner = inner
        self.longest = self.held = 0.0

    async def check(self) -> None:
        await self.inner.check()

    async def wait(self, tell: Any) -> None:
        began = monotonic()
        await self.inner.wait(tell)
        self.held += monotonic() - began

    def worked(self, seconds: float, rows: int) -> None:
        self.longest = max(self.longest, seconds)
        self.inner.worked(seconds, rows)

    def goal(self, chunk_time: float) -> float:
        return self.inner.goal(chunk_time)

    def adjust(self, settings: BatchSettings) -> None:
        self.inner.adjust(settings)

    async def close(self) -> None:
        await self.inner.close()


@dataclass
class Phase:
    """`lag`: the longest, in seconds."""

    name: str
    seconds: float = 0.0
    lag: float = 0.0
    rounds: list[Run] = field(default_factory=list)
    throttle: Watched | None = None

    def describe(self, alone: list[Run]) -> list[str]:
        p50, p99 = (median(run.percentile_ms(q) for run in self.rounds) for q in (0.5, 0.99))
        base = median(run.percentile_ms(0.99) for run in alone)
        worst = max(run.percentile_ms(0.99) for run in self.rounds)
        chunks = ["-", "-"]
        if self.throttle is not None:
            chunks = [f"{self.throttle.longest:.2f}", f"{self.throttle.held:.0f}"]
        return [
            *(self.name, f"{self.seconds:.0f}", str(len(self.rounds)), f"{p50:.2f}", f"{p99:.2f}"),
            *(f"{p99 / base:.2f}", f"{worst:.2f}", f"{self.lag:.2f}", *chunks),
        ]


class Bench:
    def __init__(self, primary: Postgres, target: Target, http: int, arguments: argparse.Namespace) -> None:
        self.primary = primary
        self.target = target
        self.http = http
        self.arguments = arguments

    def ask(self) -> Run:
        """One round of the application. ValueError if one of its transactions has failed."""
        arguments = self.arguments
        with tempfile.TemporaryDirectory(prefix="dbproxy-bench-", dir=temp_dir()) as name:
            folder = Path(name)
            account().own(folder)
            choice = f"\\set id random(1, {arguments.rows})\n"
            files = [(folder / "read", choice + READ, 3), (folder / "write", choice + WRITE, 1)]
            for path, text, _ in files:
                path.write_text(text)
                account().own(path)
            text = self.primary.installation.run(
                "pgbench", "-n", "-M", "prepared", "-c", str(arguments.clients), "-j", "1", "-T", str(arguments.round),
                f"--rate={arguments.rate}", *(f"--file={path}@{weight}" for path, _, weight in files),
                "-l", f"--log-prefix={name}/times", environment=environment_for(self.primary, self.target.port),
            )  # fmt: skip
            return read_run(text, "".join(path.read_text() for path in folder.glob("times*")))

    async def go_through(self, name: str, work: Callable[[], Awaitable[Any]]) -> Phase:
        """The application's rounds until the work is done."""
        phase, began = Phase(name), monotonic()
        task = asyncio.ensure_future(work())
        watching = asyncio.create_task(self.watch_lag(phase))
        while not task.done() or not phase.rounds:
            phase.rounds.append(await asyncio.to_thread(self.ask))
        phase.seconds = monotonic() - began
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await task
        return phase

    async def watch_lag(self, phase: Phase) -> None:
        connection = await asyncpg.connect(self.primary.dsn())
        try:
            while True:
                phase.lag = max(phase.lag, await connection.fetchval(LAG))
                await asyncio.sleep(0.1)
        finally:
            await connection.close()

    async def beside(self, name: str, statement: str) -> Phase:
        environment = {"DATABASE_URL": self.primary.dsn(), "DBPROXY_HTTP__PORT": str(self.http)}
        given = parse_overrides(self.arguments.set, "key=value, such as chunk_time=100ms")
        settings = load(None, environment, {f"batch.{key}": value for key, value in given.items()})
        source, primary = make_source("t", statement), find_primary(self.primary)
        throttle = Watched(
            make_guard(settings, primary, lambda: source.target, alone=False, database="postgres")
        )

        async def work() -> None:
            async with Batch(primary, source, settings.batch, throttle=throttle) as batch:
                await batch.run()

        phase = await self.go_through(name, work)
        phase.throttle = throttle
        return phase


def make_source(table: str, statement: str) -> Rows:
    return Rows(table, ("id",), read_statement(statement))


def find_primary(primary: Postgres) -> Primary:
    host = parse_url(primary.dsn())
    assert host is not None
    return Primary([host])


async def measure(bench: Bench) -> tuple[list[list[str]], dict[str, str]]:
    arguments, primary = bench.arguments, bench.primary
    deadlocks = int(primary.psql(DEADLOCKS))

    async def rest() -> None:
        await asyncio.sleep(arguments.alone)

    alone = await bench.go_through("alone", rest)
    phases = [
        alone,
        await bench.beside("beside an update of each row", UPDATE),
        await bench.beside("beside a delete of two fifths", DELETE),
        await bench.go_through("alone again", rest),
    ]
    rounds = [*alone.rounds, *phases[-1].rounds]
    left = int(primary.psql("SELECT count(*) FROM t"))
    wrong = int(primary.psql("SELECT count(*) FROM t WHERE n <> 1"))
    facts = {
        "exactly once": f"{wrong} rows of {left:,} that are left were not changed exactly once",
        "gone": f"{arguments.rows - left:,} rows of {arguments.rows:,}",
        "deadlocks": str(int(primary.psql(DEADLOCKS)) - deadlocks),
        "failed transactions of the application": "0 (pgbench would have ended the run)",
    }
    return [phase.describe(rounds) for phase in phases], facts


async def race(primary: Postgres, rows: int, rounds: int) -> str:
    """How fast a batch is that nothing holds up, beside one statement."""
    ratios = []
    connection = await asyncpg.connect(primary.dsn())
    for number in range(rounds):
        print(f"unthrottled, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        times = []
        for table in ("bare", "chunked"):
            await connection.execute(f"DROP TABLE IF EXISTS {table}; {TABLE.format(table, rows)}")
            await connection.execute(f"VACUUM ANALYZE {table}")
            await connection.execute("CHECKPOINT")
            began = perf_counter()
            if table == "bare":
                await connection.execute("UPDATE bare SET n = n + 1")
            else:
                source = make_source(table, UPDATE.replace(" t ", " chunked "))
                settings = BatchSettings(vacuum_every=0)
                async with Batch(find_primary(primary), source, settings) as batch:
                    await batch.run()
            times.append(perf_counter() - began)
        ratios.append(times[0] / times[1])
    await connection.close()
    told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"{median(ratios):.2f} times the speed of one statement ({rows:,} rows; rounds {told})"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rate", type=int, default=400, help="transactions a second")
    parser.add_argument("--round", type=int, default=5, help="seconds")
    parser.add_argument("--alone", type=int, default=30, help="seconds")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of [batch]"
    )
    parser.add_argument("--wal-files", type=int, default=100, help="that are there to be written over")
    parser.add_argument("--race-rows", type=int, default=1_000_000)
    parser.add_argument("--race-rounds", type=int, default=3)
    arguments = parser.parse_args()
    settings: dict[str, Any] = {"max_connections": 100, "max_wal_size": "4GB", "autovacuum_naptime": "5s"}
    settings["min_wal_size"] = f"{max(80, 16 * arguments.wal_files)}MB"
    with create_primary(installation=embedded(), auth="trust", settings=settings) as primary:
        primary.psql(TABLE.format("t", arguments.rows))
        primary.psql("VACUUM ANALYZE t")
        primary.psql(USED.format(arguments.wal_files))
        primary.psql("CHECKPOINT")
        http = free_port()
        with primary.create_replica("replica1") as replica:
            more = {
                "DATABASE_READ_REPLICAS": replica.dsn(),
                "DBPROXY_HTTP__PORT": str(http),
                "DBPROXY_HTTP__HOST": HOST,
            }
            with proxy(primary, POOL, more) as target:
                rows, facts = asyncio.run(measure(Bench(primary, target, http, arguments)))
        if arguments.race_rounds:
            facts["unthrottled"] = asyncio.run(race(primary, arguments.race_rows, arguments.race_rounds))
    facts["application"] = (
        f"pgbench, {arguments.clients} clients, {arguments.rate} transactions a second on time, a quarter are writes"
    )
    text = describe_machine(facts) + "\n" + build_table(HEAD, 1, rows)
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
