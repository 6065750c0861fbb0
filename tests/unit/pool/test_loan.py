"""What is known of a loan, and for how long."""

from dbproxy.pool.loan import Loan
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
