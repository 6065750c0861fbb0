"""What currval and lastval are answered with."""

from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.pool.recall import Recall
from dbproxy.pool.traces import Traces
from dbproxy.session.recollection import Recollection, spell_sequence
from dbproxy.sql import statement as sql
from dbproxy.sql.calls import Call, Operand

LAST = Call("lastval", 7, 16)


def call(*operands: Operand, serial: bool = False) -> Call:
    return Call("currval", 7, 20, b"argument", operands, serial)


@pytest.fixture
def recollection() -> Recollection:
    tenant: Any = SimpleNamespace(recall=Recall(able=True), recalls=False)
    return Recollection(tenant)


@pytest.fixture
def server() -> Any:
    return SimpleNamespace(dialogue=SimpleNamespace(traces=Traces()))


def test_nothing_is_answered_before_anything_was_told(recollection: Recollection, server: Any):
    assert recollection.answer(server, LAST, ()) == ""
    assert recollection.answer(server, call(Operand("s")), ()) == ""


def test_answers_are_what_was_told_last(recollection: Recollection, server: Any):
    recollection.conclude(server, (5, 100, 5, 200, 9), 0)
    recollection.conclude(server, (6, 100, 6), 0)
    recollection.conclude(server, (), 0)  # nothing there
    recollection.conclude(server, None, 0)  # not asked
    assert "'6'" in recollection.answer(server, LAST, ())
    assert recollection.answer(server, LAST, ()) == "CASE WHEN true THEN '6'::pg_catalog.int8"
    answer = recollection.answer(server, call(Operand("s")), ())
    assert "'100'::pg_catalog.oid THEN '6'" in answer
    assert "'200'::pg_catalog.oid THEN '9'" in answer


def test_sequence_of_which_the_server_does_not_tell_is_not_known_any_more(
    recollection: Recollection, server: Any
):
    recollection.conclude(server, (5, 100, 5, 200, 9), 0)
    recollection.conclude(server, (6, -100, 0, 200, 6), 0)
    recollection.conclude(server, (6, -300, 0), 0)
    assert recollection.given == {200: 6}


def test_what_the_server_does_not_tell_is_not_known_any_more(recollection: Recollection, server: Any):
    recollection.conclude(server, (5, 100, 5), 0)
    recollection.conclude(server, None, sql.ADVANCES)
    assert recollection.answer(server, LAST, ()) == ""


@pytest.mark.parametrize("effect", [sql.FORGOT, sql.DISCARDED])
def test_what_was_discarded_is_forgotten_and_what_came_behind_it_is_not(
    recollection: Recollection, server: Any, effect: int
):
    recollection.conclude(server, (5, 100, 5), 0)
    recollection.conclude(server, (), effect)
    assert recollection.answer(server, LAST, ()) == ""
    recollection.conclude(server, (7,), effect)
    assert "'7'" in recollection.answer(server, LAST, ())


def test_what_is_not_asked_for_pins(recollection: Recollection, server: Any):
    recollection.conclude(server, (5, 100, 5), 0)
    assert recollection.answer(server, call(Operand("é")), ()) == ""
    assert server.dialogue.traces.effects == sql.RECALLS


def test_server_that_has_just_given_one_out_knows_better(recollection: Recollection, server: Any):
    assert not recollection.is_known_to(server)
    server.dialogue.traces.sequences.advanced = True
    assert recollection.is_known_to(server)


@pytest.mark.parametrize(
    ("operands", "values", "spelled"),
    [
        ([Operand("it's")], [], "'it''s'"),
        ([Operand(parameter=2)], [(None, False), (b'"S"', False)], "'\"S\"'"),
        ([Operand(parameter=1)], [(b"name", True)], "'name'"),
        ([Operand(parameter=1)], [((16385).to_bytes(4, "big"), True)], "'16385'"),
        ([Operand(parameter=1)], [(None, False)], ""),
        ([Operand(parameter=3)], [], ""),
        ([Operand("é")], [], None),
        ([Operand("x" * 300)], [], None),
        ([Operand("a\nb")], [], None),
    ],
)
def test_sequence_is_spelled(
    operands: list[Operand], values: list[tuple[bytes | None, bool]], spelled: str | None
):
    assert spell_sequence(call(*operands), values) == spelled


def test_sequence_of_a_column_is_spelled():
    spelled = spell_sequence(call(Operand("t"), Operand(parameter=1), serial=True), [(b"id", False)])
    assert spelled == "pg_catalog.pg_get_serial_sequence('t', 'id')"
