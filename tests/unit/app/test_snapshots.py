from dbproxy.app.snapshots import count_minutes, seconds_left, take
from dbproxy.config.monitoring import QueryStatsSettings
from dbproxy.observe.querystats import MINUTE, PRIMARY, QueryStats
from dbproxy.sql.cache import StatementCache


async def test_whole_minutes_are_taken():
    stats, shape = QueryStats(100, 1 << 20, 0.0), StatementCache(10).find(b"SELECT 1")
    for minute in range(5):
        entry = stats.find(shape, stats.find_account("app", "app"), PRIMARY, 0.0)
        assert entry is not None
        stats.record(entry, minute * MINUTE, 10, 0, 0, 0, 0, None)
    snapshot = await take(stats, 3, 4.5 * MINUTE, 1e9)
    assert (snapshot.at, snapshot.window_s, [row["calls"] for row in snapshot.rows]) == (1e9, 180.0, [3])
    assert (await take(stats, 60, 4.5 * MINUTE, 1e9)).window_s == 240.0


def test_each_minute_is_in_one_snapshot():
    stats = QueryStats(100, 1 << 20, 100.0)
    assert 0 < seconds_left(stats, 60, 100.0 + 59 * MINUTE) - MINUTE < 1
    assert count_minutes(QueryStatsSettings(snapshot="90s")) == 1  # type: ignore[arg-type]
