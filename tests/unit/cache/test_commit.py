"""Where the last commit to one table is: known, asked for, or lost."""

from dbproxy.cache.commit import LastCommit, Unplaced
from dbproxy.pool.commits import UNKNOWN


def test_commit_is_not_known_from_when_its_client_hears_of_it_until_its_server_has_answered():
    last, unplaced, other = LastCommit(), Unplaced(), Unplaced()
    unplaced.add(last)
    unplaced.add(last)
    other.add(last)
    assert last.find(0, 0.0) == UNKNOWN
    unplaced.place(20)
    assert last.find(0, 0.0) == UNKNOWN
    other.place(10)
    assert last.find(0, 0.0) == 20
    unplaced.place(30)
    assert last.find(0, 0.0) == 20


def test_commit_that_was_lost_is_passed_by_what_the_primary_is_asked_later():
    last, unplaced = LastCommit(), Unplaced()
    unplaced.add(last)
    unplaced.lose(now=2.0)
    assert last.find(known=0, known_for=3.0) == UNKNOWN
    assert last.find(known=40, known_for=2.0) == UNKNOWN
    assert last.find(known=40, known_for=2.1) == 40
    assert last.find(known=50, known_for=3.0) == 40


def test_another_timeline_has_nothing_behind_where_its_primary_was():
    last, unplaced = LastCommit(), Unplaced()
    unplaced.add(last)
    unplaced.place(100)
    last.turn(70)
    assert last.find(0, 0.0) == 70
