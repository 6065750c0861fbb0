import random
from bisect import insort
from statistics import pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.observe.histogram import BUCKETS, Histogram, find_bucket, find_deviation, find_quantiles, middle

DURATIONS = st.integers(0, 2**40)
SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
MINUTES = 60 * 1_000_000
HOUR = 3600 * 1_000_000
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("microseconds", "bucket"),
    [
        (0, 0),
        (1, 1),
        (63, 63),
        (64, 64),
        (65, 64),
        (66, 65),
        (71 * MINUTES, BUCKETS - 1),
        (10 * HOUR, BUCKETS - 1),
    ],
)
def test_bucket(microseconds: int, bucket: int):
    assert find_bucket(microseconds) == bucket


@given(st.integers(0, 2**32 - 1))
def test_a_bucket_is_told_within_two_percent(microseconds: int):
    assert abs(middle(find_bucket(microseconds)) - microseconds) <= 0.016 * microseconds


def test_deviation_is_that_of_the_durations():
    durations = [random.Random(7).lognormvariate(7, 1) for _ in range(10_000)]
    histogram = Histogram()
    for duration in durations:
        histogram.add(int(duration))
    assert find_deviation(histogram.pairs()) == pytest.approx(pstdev(durations), rel=0.02)
    assert find_deviation([]) == 0


@given(DURATIONS, DURATIONS)
def test_longer_is_never_in_a_lower_bucket(one: int, other: int):
    assert (one <= other) <= (find_bucket(one) <= find_bucket(other))


@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_merged_is_as_counted_together(some: list[int], more: list[int]):
    one, other, together = Histogram(), Histogram(), Histogram()
    for microseconds in some:
        one.add(microseconds)
        together.add(microseconds)
    for microseconds in more:
        other.add(microseconds)
        together.add(microseconds)
    one.merge(other)
    assert one.pairs() == together.pairs()
    assert sum(count for _, count in one.pairs()) == len(some) + len(more)


def test_size_is_that_of_the_octaves_seen():
    histogram = Histogram()
    grown = [histogram.add(microseconds) for microseconds in (1000, 1010, 1020)]
    assert (grown, histogram.size) == ([True, False, False], 32)


def log_normal(generator: random.Random) -> float:
    return generator.lognormvariate(7, 1.5)


def bimodal(generator: random.Random) -> float:
    return generator.gauss(900, 90) if generator.random() < 0.6 else generator.gauss(400_000, 20_000)


def constant(_: random.Random) -> float:
    return 12_345


@pytest.mark.parametrize("draw", [log_normal, bimodal, constant])
def test_quantiles_are_within_two_percent_of_sorted_durations(draw):
    generator = random.Random(12)
    durations = [max(0, int(draw(generator))) for _ in range(MILLION)]
    histogram = Histogram()
    for microseconds in durations:
        histogram.add(microseconds)
    durations.sort()
    found = find_quantiles(histogram.pairs(), SHARES, durations[0], durations[-1])
    exact = [durations[int(share * len(durations)) - 1] for share in SHARES]
    assert found == pytest.approx(exact, rel=0.02)


def test_one_outlier_is_the_last_quantile():
    durations: list[int] = []
    histogram = Histogram()
    for microseconds in [1000] * 999 + [10_000_000]:
        insort(durations, microseconds)
        histogram.add(microseconds)
    p99, p9995 = find_quantiles(histogram.pairs(), (0.99, 0.9995), 1000, 10_000_000)
    assert (p99, p9995) == (1000, pytest.approx(10_000_000, rel=0.02))


def test_beyond_the_last_bucket_is_the_longest():
    histogram = Histogram()
    histogram.add(10 * HOUR)
    assert find_quantiles(histogram.pairs(), (0.5,), 10 * HOUR, 10 * HOUR) == [10 * HOUR]


def test_quantiles_of_nothing():
    assert find_quantiles([], SHARES, 0, 0) == [0.0] * 5
