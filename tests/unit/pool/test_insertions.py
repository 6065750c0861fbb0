"""SQL of ours around a client's: each message of ours has its reply skipped, and the client sees its own answer."""

import pytest

from dbproxy.pool.insertions import hides, restore, spell_ours, spell_run, spell_sync
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.relay import Relay
from dbproxy.pool.request import Request, new_request
from dbproxy.wire.pipeline import KIND, SKIP
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    IDLE,
    INERROR,
    PARSE_COMPLETE,
    complete,
    error,
    parameter_status,
    query,
    rows,
    split,
)
from tests.unit.pool.fakes import FakeClient, FakePool, FakeServer

RUN = CLOSE_COMPLETE + PARSE_COMPLETE + BIND_COMPLETE + complete() + CLOSE_COMPLETE * 2
SET_UTC = Parameters({"timezone": "UTC"})


class Line:
    """A server that is lent, and what its client gets of what it says."""

    def __init__(self) -> None:
        pool = FakePool().pool
        self.server = FakeServer(pool)
        self.dialogue = self.server.dialogue
        self.relay = Relay(self.server, pool)
        self.client = FakeClient()
        self.server.loan.begin(self.client, True, 0.0)

    def ask(self, kinds: str) -> None:
        for kind in kinds:
            self.dialogue.pipeline.expect(ord(kind), make_request() if kind in "QS" else None)

    def hear(self, *messages: bytes) -> bytes:
        self.relay.feed(b"".join(messages))
        return self.client.replies


def make_request() -> Request:
    return new_request(0.0)


def kinds(messages: bytes) -> list[int]:
    return [message[0] for message in split(messages)]


@pytest.mark.parametrize("simple", [True, False])
def test_each_message_of_ours_has_a_reply_due_that_is_skipped(simple: bool):
    line = Line()
    sent = spell_ours(line.dialogue, ["SET jit = off", "RESET jit"], simple)
    due = line.dialogue.pipeline.due
    assert [entry & KIND for entry in due] == kinds(sent)
    assert all(entry & SKIP for entry in due)
    assert [text in sent for text in (b"SET jit = off", b"RESET jit")] == [True, True]


def test_clients_query_is_answered_alone():
    line = Line()
    line.dialogue.statements.unnamed = b"SELECT 1\0\0\0"
    assert spell_ours(line.dialogue, ["SET jit = off", "SELECT 2"], True) == query("SET jit = off") + query(
        "SELECT 2"
    )
    assert line.dialogue.statements.unnamed is None  # as behind every Query
    line.ask("Q")
    answer = rows("3") + IDLE
    assert line.hear(complete("SET"), IDLE, rows("2"), IDLE, answer) == answer


def test_query_of_ours_that_fails_is_not_the_clients_to_see():
    line = Line()
    spell_ours(line.dialogue, ["SET jit = off"], True)
    line.ask("Q")
    answer = error("25P02", "current transaction is aborted") + INERROR
    assert line.hear(error("25P02", "aborted"), INERROR, answer) == answer


def test_clients_request_is_answered_alone():
    line = Line()
    spell_ours(line.dialogue, ["SET jit = off"], False)
    line.ask("PBES")
    answer = PARSE_COMPLETE + BIND_COMPLETE + complete() + IDLE
    assert line.hear(RUN, answer) == answer


def test_name_that_was_not_prepared_is_not_given():
    line = Line()
    line.dialogue.given.names[b"s"] = [b"SELECT 1"]
    spell_run(line.dialogue, b"PREPARE s AS SELECT 1", b"s")
    line.ask("S")
    line.hear(CLOSE_COMPLETE, PARSE_COMPLETE, BIND_COMPLETE, error("42601", "syntax error"), IDLE)
    assert line.dialogue.given.names == {}


def test_sync_of_ours_is_answered_to_nobody():
    line = Line()
    assert kinds(spell_sync(line.dialogue)) == [ord("S")]
    line.ask("Q")
    assert line.hear(IDLE, complete(), IDLE) == complete() + IDLE


@pytest.mark.parametrize("kind", "QS")
def test_reset_and_what_restores_behind_it_are_one_answer(kind: str):
    line = Line()
    sent = restore(line.dialogue, SET_UTC, ord(kind), make_request())
    assert sent == query(SET_UTC.restoration())
    first = complete("RESET") + IDLE if kind == "Q" else IDLE
    assert line.hear(first, rows("UTC"), IDLE) == first
    assert line.dialogue.pipeline.empty()


def test_setting_that_a_reset_moves_and_we_move_back_is_not_told():
    line = Line()
    line.client.news.note("TimeZone", "UTC", told=True)
    restore(line.dialogue, SET_UTC, ord("Q"), make_request())
    there, back = (parameter_status("TimeZone", zone) for zone in ("GMT", "UTC"))
    assert line.hear(there, complete("RESET"), IDLE, rows("UTC"), back, IDLE) == complete("RESET") + IDLE


def test_setting_that_a_reset_moves_is_told_ahead_of_the_end():
    line = Line()
    line.client.news.note("DateStyle", "SQL, DMY", told=True)
    restore(line.dialogue, SET_UTC, ord("Q"), make_request())
    told = parameter_status("DateStyle", "ISO, MDY")
    heard = line.hear(told, complete("RESET"), IDLE, rows("UTC"), IDLE)
    assert heard == complete("RESET") + told + IDLE


@pytest.mark.parametrize(("name", "hidden"), [("in_hot_standby", True), ("TimeZone", False)])
def test_promotion_is_not_told(name: str, hidden: bool):
    assert hides(Line().dialogue, parameter_status(name, "off")[5:]) is hidden
