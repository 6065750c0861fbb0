import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dbproxy.demo.process import release, spawn

PARENT = """
import os, sys
from pathlib import Path
from dbproxy.demo.process import spawn
folder = Path(sys.argv[1])
child = spawn(["sleep", "1000"], log=sys.stdout.buffer, cwd=Path("/"), environment=os.environ, folder=folder)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        yield Path(place)


@pytest.fixture
def log(folder: Path):
    with (folder / "log").open("wb") as file:
        yield file


def test_child_dies_and_its_folder_goes_when_the_parent_is_killed(folder: Path):
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone
    wait_until_removed(folder)


def test_released_child_leaves_its_folder_and_its_exit_code(folder: Path, log):
    child = spawn(["sh", "-c", "exit 3"], log=log, cwd=folder, environment=os.environ, folder=folder)
    assert release(child) == 3
    assert folder.exists()


def test_child_that_does_not_end_in_time_is_killed(folder: Path, log):
    child = spawn(["sleep", "1000"], log=log, cwd=folder, environment=os.environ)
    with pytest.raises(subprocess.TimeoutExpired):
        release(child, timeout=0.05)
    assert child.returncode == -signal.SIGKILL


def test_pid_is_the_programs_own_and_it_reads_nothing_from_us(folder: Path, log):
    child = spawn(["sh", "-c", "cat; echo $$"], log=log, cwd=folder, environment=os.environ)
    assert release(child) == 0
    assert (folder / "log").read_text() == f"{child.pid}\n"


def wait_until_removed(folder: Path) -> None:
    """The watcher removes it after the child's end; it is no child of ours to wait for."""
    watchers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in (process.info["cmdline"] or [])
    ]
    psutil.wait_procs(watchers, timeout=10)
    assert not folder.exists()
