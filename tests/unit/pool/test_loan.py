"""What is known of a loan, and for how long."""

import pytest

from dbproxy.pool.loan import Loan
from dbproxy.wire.build import command_complete
from tests.unit.pool.fakes import FakeClient


def test_nothing_of_a_loan_outlives_it():
    loan = Loan()
    loan.begin(FakeClient("first"), True, 1.0)
    loan.served = 3
    loan.answered_at = loan.heard_at = loan.xact_start = 2.0
    loan.told = loan.keeps_ready = loan.cancels_later = True
    loan.end()
    second = FakeClient("second")
    loan.begin(second, False, 5.0)
    assert (loan.client, loan.served, loan.changed) == (second, 0, False)
    assert {loan.since, loan.answered_at, loan.heard_at, loan.xact_start} == {5.0}
    assert (loan.told, loan.keeps_ready, loan.cancels_later) == (False, False, False)


def test_loan_ends_once():
    loan, client = Loan(), FakeClient()
    loan.begin(client, True, 0.0)
    assert loan.end() is client
    assert loan.end() is None


def test_how_the_loan_went_is_known_behind_its_end():
    """`Trail` asks when the one before was last answered, `Server.close` whether it was told."""
    loan = Loan()
    loan.begin(FakeClient(), True, 0.0)
    loan.answered_at, loan.told = 2.0, True
    loan.end()
    assert (loan.answered_at, loan.told) == (2.0, True)


START, COMMIT, ROLLBACK, OTHER = "BEGIN", "COMMIT", "ROLLBACK", "COPY 5"


def transactions(*requests: tuple[tuple[str, ...], bool], chains: int = 0) -> int:
    """How many are counted of requests with these command tags, behind which a transaction is open or not."""
    use = Loan().use
    use.chains = chains
    for tags, is_open in requests:
        for tag in tags:
            use.done += 1
            first, second, third = tag[:3].encode()
            use.read_tag(first, second, third, len(command_complete(tag)))
        use.end_request(not is_open)
    return use.transactions


@pytest.mark.parametrize(
    ("tags", "number"),
    [
        ((), 1),  # it has failed
        ((OTHER,), 1),
        ((OTHER, OTHER), 1),
        ((COMMIT,), 1),
        ((START, COMMIT, START, COMMIT), 2),
        (("START TRANSACTION", ROLLBACK, "START TRANSACTION", COMMIT), 2),
        ((START, ROLLBACK, START, ROLLBACK), 2),
        ((START, ROLLBACK, OTHER), 2),
        ((START, OTHER, ROLLBACK, COMMIT), 1),  # TO SAVEPOINT
        ((COMMIT, OTHER), 2),
        ((OTHER, COMMIT, OTHER, OTHER), 2),
    ],
)
def test_transactions_of_one_text_are_told_apart_by_its_tags(tags: tuple[str, ...], number: int):
    assert transactions((tags, False)) == number


@pytest.mark.parametrize(
    ("tags", "number"), [((START,), 0), ((ROLLBACK,), 0), ((ROLLBACK, START), 1), ((COMMIT, START), 1)]
)
def test_transaction_that_is_open_still_is_counted_as_it_ends(tags: tuple[str, ...], number: int):
    assert transactions(((START, OTHER), True), (tags, True)) == number
    assert transactions(((START, OTHER), True), (tags, True), ((COMMIT,), False)) == number + 1


def test_as_many_transactions_are_chained_as_were_sent():
    chained = (((START,), True), ((ROLLBACK,), True), ((ROLLBACK,), True), ((ROLLBACK,), True))
    assert transactions(*chained, chains=2) == 2
    assert transactions(((START,), True), ((COMMIT,), True), ((ROLLBACK,), True), chains=1) == 1
