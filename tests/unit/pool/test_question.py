"""One Query again and again, answered by a call: in its turn, and with nothing left behind."""

from typing import Any

from dbproxy.errors import ServerRefused, ServerUnavailable
from dbproxy.pool.question import Answer, Question
from dbproxy.pool.server import Server
from dbproxy.pool.states import IDLE
from tests.support import speech
from tests.support.speech import columns, complete, error, query, row
from tests.unit.pool.fakes import FakeClient, FakePool

ASKED = query("SELECT a")


def make_pool() -> tuple[FakePool, Any]:
    """With one server, which is idle."""
    fake = FakePool(size=1, min_pool_size=1, reserve_size=0, read_functions=False)
    fake.pool.open_more(0)
    return fake, fake.connect()


def ask(fake: FakePool) -> tuple[Question, list[Answer]]:
    """And where the answers come."""
    answers: list[Answer] = []
    question = Question(fake.pool, answers.append)
    question.ask(ASKED)
    return question, answers


def say(server: Server, value: str) -> None:
    server.data_received(columns("a") + row(value) + complete() + speech.IDLE)


def test_it_is_asked_again_and_again():
    fake, server = make_pool()
    question, answers = ask(fake)
    for value in ("1", "1", "2"):
        assert server.transport.take() == ASKED
        say(server, value)
        assert server.state == IDLE
        question.ask(ASKED)
    assert answers == [b"1", b"1", b"2"]


def test_answer_may_come_in_pieces():
    fake, server = make_pool()
    _, answers = ask(fake)
    said = columns("a") + row("one") + complete() + speech.IDLE
    for at in range(len(said)):
        assert answers == []
        server.data_received(said[at : at + 1])
    assert answers == [b"one"]


def test_error_is_an_answer():
    fake, server = make_pool()
    _, answers = ask(fake)
    server.data_received(error("42501", "permission denied") + speech.IDLE)
    (answer,) = answers
    assert isinstance(answer, ServerRefused)
    assert server.state == IDLE


def test_it_waits_for_its_turn():
    fake, server = make_pool()
    fake.lend(FakeClient())
    _, answers = ask(fake)
    assert server.transport.take() == b""
    server.release(0)
    assert server.transport.take() == ASKED
    say(server, "1")
    assert answers == [b"1"]


def test_who_cannot_be_asked_is_told_so():
    fake, server = make_pool()
    _, answers = ask(fake)
    server.close("gone")
    (answer,) = answers
    assert not isinstance(answer, bytes)
    question, answers = ask(fake)
    question.refuse(ServerUnavailable("down"))
    assert [str(answer) for answer in answers] == ["down"]


def test_dropped_it_is_answered_no_more_and_waits_for_nothing():
    fake, server = make_pool()
    question, answers = ask(fake)
    question.drop()
    assert not fake.pool.idle
    server.close("gone")
    question.ask(ASKED)
    assert question in fake.pool.waiting
    question.drop()
    assert question not in fake.pool.waiting
    assert answers == []
