"""What is asked of hosts, by the settings; no server."""

import pytest

from dbproxy.app.hosts import Hosts
from dbproxy.config import load

URLS = {"DATABASE_URL": "postgresql://app@db/app", "DATABASE_READ_REPLICAS": "postgresql://app@replica/app"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"routing.mode": "off"}, False),
        ({"routing.consistency": "session"}, False),
        ({"pool.read_functions": "false"}, False),
        ({"pool.mode": "session"}, False),
        ({"pool.mode": "statement"}, False),
        ({"pool.max_prepared_statements": "0"}, False),
    ],
)
def test_commits_are_told_apart_only_where_reads_go_to_replicas(given: dict[str, str], expected: bool):
    hosts = Hosts(load(None, URLS, given), lambda *_: pytest.fail("no pool"), list)
    assert hosts.sees_all("app", "app") is expected
