"""The table, and the facts of the machine that its figures belong to."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import dbproxy
from benchmarks.pgbench import Load

NAMES = ("direct", "PgBouncer", "dbproxy")
HEAD = [
    *("mode", "clients"),
    *(f"{name} tps" for name in NAMES),
    *(f"{name} p50/p99 ms" for name in NAMES),
    *(f"{name} CPU µs/query" for name in NAMES[1:]),
    "dbproxy/PgBouncer CPU",
]


@dataclass(frozen=True)
class Figures:
    """Of one run; `cpu_us` is the pooler's CPU time for each query, without that of the logins."""

    tps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


Results = Mapping[tuple[str, Load], Sequence[Figures]]


def build_table(results: Results, loads: Iterable[Load], reasons: Iterable[str]) -> str:
    """Markdown; medians over the rounds; `-` where nothing was measured, for the reasons below the table."""
    rows = [HEAD, ["---"] + ["---:"] * (len(HEAD) - 1), *(_row(results, load) for load in loads)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return table + "".join(f"\n`-`: {reason}\n" for reason in dict.fromkeys(reasons))


def _row(results: Results, load: Load) -> list[str]:
    runs = [results.get((name, load), ()) for name in NAMES]
    return [
        load.mode,
        str(load.clients),
        *(_cell(some, ",.0f", "tps") for some in runs),
        *(_cell(some, ".2f", "p50_ms", "p99_ms") for some in runs),
        *(_cell(some, ".1f", "cpu_us") for some in runs[1:]),
        f"{_middle(runs[2], 'cpu_us') / _middle(runs[1], 'cpu_us'):.2f}" if runs[1] and runs[2] else "-",
    ]


def _cell(runs: Sequence[Figures], form: str, *fields: str) -> str:
    return "/".join(format(_middle(runs, field), form) for field in fields) if runs else "-"


def _middle(runs: Sequence[Figures], field: str) -> float:
    return float(median(getattr(run, field) for run in runs))


def describe_machine(facts: Mapping[str, object]) -> str:
    """What to know when comparing with figures from elsewhere."""
    build = "compiled" if dbproxy.compiled() else "interpreted (the slow build)"
    known = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} CPUs ({_cpu_model()}), {platform.system()} {platform.release()}",
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "dbproxy": f"{dbproxy.__version__}, {build}, Python {platform.python_version()}",
    }
    return "".join(f"- {key}: {value}\n" for key, value in {**known, **facts}.items())


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def write_report(text: str) -> Path:
    """Into benchmarks/results/, which git ignores: figures belong to the machine."""
    path = Path(__file__).parent / "results" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
