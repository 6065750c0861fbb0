"""asyncpg's tests as they come in its source distribution: fetched once, run by a pytest of their own."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from dbproxy.demo.installation import made_once
from tests.compat.outcomes import fold

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "compat"
TEST_TIMEOUT = 60  # seconds for each test
RUN_TIMEOUT = 3600.0  # and for all of them
LINTERS = "test__sourcecode.py"  # over asyncpg's own sources
# A race of an error against 4 MiB into the sockets' buffers: without any proxy it is lost one time in four, too.
RACE = "test_execute.py::TestExecuteMany::test_executemany_server_failure_during_writes"
FLAGS = (
    *("-c", os.devnull, "--rootdir", ".", "--import-mode=importlib", "-p", "plugin", "-W", "default"),
    *("-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cacheprovider", "--timeout", str(TEST_TIMEOUT)),
    *("--tb=short", "-q", "--ignore", LINTERS, "--deselect", RACE),
)


def fetch() -> Path:
    """The folder with the tests of the asyncpg that is installed."""
    release = f"asyncpg-{version('asyncpg')}"
    BUILD.mkdir(parents=True, exist_ok=True)
    with made_once(BUILD / release) as building:
        if building:
            _unpack(_download(release, building), building)
    return BUILD / release / "tests"


def _download(release: str, folder: Path) -> Path:
    requirement = release.replace("-", "==", 1)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    flags = ["--no-binary", "asyncpg", "--no-build-isolation", "-d", str(folder), requirement]
    subprocess.run([*pip, *flags], check=True)
    return folder / f"{release}.tar.gz"


def _unpack(archive: Path, folder: Path) -> None:
    """Only the tests: beside them the sources would hide the asyncpg that is installed."""
    with tarfile.open(archive) as content:
        tests = [member for member in content if member.name.split("/")[1:2] == ["tests"]]
        for member in tests:
            member.name = member.name.split("/", 1)[1]
        content.extractall(folder, tests, filter="data")
    archive.unlink()


def run(tests: Path, port: int, title: str, files: Iterable[str] = ()) -> dict[str, str]:
    """The outcomes of all the tests, or of those in `files`, on what listens at `port`; its log is BUILD/title.log."""
    server = {"host": "127.0.0.1", "port": port, "user": "postgres", "database": "postgres"}
    log = BUILD / f"{title}.log"
    with tempfile.TemporaryDirectory() as folder, log.open("w") as output:
        results = Path(folder) / "results"
        results.touch()
        added = {"COMPAT_RESULTS": str(results), "COMPAT_SERVER": json.dumps(server), "PYTHONPATH": str(HERE)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *FLAGS, *files],
            cwd=tests,
            env=inherited | added,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=RUN_TIMEOUT,
            check=False,
        )
        outcomes = fold(results.read_text().splitlines())
    if done.returncode not in (0, 1) or not outcomes:  # 1: some failed, which is what we came for
        raise RuntimeError(f"pytest ended with {done.returncode}, see {log}:\n{log.read_text()[-2000:]}")
    return outcomes
