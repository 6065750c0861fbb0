"""SHOW STATS adds up the pools of a database, SHOW TOTALS all of them."""

import pytest

from dbproxy.admin.statistics import show_stats, show_stats_totals, show_totals
from tests.unit.admin.house import FakeHouse, records


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


def test_stats_sum_and_average_the_pools_of_a_database(house: FakeHouse) -> None:
    for user in ("a", "b"):
        stats = house.add_pool("app", user).stats
        stats.query(1000)
        stats.bytes_received = 10
    (row,) = records(show_stats(house))
    assert (row["total_query_count"], row["total_query_time"], row["total_received"]) == (2, 2000, 20)
    assert (row["avg_query_time"], row["avg_query_count"]) == (1000, 2)
    (totals,) = records(show_stats_totals(house))
    assert (totals["query_count"], totals["bytes_received"]) == (2, 20)


def test_totals_are_of_all_databases(house: FakeHouse) -> None:
    for database in ("a", "b"):
        house.add_pool(database).stats.xact(50)
    rows = {row["name"]: row["value"] for row in records(show_totals(house))}
    assert (rows["total_xact_count"], rows["total_xact_time"], rows["avg_xact_time"]) == (2, 100, 50)
    assert len(rows) == 24
