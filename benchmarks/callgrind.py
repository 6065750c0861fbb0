"""How many instructions a process runs, told by callgrind: not by how fast the machine is, or what else it does.

Only instructions of the process itself count, none of the kernel's. Instrumentation begins once it has started, which
would take a minute otherwise.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # publishes no types

VALGRIND = shutil.which("valgrind") if shutil.which("vgdb") else None
OUT = "callgrind.out"


def under_callgrind(folder: Path) -> list[str]:
    """What goes before a command; the process itself writes its counts to `folder`.

    An idle process runs few blocks of code: it looks for orders at every fiftieth, not at every five thousandth.
    """
    return [
        str(VALGRIND),
        "--tool=callgrind",
        "--instr-atstart=no",
        "--vgdb-poll=50",
        f"--callgrind-out-file={folder / OUT}",
    ]


class Counter:
    """Of a process that was started `under_callgrind`."""

    def __init__(self, process: psutil.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.user = process.uids().real  # whom alone it listens to
        self._order("instrumentation", "on")

    def count(self, work: Callable[[], object]) -> tuple[int, float]:
        """Instructions that it runs during `work`, and the seconds that passed."""
        self._order("zero")
        start = time.monotonic()
        work()
        passed = time.monotonic() - start
        self._order("dump")
        return self._read(), passed

    def _order(self, *words: str) -> None:
        command = ["vgdb", f"--pid={self.process.pid}", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=60, user=self.user)

    def _read(self) -> int:
        """Of the last dump, which is removed: each is a file with a number of its own."""
        (path,) = self.folder.glob(f"{OUT}.[0-9]*")
        totals = re.search(r"^totals: (\d+)", path.read_text(), re.MULTILINE)
        path.unlink()
        if not totals:
            raise ValueError(f"callgrind told no totals in {path}")
        return int(totals[1])
