"""When a database is looked at for changes to its catalog, and when what was known of it counts no more."""

from types import SimpleNamespace
from typing import Any

from dbproxy.app.catalogs import LOOK, claim_look, is_asleep, sleep
from dbproxy.cluster.catalog import Catalog, Freshness


def a_router(timeout: float = 600.0) -> Any:
    primary = SimpleNamespace(
        stats=SimpleNamespace(query_count=0),
        settings=SimpleNamespace(server_idle_timeout=timeout, read_functions=True),
        size=lambda: 1,
        opening=0,
    )
    router = SimpleNamespace(primary=primary, catalog=Catalog(), freshness=Freshness())
    router.learn = lambda catalog: setattr(router, "catalog", catalog)
    return router


def test_one_look_at_a_time():
    router = a_router()
    assert claim_look(router, 100.0)
    assert not claim_look(router, 100.0 + 10 * LOOK)
    router.freshness.looked_at = 200.0
    assert not claim_look(router, 200.0 + LOOK / 2)
    assert claim_look(router, 200.0 + LOOK)


def test_no_look_stands_in_line_for_a_primary_that_is_not_there():
    router = a_router()
    router.primary.opening = 1
    assert not claim_look(router, 100.0)


def test_what_nobody_uses_is_left_alone_and_not_believed_afterwards():
    router = a_router()
    router.primary.stats.query_count = 1
    assert not is_asleep(router, 100.0)
    assert not is_asleep(router, 699.0)
    assert is_asleep(router, 700.0)
    sleep(router)
    assert router.catalog is None
    router.primary.stats.query_count = 2
    assert not is_asleep(router, 701.0)


def test_connections_that_are_never_closed_are_looked_at_for_ever():
    assert not is_asleep(a_router(timeout=0.0), 1e9)
