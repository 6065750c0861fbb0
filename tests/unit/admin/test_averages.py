"""Averages are those of the last minute or two, never of all time."""

from dbproxy.admin.averages import COUNTERS, PERIOD, Averages, average, take, total
from tests.unit.admin.house import FakeHouse


def counts(**values: int) -> dict[str, int]:
    return {**dict.fromkeys(COUNTERS, 0), **values}


def test_users_of_a_database_are_added_up() -> None:
    house = FakeHouse()
    house.add_pool("app", "a").stats.query_count = 2
    house.add_pool("app", "b").stats.query_count = 3
    house.add_pool("other", "a").stats.query_count = 10
    databases = take(house.pools.values(), 0.0).databases
    assert {name: values["query_count"] for name, values in databases.items()} == {"app": 5, "other": 10}
    assert total(databases.values())["query_count"] == 15


def test_counts_are_per_second() -> None:
    grown = average(counts(query_count=130, bytes_sent=5000), counts(query_count=10, bytes_sent=0), 60.0)
    assert grown["query_count"] == 2
    assert grown["bytes_sent"] == 83


def test_times_are_per_item() -> None:
    now = counts(
        query_count=10, query_time_us=5000, xact_count=2, xact_time_us=900,
        server_assignment_count=3, wait_time_us=33,
    )  # fmt: skip
    grown = average(now, counts(query_count=5, query_time_us=1000), 60.0)
    assert (grown["query_time_us"], grown["xact_time_us"], grown["wait_time_us"]) == (800, 450, 11)


def test_time_without_an_item_is_no_division_by_zero() -> None:
    assert average(counts(), counts(), 0.0) == counts()


def test_pool_that_was_forgotten_gives_no_negative_average() -> None:
    assert average(counts(query_count=1), counts(query_count=100), 60.0)["query_count"] == 0


def test_first_moments_do_not_make_a_query_a_flood() -> None:
    assert average(counts(query_count=3), {}, 0.001)["query_count"] == 3


def test_average_forgets_what_was_before_the_last_two_periods() -> None:
    house = FakeHouse()
    stats = house.add_pool().stats
    averages = Averages(0.0)
    stats.query_count = 6000  # a burst in the first minute
    for now in (PERIOD, 2 * PERIOD, 3 * PERIOD):
        averages.sample(house.pools.values(), now)
    stats.query_count += 120
    assert averages.of("app", {**counts(), "query_count": stats.query_count}, 4 * PERIOD)["query_count"] == 1


def test_snapshot_is_taken_once_a_period() -> None:
    averages = Averages(0.0)
    averages.sample([], PERIOD - 0.1)
    assert averages.newer.at == 0.0
    averages.sample([], PERIOD + 0.1)
    averages.sample([], PERIOD + 0.3)
    assert (averages.older.at, averages.newer.at) == (0.0, PERIOD + 0.1)


def test_all_databases_average_together() -> None:
    house = FakeHouse()
    house.add_pool("a", "u").stats.query_count = 60
    house.add_pool("b", "u").stats.query_count = 60
    averages = Averages(0.0)
    counted = total(take(house.pools.values(), 60.0).databases.values())
    assert averages.of_all(counted, 60.0)["query_count"] == 2
