"""Changed recordings: the same inputs for the same seed."""

import gc
import os
import traceback
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import psutil

from tests.fuzz.targets import open_target

FURTHER = 0.3  # of the inputs are changed again
WARM = 1000  # inputs after which memory and descriptors are looked at first
KEPT = 5  # findings of one kind that are told
MOST_GROWTH = (
    64 * 2**20
)  # bytes: caches and texts of errors fill up to some size, and what leaks does not stop there


@dataclass
class Run:
    """`growth`: of the process's memory in bytes since it was warm; `descriptors`: opened since."""

    name: str
    inputs: int = 0
    growth: int = 0
    descriptors: int = 0
    findings: dict[bytes, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)

    def note(self, data: bytes, error: BaseException) -> None:
        cause = error.__cause__ or error
        kind = f"{type(cause).__name__} {traceback.extract_tb(cause.__traceback__)[-1:]}"
        self.kinds[kind] += 1
        if self.kinds[kind] <= KEPT:
            self.findings[data] = "".join(traceback.format_exception(error))

    def is_clean(self) -> bool:
        return not self.findings and not self.descriptors and self.growth <= MOST_GROWTH

    def __str__(self) -> str:
        told = [f"{data!r}\n{error}" for data, error in self.findings.items()]
        return f"memory {self.growth / 2**20:+.1f} MiB, descriptors {self.descriptors:+d}" + "".join(
            f"\n{finding}" for finding in told
        )


def play(name: str, inputs: int, seed: str) -> Run:
    random, run, process = Random(f"{name}/{seed}"), Run(name), psutil.Process(os.getpid())
    memory, descriptors = 0, 0
    with open_target(name) as target:
        for number in range(inputs):
            if number == min(WARM, inputs // 2):
                memory, descriptors = measure(process)
            data = target.mutate(random.choice(target.seeds), random)
            while random.random() < FURTHER:
                data = target.mutate(data, random)
            try:
                target.run(data)
            except Exception as error:
                run.note(data, error)
            run.inputs += 1
        grown, opened = measure(process)
        run.growth, run.descriptors = grown - memory, opened - descriptors
    return run


def measure(process: psutil.Process) -> tuple[int, int]:
    """Memory and descriptors in use."""
    gc.collect()
    return process.memory_info().rss, process.num_fds()
