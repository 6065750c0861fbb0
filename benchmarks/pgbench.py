"""One run of pgbench, and what it tells.

The mode `zones` is `simple` by clients that differ in a setting, as several applications would: eight pgbenches run at
the same time, each with a time zone of its own. A pooler has to set it whenever a server goes from one to another.
"""

import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from dbproxy.demo.installation import Installation, account, temp_dir

MODES = ["simple", "zones", "extended", "prepared"]
ZONES = [f"Etc/GMT-{hours}" for hours in range(1, 9)]
SAMPLED = 0.1  # share of the queries whose time pgbench writes down: enough for p99, too few to slow it


@dataclass(frozen=True)
class Load:
    """`clients` connections that send `pgbench -S` queries by the protocol `mode` for `seconds`.

    `rate`: so many a second, on time, whose times are all written down; 0: each as soon as the one before is answered.
    """

    mode: str
    clients: int
    seconds: int
    rate: int = 0


@dataclass(frozen=True)
class Run:
    """What one run reached; `times_us` are the sampled queries' times."""

    queries: int
    tps: float
    times_us: list[int]

    def percentile_ms(self, q: float) -> float:
        """By nearest rank; nan of nothing."""
        times = sorted(self.times_us)
        return times[max(ceil(q * len(times)), 1) - 1] / 1000 if times else float("nan")


def run_pgbench(
    installation: Installation, environment: dict[str, str], load: Load, *, once: bool = False
) -> Run:
    """`once`: every client sends one query only, which costs what the logins cost."""
    if load.mode != "zones":
        return _run_one(installation, environment, load, once=once)
    zones = ZONES[: load.clients]
    share = Load("simple", load.clients // len(zones), load.seconds)
    with ThreadPoolExecutor(len(zones)) as threads:
        runs = [
            threads.submit(_run_one, installation, {**environment, "PGTZ": zone}, share, once=once)
            for zone in zones
        ]
        return add_up(run.result() for run in runs)


def _run_one(installation: Installation, environment: dict[str, str], load: Load, *, once: bool) -> Run:
    threads = str(min(2, load.clients))
    arguments = ["-n", "-S", "-M", load.mode, "-c", str(load.clients), "-j", threads]
    arguments += ["-t", "1"] if once else ["-T", str(load.seconds)]
    with tempfile.TemporaryDirectory(prefix="dbproxy-bench-", dir=temp_dir()) as folder:
        account().own(Path(folder))
        log = ["-l", f"--log-prefix={folder}/times"]
        log += [f"--rate={load.rate}"] if load.rate else [f"--sampling-rate={SAMPLED}"]
        text = installation.run("pgbench", *arguments, *log, environment=environment)
        return read_run(text, "".join(path.read_text() for path in Path(folder).iterdir()))


def add_up(runs: Iterable[Run]) -> Run:
    """Of pgbenches that ran at the same time."""
    every = list(runs)
    times = [time for run in every for time in run.times_us]
    return Run(sum(run.queries for run in every), sum(run.tps for run in every), times)


def read_run(text: str, log: str) -> Run:
    """Of pgbench's report, and its log's lines `client transaction time script epoch microseconds`."""
    done = re.search(r"^number of transactions actually processed: (\d+)", text, re.MULTILINE)
    tps = re.search(r"^tps = ([\d.]+) \(without initial connection time\)", text, re.MULTILINE)
    if not done or not tps or re.search(r"^number of failed transactions: [1-9]", text, re.MULTILINE):
        raise ValueError(f"pgbench did not do its work:\n{text}")
    return Run(int(done[1]), float(tps[1]), [int(line.split()[2]) for line in log.splitlines()])
