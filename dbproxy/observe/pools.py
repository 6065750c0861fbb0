"""Metrics of the pools: how full each is on each host, and what it refused."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dbproxy.observe.figures import HostPoolFigures, PoolFigures
from dbproxy.observe.labels import POOL_LABELS, label, pool_labels

HOST_LABELS = (*POOL_LABELS, "host")
_GAUGES: dict[str, tuple[str, Callable[[HostPoolFigures], float]]] = {
    "dbproxy_pool_size": ("Server connections that it may have, without the reserve", lambda pool: pool.size),
    "dbproxy_pool_waiting_clients": ("Clients that wait for one of them", lambda pool: pool.waiting),
    "dbproxy_pool_longest_wait_seconds": (
        "How long the first of these has waited",
        lambda pool: pool.longest_wait_s,
    ),
}


def host_pool_metrics(pools: Sequence[HostPoolFigures]) -> Iterator[Metric]:
    """A pool to each host: its limit is its own."""
    states = GaugeMetricFamily(
        "dbproxy_pool_servers",
        "Server connections to the host: `active` ones are lent",
        labels=[*HOST_LABELS, "state"],
    )
    for pool in pools:
        for state, count in pool.servers.items():
            states.add_metric((*_labels(pool), state), count)
    yield states
    for name, (help_text, read) in _GAUGES.items():
        family = GaugeMetricFamily(name, help_text, labels=HOST_LABELS)
        for pool in pools:
            family.add_metric(_labels(pool), read(pool))
        yield family


def refusal_metrics(pools: Sequence[PoolFigures]) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "dbproxy_refusals",
        "Requests that the proxy answered with an error of its own: no server was free, or could be reached",
        labels=[*POOL_LABELS, "sqlstate"],
    )
    for pool in pools:
        for sqlstate, count in pool.refusals.items():
            family.add_metric((*pool_labels(pool), sqlstate), count)
    yield family


def _labels(pool: HostPoolFigures) -> tuple[str, str, str]:
    """The values for HOST_LABELS."""
    return label(pool.database), label(pool.user), label(pool.host)
