"""Reads that can be sent again: which of them, and which of them has failed."""

import pytest

from dbproxy.session.batch import Batch
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire import build
from tests.support import speech

LIMIT = 1000  # of a Parse
SHAPES = StatementCache(100)


def read(column: str) -> Shape:
    return SHAPES.find(f"SELECT {column} FROM t".encode())


A, B, C = (build.query(f"SELECT {column} FROM t") for column in "abc")
BOUND = build.parse("", "SELECT d FROM t") + speech.bind() + speech.execute() + speech.SYNC


def made(*requests: tuple[str, bytes], answered: int = 0) -> Batch:
    """Each came by itself."""
    batch = Batch()
    for number, (column, data) in enumerate(requests):
        if number:
            batch.add((read(column),), data)
        else:
            batch.begin((read(column),), data, answered)
    return batch


def test_all_is_sent_again_if_nothing_was_answered():
    assert made(("a", A), ("b", B)).unanswered(0, b"", LIMIT) == A + B


def test_what_went_ahead_is_sent_again_only_with_the_first_request():
    batch = made(("a", A), ("b", B))
    assert batch.unanswered(0, b"ahead", LIMIT) == b"ahead" + A + B
    assert batch.unanswered(1, b"ahead", LIMIT) == B


def test_what_was_answered_is_not_sent_again():
    batch = made(("a", A), ("d", BOUND), ("c", C))
    assert batch.unanswered(1, b"", LIMIT) == BOUND + C
    assert batch.unanswered(2, b"", LIMIT) == C
    assert batch.unanswered(3, b"", LIMIT) == b""


def test_requests_of_the_loan_before_the_batch_do_not_count():
    assert made(("a", A), ("b", B), answered=7).unanswered(8, b"", LIMIT) == B


@pytest.mark.parametrize(("served", "column"), [(7, "a"), (8, "b"), (9, "b")])
def test_read_that_fails_is_the_first_that_is_not_answered(served: int, column: str):
    """The last one if a request had fewer statements than was thought."""
    assert made(("a", A), ("b", B), answered=7).failing(served) is read(column)


def test_request_that_executes_nothing_is_no_statement():
    batch = Batch()
    batch.begin((), build.parse("", "SELECT a FROM t") + speech.SYNC, 3)
    assert batch.failing(3) is NO_SHAPE


def test_size_is_of_all_that_is_kept():
    batch = made(("a", A), ("b", B))
    assert batch.size() == len(A + B)
    batch.clear()
    assert batch.size() == 0
