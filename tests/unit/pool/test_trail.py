"""Whose doings are left on a server."""

from dbproxy.pool.trail import Trail
from tests.unit.pool.fakes import FakeClient

ONE, OTHER = FakeClient("one"), FakeClient("other")


def test_server_changes_hands_only_with_another_borrower():
    trail = Trail()
    assert trail.follow(ONE, 0.0)
    assert not trail.follow(ONE, 1.0)
    assert trail.follow(OTHER, 2.0)
    assert trail.follow(ONE, 3.0)


def test_when_the_one_before_was_answered_is_known_as_long_as_the_same_is_lent_the_server():
    trail = Trail()
    trail.follow(ONE, 1.0)
    assert trail.left_at == 0.0  # there was none before
    trail.follow(OTHER, 2.0)
    trail.follow(OTHER, 3.0)
    assert trail.left_at == 2.0


def test_notifier_is_known_until_another_than_the_next_is_lent_the_server():
    """What it has sent may be heard during the next one's loan."""
    trail = Trail()
    trail.follow(ONE, 0.0)
    trail.notifier = ONE
    trail.follow(OTHER, 1.0)
    assert trail.notifier is ONE
    trail.follow(OTHER, 2.0)
    assert trail.notifier is ONE
    trail.follow(FakeClient("third"), 3.0)
    assert trail.notifier is None
