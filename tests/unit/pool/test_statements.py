"""Which prepared statements a server has."""

from dbproxy.pool.prepared import Statement
from dbproxy.pool.statements import ServerStatements
from tests.unit.pool.fakes import FakePool


def test_statement_is_there_once_its_parse_cannot_be_discarded_any_more():
    statements, statement = ServerStatements(FakePool().pool.tenant), Statement(b"SELECT 1\0\0\0")
    assert not statements.has(statement)
    statements.prepared[statement.name] = statement
    assert statements.has(statement)
    statements.unconfirmed[statement.name] = 0
    assert statements.has(statement)
    statements.batch += 1  # behind a Sync: an error before it may have discarded the Parse
    assert not statements.has(statement)
    statements.lose(statement.name)
    assert (statements.prepared, statements.unconfirmed) == ({}, {})
