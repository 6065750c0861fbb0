"""Servers that tests share. Each pytest-xdist worker has its own."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import settings

from dbproxy.demo.installation import installations
from dbproxy.demo.postgres import Postgres
from tests.support.postgres import Database, create_cluster, create_database

settings.register_profile(
    "shared machine", deadline=None
)  # a slow moment is no failure; pytest-timeout ends hangs
settings.load_profile("shared machine")


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
