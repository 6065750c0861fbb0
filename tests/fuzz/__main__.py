"""`make fuzz`: a million inputs, INPUTS=… for another number; SEED=… for others. Ends with 1 if one was a finding.

So many are said to the two sides, as sessions with the whole proxy; some beside to the HTTP endpoints, and to what
reads a text by itself. Most are changed recordings over the compiled code. Where atheris is installed (the extra
`fuzz`), GUIDED of a hundred are led by coverage (tests.fuzz.guided), over the plain Python, at the price of several.
WORKERS=1: on one core.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from zlib import crc32

from tests.fuzz.changes import Run, play

SIDES = {"client": 0.55, "server": 0.25, "tls-client": 0.1, "tls-server": 0.1}
BESIDE = {"parsers": 0.1, "http": 0.02}  # of as many
GUIDED = 3  # of a hundred
AT_ONCE = 50_000  # inputs of one process
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
PATIENCE = 4 * 3600


@dataclass
class Job:
    name: str
    inputs: int
    guided: bool
    seed: str

    def __str__(self) -> str:
        return f"{self.name:10} {'led by coverage' if self.guided else 'changed recordings':19}"

    def run(self) -> bool:
        """Whether nothing was found; tells how it was."""
        began = time.monotonic()
        if self.guided:
            options = [f"-runs={self.inputs}", f"-seed={crc32(self.seed.encode()) % 2**31}", "-verbosity=0"]
            command = [sys.executable, "-m", "tests.fuzz.guided", self.name, *options]
        else:
            command = [sys.executable, "-m", "tests.fuzz", "--play", self.name, str(self.inputs), self.seed]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        seconds = time.monotonic() - began
        print(f"{self} {self.inputs:8,} inputs {seconds:6.0f} s {self.inputs / seconds:7.0f}/s", flush=True)
        if done.returncode:
            told = [line for line in done.stderr.splitlines() if not line.startswith(("INFO:", "WARNING:"))]
            print("\n".join([done.stdout[-3000:], *told[-60:]]), flush=True)
        elif not self.guided:
            print(f"{'':30} {done.stdout.strip()}", flush=True)
        return not done.returncode


def list_jobs(inputs: int, seed: str) -> list[Job]:
    """Some of each target in turn, so that a run that is cut short has had something of all."""
    rounds = [list(divide(name, round(inputs * share), seed)) for name, share in {**SIDES, **BESIDE}.items()]
    return [job for jobs in zip_longest(*rounds) for job in jobs if job is not None]


def divide(name: str, inputs: int, seed: str) -> Iterator[Job]:
    """The inputs of one target to processes."""
    guided = inputs * GUIDED // 100 if HAS_ATHERIS else 0
    if guided:
        yield Job(name, guided, guided=True, seed=seed)
    for number, at in enumerate(range(0, inputs - guided, AT_ONCE)):
        yield Job(name, min(AT_ONCE, inputs - guided - at), guided=False, seed=f"{seed}/{number}")


def main() -> int:
    inputs, seed = int(os.environ.get("INPUTS") or 1_000_000), os.environ.get("SEED") or "dbproxy"
    if not HAS_ATHERIS:
        print("atheris is not installed (pip install -e '.[fuzz]'): no inputs are led by coverage")
    began, jobs = time.monotonic(), list_jobs(inputs, seed)
    workers = int(os.environ.get("WORKERS") or len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(workers) as together:
        clean = all(list(together.map(Job.run, jobs)))
    said = sum(job.inputs for job in jobs if job.name in SIDES)
    beside = sum(job.inputs for job in jobs) - said
    minutes = (time.monotonic() - began) / 60
    print(f"{said:,} inputs to the two sides and {beside:,} beside in {minutes:.0f} min: ", end="")
    print("nothing was found" if clean else "there are findings")
    return 0 if clean else 1


def play_alone(name: str, inputs: str, seed: str) -> int:
    run: Run = play(name, int(inputs), seed)
    print(run)
    return 0 if run.is_clean() else 1


if __name__ == "__main__":
    sys.exit(play_alone(*sys.argv[2:]) if sys.argv[1:2] == ["--play"] else main())
