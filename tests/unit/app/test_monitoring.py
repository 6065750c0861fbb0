from dbproxy.app.monitoring import Monitoring
from dbproxy.config import Settings
from dbproxy.config.monitoring import QueryStatsSettings


def test_statements_are_counted_as_told():
    found = Monitoring(
        Settings(query_stats=QueryStatsSettings(capacity=20, by_user=False)), 5.0, list
    ).query_stats
    assert found is not None
    assert (found.capacity, found.memory_limit, found.by_user, found.track_utility) == (
        20,
        32 * 1024**2,
        False,
        True,
    )


def test_nothing_is_counted_where_it_is_off():
    monitoring = Monitoring(Settings(query_stats=QueryStatsSettings(enabled=False)), 5.0, list)
    monitoring.sweep(6.0)
    assert monitoring.query_stats is None
