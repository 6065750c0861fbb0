"""Which shape an Execute runs."""

from typing import Any

import pytest

from dbproxy.pool.prepared import Statement
from dbproxy.session.portals import MOST, Portals
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire import build
from dbproxy.wire.pipeline import Pipeline
from tests.support.speech import bind, execute
from tests.unit.session.fakes import make_client

CACHE = StatementCache(100)
ONE, OTHER = CACHE.find(b"SELECT 1 FROM one"), CACHE.find(b"SELECT 2 FROM other")


def make_portals() -> Portals:
    """Of a client in session mode, whose Parses are read here."""
    return Portals(None, lambda body: CACHE.find(body.split(b"\0")[0]), shares=False)  # type: ignore[arg-type]


def note(portals: Portals, *messages: bytes) -> None:
    for message in messages:
        portals.note(message[0], Pipeline(), message, 0, len(message))


def shape(portals: Portals, portal: str = "", rows: int = 0) -> Any:
    execution = portals.execute(execute(portal, rows), 0, 5.0)
    return execution and (execution.first or execution).shape


def test_unnamed_and_named_portals():
    portals = make_portals()
    note(portals, build.parse("", "SELECT 1 FROM one"), bind(), build.parse("s", "SELECT 2 FROM other"))
    note(portals, bind("s", portal="p"))
    assert (shape(portals), shape(portals, "p")) == (ONE, OTHER)
    note(portals, bind("s"))
    assert shape(portals) is OTHER


def test_statement_that_is_not_known():
    portals = make_portals()
    note(portals, bind("nobody's"))
    assert shape(portals) is NO_SHAPE
    assert portals.execute(execute("no portal"), 0, 5.0) is None


def test_second_execute_goes_on_with_the_first():
    portals = make_portals()
    note(portals, build.parse("", "SELECT 1 FROM one"), bind())
    first = portals.execute(execute("", 10), 0, 5.0)
    later = portals.execute(execute("", 20), 0, 6.0)
    assert first is not None
    assert later is not None
    assert (first.limit, later.limit, later.first, later.arrived) == (10, 20, first, 6.0)


def test_names_are_bounded():
    portals = make_portals()
    for number in range(MOST + 10):
        note(portals, build.parse(f"s{number}", "SELECT 1 FROM one"), bind("s0", portal=f"p{number}"))
    assert len(portals.shapes) == MOST
    assert len(portals.named) <= MOST


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("EXECUTE by_protocol", ONE),
        ("execute by_sql(1, 2.5)", OTHER),
        ("EXECUTE with_comment", None),
        ("EXECUTE nowhere", None),
        ("EXPLAIN EXECUTE by_sql(1, 2.5)", None),
        ("EXECUTE by_protocol; EXECUTE by_sql(1, 2.5)", None),
    ],
)
def test_execute_in_sql_is_counted_as_what_was_prepared(text: str, counted: Shape | None):
    prepared = make_client().prepared
    prepared.statements[b"by_protocol"] = Statement(b"", ONE)
    prepared.by_sql[b"by_sql"] = b'prepare "by_sql"(int, numeric(10, 2)) as SELECT 2 FROM other'
    prepared.by_sql[b"with_comment"] = b"/* x */ PREPARE with_comment AS SELECT 2 FROM other"
    portals = Portals(prepared, CACHE.find, shares=True)
    shape = CACHE.find(text.encode())
    assert shape.effects.executes
    assert portals.find_executed(shape) is (counted or shape)
