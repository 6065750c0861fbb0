from dbproxy.cluster.finding import Finding
from dbproxy.cluster.lag import PAGE
from dbproxy.cluster.positions import Positions
from tests.unit.cluster.hosts import following, member, primary, writable


def test_a_replica_lags_since_the_first_position_that_it_has_not_replayed():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000), 1.0)
    positions.lead(primary(), writable(2000), 2.0)
    assert positions.follow(replica, following(1500), 10.0, rival=False) == 8.0
    assert (replica.position.lsn, replica.lag.bytes) == (1500, 500)


def test_a_record_of_which_the_primary_has_not_written_all_makes_no_replica_late():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(3 * PAGE - 100), 1.0)
    for now in (2.0, 3.0):  # somebody's transaction is open, and nobody commits
        positions.lead(primary(), writable(4 * PAGE), now)
    assert positions.follow(replica, following(4 * PAGE - 48), 60.0, rival=False) == 0.0
    assert replica.lag.bytes == 0
    positions.lead(primary(), writable(4 * PAGE + 500), 61.0)
    assert positions.follow(replica, following(4 * PAGE - 48), 62.0, rival=False) == 1.0


def test_a_replica_lags_while_whole_pages_are_all_that_is_written():
    positions, replica = Positions(), member()
    for second in range(1, 10):  # a bulk load in one transaction
        positions.lead(primary(), writable(4 * second * PAGE), float(second))
    assert positions.follow(replica, following(2 * PAGE), 10.0, rival=False) == 8.0
    assert replica.lag.bytes == (4 * 8 - 2) * PAGE


def test_a_position_on_another_timeline_is_none():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=2), 1.0)
    assert positions.follow(replica, following(5000, timeline=1), 4.0, rival=False) == 3.0
    assert replica.position.lsn == 0


def test_where_a_timeline_is_not_told_it_is_taken_for_the_primarys():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=2), 1.0)
    positions.follow(replica, following(1000, timeline=0), 4.0, rival=False)
    assert replica.position.lsn == 1000


def test_without_positions_nothing_lags():
    positions, replica = Positions(), member()
    positions.lead(primary(), Finding("primary", positions=False), 1.0)
    assert not positions.known
    assert positions.follow(replica, following(5), 100.0, rival=False) == 0.0


def test_a_replica_that_tells_no_positions_does_not_lag_but_is_never_fresh():
    positions, replica = Positions(), member(lsn=5)
    positions.lead(primary(), writable(1000), 1.0)
    assert positions.follow(replica, Finding("replica", positions=False), 100.0, rival=False) == 0.0
    assert replica.position.lsn == 0


def after_a_promotion(*steps: tuple[int, int, bool], exact: bool = False) -> list[int]:
    """Where a replica that tells timeline 1 is known to be, after each of (replayed, received, a rival lives)."""
    positions, replica, known = Positions(), member(), []
    positions.lead(primary(), writable(1000, timeline=2), 1.0)
    for lsn, received, rival in steps:
        positions.follow(replica, Finding("replica", True, lsn, 1, received, exact), 2.0, rival=rival)
        known.append(replica.position.lsn)
    return known


def test_beyond_all_that_it_had_received_of_the_old_timeline_a_replica_must_be_on_the_new_one():
    steps = (900, 950, False), (950, 950, False), (951, 960, False), (960, 960, False)
    assert after_a_promotion(*steps) == [0, 0, 951, 960]


def test_what_it_receives_while_the_old_primary_lives_proves_nothing():
    steps = (900, 900, True), (960, 970, True), (970, 970, False), (971, 971, False)
    assert after_a_promotion(*steps) == [0, 0, 0, 971]


def test_a_replica_that_says_for_sure_that_it_receives_the_old_timeline_is_believed():
    assert after_a_promotion((900, 900, False), (9000, 9000, False), exact=True) == [0, 0]


def test_a_replica_is_on_no_new_timeline_again_after_the_next_promotion():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=2), 1.0)
    for lsn in (900, 901):
        positions.follow(replica, Finding("replica", True, lsn, 1, lsn, exact=False), 2.0, rival=False)
    positions.turn([replica])
    positions.lead(primary(), writable(1000, timeline=3), 3.0)
    positions.follow(replica, Finding("replica", True, 901, 1, 901, exact=False), 4.0, rival=False)
    assert replica.position.lsn == 0


def test_a_promotion_makes_no_lag_young():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=1), 1.0)
    positions.lead(primary(), writable(2000, timeline=1), 2.0)
    positions.turn([replica])
    positions.lead(primary(), writable(2010, timeline=2), 50.0)
    for timeline in (1, 2):
        assert positions.follow(replica, following(500, timeline), 51.0, rival=False) == 50.0


def test_what_the_old_primary_wrote_beyond_the_promotion_is_not_waited_for():
    positions, replica = Positions(), member()
    positions.lead(primary(), writable(1000, timeline=1), 1.0)
    positions.lead(primary(), writable(9000, timeline=1), 2.0)
    positions.turn([replica])
    positions.lead(primary(), writable(1100, timeline=2), 3.0)
    assert positions.follow(replica, following(1100, timeline=2), 60.0, rival=False) == 0.0
