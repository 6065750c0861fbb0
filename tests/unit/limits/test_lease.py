"""What is in hand, what it costs while Redis is gone, and what Redis is told then. Times are microseconds."""

import pytest

from dbproxy.limits.bucket import Bucket
from dbproxy.limits.fleet import Fleet
from dbproxy.limits.lease import ASK, Lease

SECOND = 1_000_000
MINUTE = 60 * SECOND
FREE, BIG = (10, 12), (6000, 6600)  # tokens for a minute, and at once


class Owner:
    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.charged: list[int] = []
        self.outcomes: list[str] = []

    def fetch(self, lease: Lease, now: int) -> None:
        lease.fetching = True
        lease.grow()
        self.fetched.append(lease.step)

    def attend(self, lease: Lease) -> None:
        lease.attended = True

    def charge(self, lease: Lease, span: int) -> None:
        self.charged.append(span)

    def count(self, outcome: str) -> None:
        self.outcomes.append(outcome)


def make(limit: tuple[int, int] = FREE, proxies: int = 1) -> tuple[Lease, Owner, Fleet]:
    fleet, owner = Fleet(graceful=True), Owner()
    fleet.succeed()
    fleet.see(proxies)
    return Lease(fleet, owner, b"rl:{limits}:user:app", Bucket(limit[0], MINUTE, limit[1])), owner, fleet


def take(lease: Lease, now: int = 0, most: int = 100) -> int:
    """How many tokens there are at once."""
    for number in range(most):
        if lease.wait(now):
            return number
        lease.take(now)
    return most


def test_only_redis_knows_until_something_is_in_hand():
    lease, _, _ = make()
    assert (lease.wait(0), lease.knows(0)) == (ASK, False)
    lease.hand = 2 * lease.rate.interval
    assert (lease.wait(0), lease.knows(0)) == (0, True)
    assert take(lease) == 2


def test_refusal_is_remembered_until_it_may_have_changed():
    lease, _, _ = make()
    lease.learn(0, used=12 * lease.rate.interval, got=0, wait=6 * SECOND)
    assert (lease.wait(SECOND), lease.knows(SECOND)) == (5 * SECOND, True)
    assert not lease.knows(6 * SECOND)
    assert lease.wait(6 * SECOND) == ASK


@pytest.mark.parametrize(
    ("limit", "size"), [((10, 12), 0), ((200, 220), 0), ((201, 201), 10), ((10000, 11000), 500)]
)
def test_limit_of_more_than_200_a_minute_is_leased_by_a_twentieth(limit: tuple[int, int], size: int):
    lease, _, _ = make(limit)
    assert lease.size == size * lease.rate.interval


def test_lease_is_fetched_before_the_hand_is_empty_and_grows_as_it_is_used():
    lease, owner, _ = make(BIG)
    interval = lease.rate.interval
    lease.hand = lease.step
    for _ in range(2000):
        assert lease.wait(0) == 0
        lease.take(0)
        if lease.fetching:
            assert lease.hand > 0
            lease.learn(0, 0, lease.step, 0)
            lease.fetching = False
    assert owner.fetched[:4] == [74 * interval, 148 * interval, 296 * interval, 300 * interval]
    assert max(owner.fetched) == lease.size


def test_hand_that_is_not_needed_is_given_back():
    lease, _, _ = make(BIG)
    interval = lease.rate.interval
    lease.hand = 300 * interval
    for _ in range(100):
        lease.take(0)
    assert lease.take_spare(SECOND // 2, SECOND) == 0
    assert lease.take_spare(SECOND // 2, SECOND) == 163 * interval  # nothing was taken since
    assert lease.take_spare(2 * SECOND, SECOND) == 37 * interval
    assert lease.hand == 0


def test_while_redis_is_gone_each_proxy_has_its_share():
    lease, _, fleet = make(FREE, proxies=4)
    fleet.fail()
    assert take(lease) == 3
    assert lease.wait(0) == 24 * SECOND
    assert take(lease, 24 * SECOND) == 1


def test_share_of_less_than_one_is_one():
    lease, _, fleet = make(FREE, proxies=100)
    fleet.fail()
    assert take(lease) == 1


def test_nobody_has_a_share_where_degradation_is_not_graceful():
    lease, _, fleet = make()
    fleet.fail()
    fleet.graceful = False
    assert (lease.wait(0), lease.knows(0)) == (ASK, False)


def test_redis_is_told_its_own_last_word_and_what_was_used_since():
    lease, _, fleet = make((60, 60), proxies=4)
    lease.learn(0, used=20 * SECOND, got=0, wait=0)
    fleet.fail()
    assert take(lease) == 10  # of forty
    assert lease.tell_missing(0) == (20 * SECOND, 10 * SECOND)
    lease.learn(0, used=30 * SECOND, got=0, wait=0)  # the others have told nothing yet
    assert take(lease) == 0
    assert lease.tell_missing(0) == (30 * SECOND, 0)
    lease.learn(0, used=60 * SECOND, got=0, wait=0)
    assert lease.rate.used(0) == 60


def test_what_is_used_while_redis_is_being_told_is_told_the_next_time():
    lease, _, fleet = make((60, 60), proxies=2)
    fleet.fail()
    lease.take(0)
    assert lease.tell_missing(0) == (0, SECOND)
    lease.take(0)
    lease.learn(0, used=SECOND, got=0, wait=0)
    assert lease.tell_missing(0)[1] == SECOND


def test_what_comes_back_meanwhile_is_not_charged():
    lease, _, fleet = make((60, 60), proxies=2)
    fleet.fail()
    for second in range(0, 100, 2):
        assert lease.wait(second * SECOND) == 0
        lease.take(second * SECOND)  # at its share's pace
    assert lease.tell_missing(100 * SECOND) == (0, 0)


def test_what_nobody_was_asked_about_is_paid_from_the_hand_first():
    lease, owner, fleet = make(BIG)
    lease.hand = 3 * lease.rate.interval
    lease.charge(0, 5 * lease.rate.interval)
    assert (lease.hand, owner.charged) == (0, [2 * lease.rate.interval])
    fleet.fail()
    lease.charge(0, lease.rate.interval)
    assert lease.tell_missing(0) == (0, lease.rate.interval)


def test_limit_that_changes_keeps_the_number_of_tokens():
    lease, _, _ = make(BIG)
    lease.hand = 10 * lease.rate.interval
    lease.hold(Bucket(3000, MINUTE, 3000))
    assert lease.hand == 10 * lease.rate.interval
    assert lease.wait(0) == 0
