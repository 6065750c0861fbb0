"""What a router is told of a session."""

from dbproxy.pool.commits import UNKNOWN
from dbproxy.routing.reader import Reader
from tests.unit.cluster.hosts import member


def test_commit_whose_place_will_not_be_known_is_further_than_any_replica():
    reader = Reader()
    reader.committed(1000, 1)
    reader.misplaced(2)
    assert (reader.position, reader.epoch) == (UNKNOWN, 2)


def test_host_is_avoided_and_a_wait_counts_for_one_loan():
    reader = Reader()
    reader.avoided, reader.waited = member(), True
    reader.forget_detours()
    assert reader.avoided is None
    assert not reader.waited


def test_commit_outlives_the_loan():
    reader = Reader()
    reader.committed(1000, 1)
    reader.forget_detours()
    assert reader.position == 1000
