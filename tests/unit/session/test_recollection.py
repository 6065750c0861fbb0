"""What currval and lastval are answered with."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.pool.recall import ALL, TRIALS, UNUSED, Recall
from dbproxy.pool.traces import Traces
from dbproxy.session.recollection import Recollection, spell_sequence
from dbproxy.sql import statement as sql
from dbproxy.sql.calls import Call, Operand
from dbproxy.sql.parser import classify
from tests.unit.session.fakes import make_client, make_server

ALL_WERE_ASKED = (ALL, ALL)
LAST = Call("lastval", 7, 16)


def call(*operands: Operand, serial: bool = False) -> Call:
    return Call("currval", 7, 20, b"argument", operands, serial)


@pytest.fixture
def recollection() -> Recollection:
    tenant: Any = SimpleNamespace(recall=Recall(able=True), recalls=False)
    return Recollection(tenant)


@pytest.fixture
def server() -> Any:
    return SimpleNamespace(dialogue=SimpleNamespace(traces=Traces(), status=ord("I")))


def test_nothing_is_answered_before_anything_was_told(recollection: Recollection, server: Any):
    assert recollection.answer(server, LAST, ()) == ""
    assert recollection.answer(server, call(Operand("s")), ()) == ""


def test_answers_are_what_was_told_last(recollection: Recollection, server: Any):
    recollection.conclude(server, (5, 100, 5, 200, 9), 0)
    recollection.conclude(server, (6, 100, 6, *ALL_WERE_ASKED), 0)
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
    recollection.conclude(server, (6, -300, 0, *ALL_WERE_ASKED), 0)
    assert recollection.given == {200: 6}


def test_sequence_that_was_not_asked_for_by_name_is_not_known_any_more(
    recollection: Recollection, server: Any
):
    recollection.conclude(server, (5, 100, 5, 200, 9, 300, 2, *ALL_WERE_ASKED, -200, UNUSED), 0)
    assert recollection.given == {100: 5, 200: 9, 300: 2}
    recollection.conclude(server, (6, -200, UNUSED, 300, 3), 0)
    assert recollection.given == {200: 9, 300: 3}


@pytest.mark.parametrize("text", ["SELECT setval('s', 99)", "SELECT setval('s', 99), currval('s')"])
def test_what_setval_has_set_where_nothing_else_is_known_is_not_the_number_before(
    recollection: Recollection, server: Any, text: str
):
    setting = classify(text.encode())
    recollection.conclude(server, (5, 100, 5), 0)
    recollection.conclude(server, (), sql.ADVANCES)  # an INSERT without a sequence
    assert recollection.last == 5
    recollection.use(server, setting, setting.effects, True)
    recollection.conclude(server, (), sql.ADVANCES)
    assert (recollection.last, recollection.given) == (None, {})


def test_what_was_told_before_nobody_was_asked_is_void(recollection: Recollection, server: Any):
    recall = recollection.tenant.recall
    recollection.conclude(server, (5, 100, 5), 0)
    for _ in range(TRIALS):
        recall.spell()
    assert recollection.answer(server, LAST, ()) == ""
    recollection.conclude(server, (7,), 0)
    assert "'7'" in recollection.answer(server, LAST, ())


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


# --- what uses sequences --------------------------------------------------------------------------------------


def use(recollection: Recollection, server: Any, effects: int, **statement: bool) -> tuple[bytes, int]:
    return recollection.use(server, replace(sql.HARMLESS, **statement), effects, simple=True)


def test_nextval_is_known_to_its_server(recollection: Recollection, server: Any):
    assert use(recollection, server, sql.ADVANCES) == (b"", sql.ADVANCES)
    assert server.dialogue.traces.sequences.advanced
    assert not recollection.tenant.recalls


@pytest.mark.parametrize("statement", [{"bare": True}, {"inserts_first": True}])
def test_what_the_proxy_answers_does_not_pin(
    recollection: Recollection, server: Any, statement: dict[str, bool]
):
    assert use(recollection, server, sql.RECALLS, **statement) == (b"", 0)


def test_what_is_of_the_same_transaction_does_not_pin(recollection: Recollection, server: Any):
    assert use(recollection, server, sql.RECALLS) == (b"", sql.RECALLS)
    assert recollection.tenant.recalls
    server.dialogue.traces.sequences.advance()
    server.dialogue.status = ord("T")
    assert use(recollection, server, sql.RECALLS) == (b"", 0)


def test_what_others_were_given_is_forgotten_first(recollection: Recollection):
    client = make_client()
    server = make_server(client.pool)
    server.dialogue.traces.sequences.foreign = True
    ahead, _ = use(client.state.recollection, server, sql.RECALLS)
    assert b"DISCARD SEQUENCES" in ahead


def test_server_that_others_have_used_knows_no_better(recollection: Recollection, server: Any):
    server.loan = SimpleNamespace(changed=True)
    recollection.tenant.recall.give_up()
    assert not recollection.knows_better(server)  # nobody recalls
    recollection.tenant.recalls = True
    assert recollection.knows_better(server)
    server.loan.changed = False
    assert not recollection.knows_better(server)
