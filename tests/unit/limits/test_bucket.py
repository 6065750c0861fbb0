"""What a bucket lets through, against a naive exact simulation, and at its edges. Times are microseconds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.limits.bucket import NEVER, Bucket

MINUTE = 60_000_000
TIERS = {"free": (10, 2), "standard": (100, 20), "pro": (1_000, 100), "enterprise": (10_000, 1_000)}


def quota(number: int, burst: int) -> Bucket:
    return Bucket(number, MINUTE, number + burst)


def take_all(bucket: Bucket, now: int) -> int:
    """How many go through at once."""
    taken = 0
    while not bucket.wait(now, bucket.interval):
        bucket.take(now, bucket.interval)
        taken += 1
    return taken


@pytest.mark.parametrize(("number", "burst"), TIERS.values(), ids=TIERS)
def test_quota_lets_a_period_and_the_burst_through_at_once_and_then_keeps_the_pace(number: int, burst: int):
    bucket, now = quota(number, burst), 10**15
    assert take_all(bucket, now) == number + burst
    interval = MINUTE // number
    assert bucket.wait(now, bucket.interval) == interval
    assert take_all(bucket, now + interval - 1) == 0
    for period in range(1, 6):
        assert (
            sum(
                take_all(bucket, now + step * interval)
                for step in range((period - 1) * number + 1, period * number + 1)
            )
            == number
        )


@pytest.mark.parametrize(("number", "burst"), TIERS.values(), ids=TIERS)
def test_even_lets_the_burst_through_ahead_of_the_pace(number: int, burst: int):
    bucket, now = Bucket(number, MINUTE, burst + 1), 5
    assert take_all(bucket, now) == burst + 1
    assert take_all(bucket, now + MINUTE // number) == 1


def test_what_was_refused_has_used_nothing():
    bucket = quota(10, 2)
    take_all(bucket, 0)
    before = bucket.tat
    for now in range(0, 6_000_000, 100_000):
        assert bucket.wait(now, bucket.interval) > 0
    assert bucket.tat == before


def test_clock_that_goes_back_lets_nobody_through_twice_and_no_wait_is_negative():
    bucket, now = quota(10, 0), MINUTE
    take_all(bucket, now)
    assert bucket.wait(now - 30_000_000, bucket.interval) == 36_000_000
    bucket.take(0, bucket.interval)
    assert bucket.left(now) == 0
    assert bucket.wait(10 * MINUTE, bucket.interval) == 0


def test_more_than_it_ever_holds_is_never_there():
    bucket = quota(10, 2)
    assert bucket.wait(0, bucket.span(12)) == 0
    assert bucket.wait(0, bucket.span(13)) == NEVER


def test_as_much_as_it_holds_has_a_finite_wait():
    bucket = quota(10, 2)
    bucket.take(0, bucket.interval)
    assert bucket.wait(0, bucket.span(12)) == bucket.interval


def test_wait_takes_the_burst_into_account():
    bucket = quota(10, 2)
    for _ in range(11):
        bucket.take(0, bucket.interval)
    assert bucket.wait(0, bucket.interval) == 0
    bucket.take(0, bucket.interval)
    assert bucket.wait(0, bucket.interval) == bucket.interval


def test_used_and_left_are_told_in_tokens():
    bucket = quota(10, 2)
    for _ in range(5):
        bucket.take(0, bucket.interval)
    assert (bucket.used(0), bucket.left(0)) == (5, 7)
    assert (bucket.used(6_000_000), bucket.left(6_000_000)) == (4, 8)
    assert (bucket.used(MINUTE), bucket.left(MINUTE)) == (0, 12)
    assert not bucket.is_full(29_999_999)
    assert bucket.is_full(30_000_000)


def test_debt_delays_those_who_come_next_and_is_bounded():
    bucket = quota(10, 0)
    bucket.owe(0, bucket.span(11))
    assert bucket.wait(0, 0) == bucket.interval
    bucket.owe(0, bucket.span(10**9))
    assert bucket.wait(0, 0) == bucket.capacity
    assert bucket.wait(0, bucket.interval) == bucket.capacity + bucket.interval


def test_limit_that_is_raised_lets_more_through_at_once():
    before = quota(10, 0)
    assert take_all(before, 0) == 10
    raised = quota(20, 0)
    raised.take_over(before, 0)
    assert take_all(raised, 0) == 10


def test_limit_that_is_lowered_gives_nothing_back():
    before = quota(20, 0)
    for _ in range(15):
        before.take(0, before.interval)
    lowered = quota(10, 0)
    lowered.take_over(before, 0)
    assert (lowered.used(0), take_all(lowered, 0)) == (15, 0)


def test_limit_that_is_lowered_by_much_keeps_no_more_than_a_bucket_of_debt():
    before = quota(10_000, 1000)
    take_all(before, 0)
    lowered = quota(10, 2)
    lowered.take_over(before, 0)
    assert lowered.wait(0, lowered.interval) == lowered.capacity + lowered.interval, "not 18 hours"


def test_what_is_used_ahead_stays_used_where_the_rate_is_the_same():
    before = quota(10, 0)
    for _ in range(40):
        before.take(0, before.interval)
    same = quota(10, 0)
    same.take_over(before, 0)
    assert same.tat == before.tat


def test_what_is_given_back_can_be_had_again():
    bucket = quota(10, 2)
    take_all(bucket, 0)
    bucket.give(bucket.interval)
    assert take_all(bucket, 0) == 1


def test_many_rows_for_a_long_period_fit():
    bucket = Bucket(10**9, 366 * 86_400_000_000, 10**9)
    bucket.take(0, bucket.span(10**9))
    assert (bucket.used(0), bucket.left(0)) == (10**9, 0)


@given(
    number=st.integers(1, 1000),
    period=st.sampled_from([1_000_000, MINUTE, 3_600_000_000]),
    burst=st.integers(0, 200),
    steps=st.lists(st.integers(0, 20_000_000), max_size=200),
)
def test_it_lets_through_what_an_exact_leaky_bucket_would(
    number: int, period: int, burst: int, steps: list[int]
):
    bucket = Bucket(number, period, number + burst)
    interval, level, now = Fraction(bucket.interval), Fraction(0), 0
    capacity = Fraction(bucket.capacity)
    for step in steps:
        now += step
        level = max(Fraction(0), level - step)
        fits = level + interval <= capacity
        assert (bucket.wait(now, bucket.interval) == 0) == fits
        if fits:
            level += interval
            bucket.take(now, bucket.interval)


@given(number=st.integers(1, 40_000), seconds=st.sampled_from([1, 60, 3600]))
def test_rate_is_kept_within_one_part_in_25_whatever_it_is(number: int, seconds: int):
    bucket = Bucket(number, seconds * 1_000_000, number)
    assert take_all(Bucket(min(number, 500), 1_000_000, min(number, 500)), 0) == min(number, 500)
    exact = Fraction(seconds * 1_000_000, number)
    assert exact * Fraction(24, 25) <= bucket.interval <= exact
