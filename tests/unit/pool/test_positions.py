"""Where commits are: known, asked for, or lost."""

from dbproxy.pool.positions import Positions


def test_a_commit_is_pending_until_its_server_has_answered():
    positions = Positions()
    positions.begin()
    positions.begin()
    positions.end(20)
    assert positions.pending == 1
    positions.end(10)
    assert (positions.pending, positions.newest) == (0, 20)


def test_a_commit_that_was_lost_is_passed_by_the_second_sample_behind_it():
    positions = Positions()
    positions.sample(10, now=1.0)
    positions.begin()
    positions.lose(now=2.0)
    positions.sample(30, now=3.0)  # may have been asked for before
    assert positions.lost_at
    positions.sample(40, now=4.0)
    assert not positions.lost_at
    assert positions.newest == 40


def test_nothing_is_known_of_what_was_committed_before_anybody_asked():
    positions = Positions()
    positions.want(now=5.0)
    assert positions.asks
    assert positions.lost_at == positions.since == 5.0


def test_another_timeline_has_nothing_behind_where_its_primary_is():
    positions = Positions()
    positions.begin()
    positions.end(100)
    positions.reset(70)
    assert (positions.epoch, positions.base, positions.newest) == (1, 70, 70)
