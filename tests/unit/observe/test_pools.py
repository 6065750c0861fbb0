"""A pool's limit and its connections, host by host."""

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from dbproxy.observe.figures import HostPoolFigures
from dbproxy.observe.pools import host_pool_metrics


class Shown(Collector):
    def __init__(self, *pools: HostPoolFigures) -> None:
        self.pools = pools

    def collect(self):
        return host_pool_metrics(self.pools)


def test_hosts_of_one_pool_are_told_apart() -> None:
    registry = CollectorRegistry()
    registry.register(
        Shown(
            HostPoolFigures(database="d", user="u", host="primary", size=5, servers={"active": 5}),
            HostPoolFigures(database="d", user="u", host="replica1", size=5, servers={"active": 1}),
        )
    )
    active = [
        registry.get_sample_value(
            "dbproxy_pool_servers", {"database": "d", "user": "u", "host": host, "state": "active"}
        )
        for host in ("primary", "replica1")
    ]
    assert active == [5, 1]
