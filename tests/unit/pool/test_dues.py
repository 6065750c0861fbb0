"""What follows from the reply to a message, or from there being none."""

import pytest

from dbproxy.errors import ProtocolViolation, SessionLost
from dbproxy.pool.answer import Answer
from dbproxy.pool.dues import (
    ADOPT,
    OPTIONAL,
    RENEWED,
    REPLACE_UNNAMED,
    UNNAMED,
    UNNAMED_PORTAL,
    Close,
    Describe,
    Evict,
    Give,
    Parse,
    Portal,
    Prepare,
    fail_unexpectedly,
    new_bind,
    new_parse,
)
from dbproxy.pool.prepared import Statement
from dbproxy.pool.statements import UNKNOWN_STATEMENT
from dbproxy.wire.pipeline import FAKE, SKIP
from dbproxy.wire.reply import columns_key
from tests.support.speech import columns
from tests.unit.pool.fakes import make_answer

P, C = ord("P"), ord("C")
NO_FIELDS: dict[str, str] = {}


def make_statement() -> Statement:
    return Statement(b"SELECT 1\0\0\0")


def parse(
    name: bytes, server_name: bytes = b"", statement: Statement | None = None, previous: object = None
) -> Parse:
    return new_parse(name, previous, server_name, statement)


# --- Parse and Close ----------------------------------------------------------------------------------------


def test_statement_is_known_to_be_good_once_a_server_has_accepted_it():
    answer, statement = make_answer(), make_statement()
    parse(b"s", statement.name, statement).done(answer)
    assert statement.parsed


def test_parse_that_was_discarded_leaves_nothing():
    answer, statement = make_answer(), make_statement()
    answer.dialogue.statements.prepared[statement.name] = statement
    parse(b"s", statement.name, statement, "before").dropped(answer, P, first=True)
    assert answer.dialogue.statements.prepared == {}
    assert answer.loan.client.calls == [("restore", b"s", "before")]


def test_parse_that_the_server_has_never_seen_only_gives_the_name_back():
    answer = make_answer()
    parse(b"s").dropped(answer, P | FAKE, first=False)
    assert answer.dialogue.statements.unnamed is None
    assert answer.loan.client.calls == [("restore", b"s", None)]


@pytest.mark.parametrize(("first", "left"), [(True, None), (False, b"before")])
def test_failed_parse_ends_the_unnamed_statement_and_one_behind_it_does_not(first: bool, left: bytes | None):
    answer = make_answer()
    parse(b"", previous=b"before").dropped(answer, P, first)
    assert answer.dialogue.statements.unnamed == UNKNOWN_STATEMENT
    assert answer.loan.client.calls == [("restore", b"", left)]


def test_next_message_that_ends_the_unnamed_statement_learns_what_that_was():
    answer = make_answer()
    named, unnamed = parse(b"s"), parse(b"", previous=b"lost")
    for due in (named, unnamed):
        answer.dialogue.pipeline.expect(P, due)
    parse(b"", previous=b"before").dropped(answer, P, first=False)
    assert (named.previous, unnamed.previous) == (None, b"before")
    assert answer.loan.client.calls == []


def test_close_that_was_discarded_leaves_the_name():
    answer = make_answer()
    Close(b"s", "before").dropped(answer, C | FAKE, first=False)
    assert answer.loan.client.calls == [("restore", b"s", "before")]
    assert answer.dialogue.statements.unnamed is None
    unnamed = Close(b"", b"body")
    unnamed.dropped(answer, C, first=False)
    assert answer.dialogue.statements.unnamed == UNKNOWN_STATEMENT
    assert unnamed.amend_unnamed(b"other")
    assert unnamed.previous == b"other"
    assert not Close(b"s", None).amend_unnamed(b"other")


@pytest.mark.parametrize("due", [parse(b"s", previous="before"), Close(b"s", "before")])
def test_what_is_sent_again_is_taken_back(due: Parse | Close):
    client = make_answer().loan.client
    due.take_back(client)
    assert client.calls == [("restore", b"s", "before")]


def test_nobody_is_told_who_has_left():
    answer = make_answer(lent=False)
    parse(b"s").dropped(answer, P, first=True)
    Describe(b"s", b"", make_statement()).described(answer, 7, 9)
    UNNAMED.described(answer, 7, 9)
    UNNAMED_PORTAL.told(answer, columns("a"), 0)


# --- Describe -----------------------------------------------------------------------------------------------


def test_statement_with_other_columns_takes_a_new_name():
    answer, statement = make_answer(), make_statement()
    name = statement.name
    for told in (7, 7, 8):
        assert statement.name == name
        Describe(b"", name, statement).described(answer, told, told)
    assert (statement.name != name, statement.columns) == (True, 0)
    assert answer.loan.client.calls == []


def test_client_that_asks_is_told_the_columns():
    answer, statement = make_answer(), make_statement()
    Describe(b"s", statement.name, statement).described(answer, 7, 9)
    Describe(b"none", b"dbproxy/none", None).described(answer, 7, 9)
    assert answer.loan.client.calls == [("told", b"s", statement, 9)]
    assert (statement.columns, statement.full) == (7, 9)


@pytest.mark.parametrize("is_same", [True, False])
def test_twin_is_the_shared_statement_if_it_is_described_like_it(is_same: bool):
    answer = make_answer()
    shared = answer.tenant.statements.find(b"SELECT 1\0\0\0")
    shared.full = 9
    twin = make_statement()
    twin.twin = shared
    Describe(b"", twin.name, twin).described(answer, 7, 9 if is_same else 10)
    assert twin.twin is None
    assert answer.loan.client.calls == ([("merge", twin, shared)] if is_same else [])
    assert (answer.tenant.statements.find(b"SELECT 1\0\0\0") is shared) == is_same


def test_unnamed_statement_is_told_to_its_client_or_to_us():
    answer = make_answer()
    UNNAMED.described(answer, 7, 9)
    RENEWED.described(answer, 7, 9)
    assert answer.loan.client.calls == [("told_unnamed", 7, 9, False), ("told_unnamed", 7, 9, True)]


def test_portal_tells_the_columns_of_its_statement():
    answer, statement = make_answer(), make_statement()
    row = columns("a")
    Portal(b"s", statement).told(answer, b"-" + row, 1)
    UNNAMED_PORTAL.told(answer, b"-" + row + b"-", 1)
    assert answer.loan.client.calls == [
        ("told", b"s", statement, columns_key(b"", row, 0)),
        ("told_portal", row),
    ]


def test_who_asks_for_columns_can_be_sent_others():
    statement = make_statement()
    assert Describe(b"s", statement.name, statement).tells_columns()
    assert not Describe(b"", statement.name, statement).tells_columns()
    assert new_bind(b"s", statement.name, statement, True).tells_columns()
    assert not new_bind(b"s", statement.name, statement).tells_columns()
    assert not parse(b"s").tells_columns()


# --- ours ---------------------------------------------------------------------------------------------------


def prepare(answer: Answer, statement: Statement) -> Prepare:
    statements = answer.dialogue.statements
    statements.prepared[statement.name] = statement
    statements.unconfirmed[statement.name] = statements.batch
    return Prepare(statement, statements.batch)


def test_parse_of_ours_is_confirmed():
    answer, statement = make_answer(), make_statement()
    prepare(answer, statement).done(answer)
    assert (statement.parsed, answer.dialogue.statements.unconfirmed) == (True, {})


def test_parse_of_ours_that_was_discarded_leaves_nothing():
    answer, statement = make_answer(), make_statement()
    prepare(answer, statement).dropped(answer, P | SKIP, first=True)
    statements = answer.dialogue.statements
    assert (statements.prepared, statements.unconfirmed) == ({}, {})
    assert answer.loan.client.calls == []


def test_parse_of_ours_that_was_discarded_leaves_what_was_sent_since():
    answer, statement = make_answer(), make_statement()
    first = prepare(answer, statement)
    answer.dialogue.statements.batch += 1
    prepare(answer, statement)
    first.dropped(answer, P | SKIP, first=True)
    assert list(answer.dialogue.statements.prepared) == [statement.name]


def test_eviction_that_was_discarded_leaves_the_statement():
    answer, statement = make_answer(), make_statement()
    Evict(statement.name, statement).dropped(answer, C | SKIP, first=False)
    assert answer.dialogue.statements.prepared == {statement.name: statement}


def test_unnamed_statement_is_unknown_if_the_one_that_replaced_it_was_discarded():
    answer = make_answer()
    REPLACE_UNNAMED.dropped(answer, P | SKIP, first=True)
    assert answer.dialogue.statements.unnamed == UNKNOWN_STATEMENT


def test_name_that_was_not_given_is_not_there():
    answer = make_answer()
    answer.dialogue.given.names[b"s"] = []
    answer.dialogue.given.empty.add(b"s")
    Give(b"s").dropped(answer, P | SKIP, first=False)
    assert (answer.dialogue.given.names, answer.dialogue.given.empty) == ({}, set())


def test_query_of_ours_may_fail_if_it_says_so():
    answer = make_answer()
    OPTIONAL.failed(answer, NO_FIELDS)
    with pytest.raises(SessionLost, match="the session's settings cannot be given") as lost:
        ADOPT.failed(answer, {"C": "22023", "M": "no such zone"})
    assert lost.value.sqlstate == "22023"
    with pytest.raises(ProtocolViolation, match="a statement of ours failed: 42601"):
        fail_unexpectedly({"C": "42601", "M": "syntax error"})
