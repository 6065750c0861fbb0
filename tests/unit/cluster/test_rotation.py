"""Whose lag a job heeds."""

from dataclasses import replace

import pytest

from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.rotation import ReplicaLag, list_lags
from tests.unit.cluster.hosts import fail, following, settings, writable


@pytest.fixture
def cluster() -> Cluster:
    """A primary at 100 since the first second, and two replicas, one of them at 50."""
    made = Cluster(settings())
    made.learn(made.member("primary"), writable(lsn=50), 0.5)
    made.learn(made.member("primary"), writable(lsn=100), 1.0)
    made.learn(made.member("replica1"), following(lsn=100), 3.0)
    made.learn(made.member("replica2"), following(lsn=50), 3.0)
    return made


def lags(cluster: Cluster) -> dict[str, float | None]:
    return {lag.name: lag.seconds for lag in list_lags(cluster)}


def test_replicas_lag_as_the_monitor_says(cluster: Cluster):
    assert list(list_lags(cluster)) == [ReplicaLag("replica1", 0.0), ReplicaLag("replica2", 2.0)]


def test_replica_of_an_idle_primary_does_not_lag_more_and_more(cluster: Cluster):
    cluster.learn(cluster.member("replica1"), following(lsn=100), 1000.0)
    assert lags(cluster)["replica1"] == 0.0


def test_replica_that_does_not_answer_counts(cluster: Cluster):
    fail(cluster, "replica1", times=1, now=4.0)
    assert lags(cluster) == {"replica1": None, "replica2": 2.0}


def test_replica_that_was_never_heard_counts_as_one_that_does_not_answer():
    made = Cluster(settings())
    assert lags(made) == {"replica1": None, "replica2": None}


@pytest.mark.parametrize("order", ["disable", "drain"])
def test_replica_that_an_operator_took_out_does_not_count(cluster: Cluster, order: str):
    getattr(cluster, order)("replica2", 4.0)
    assert lags(cluster) == {"replica1": 0.0}
    fail(cluster, "replica2", times=1, now=5.0)
    assert lags(cluster) == {"replica1": 0.0}
    cluster.enable("replica2", 6.0)
    assert set(lags(cluster)) == {"replica1", "replica2"}


def test_replica_that_is_not_configured_any_more_does_not_count(cluster: Cluster):
    cluster.apply(replace_replicas(cluster, cluster.settings.replicas[:1]), 4.0)
    assert lags(cluster) == {"replica1": 0.0}


def test_replica_that_does_not_let_us_ask_does_not_count(cluster: Cluster):
    cluster.refused(cluster.member("replica2"), "too many connections", 4.0)
    assert lags(cluster) == {"replica1": 0.0}


def test_host_that_takes_writes_beside_the_primary_is_no_replica(cluster: Cluster):
    cluster.learn(cluster.member("replica2"), replace(writable(lsn=120), server=9), 4.0)
    assert set(lags(cluster)) == {"replica1"}


def replace_replicas(cluster: Cluster, replicas):
    return cluster.settings.model_copy(update={"replicas": replicas})
