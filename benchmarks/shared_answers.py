"""What Redis' faults cost readers, and how soon answers are there after a start: `python -m benchmarks.shared_answers`.

Reads come on time (`pgbench -R`) to PostgreSQL itself, and to a proxy whose memory is small, so that it looks in Redis,
over a line that is slow, deaf, cut or talks nonsense, and in a Redis that is full. Rounds are interleaved, and medians
told. Then the proxy is stopped behind such reads and started again, with what it has learned: the share of the reads
that no server was asked, as pg_stat_statements knows it.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from benchmarks.cache import build_table
from benchmarks.pgbench import Run, read_run
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import Target, environment_for, proxy
from dbproxy.demo.installation import account, embedded, temp_dir
from dbproxy.demo.postgres import HOST, Postgres, create_primary, free_port

POOL = 20
KEYS = 400
READ = f"\\set id random_zipfian(1, {KEYS}, 1.05)\nSELECT sum(amount) FROM orders WHERE customer = :id;\n"
TABLE = f"""
CREATE EXTENSION pg_stat_statements;
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount int);
INSERT INTO orders SELECT n, 1 + n % {KEYS}, n FROM generate_series(1, {KEYS * 200}) n;
CREATE INDEX ON orders (customer); ANALYZE orders; CREATE PUBLICATION dbproxy_cache FOR TABLE orders;
"""
CALLS = "SELECT COALESCE(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE 'SELECT sum(amount)%'"
WELL, SLOW, DEAF, CUT, NONSENSE, FULL = FAULTS = (
    "none",
    "slow: 200 ms",
    "frozen",
    "gone",
    "talks nonsense",
    "full",
)
KEPT = {
    "DBPROXY_CACHE__MODE": "on",
    "DBPROXY_CACHE__VERIFY": "0",
    "DBPROXY_CACHE__INVALIDATION": "wal",
    "DBPROXY_SLOW_QUERY__THRESHOLD": "1h",
}
SMALL = {"DBPROXY_CACHE__MEMORY": "64KiB", "DBPROXY_CACHE__REDIS_MIN_COST": "0ms"}


class Line:
    """Before Redis, in a thread of its own; `fault` may change at any time."""

    def __init__(self, redis_port: int) -> None:
        self.port = free_port()
        self.redis_port = redis_port
        self.fault = WELL
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self) -> None:
        self.thread.start()
        asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self.carry, HOST, self.port), self.loop
        ).result()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection(HOST, self.redis_port)
        await asyncio.gather(self.pump(reader, to), self.pump(there, writer))

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # the proxy gives up lines on which it has waited in vain
            while (data := await reader.read(65536)) and self.fault != CUT:
                if self.fault == SLOW:
                    await asyncio.sleep(0.1)  # there, and back again
                if self.fault != DEAF:
                    writer.write(b"$-7\r\nHTTP/1.1 400\r\n" if self.fault == NONSENSE else data)
        writer.close()


@contextmanager
def redis() -> Iterator[int]:
    """Its port."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is not installed")
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def run(primary: Postgres, target: Target, arguments: argparse.Namespace, seconds: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="dbproxy-bench-", dir=temp_dir()) as name:
        folder, script = Path(name), Path(name) / "read"
        account().own(folder)
        script.write_text(READ)
        account().own(script)
        text = primary.installation.run(
            "pgbench", "-n", "-M", "simple", "-c", str(arguments.clients), "-j", "1", "-T", f"{seconds:.0f}",
            f"--rate={arguments.rate}", f"--file={script}", "-l", f"--log-prefix={name}/times",
            environment=environment_for(primary, target.port),
        )  # fmt: skip
        return read_run(text, "".join(path.read_text() for path in folder.glob("times*")))


def set_fault(line: Line, fault: str) -> None:
    line.fault = fault
    limit = "1" if fault == FULL else "0"
    subprocess.run(
        ["redis-cli", "-p", str(line.redis_port), "CONFIG", "SET", "maxmemory", limit],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def fault_rounds(
    primary: Postgres, proxied: Target, line: Line, arguments: argparse.Namespace
) -> list[list[str]]:
    direct = Target("direct", primary.port)
    found: dict[str, list[tuple[Run, float]]] = defaultdict(list)
    for number in range(arguments.rounds):
        print(f"faults, round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        for state in ("direct", *FAULTS):
            if state != "direct":
                set_fault(line, state)
            before = int(primary.psql(CALLS))
            one = run(primary, direct if state == "direct" else proxied, arguments, arguments.seconds)
            found[state].append((one, 1 - (int(primary.psql(CALLS)) - before) / one.queries))
    base = median(one.percentile_ms(0.99) for one, _ in found["direct"])
    rows = []
    for state, some in found.items():
        p50, p99 = (median(one.percentile_ms(q) for one, _ in some) for q in (0.5, 0.99))
        hits = median(share for _, share in some)
        rows.append([state, f"{p50:.2f}", f"{p99:.2f}", f"{p99 - base:+.2f}", f"{hits:.0%}"])
    return rows


def restart(primary: Postgres, arguments: argparse.Namespace) -> list[list[str]]:
    """For each of so many seconds behind a start, the share of reads that came to no server."""
    rows = []
    for warming in ("false", "true"):
        with tempfile.TemporaryDirectory(prefix="dbproxy-bench-") as folder:
            more = {**KEPT, "DBPROXY_CACHE__WARMING": warming, "DBPROXY_CACHE__STATE_DIR": folder}
            with proxy(primary, POOL, more) as before:
                run(primary, before, arguments, 10)
            shares = []
            with proxy(primary, POOL, more) as after:
                began = time.monotonic()
                while time.monotonic() < began + 30:
                    calls = int(primary.psql(CALLS))
                    one = run(primary, after, arguments, 5)
                    shares.append(1 - (int(primary.psql(CALLS)) - calls) / one.queries)
        rows.append(["on" if warming == "true" else "off", *(f"{share:.0%}" for share in shares[:6])])
    return rows


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_answers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=int, default=1000, help="reads a second")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    settings = {"shared_preload_libraries": "pg_stat_statements", "wal_level": "logical"}
    with ExitStack() as stack:
        primary = stack.enter_context(
            create_primary(installation=embedded(), auth="trust", settings=settings)
        )
        primary.psql(TABLE)
        line = Line(stack.enter_context(redis()))
        line.start()
        stack.callback(line.stop)
        more = {**KEPT, **SMALL, "DBPROXY_CACHE__REDIS_URL": f"redis://{HOST}:{line.port}/0"}
        with proxy(primary, POOL, more) as proxied:
            rows = fault_rounds(primary, proxied, line, arguments)
        head = ["Redis", "p50 ms", "p99 ms", "- direct", "answered by no server"]
        tables = build_table(head, 1, rows) + "\n"
        head = ["warming", *(f"{second} to {second + 5} s" for second in range(0, 30, 5))]
        tables += build_table(head, 1, restart(primary, arguments))
    facts = {"reads": f"pgbench, {arguments.clients} clients, {arguments.rate} a second, on time"}
    text = describe_machine(facts) + "\n" + tables
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
