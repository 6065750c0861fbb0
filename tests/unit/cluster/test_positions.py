from dbproxy.cluster.finding import Finding
from dbproxy.cluster.positions import Positions
from tests.unit.cluster.hosts import following, member, primary, writable


def test_a_replica_lags_since_the_first_position_that_it_has_not_replayed():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000), 1.0)
    positions.lead(primary(), writable(2000), 2.0)
    assert positions.follow(replica, following(1500), 10.0) == 8.0
    assert (replica.lsn, replica.lag_bytes) == (1500, 500)


def test_a_position_on_another_timeline_is_none():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=2), 1.0)
    assert positions.follow(replica, following(5000, timeline=1), 4.0) == 3.0
    assert replica.lsn == 0


def test_where_a_timeline_is_not_told_it_is_taken_for_the_primarys():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=2), 1.0)
    positions.follow(replica, following(1000, timeline=0), 4.0)
    assert replica.lsn == 1000


def test_without_positions_nothing_lags():
    positions, replica = Positions(), member()
    positions.lead(primary(), Finding("primary", positions=False), 1.0)
    assert not positions.known
    assert positions.follow(replica, following(5), 100.0) == 0.0


def test_a_replica_that_tells_no_positions_does_not_lag_but_is_never_fresh():
    positions, replica = Positions(), member(lsn=5)
    positions.lead(primary(), writable(1000), 1.0)
    assert positions.follow(replica, Finding("replica", positions=False), 100.0) == 0.0
    assert replica.lsn == 0
