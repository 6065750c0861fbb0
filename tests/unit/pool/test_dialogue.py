"""What several facts of a conversation say together."""

import pytest

from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.request import new_request
from dbproxy.pool.statements import ServerStatements
from tests.unit.pool.fakes import FakePool


def make_dialogue() -> Dialogue:
    return Dialogue(ServerStatements(FakePool().pool.tenant))


def test_nothing_is_under_way_as_long_as_only_questions_of_ours_are_due():
    dialogue = make_dialogue()
    assert dialogue.between_requests()
    dialogue.pipeline.skip(ord("Q"))
    assert dialogue.between_requests()
    dialogue.pipeline.expect(ord("Q"), new_request(0.0))
    assert not dialogue.between_requests()
    assert not dialogue.only_ours()


def test_request_is_under_way_inside_a_transaction():
    dialogue = make_dialogue()
    dialogue.ready(ord("T"))
    assert dialogue.in_transaction()
    assert dialogue.only_ours()
    assert not dialogue.between_requests()


@pytest.mark.parametrize(
    ("before", "ran", "status", "sound"),
    [("T", False, "I", False), ("T", True, "I", True), ("I", False, "I", True), ("T", False, "T", True)],
)
def test_only_a_command_ends_a_transaction_block(before: str, ran: bool, status: str, sound: bool):
    dialogue = make_dialogue()
    dialogue.ready(ord(before))
    dialogue.ran = ran
    assert dialogue.ready(ord(status)) is sound
    assert (dialogue.ran, dialogue.status) == (False, ord(status))


def test_what_is_no_pin_is_taken_away_once():
    dialogue = make_dialogue()
    dialogue.traces.listens = True
    dialogue.given.names[b"s"] = []
    assert dialogue.take_away() == 'UNLISTEN *; DEALLOCATE "s"'
    assert dialogue.take_away() == ""
