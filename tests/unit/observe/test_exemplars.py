"""Which trace is shown for which bucket."""

import pytest

from dbproxy.observe.exemplars import MOST_POOLS, Exemplar, Exemplars
from dbproxy.pool.stats import BOUNDS_US, bucket

TRACE = "5bd66ef5095369c7b0d1f8f4bd33716a"


@pytest.mark.parametrize("microseconds", [0, 15, 16, 23, 24, 1_000_000, 10**9])
def test_example_stands_in_the_bucket_that_counts_it(microseconds: int) -> None:
    exemplars = Exemplars(BOUNDS_US)
    exemplar = Exemplar(TRACE, microseconds / 1e6, 0.0)
    exemplars.note("d", "u", exemplar)
    assert exemplars.find("d", "u") == {bucket(microseconds): exemplar}
    assert exemplars.find("d", "other") == {}


def test_last_example_of_a_bucket_is_kept_and_pools_are_bounded() -> None:
    exemplars = Exemplars([10])
    for number in range(MOST_POOLS + 2):
        exemplars.note(f"d{number}", "u", Exemplar("a" * 32, 0.0, 1.0))
        exemplars.note(f"d{number}", "u", Exemplar("b" * 32, 0.0, 2.0))
    assert len(exemplars.by_pool) == MOST_POOLS
    assert exemplars.find(f"d{MOST_POOLS}", "u")[0].trace_id == "b" * 32
