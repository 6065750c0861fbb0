"""Which statements go to the primary at once, as replicas failed to answer them."""

import pytest

from dbproxy.routing.rescue import CONFLICT, READ_ONLY
from dbproxy.routing.rescues import LISTED, RESCUED_LIMIT, Rescues
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import NO_SHAPE
from tests.unit.session.fakes import make_router

SHAPES = StatementCache(2000)


@pytest.fixture
def rescues() -> Rescues:
    return Rescues(make_router().primary)


def test_statement_is_hopeless_once_it_was_rescued_too_often(rescues: Rescues):
    shape = SHAPES.find(b"SELECT liar()")
    told = [rescues.note("replica1", READ_ONLY, shape) for _ in range(RESCUED_LIMIT + 1)]
    assert told == [*[False] * (RESCUED_LIMIT - 1), True, False]
    assert rescues.is_hopeless(shape)
    assert rescues.list_hopeless() == [(shape, RESCUED_LIMIT + 1)]
    assert rescues.counts["replica1", READ_ONLY] == RESCUED_LIMIT + 1


def test_request_without_a_statement_counts_against_none(rescues: Rescues):
    assert not any(rescues.note("replica1", READ_ONLY, NO_SHAPE) for _ in range(2 * RESCUED_LIMIT))
    assert rescues.list_hopeless() == []
    assert rescues.counts["replica1", READ_ONLY] == 2 * RESCUED_LIMIT


def test_what_is_the_replicas_own_trouble_does_not_count_against_a_statement(rescues: Rescues):
    shape = SHAPES.find(b"SELECT long()")
    assert not any(rescues.note("replica1", CONFLICT, shape) for _ in range(2 * RESCUED_LIMIT))
    assert not rescues.is_hopeless(shape)


def test_statements_that_are_counted_are_bounded(rescues: Rescues):
    for number in range(LISTED + 10):
        rescues.note("replica1", READ_ONLY, SHAPES.find(b"SELECT f%d()" % number))
    assert len(rescues.rescued) == LISTED
