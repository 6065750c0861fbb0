import pytest

from dbproxy.config import load
from dbproxy.errors import ConfigurationError


def test_one_name_turns_all_monitoring_off():
    settings = load(None, {"QUERY_MONITORING_ENABLED": "false"})
    assert (settings.query_stats.enabled, settings.slow_query.enabled) == (False, False)
    own = load(None, {"QUERY_MONITORING_ENABLED": "false", "DBPROXY_QUERY_STATS__ENABLED": "true"})
    assert (own.query_stats.enabled, own.slow_query.enabled) == (True, False)


@pytest.mark.parametrize("snapshot", ["30s", "2h"])
def test_snapshots_are_of_the_minutes_that_are_kept(snapshot: str):
    with pytest.raises(ConfigurationError):
        load(None, {"DBPROXY_QUERY_STATS__SNAPSHOT": snapshot})
