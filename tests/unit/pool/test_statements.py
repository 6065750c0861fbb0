"""Which prepared statements a server has, after what it was sent and what came of it."""

from typing import Any

from dbproxy.pool.prepared import Statement
from dbproxy.pool.statements import UNKNOWN_STATEMENT, ServerStatements
from dbproxy.wire.extended import write_close, write_describe, write_parse
from dbproxy.wire.pipeline import FAKE, Pipeline
from tests.unit.pool.fakes import FakePool

BODY = b"SELECT 1\0\0\0"


def make_statements(**settings: object) -> ServerStatements:
    return ServerStatements(FakePool(**settings).pool.tenant, Pipeline())


def parse(statement: Statement) -> bytes:
    return write_parse(statement.name, BODY)


def notes(statements: ServerStatements) -> list[Any]:
    return statements.pipeline.notes


def test_statement_is_prepared_once_in_a_batch():
    statements, statement = make_statements(), Statement(BODY)
    assert statements.prepare(statement) == parse(statement)
    assert statements.prepare(statement) == b""


def test_statement_that_may_have_been_discarded_is_prepared_again():
    statements, statement = make_statements(), Statement(BODY)
    statements.prepare(statement)
    statements.batch += 1
    assert statements.prepare(statement) == write_close(statement.name) + parse(statement)


def test_statement_that_was_accepted_is_not_prepared_again():
    statements, statement = make_statements(), Statement(BODY)
    statements.prepare(statement)
    statements.accepted(notes(statements)[0])
    statements.batch += 1
    assert statement.parsed
    assert statements.prepare(statement) == b""


def test_columns_are_asked_for_where_they_have_to_be_those_told_before():
    statements, statement = make_statements(), Statement(BODY)
    statement.columns = 7
    assert statements.prepare(statement) == parse(statement) + write_describe(statement.name)


def test_statement_used_longest_ago_is_given_up():
    statements = make_statements(max_prepared_statements=2)
    first, second, third = (Statement(BODY) for _ in range(3))
    for statement in (first, second, first):
        statements.prepare(statement)
    assert statements.prepare(third) == write_close(second.name) + parse(third)
    assert list(statements.prepared) == [first.name, third.name]


def test_statement_with_other_columns_takes_a_new_name():
    statements, statement = make_statements(), Statement(BODY)
    name = statement.name
    for columns in (7, 7, 8):
        assert statement.name == name
        statements.learn(columns, columns, (b"", None, name, statement), None)
    assert (statement.name != name, statement.columns) == (True, 0)


def test_parse_that_was_discarded_leaves_nothing():
    statements, ours, theirs = make_statements(), Statement(BODY), Statement(BODY)
    statements.prepare(ours)
    statements.keep(theirs)
    statements.undo(ord("P"), (b"", None, ours.name, ours, 0))
    statements.undo(ord("P"), (b"s", None, theirs.name, theirs))
    assert (statements.prepared, statements.unconfirmed) == ({}, {})


def test_parse_that_was_discarded_leaves_what_was_sent_since():
    statements, statement = make_statements(), Statement(BODY)
    statements.prepare(statement)
    statements.batch += 1
    statements.prepare(statement)
    statements.undo(ord("P"), (b"", None, statement.name, statement, 0))
    assert list(statements.prepared) == [statement.name]


def test_close_that_was_discarded_leaves_the_statement():
    statements, statement = make_statements(), Statement(BODY)
    statements.keep(statement)
    statements.close_shared()
    statements.undo(ord("C"), notes(statements)[-1])
    assert list(statements.prepared) == [statement.name]


def test_unnamed_statement_is_unknown_if_the_one_that_replaced_it_was_discarded():
    statements = make_statements()
    statements.undo(ord("C") | FAKE, (b"s", None, b"", None))
    assert statements.unnamed is None
    statements.undo(ord("P"), (b"", None, b"", None))
    assert statements.unnamed == UNKNOWN_STATEMENT


def test_statements_prepared_behind_deallocate_all_are_spared():
    statements, before, since = make_statements(), Statement(BODY), Statement(BODY)
    statements.keep(before)
    statements.prepare(since)
    statements.forget(None)
    assert list(statements.prepared) == [since.name]
