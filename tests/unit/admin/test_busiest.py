"""The statements that cost most, looked up now and then."""

from time import monotonic

from dbproxy.admin.busiest import TEXT_SHOWN, Busiest, find_busiest
from dbproxy.observe.querystats import PRIMARY, QueryStats
from dbproxy.sql.cache import StatementCache
from tests.unit.admin.house import FakeHouse


def count(
    stats: QueryStats, text: bytes, microseconds: int, *, calls: int = 1, state: str | None = None
) -> None:
    shape = StatementCache(8).find(text)
    entry = stats.find(shape, stats.find_account("app", "web"), PRIMARY, monotonic())
    assert entry is not None
    for _ in range(calls):
        stats.record(entry, monotonic(), microseconds, 0, 0, 1, 10, state)


async def test_each_list_has_its_order() -> None:
    house = FakeHouse()
    house.query_stats = stats = QueryStats(100, 1 << 20, monotonic())
    count(stats, b"SELECT often FROM t", 1000, calls=100)
    count(stats, b"SELECT slowly FROM t", 50_000)
    count(stats, b"SELECT wrongly FROM t", 10, state="22012")
    found = await find_busiest(house)
    assert found is not None
    first = {name: rows[0]["text"] for name, rows in found["lists"].items() if name != "waiting"}
    assert first == {
        "top": "SELECT often FROM t",
        "slow": "SELECT slowly FROM t",
        "failing": "SELECT wrongly FROM t",
    }
    assert found["total_us"] == 100_000 + 50_000 + 10


async def test_long_texts_are_cut() -> None:
    house = FakeHouse()
    house.query_stats = stats = QueryStats(100, 1 << 20, monotonic())
    count(stats, b"SELECT " + b", ".join(b"column%d" % number for number in range(500)) + b" FROM t", 1)
    found = await find_busiest(house)
    assert found is not None
    assert max(len(row["text"]) for row in found["lists"]["top"]) == TEXT_SHOWN


async def test_nothing_where_statements_are_not_counted() -> None:
    house = FakeHouse()
    house.query_stats = None
    busiest = Busiest(house)
    busiest.look(0.0)
    assert busiest.task is None
    assert busiest.found is None


async def test_it_is_not_looked_up_anew_all_the_time() -> None:
    house = FakeHouse()
    house.query_stats = QueryStats(100, 1 << 20, monotonic())
    busiest, now = Busiest(house), monotonic()
    busiest.look(now)
    assert busiest.task is not None
    await busiest.task
    assert busiest.found is not None
    busiest.look(now + 1.0)
    assert busiest.task is None
    busiest.look(busiest.due)
    assert busiest.task is not None
    await busiest.stop()
