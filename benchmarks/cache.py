"""What answers that are kept cost and save: `python -m benchmarks.cache`.

First the CPU of the proxy for each request of one client, for hits, misses and reads that are not looked for, beside a
proxy whose cache is off (`--without` a checkout of before there was one: that, too). Then reads by Zipf's law and few
writes on 20 tables, by pgbench: PostgreSQL itself, PgBouncer, and the proxy, off and on. Rounds are interleaved, and
medians told; times are those of reads, and how many of them came to PostgreSQL, pg_stat_statements says.
"""

import argparse
import socket
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.flood import READY, enter
from benchmarks.pgbench import Run, read_run
from benchmarks.report import describe_machine, write_report
from benchmarks.targets import PGBOUNCER, Target, environment_for, pgbouncer, proxy
from dbproxy.demo.installation import account, embedded, temp_dir
from dbproxy.demo.postgres import Postgres, Setting, create_primary
from dbproxy.wire import build
from dbproxy.wire.extended import write_parse

POOL, TABLES, CUSTOMERS = 20, 20, 20
QUIET = {"DBPROXY_CACHE__VERIFY": "0", "DBPROXY_SLOW_QUERY__THRESHOLD": "1h"}
MODES = ("off", "observe", "on")
TABLE = """
CREATE TABLE orders_{0} AS SELECT n AS id, 1 + n % 20 AS customer, n % 10 AS kind, n AS amount
FROM generate_series(1, 4000) n; CREATE INDEX ON orders_{0} (customer); ALTER TABLE orders_{0} ADD PRIMARY KEY (id);
ANALYZE orders_{0};
"""
BY_KEY = "SELECT amount FROM orders_1 WHERE id = {0}"
READS = {
    "one row by its key": "SELECT amount FROM orders_:t WHERE id = :id",
    "sums of 200 rows": "SELECT kind, sum(amount) FROM orders_:t WHERE customer = :id GROUP BY kind ORDER BY kind",
}
CHOICE = "\\set t random_zipfian(1, 20, 1.05)\n\\set id random_zipfian(1, 20, 1.05)\n"
EVENLY = "\\set t random(1, 20)\n\\set id random_zipfian(1, 20, 1.05)\n"
WRITE = "UPDATE orders_:t SET amount = amount + 1 WHERE id = :id;\n"
MIXES = {"none": "", "5 % evenly": EVENLY + WRITE, "5 % where reads are": CHOICE + WRITE}
CALLS = "SELECT COALESCE(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE 'SELECT % FROM orders_%'"
CPU_HEAD = ["request", "without", *MODES, "on - off", "of which the kernel, on"]
MIX_HEAD = ["reads", "writes", "target", "tps", "/ direct", "p50 ms", "/ direct", "p99 ms", "hit rate"]


# --- CPU of one client's requests ---


def frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", 4 + len(body)) + body


PREPARE = write_parse(b"s", b"SELECT amount FROM orders_1 WHERE id = $1\0\0\0") + frame(b"S", b"")
BEHIND = frame(b"D", b"P\0") + frame(b"E", b"\0\0\0\0\0") + frame(b"S", b"")


def bind(value: int) -> bytes:
    text = b"%d" % value
    values = b"\0\0" + struct.pack("!hi", 1, len(text)) + text + b"\0\0"
    return frame(b"B", b"\0s\0" + values) + BEHIND


numbers = count(1_000_000)
ASKS = {
    "hit, simple": lambda: build.query(BY_KEY.format(7)),
    "hit, prepared": lambda: bind(7),
    "miss, asked for once, simple": lambda: build.query(BY_KEY.format(next(numbers))),
    "miss, asked for once, prepared": lambda: bind(next(numbers)),
    "miss, kept": lambda: build.query("/* dbproxy: cache */ " + BY_KEY.format(next(numbers))),
    "not looked for: random()": lambda: build.query("SELECT random()"),
}


def ask(line: socket.socket, messages: bytes) -> None:
    line.sendall(messages)
    heard = line.recv(65536)
    while not heard.endswith(READY):
        heard += line.recv(65536)


@dataclass(frozen=True)
class Spent:
    """Microseconds for each request."""

    whole: float
    kernel: float


def read_times(target: Target) -> tuple[float, float]:
    """Seconds on a CPU so far, and those of them in the kernel, which are counted in hundredths."""
    assert target.process is not None
    tasks = Path(f"/proc/{target.process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9, target.process.cpu_times().system


def spend(target: Target, lines: dict[Target, socket.socket], kind: str, requests: int) -> Spent:
    asks = [ASKS[kind]() for _ in range(requests)]
    line = lines[target]
    for messages in asks[: requests // 10]:
        ask(line, messages)
    whole, kernel = read_times(target)
    rest = asks[requests // 10 :]
    for messages in rest:
        ask(line, messages)
    end, kernel_end = read_times(target)
    return Spent((end - whole) / len(rest) * 1e6, (kernel_end - kernel) / len(rest) * 1e6)


def spend_rounds(targets: dict[str, Target], arguments: argparse.Namespace) -> list[list[str]]:
    lines = {target: enter(target.port, "postgres") for target in targets.values()}
    for line in lines.values():
        ask(line, PREPARE)
    found: dict[tuple[str, str], list[Spent]] = defaultdict(list)
    for number in range(arguments.rounds):
        print(f"CPU, round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        for kind in ASKS:
            for state in turn(list(targets), number):
                found[kind, state].append(spend(targets[state], lines, kind, arguments.requests))
    rows = []
    for kind in ASKS:
        middles = {state: median(one.whole for one in found[kind, state]) for state in targets}
        more = median(
            on.whole - off.whole for on, off in zip(found[kind, "on"], found[kind, "off"], strict=True)
        )
        kernel = sum(one.kernel for one in found[kind, "on"]) / arguments.rounds
        told = [f"{middles[state]:.1f}" if state in middles else "-" for state in ("without", *MODES)]
        rows.append([kind, *told, f"{more:+.1f}", f"{kernel:.1f}"])
    return rows


def turn(states: list[str], number: int) -> list[str]:
    first = number % len(states)
    return states[first:] + states[:first]


# --- reads and writes ---


@dataclass(frozen=True)
class Mixed:
    """`heard`: the share of the reads that came to PostgreSQL."""

    run: Run
    heard: float


def run_mix(primary: Postgres, target: Target, read: str, write: str, arguments: argparse.Namespace) -> Mixed:
    with tempfile.TemporaryDirectory(prefix="dbproxy-bench-", dir=temp_dir()) as name:
        folder = Path(name)
        account().own(folder)
        scripts = {"read": f"{CHOICE}{read};\n", "write": write}
        files = [folder / kind for kind, text in scripts.items() if text]
        for path in files:
            path.write_text(scripts[path.name])
            account().own(path)
        weights = [f"--file={path}@{95 if path.name == 'read' else 5}" for path in files]
        options = [
            "-n",
            "-M",
            "simple",
            "-c",
            str(arguments.clients),
            "-j",
            "1",
            "-T",
            str(arguments.seconds),
        ]
        before = count_reads(primary)
        text = primary.installation.run(
            "pgbench", *options, *weights, "-l", f"--log-prefix={name}/times",
            environment=environment_for(primary, target.port),
        )  # fmt: skip
        heard = count_reads(primary) - before
        log = "".join(path.read_text() for path in folder.glob("times*"))
    reads = "".join(line for line in log.splitlines(keepends=True) if line.split()[3] == "0")
    run = read_run(text, reads)
    return Mixed(run, heard / len(run.times_us))


def count_reads(primary: Postgres) -> int:
    return int(primary.psql(CALLS))


def mix_rounds(
    primary: Postgres, targets: dict[str, Target], arguments: argparse.Namespace
) -> list[list[str]]:
    found: dict[tuple[str, str, str], list[Mixed]] = defaultdict(list)
    for number in range(arguments.rounds):
        print(f"mix, round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        for read, sql in READS.items():
            for writes, write in MIXES.items():
                for name in turn(list(targets), number):
                    mixed = run_mix(primary, targets[name], sql, write, arguments)
                    found[read, writes, name].append(mixed)
    return [row(found, read, writes, name) for read in READS for writes in MIXES for name in targets]


def row(found: dict[tuple[str, str, str], list[Mixed]], read: str, writes: str, name: str) -> list[str]:
    some, direct = found[read, writes, name], found[read, writes, "direct"]
    tps, p50, p99 = (middle(some, q) for q in (None, 0.5, 0.99))
    hits = 1 - median(one.heard for one in some)
    return [
        *(read, writes, name, f"{tps:,.0f}", f"{tps / middle(direct, None):.2f}"),
        *(f"{p50:.3f}", f"{p50 / middle(direct, 0.5):.2f}", f"{p99:.2f}"),
        f"{hits:.0%}" if name == "on" else "-",
    ]


def middle(some: Iterable[Mixed], q: float | None) -> float:
    """Of the reads' times at `q`; None: of what was done a second."""
    return float(median(one.run.tps if q is None else one.run.percentile_ms(q) for one in some))


# --- both ---


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=4000, help="of one client, a round")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--without", help="a compiled checkout of before there was a cache")
    parser.add_argument("--only", choices=("cpu", "mix"))
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    settings: dict[str, Setting] = {
        "max_connections": 5 * POOL + 50,
        "shared_preload_libraries": "pg_stat_statements",
    }
    with ExitStack() as stack:
        primary = stack.enter_context(
            create_primary(installation=embedded(), auth="trust", settings=settings)
        )
        primary.psql("CREATE EXTENSION pg_stat_statements")
        for number in range(1, TABLES + 1):
            primary.psql(TABLE.format(number))
        states = {state: {**QUIET, "DBPROXY_CACHE__MODE": state} for state in MODES}
        if arguments.without:
            states["without"] = {"DBPROXY_SLOW_QUERY__THRESHOLD": "1h", "PYTHONPATH": arguments.without}
        proxies = {state: stack.enter_context(proxy(primary, POOL, more)) for state, more in states.items()}
        tables = ""
        if arguments.only != "mix":
            tables += build_table(CPU_HEAD, 1, spend_rounds(proxies, arguments)) + "\n"
        if arguments.only != "cpu":
            targets = {"direct": Target("direct", primary.port)}
            if PGBOUNCER:
                targets["PgBouncer"] = stack.enter_context(pgbouncer(primary, POOL))
            targets |= {state: proxies[state] for state in ("off", "on")}
            tables += build_table(MIX_HEAD, 3, mix_rounds(primary, targets, arguments))
    facts = {
        "CPU": f"µs a request, 1 client, {arguments.rounds} rounds of {arguments.requests} requests",
        "mix": f"pgbench, {arguments.clients} clients, {arguments.rounds} rounds of {arguments.seconds} s",
    }
    text = describe_machine(facts) + "\n" + tables
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


def build_table(head: list[str], words: int, rows: list[list[str]]) -> str:
    every = [head, ["---"] * words + ["---:"] * (len(head) - words), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in every)


if __name__ == "__main__":
    sys.exit(main())
