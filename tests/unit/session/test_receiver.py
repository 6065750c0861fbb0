"""What a hub's connection was asked, and how far that is answered."""

import pytest

from dbproxy.session.channels import Channel
from dbproxy.session.receiver import Receiver
from dbproxy.wire import build
from tests.support import speech
from tests.unit.pool.fakes import FakePool
from tests.unit.session.fakes import make_server, sent

OK = speech.complete("LISTEN") + speech.IDLE


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(make_server(FakePool().pool), 100.0)


def test_each_statement_is_a_query_of_its_own(receiver: Receiver):
    receiver.ask([("LISTEN a", None), ("LISTEN b", None)], 101.0)
    assert sent(receiver.server) == build.query("LISTEN a") + build.query("LISTEN b")


def test_answers_come_in_the_order_of_the_statements(receiver: Receiver):
    first, second = Channel("a"), Channel("b")
    receiver.ask([("LISTEN a", first)], 101.0)
    receiver.ask([("LISTEN b", second)], 102.0)
    assert receiver.take_answered() == (first, None)
    assert receiver.take_answered() == (second, None)


def test_error_is_that_of_the_statement_at_hand(receiver: Receiver):
    receiver.ask([("LISTEN a", None), ("LISTEN b", None)], 101.0)
    receiver.fail(speech.error("42501", "not for you"))
    _, error = receiver.take_answered()
    assert error is not None
    assert (error.sqlstate, error.message) == ("42501", "not for you")
    assert receiver.take_answered() == (None, None)


def test_messages_are_whole_however_they_come(receiver: Receiver):
    news = speech.notification("news", "extra")
    stream = OK + news + speech.error("42501", "no")
    found = [message for byte in stream for message in receiver.read(bytes([byte]), 103.0)]
    assert found == [speech.IDLE, news, speech.error("42501", "no")]


def test_it_is_quiet_since_it_was_asked_or_heard_last(receiver: Receiver):
    assert receiver.quiet_since() == 100.0
    receiver.ask([("", None)], 105.0)
    receiver.ask([("", None)], 107.0)  # behind one that is not answered
    assert receiver.quiet_since() == 105.0
    list(receiver.read(OK, 109.0))
    assert receiver.quiet_since() == 109.0


def test_who_waits_for_an_answer_that_will_not_come_is_called_once(receiver: Receiver):
    called: list[bool] = []
    receiver.ask([("LISTEN a", Channel("a")), ("", lambda: called.append(True)), ("", None)], 101.0)
    receiver.give_up()
    receiver.give_up()
    assert called == [True]
