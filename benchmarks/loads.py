"""How fast `dbproxy batch load` is beside one bare COPY, and what memory it takes: `python -m benchmarks.loads`.

A table with a primary key is loaded with the same lines by COPY (asyncpg), and in chunks with a ledger. Rounds are
interleaved, each after a CHECKPOINT; the figures are medians, the ratio that of each round. Memory is the peak of the
command's own process, for these lines and for a tenth of them.
"""

import argparse
import asyncio
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import asyncpg

from benchmarks.report import describe_machine, write_report
from dbproxy.config.batch import BatchSettings
from dbproxy.config.url import parse_url
from dbproxy.demo.installation import embedded
from dbproxy.demo.postgres import create_primary
from dbproxy.jobs.batch import Batch, Lines, Order, Primary
from dbproxy.jobs.batch.formats import choose_format

TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL, at timestamptz, amount numeric(10, 2), note text)"
NAMES = ("id", "name", "at", "amount", "note")
HEAD = ["lines", "MB", "COPY s", "load s", "lines/s", "load/COPY speed", "worst round"]
BLOCK = 512 << 10
# The command, and the peak of its memory in KiB at its end.
COMMAND = """
import atexit, re
from pathlib import Path
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
from dbproxy.cli import main
main()
"""


def make_row(number: int) -> tuple[int, str, str, float, str]:
    at = f"2024-01-{number % 28 + 1:02d} 12:00:{number % 60:02d}+00"
    return (
        number,
        f"name {number % 977}, of {number}",
        at,
        number * 7 % 10007 / 100,
        f"some words of line {number}",
    )


def write_files(folder: Path, lines: int) -> list[Path]:
    plain, packed, objects = folder / "t.csv", folder / "t.csv.gz", folder / "t.ndjson"
    with plain.open("w") as csv, objects.open("w") as ndjson:
        csv.write(",".join(NAMES) + "\n")
        for number in range(1, lines + 1):
            row = make_row(number)
            csv.write('{},"{}",{},{},{}\n'.format(*row))
            ndjson.write(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n")
    packed.write_bytes(gzip.compress(plain.read_bytes(), 6))
    return [plain, packed, objects]


async def read(path: Path) -> AsyncIterator[bytes]:
    """As `COPY … FROM PROGRAM 'gunzip -c …'` would, where it is packed."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


async def copy(connection: "asyncpg.Connection", path: Path) -> float:
    began = perf_counter()
    await connection.copy_to_table("t", source=read(path), format="csv", header=True)
    return perf_counter() - began


async def load(dsn: str, path: Path, upsert: tuple[str, ...], settings: BatchSettings) -> float:
    host = parse_url(dsn)
    assert host is not None
    source = Lines(Order("t", str(path), choose_format(path.name, "", {}), upsert=upsert))
    began = perf_counter()
    async with Batch(Primary([host]), source, settings) as batch:
        await batch.run()
    return perf_counter() - began


async def measure(
    dsn: str, files: Iterable[Path], rounds: int, lines: int, settings: BatchSettings
) -> list[list[str]]:
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    plain, packed, objects = files
    cases: list[tuple[str, Path, Path, tuple[str, ...]]] = [
        ("CSV", plain, plain, ()),
        ("CSV, gzip", packed, packed, ()),
        ("CSV, --upsert", plain, plain, ("id",)),
        ("NDJSON (beside COPY of CSV)", plain, objects, ()),
    ]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in cases}
    for number in range(rounds):
        for name, bare, chunked, upsert in cases:
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            times = []
            for once in (copy(connection, bare), load(dsn, chunked, upsert, settings)):
                await connection.execute("TRUNCATE t")
                await connection.execute("CHECKPOINT")
                times.append(await once)
                assert await connection.fetchval("SELECT count(*) FROM t") == lines
            found[name].append((times[0], times[1]))
    await connection.close()
    return [row(name, chunked, found[name], lines) for name, _, chunked, _ in cases]


def row(name: str, path: Path, times: list[tuple[float, float]], lines: int) -> list[str]:
    ratios = [bare / chunked for bare, chunked in times]
    middle = median(chunked for _, chunked in times)
    return [
        name, f"{path.stat().st_size / 1e6:.0f}", f"{median(bare for bare, _ in times):.2f}", f"{middle:.2f}",
        f"{lines / middle:,.0f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}",
    ]  # fmt: skip


def peak(dsn: str, path: Path) -> int:
    """MiB of the command's process at most."""
    asyncio.run(truncate(dsn))
    words = [sys.executable, "-c", COMMAND, "batch", "load", str(path), "--table", "t", "--execute"]
    environment = {**os.environ, "DATABASE_URL": dsn}
    run = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return int(run.stdout.split()[-1]) >> 10


async def truncate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("TRUNCATE t")
    await connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of [batch]")
    arguments = parser.parse_args()
    settings = BatchSettings().overlay(dict(word.split("=", 1) for word in arguments.set))
    with (
        tempfile.TemporaryDirectory() as folder,
        create_primary(installation=embedded(), auth="trust", settings={"max_wal_size": "4GB"}) as primary,
    ):
        dsn = primary.dsn("postgres")
        files = write_files(Path(folder), arguments.lines)
        rows = asyncio.run(measure(dsn, files, arguments.rounds, arguments.lines, settings))
        few = Path(folder) / "few"
        few.mkdir()
        memory = [
            f"{''.join(path.suffixes)} {peak(dsn, small)} MiB for a tenth, {peak(dsn, path)} MiB for all"
            for small, path in zip(write_files(few, arguments.lines // 10), files, strict=True)
        ]
    facts = {
        "load": f"{arguments.lines:,} lines into a table with a primary key, {arguments.rounds} rounds, medians",
        "settings": " ".join(arguments.set) or "the defaults",
        "peak of the process": "; ".join(memory),
    }
    table = "".join(
        f"| {' | '.join(cells)} |\n" for cells in [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1), *rows]
    )
    text = f"{describe_machine(facts)}\n{table}"
    print(f"{text}\nwritten to {write_report(text)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
