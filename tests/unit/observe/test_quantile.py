"""Quantiles out of buckets: exact at the bounds, between them by interpolation."""

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.observe.quantile import quantile

BOUNDS = [10, 20, 40, 80]


@pytest.mark.parametrize(
    ("buckets", "q", "expected"),
    [
        ([0, 0, 0, 0, 0], 0.5, 0.0),
        ([4, 0, 0, 0, 0], 0.5, 5.0),
        ([0, 2, 2, 0, 0], 0.5, 20.0),
        ([0, 2, 2, 0, 0], 0.75, 30.0),
        ([0, 0, 0, 1, 0], 1.0, 80.0),
        ([0, 0, 0, 0, 9], 0.5, 80.0),
        ([1, 0, 0, 1, 0], 0.75, 60.0),
    ],
)
def test_interpolates_inside_the_bucket(buckets: list[int], q: float, expected: float) -> None:
    assert quantile(buckets, BOUNDS, q) == expected


@given(st.lists(st.integers(0, 79), min_size=1), st.floats(0.01, 1.0))
def test_lies_in_the_bucket_of_the_true_quantile(durations: list[int], q: float) -> None:
    buckets = [0] * 5
    for duration in durations:
        buckets[bisect_right(BOUNDS, duration)] += 1
    index = next(i for i in range(5) if sum(buckets[: i + 1]) >= q * len(durations))
    low = BOUNDS[index - 1] if index else 0
    assert low <= quantile(buckets, BOUNDS, q) <= BOUNDS[index]
