"""How far the answer at hand is."""

from tests.unit.pool.fakes import make_answer


def test_loan_begins_with_nothing_of_the_answer_before():
    answer = make_answer()
    answer.forwarded = answer.sent = answer.flushing = True
    answer.begin_loan()
    assert (answer.forwarded, answer.sent, answer.flushing) == (False, False, False)
