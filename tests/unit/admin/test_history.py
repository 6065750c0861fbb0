"""A point for each second."""

from dbproxy.admin.history import KEPT, History
from tests.unit.admin.house import FakeHouse


def sample(history: History, house: FakeHouse, now: float):
    pools = list(house.pools.values())
    return history.sample(pools, pools, len(house.registry), now)


def test_point_tells_what_the_counters_have_grown_by_second() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    history = History(100.0)
    sample(history, house, 100.5)
    for _ in range(10):
        pool.stats.query(1000)
    pool.stats.xact(1000)
    pool.stats.error_count += 3
    point = sample(history, house, 102.5)
    assert (point.queries, point.transactions, point.errors) == (5.0, 0.5, 1.5)
    assert 768 <= point.p50_us <= point.p99_us <= 1024
    assert point.wait_p95_us is None


def test_second_in_which_nothing_ended_has_no_latency() -> None:
    house = FakeHouse()
    house.add_pool().stats.query(5000)
    history = History(0.0)
    assert sample(history, house, 1.0).p95_us is not None
    assert sample(history, house, 2.0).p95_us is None


def test_pool_that_is_forgotten_takes_nothing_from_the_others() -> None:
    house = FakeHouse()
    busy, other = house.add_pool("busy"), house.add_pool("other")
    history = History(0.0)
    for _ in range(50):
        busy.stats.query(10)
    sample(history, house, 1.0)
    del house.pools["busy", "app"]
    other.stats.query(10)
    assert sample(history, house, 2.0).queries == 1.0


def test_who_waits_and_what_is_lent_is_counted() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    house.queue(house.add_client(pool), 0.0)
    point = sample(History(0.0), house, 1.0)
    assert (point.active, point.waiting, point.clients) == (1, 1, 2)


def test_five_minutes_are_kept() -> None:
    house, history = FakeHouse(), History(0.0)
    for now in range(1, KEPT + 50):
        sample(history, house, float(now))
    assert len(history.points) == KEPT == 300
