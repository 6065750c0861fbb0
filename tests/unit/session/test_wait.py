"""For what a client may wait, and what ends each wait."""

import pytest

from dbproxy.session import wait
from dbproxy.session.wait import ENDS, NOT, may_end

WAITS = sorted(ENDS)
EVENTS = frozenset().union(*ENDS.values())
OWN = {  # events that are about one wait only
    wait.SERVED: wait.SERVER,
    wait.REPLAYED: wait.REPLICA,
    wait.HEARD: wait.HUB,
    wait.DONE: wait.TASK,
}


@pytest.mark.parametrize("own", WAITS)
def test_every_wait_has_an_end(own: int):
    ends = [event for event in EVENTS if may_end(own, event)]
    assert bool(ends) is (own != NOT)


@pytest.mark.parametrize(("event", "own"), OWN.items())
def test_no_wait_is_ended_by_what_another_is_about(event: int, own: int):
    assert [other for other in WAITS if may_end(other, event)] == [own]


def test_answer_of_a_server_does_not_end_a_wait_for_something_else():
    waits = {other for other in WAITS if may_end(other, wait.ANSWERED)}
    assert waits == {wait.ANSWER, wait.MOVE, wait.RETRY}


def test_only_what_others_must_grant_can_be_refused():
    waits = {other for other in WAITS if may_end(other, wait.REFUSED)}
    assert waits == {wait.SERVER, wait.REPLICA, wait.TASK}
