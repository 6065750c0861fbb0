"""How a transaction on a replica began, and what brings another server to where it is."""

import pytest

from dbproxy.session.opening import STEPS, TEXT_LIMIT, Opening, Request
from dbproxy.sql.cache import StatementCache

BEGIN, SET, READ, CHAIN = "BEGIN READ ONLY", "SET LOCAL a.b = 1", "SELECT a FROM t", "COMMIT AND CHAIN"


SHAPES = StatementCache(100)


def request(*texts: str, whole: bool = True) -> Request:
    made = Request(0)
    made.statements = [(SHAPES.find(text.encode()), text.encode()) for text in texts]
    made.whole = whole
    return made


def opening(*texts: str) -> Opening:
    """Each is a request."""
    made = Opening(0)
    for text in texts:
        made.note(request(text))
    return made


def repeated(opening: Opening, served: int) -> list[str] | None:
    steps = opening.to_repeat(served)
    return None if steps is None else [text.decode() for text, _ in steps]


def test_what_was_answered_is_repeated():
    begun = opening(BEGIN, SET, "SHOW a.b", SET)
    assert repeated(begun, 3) == [BEGIN, SET, "SHOW a.b"]
    assert repeated(begun, 0) is None  # nothing has begun


def test_read_that_was_answered_cannot_be():
    begun = opening(BEGIN, READ, SET)
    assert repeated(begun, 1) == [BEGIN]
    assert repeated(begun, 2) is None
    assert repeated(begun, 3) is None


def test_chain_makes_up_for_what_was_read():
    begun = opening(BEGIN, SET, READ, READ, CHAIN, SET)
    assert repeated(begun, 4) is None
    assert repeated(begun, 6) == [BEGIN, SET, CHAIN, SET]


def test_only_the_last_of_several_transactions_counts():
    begun = opening(READ, BEGIN, READ, "COMMIT", BEGIN, SET)
    assert begun.ending
    assert repeated(begun, 6) == [BEGIN, SET]


@pytest.mark.parametrize("texts", [[SET] * STEPS, [f"SET LOCAL a.b = '{'x' * TEXT_LIMIT}'"]])
def test_what_is_too_long_is_not_repeated(texts: list[str]):
    begun = opening(BEGIN, *texts)
    assert repeated(begun, STEPS + 1) is None
    assert [text.decode() for text, _ in begun.beginning()] == [BEGIN]


def test_transaction_that_reads_for_long_costs_no_memory():
    begun = opening(BEGIN, *[READ] * 1000)
    assert len(begun.steps) == 2


def test_transaction_that_has_failed_is_not_begun_elsewhere():
    begun = opening(BEGIN, SET)
    begun.answered(ord("E"))
    begun.answered(ord("T"))  # by ROLLBACK TO, or a chain
    begun.note(request(CHAIN))
    assert repeated(begun, 3) is None


def test_end_is_over_once_all_is_answered():
    begun = opening(BEGIN)
    begun.note(request("COMMIT", whole=False))
    assert (begun.ending, begun.whole) == (True, False)
    begun.answered(ord("T"))
    assert not begun.ending


@pytest.mark.parametrize(
    ("texts", "needs"),
    [
        (["COMMIT"], False),
        (["COMMIT; SELECT 1"], False),
        (["COMMIT; INSERT INTO t VALUES (1)"], True),
        ([READ, "LOCK t"], True),
        (["INSERT INTO t VALUES (1)"], False),  # READ ONLY forbids it anywhere
    ],
)
def test_request_that_no_replica_should_carry_out(texts: list[str], needs: bool):
    assert request(*texts).needs_primary() is needs
