"""What a server is sent so that it has a statement."""

from dbproxy.pool.dues import Evict, Prepare
from dbproxy.pool.preparation import close_shared, compare, forget_all, keep, spell_prepare
from dbproxy.pool.prepared import Statement
from dbproxy.wire.extended import write_close, write_describe, write_parse
from tests.unit.pool.fakes import FakeClient, make_answer

BODY = b"SELECT 1\0\0\0"


def parse(statement: Statement) -> bytes:
    return write_parse(statement.name, BODY)


def test_statement_is_prepared_once_in_a_batch():
    dialogue, statement = make_answer().dialogue, Statement(BODY)
    assert spell_prepare(dialogue, statement) == parse(statement)
    assert spell_prepare(dialogue, statement) == b""


def test_statement_that_may_have_been_discarded_is_prepared_again():
    dialogue, statement = make_answer().dialogue, Statement(BODY)
    spell_prepare(dialogue, statement)
    dialogue.statements.batch += 1
    assert spell_prepare(dialogue, statement) == write_close(statement.name) + parse(statement)


def test_statement_that_was_accepted_is_not_prepared_again():
    answer, statement = make_answer(), Statement(BODY)
    spell_prepare(answer.dialogue, statement)
    due = answer.dialogue.pipeline.oldest_note()
    assert isinstance(due, Prepare)
    due.done(answer)
    answer.dialogue.statements.batch += 1
    assert statement.parsed
    assert spell_prepare(answer.dialogue, statement) == b""


def test_columns_are_asked_for_where_they_have_to_be_those_told_before():
    dialogue, statement = make_answer().dialogue, Statement(BODY)
    assert compare(dialogue, statement) == b""
    statement.columns = 7
    assert spell_prepare(dialogue, statement) == parse(statement) + write_describe(statement.name)


def test_statement_used_longest_ago_is_given_up():
    dialogue = make_answer(max_prepared_statements=2).dialogue
    first, second, third = (Statement(BODY) for _ in range(3))
    for statement in (first, second, first):
        spell_prepare(dialogue, statement)
    assert spell_prepare(dialogue, third) == write_close(second.name) + parse(third)
    assert list(dialogue.statements.prepared) == [first.name, third.name]


def test_shared_statements_are_closed_to_show_only_the_clients_own():
    dialogue, statement = make_answer().dialogue, Statement(BODY)
    keep(dialogue, statement)
    assert close_shared(dialogue) == write_close(statement.name)
    assert isinstance(dialogue.pipeline.oldest_note(), Evict)
    assert dialogue.statements.prepared == {}


def test_statements_prepared_behind_deallocate_all_are_spared():
    dialogue, client = make_answer().dialogue, FakeClient()
    before, since = Statement(BODY), Statement(BODY)
    keep(dialogue, before)
    spell_prepare(dialogue, since)
    forget_all(dialogue, client)
    assert list(dialogue.statements.prepared) == [since.name]
    assert client.calls == [("forget_statements", {b""})]
