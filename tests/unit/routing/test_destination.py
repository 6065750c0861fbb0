"""Replicas as one database and user reach them."""

from dbproxy.routing.destination import Destination
from dbproxy.routing.tally import Tally
from tests.unit.session.fakes import make_router


def test_replica_is_reached_by_one_pool_and_its_figures_outlive_it():
    own = make_router()
    host = own.cluster.member("replica1")
    found = own.reach(host)
    assert own.reach(host) is found
    assert own.pools() == [found.pool]
    found.sent.count("read")
    own.forget(found)
    again = own.reach(host)
    assert again is not found
    assert own.decisions == {("replica1", "read"): 1}


def test_what_was_only_observed_is_told_apart():
    own = make_router()
    own.reach(own.cluster.member("replica1")).observed.count("read")
    assert own.decisions == {("observed: replica1", "read"): 1}


def test_it_is_what_it_was_made_of():
    own = make_router()
    host, sent, observed = own.cluster.member("replica1"), Tally("read"), Tally("read")
    found = Destination(host, own.primary, sent, observed)
    assert (found.host, found.pool, found.sent, found.observed) == (host, own.primary, sent, observed)
