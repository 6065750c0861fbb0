"""Servers that tests share. Each pytest-xdist worker has its own."""

import gc
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from dbproxy.demo.installation import installations
from dbproxy.demo.postgres import Postgres
from dbproxy.observe import logs
from tests.support.postgres import Database, create_cluster, create_database

settings.register_profile(
    "shared machine", deadline=None
)  # a slow moment is no failure; pytest-timeout ends hangs
settings.load_profile("shared machine")

MEMORY = Path("/dev/shm")
ROOM = 8 << 30  # bytes for the servers of all workers, and to spare


def use_memory() -> None:
    """Servers of tests in memory, if there is enough: each database is hundreds of files, made and removed."""
    if "TMPDIR" in os.environ or not MEMORY.is_mount():
        return
    found = os.statvfs(MEMORY)
    if found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


use_memory()


def pytest_collection_finish() -> None:
    """What was collected stays, and is not gone through by each collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """No garbage is collected while a failure is told.

    The failed test's sockets are garbage; that they were not closed is told by a traceback, and Python before 3.11.8
    breaks off when it parses the source of one traceback inside another (python/cpython#106905).
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(autouse=True)
def restored_logs() -> Iterator[None]:
    """Whoever configures the log (commands do): afterwards it is as it was, so that others see what they capture."""
    root = logging.getLogger()
    handlers, level, show, log = root.handlers[:], root.level, warnings.showwarning, logs._current
    yield
    structlog.reset_defaults()
    logs._current = log
    logging.captureWarnings(capture=False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def primary() -> Iterator[Postgres]:
    """The embedded PostgreSQL with the users of `tests.support.postgres`; leave it as you found it."""
    with create_cluster() as server:
        yield server


@pytest.fixture(scope="session")
def replicas(primary: Postgres) -> Iterator[list[Postgres]]:
    """Two streaming replicas of `primary`."""
    with primary.create_replica("replica1") as one, primary.create_replica("replica2") as two:
        yield [one, two]


@pytest.fixture(scope="session")
def debian_postgres() -> Iterator[Postgres]:
    """Debian's PostgreSQL (it can TLS, the embedded one can't), with the same users."""
    found = [installation for installation in installations() if installation.name.startswith("debian")]
    if not found:
        pytest.skip("Debian's PostgreSQL is not installed (apt-get install postgresql)")
    with create_cluster(found[0]) as server:
        yield server


@pytest.fixture
def own_primary() -> Iterator[Postgres]:
    """A primary for one test that stops, breaks or promotes its servers."""
    with create_cluster() as server:
        yield server


@pytest.fixture
def database(primary: Postgres) -> Iterator[Database]:
    """A new, empty database on `primary`, owned by `app`."""
    with create_database(primary) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_database(primary: Postgres) -> Iterator[Database]:
    """A new database that the tests of one module share."""
    with create_database(primary) as fresh:
        yield fresh
