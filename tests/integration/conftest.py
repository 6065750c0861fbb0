"""The proxy that the tests of one module share."""

from collections.abc import Iterator

import pytest

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

POOL_SIZE = 2  # small, so that clients do share servers


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """In front of `module_database`, a pool of two."""
    with serving(module_database, {"pool.size": POOL_SIZE, "pool.reserve_size": 0}) as running:
        yield running
