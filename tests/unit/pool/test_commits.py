"""Where commits are: known, asked for, or lost."""

from dbproxy.pool.commits import Commits


def test_a_commit_is_pending_until_its_server_has_answered():
    commits = Commits()
    commits.begin()
    commits.begin()
    commits.end(20)
    assert commits.pending == 1
    commits.end(10)
    assert (commits.pending, commits.newest) == (0, 20)


def test_a_commit_that_was_lost_is_passed_by_the_second_sample_behind_it():
    commits = Commits()
    commits.sample(10, now=1.0)
    commits.begin()
    commits.lose(now=2.0)
    commits.sample(30, now=3.0)  # may have been asked for before
    assert commits.lost_at
    commits.sample(40, now=4.0)
    assert not commits.lost_at
    assert commits.newest == 40


def test_nothing_is_known_of_what_was_committed_before_anybody_asked():
    commits = Commits()
    commits.want(now=5.0)
    assert commits.asks
    assert commits.lost_at == commits.since == 5.0


def test_another_timeline_has_nothing_behind_where_its_primary_is():
    commits = Commits()
    commits.begin()
    commits.end(100)
    commits.reset(70)
    assert (commits.epoch, commits.base, commits.newest) == (1, 70, 70)
