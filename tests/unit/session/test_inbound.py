"""What a client sends while it waits."""

import pytest

from dbproxy.session.inbound import Inbound
from dbproxy.session.wait import HUB, NOT, SERVER
from dbproxy.wire.framer import client_framer

LIMIT = 65536  # bytes


@pytest.fixture
def inbound() -> Inbound:
    return Inbound(client_framer(1000), None)


def test_what_was_kept_is_taken_once_in_the_order_in_which_it_came(inbound: Inbound):
    inbound.keep(b"one")
    inbound.keep(b"two")
    assert inbound.take() == b"onetwo"
    assert inbound.take() == b""


def test_what_was_looked_at_too_early_comes_first_again(inbound: Inbound):
    inbound.keep(b"later")
    inbound.put_back(b"early")
    assert inbound.take() == b"earlylater"


def test_no_more_is_read_once_there_is_more_than_the_limit(inbound: Inbound):
    assert not inbound.keep(bytes(LIMIT))
    assert inbound.keep(b"x")


def test_what_was_put_back_counts_against_the_limit(inbound: Inbound):
    inbound.put_back(bytes(LIMIT))
    assert inbound.keep(b"x")


def test_what_was_taken_does_not_count_any_more(inbound: Inbound):
    inbound.keep(bytes(LIMIT))
    inbound.take()
    assert not inbound.keep(bytes(LIMIT))


def test_what_waits_behind_what_waits_waits_on(inbound: Inbound):
    first, second = (SERVER, inbound.framer, 0), (HUB, inbound.framer, 1)
    inbound.pending.extend([first, second])
    assert inbound.end_wait() == second
    assert inbound.wait == SERVER
    assert inbound.end_wait() == first
    assert inbound.wait == NOT
    assert inbound.end_wait() is None


def test_nothing_is_left_of_what_a_client_that_has_gone_sent(inbound: Inbound):
    inbound.keep(b"x")
    inbound.pending.append((SERVER, inbound.framer, 0))
    inbound.clear()
    assert inbound.take() == b""
    assert inbound.end_wait() is None
