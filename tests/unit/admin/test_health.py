"""Unhealthy is who stops or is known not to reach the primary, and nobody else."""

import pytest

from dbproxy.admin.health import find_fault
from dbproxy.errors import ProxyError, ServerRefused, ServerUnavailable
from dbproxy.pool.pool import Pool
from tests.unit.admin.house import FakeHouse

LOST = ServerUnavailable("cannot connect to the server at primary.example:5433: Connection refused")
NOW = 100.0


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


def fail(house: FakeHouse, pool: Pool, error: ProxyError) -> None:
    """An attempt to open a connection, made for a client that does not wait any more, has failed."""
    house.queue(client := house.add_client(pool), NOW)
    pool.leave(client)
    pool.open_failed(error, NOW)


def judge(house: FakeHouse, now: float = NOW, *, stopping: bool = False) -> str:
    return find_fault(stopping=stopping, pools=house.pools.values(), now=now)


def test_proxy_that_nobody_has_used_is_healthy(house: FakeHouse) -> None:
    assert judge(house) == ""


def test_proxy_that_stops_is_not(house: FakeHouse) -> None:
    assert judge(house, stopping=True) == "the proxy is shutting down"


def test_primary_that_cannot_be_reached_is_told(house: FakeHouse) -> None:
    fail(house, house.add_pool(), LOST)
    assert judge(house) == LOST.message


def test_login_that_the_primary_refused_is_no_fault(house: FakeHouse) -> None:
    fail(house, house.add_pool(), ServerRefused('database "app" does not exist', sqlstate="3D000"))
    assert judge(house) == ""


def test_connection_that_works_outweighs_one_that_could_not_be_opened(house: FakeHouse) -> None:
    fail(house, house.add_pool("app", "a"), LOST)
    house.add_server(house.add_pool("app", "b"))
    assert judge(house) == ""


def test_old_failure_that_nobody_retries_is_forgotten(house: FakeHouse) -> None:
    pool = house.add_pool()
    fail(house, pool, LOST)
    assert judge(house, pool.retry_at) == ""


def test_failure_counts_for_as_long_as_somebody_waits(house: FakeHouse) -> None:
    pool = house.add_pool()
    fail(house, pool, LOST)
    house.queue(house.add_client(pool), NOW)
    assert judge(house, pool.retry_at + 1) == LOST.message
