from math import inf

import pytest

from dbproxy.cluster.member import Member
from dbproxy.routing.hedging import LEAST, LISTED, REMEMBERED, SAVED, Budget, Doubts, SlowReads, patience
from dbproxy.sql.access import UNSEEN
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.sql.statement import HARMLESS
from tests.unit.cluster.hosts import member


@pytest.mark.parametrize(
    ("hedge_after", "p99", "seconds"),
    [("auto", 0.0, LEAST), ("auto", 0.01, LEAST), ("auto", 0.1, 0.3), (0.2, 0.5, 0.2), (0.0, 0.1, inf)],
)
def test_patience_with_a_host(hedge_after: float, p99: float, seconds: float):
    assert patience(hedge_after, p99) == pytest.approx(seconds)


def test_one_of_twenty_reads_may_be_hedged():
    budget = Budget()
    hedged = 0
    for reads in range(10_000):
        budget.earn(reads)
        hedged += budget.spend()
    assert 499 <= hedged <= 500


def test_hedges_are_saved_up_to_a_limit():
    budget = Budget()
    budget.earn(1_000_000)
    assert sum(budget.spend() for _ in range(1000)) == SAVED


def test_budget_is_none_the_less_for_a_host_that_was_taken_out_with_its_reads():
    budget = Budget()
    budget.earn(100)
    budget.earn(50)
    assert budget.left == 5
    budget.earn(70)
    assert budget.left == 6


def shape(number: int, base: Shape | None = None) -> Shape:
    return Shape(number, f"SELECT {number}", HARMLESS, UNSEEN, base)


def test_statement_is_known_as_slow_for_a_while_by_all_of_its_texts():
    slow, one = SlowReads(), shape(1)
    slow.note(shape(2, one), 9.0)
    assert not slow.has(one, 9.0), "once is chance"
    slow.note(shape(3, one), 10.0)
    assert slow.has(one, 11.0)
    assert slow.has(shape(3, one), 11.0)
    assert not slow.has(shape(4), 11.0)
    assert not slow.has(one, 10.0 + REMEMBERED)


def test_statement_that_the_other_host_answers_faster_is_not_slow():
    slow, one = SlowReads(), shape(1)
    slow.note(one, 9.0)
    slow.clear(one)
    slow.note(one, 10.0)
    assert not slow.has(one, 10.0)


def test_what_is_no_statement_is_not_known_as_slow():
    slow = SlowReads()
    slow.note(NO_SHAPE, 1.0)
    slow.note(NO_SHAPE, 1.0)
    assert not slow.has(NO_SHAPE, 1.0)


def test_only_so_many_slow_statements_are_known():
    slow = SlowReads()
    for number in range(3 * LISTED):
        slow.note(shape(number), 1.0)
    assert len(slow.noted) <= LISTED
    assert next(reversed(slow.noted)).hash == 3 * LISTED - 1


def doubted(**facts: float) -> tuple[Doubts, Member]:
    """A host that owes a read at 10.0 and is given 0.1 s."""
    doubts, host = Doubts(), member(**facts)
    doubts.begin(host, 0.1, 10.0)
    assert doubts.settle(10.0) == []
    return doubts, host


def test_host_that_owes_a_read_and_was_silent_is_probed():
    _, host = doubted(heard_at=9.5, answered_at=9.8)
    assert host.due.is_set()


@pytest.mark.parametrize("sign", ["heard_at", "answered_at"])
def test_host_that_has_said_something_lately_is_probed_once_it_was_silent_for_as_long(sign: str):
    doubts, host = doubted(**{"heard_at": 9.0, sign: 9.95})
    assert not host.due.is_set()
    assert doubts.settle(10.04) == []
    assert not host.due.is_set()
    assert doubts.settle(10.06) == []
    assert host.due.is_set()
    assert doubts.settle(10.17) == [host]


def test_host_that_answers_nothing_is_told_once():
    doubts, host = doubted(heard_at=9.0)
    assert doubts.settle(10.05) == []
    assert doubts.settle(10.11) == [host]
    assert doubts.settle(10.2) == []


def test_doubt_goes_on_though_the_read_has_left():
    doubts, host = doubted(heard_at=9.0)
    doubts.begin(host, 0.1, 10.08)
    assert doubts.settle(10.11) == [host]


@pytest.mark.parametrize("sign", ["heard_at", "answered_at"])
def test_host_that_answers_is_in_doubt_no_more(sign: str):
    doubts, host = doubted(heard_at=9.0)
    part = host.health if sign == "heard_at" else host.load
    setattr(part, sign, 10.02)
    assert doubts.settle(10.2) == []


def test_host_far_away_is_given_the_time_that_its_probes_take():
    doubts, host = doubted(heard_at=9.0, took=0.2)
    assert doubts.settle(10.5) == []
    assert doubts.settle(10.61) == [host]


@pytest.mark.parametrize("fact", ["suspect", "down", "refused"])
def test_host_that_is_seen_to_is_not_doubted(fact: str):
    doubts, host = doubted(heard_at=9.0, **{fact: True})
    assert not host.due.is_set()
    assert doubts.settle(20.0) == []
