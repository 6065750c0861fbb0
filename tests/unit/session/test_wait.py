"""For what a client may wait, and what ends each wait."""

import pytest

from dbproxy.session import wait
from dbproxy.session.wait import EVENTS, NOT, WAITS

OWN = {  # events that are about one wait only
    wait.SERVED: wait.SERVER,
    wait.REPLAYED: wait.REPLICA,
    wait.HEARD: wait.HUB,
    wait.DONE: wait.TASK,
}


def test_no_two_are_one():
    assert len(set(WAITS)) == len(WAITS)
    assert len(set(EVENTS)) == len(EVENTS)
    assert all(event.bit_count() == 1 for event in EVENTS)


@pytest.mark.parametrize("own", WAITS)
def test_every_wait_has_an_end(own: int):
    assert any(own & event for event in EVENTS) is (own != NOT)


@pytest.mark.parametrize(("event", "own"), OWN.items())
def test_no_wait_is_ended_by_what_another_is_about(event: int, own: int):
    assert [other for other in WAITS if other & event] == [own]


def test_answer_of_a_server_does_not_end_a_wait_for_something_else():
    assert {other for other in WAITS if other & wait.ANSWERED} == {wait.ANSWER, wait.MOVE, wait.RETRY}


def test_only_what_others_must_grant_can_be_refused():
    assert {other for other in WAITS if other & wait.REFUSED} == {wait.SERVER, wait.REPLICA, wait.TASK}
