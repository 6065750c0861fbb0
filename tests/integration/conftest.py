"""The proxy that the tests of one module share."""

from collections.abc import Iterator

import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import create_hosts
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

POOL_SIZE = 2  # small, so that clients do share servers


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """In front of `module_database`, a pool of two."""
    with serving(module_database, {"pool.size": POOL_SIZE, "pool.reserve_size": 0}) as running:
        yield running


@pytest.fixture(scope="session")
def hosts() -> Iterator[list[Postgres]]:
    """A primary and two replicas that say who they are (`tests.support.hosts`); leave them as you found them."""
    with create_hosts() as servers:
        yield servers
