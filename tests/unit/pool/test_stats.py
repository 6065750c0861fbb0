from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.pool.stats import BOUNDS_US, BUCKETS, PoolStats, bucket


@given(st.integers(0, 10**12))
def test_bucket_is_the_first_whose_bound_is_over_the_duration(microseconds: int):
    expected = next((index for index, bound in enumerate(BOUNDS_US) if microseconds < bound), BUCKETS - 1)
    assert bucket(microseconds) == expected


@pytest.mark.parametrize("bound", BOUNDS_US)
def test_bound_belongs_to_the_next_bucket(bound: int):
    assert bucket(bound) == bucket(bound - 1) + 1


def test_bounds_rise_by_half_at_most():
    assert all(lower < upper <= lower * 1.5 for lower, upper in pairwise(BOUNDS_US))
    assert BOUNDS_US[0] == 16
    assert BOUNDS_US[-1] > 50_000_000


def test_negative_duration_of_a_clock_is_counted_all_the_same():
    assert bucket(-5) == 0


@pytest.mark.parametrize("what", ["query", "xact", "wait"])
def test_counts_sums_and_buckets_agree(what: str):
    stats = PoolStats()
    for microseconds in (0, 10, 1000, 10**9):
        getattr(stats, what)(microseconds)
    count = stats.server_assignment_count if what == "wait" else getattr(stats, f"{what}_count")
    assert count == sum(getattr(stats, f"{what}_buckets")) == 4
    assert getattr(stats, f"{what}_time_us") == 1_000_001_010
