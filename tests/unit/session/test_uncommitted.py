"""LISTEN and UNLISTEN whose commit is not known, and the notifications that come meanwhile."""

import pytest

from dbproxy.session.uncommitted import Uncommitted
from dbproxy.sql.statement import Listen
from tests.support import speech
from tests.unit.session.test_listening import told

OWN = 7  # the client's process id
NONE: frozenset[str] = frozenset()


@pytest.fixture
def uncommitted() -> Uncommitted:
    """A LISTEN to `a` is under way."""
    made = Uncommitted()
    assert made.listen(["a"], NONE)
    return made


def takes(uncommitted: Uncommitted, channel: str, pid: int = 1) -> bool:
    return uncommitted.takes(told(channel, pid), NONE, OWN)


def test_each_statement_has_a_mark_of_its_own(uncommitted: Uncommitted):
    before = uncommitted.mark
    assert not uncommitted.listen([], {"a"})
    assert uncommitted.mark != before


def test_what_others_notify_before_the_commit_is_dropped(uncommitted: Uncommitted):
    assert takes(uncommitted, "a")
    assert uncommitted.take_held() == []
    assert not takes(uncommitted, "other")


def test_what_the_client_notifies_itself_is_told_with_the_end(uncommitted: Uncommitted):
    assert takes(uncommitted, "a", OWN)
    assert uncommitted.end(failed=False) == [told("a", OWN)]
    assert not takes(uncommitted, "a")  # it counts as committed


def test_transaction_that_has_failed_ends_nothing(uncommitted: Uncommitted):
    assert takes(uncommitted, "a", OWN)
    assert uncommitted.end(failed=True) == []
    assert takes(uncommitted, "a")
    assert uncommitted.take_held() == [told("a", OWN), told("a")]
    assert uncommitted.take_held() == []


def test_failure_of_what_has_listened_to_nothing_leaves_no_doubt():
    uncommitted = Uncommitted()
    assert uncommitted.end(failed=True) == []
    assert not uncommitted.doubtful


@pytest.mark.parametrize(("given_up", "kept"), [("a", {"a"}), ("", {"a", "b"})])
def test_what_comes_on_a_channel_that_may_be_given_up_is_kept(given_up: str, kept: set[str]):
    uncommitted = Uncommitted()
    uncommitted.unlisten([Listen("c", begins=True), Listen(given_up, begins=False)], {"a", "b"})
    assert {channel for channel in "abc" if takes(uncommitted, channel)} == kept
    assert len(uncommitted.take_held()) == len(kept)


def test_channel_that_the_client_listens_to_is_told_at_once(uncommitted: Uncommitted):
    assert not uncommitted.takes(told("a"), {"a"}, OWN)


def test_notice_is_no_notification(uncommitted: Uncommitted):
    assert not uncommitted.takes(speech.notice("beware"), NONE, OWN)


def test_nothing_is_uncommitted_once_the_server_has_said_what_is(uncommitted: Uncommitted):
    uncommitted.unwanted.add("b")
    uncommitted.conclude()
    assert not takes(uncommitted, "a")
    assert not takes(uncommitted, "b")
