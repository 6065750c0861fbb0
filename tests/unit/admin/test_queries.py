import pytest
from postgast import fingerprint

from dbproxy.admin.queries import reset_queries, show_queries, show_query
from dbproxy.errors import CommandFailed
from dbproxy.observe.querystats import PRIMARY, QueryStats
from dbproxy.sql.cache import StatementCache
from tests.unit.admin.house import FakeHouse, records


def counting(*calls: tuple[str, int], database: str = "shop") -> FakeHouse:
    """A proxy that has counted these, each with its microseconds."""
    from time import monotonic

    stats, cache = QueryStats(100, 1 << 20, monotonic()), StatementCache(100)
    account = stats.find_account(database, "app")
    for text, microseconds in calls:
        entry = stats.find(cache.find(text.encode()), account, PRIMARY, monotonic())
        assert entry is not None
        stats.record(entry, monotonic(), microseconds, 0, 0, 1, 10, None)
    return FakeHouse(query_stats=stats)


async def test_queries_are_shown_in_order():
    house = counting(("SELECT a", 10), ("SELECT b", 500), ("SELECT a", 30))
    rows = records(await show_queries(house, {"sort": "calls"}))
    assert [(row["text"], row["calls"], row["total_us"]) for row in rows] == [
        ("SELECT a", 2, 40),
        ("SELECT b", 1, 500),
    ]
    assert rows[0]["window"] == "reset"
    (slowest,) = records(await show_queries(house, {"sort": "max", "limit": "1", "window": "1m"}))
    assert (slowest["text"], slowest["database"], slowest["role"]) == ("SELECT b", "shop", "primary")


async def test_bad_question_is_an_error():
    with pytest.raises(CommandFailed, match="window must be one of"):
        await show_queries(counting(), {"window": "9m"})


async def test_one_query_in_all_windows():
    house = counting(("SELECT a", 10))
    (row,) = records(await show_queries(house, {}))
    rows = records(show_query(house, row["id"]))
    assert [(one["window"], one["calls"]) for one in rows] == [
        (name, 1) for name in ("1m", "5m", "15m", "1h", "reset")
    ]
    assert {one["pg_fingerprint"] for one in rows} == {fingerprint("SELECT a").hex}
    with pytest.raises(CommandFailed, match="no such query: 0123456789abcdef"):
        show_query(house, "0123456789abcdef")


async def test_reset():
    house = counting(("SELECT a", 10))
    with pytest.raises(CommandFailed, match="bad arguments"):
        await reset_queries(house, "everything")
    await reset_queries(house, "QUERIES")
    assert records(await show_queries(house, {})) == []


async def test_it_is_said_where_nothing_is_counted():
    with pytest.raises(CommandFailed, match="not counted") as raised:
        await show_queries(FakeHouse(), {})
    assert "QUERY_MONITORING_ENABLED" in (raised.value.hint or "")
