"""`/pressure` as JSON, and how long queries took of late."""

import json
from typing import Any

import pytest

from dbproxy.admin.pressure import ENOUGH, INTERVAL, LEAST, Durations, PressurePage, tell_quantile
from dbproxy.demo.postgres import free_port
from dbproxy.pool.states import ACTIVE, IDLE
from tests.unit.admin.house import FakeHouse, settings
from tests.unit.admin.test_http import fetch

REPLICA = "postgresql://app:secret@replica.example:5432/app"


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port()), DBPROXY_POOL__SIZE="4"))


def ask(house: FakeHouse, database: str = "") -> dict[str, Any]:
    return PressurePage(house).describe(database, 0.0)


async def test_quiet_proxy_is_under_no_pressure(house: FakeHouse) -> None:
    status, kind, text = await fetch(house, "/pressure")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    assert json.loads(text) == {
        "replicas": None, "utilisation": 0.0, "pool": "", "waiting": 0, "p95_s": None, "usual_p95_s": None,
        "p99_s": None, "usual_p99_s": None,
    }  # fmt: skip


def test_fullest_pool_is_told(house: FakeHouse) -> None:
    app, other = house.add_pool(), house.add_pool("shop", "other")
    for state in (ACTIVE, ACTIVE, ACTIVE, IDLE):
        house.add_server(app, state)
    house.add_server(other, ACTIVE)
    found = ask(house)
    assert (found["utilisation"], found["pool"]) == (75.0, "app@app")


async def test_client_that_waits_is_told(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.queue(house.add_client(pool), 0.0)
    assert ask(house)["waiting"] == 1


def test_pool_in_session_mode_may_be_full(house: FakeHouse) -> None:
    house.settings = settings(DBPROXY_POOL__MODE="session", DBPROXY_POOL__SIZE="1")
    house.add_server(house.add_pool(), ACTIVE)
    assert ask(house)["utilisation"] == 0.0


async def test_databases_of_other_servers_do_not_matter(house: FakeHouse) -> None:
    house.settings = settings(
        DBPROXY_DATABASES__FAR__PRIMARY__URL="postgresql://app:secret@elsewhere.example/far"
    )
    house.queue(house.add_client(house.add_pool("far")), 0.0)
    house.queue(house.add_client(house.add_pool("near")), 0.0)
    assert (ask(house)["waiting"], ask(house, "app")["waiting"], ask(house, "far")["waiting"]) == (2, 1, 1)


async def test_replicas_are_told_where_they_are_watched() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA))
    assert ask(house)["replicas"] == [{"name": "replica1", "lag_s": None}]


async def test_token_is_needed_where_there_is_one() -> None:
    house = FakeHouse(
        settings(DBPROXY_HTTP__PORT=str(free_port()), DBPROXY_HTTP__TOKEN="correct-horse-battery")
    )
    assert (await fetch(house, "/pressure"))[0] == 401


def run(pool: Any, queries: int, microseconds: int) -> None:
    for _ in range(queries):
        pool.stats.query(microseconds)


def test_moments_are_told_from_the_minute(house: FakeHouse) -> None:
    pool = house.add_pool()
    durations, pools = Durations(0.0), [pool]
    run(pool, 1000, 1000)
    for turn in range(1, 4):
        durations.sample(pools, turn * INTERVAL)
    run(pool, 100, 50_000)
    now = 4 * INTERVAL
    lately = tell_quantile(durations.lately(pools, now), 0.95)
    usually = tell_quantile(durations.usually(pools), 0.95)
    assert lately is not None
    assert usually is not None
    assert lately > 0.03
    assert usually < 0.06


def test_moments_are_no_longer_than_it_takes_to_have_enough_queries(house: FakeHouse) -> None:
    pool = house.add_pool()
    durations, pools = Durations(0.0), [pool]
    for turn in range(1, 10):
        run(pool, ENOUGH // 4, 1000)
        durations.sample(pools, turn * INTERVAL)
    now = 10 * INTERVAL
    assert sum(durations.lately(pools, now)) == ENOUGH
    run(pool, ENOUGH, 1000)
    assert sum(durations.lately(pools, now)) == ENOUGH


def test_moments_of_a_quiet_proxy_are_ten_seconds(house: FakeHouse) -> None:
    pool = house.add_pool()
    durations, pools = Durations(0.0), [pool]
    for turn in range(1, 10):
        run(pool, 1, 1000)
        durations.sample(pools, turn * INTERVAL)
    assert sum(durations.lately(pools, 9 * INTERVAL)) == 5


@pytest.mark.parametrize("q", [0.95, 0.99])
def test_quantile_of_few_queries_is_not_told(house: FakeHouse, q: float) -> None:
    pool = house.add_pool()
    durations = Durations(0.0)
    run(pool, LEAST[q] - 1, 1000)
    assert tell_quantile(durations.lately([pool], INTERVAL), q) is None
    run(pool, 1, 1000)
    assert tell_quantile(durations.lately([pool], INTERVAL), q) is not None


def test_pool_that_was_forgotten_and_came_back_counts_from_nothing(house: FakeHouse) -> None:
    old = house.add_pool()
    run(old, 1000, 1000)
    durations = Durations(0.0)
    durations.sample([old], INTERVAL)
    new = house.add_pool()
    assert sum(durations.lately([new], 2 * INTERVAL)) == 0
