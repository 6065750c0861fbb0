import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.jobs.batch.size import Limits, Size

LIMITS = Limits(100, 100_000, 0.5)


def run(size: Size, speed: float, limits: Limits = LIMITS, chunks: int = 15) -> Size:
    for _ in range(chunks):
        size = size.after(size.rows, size.rows / speed, limits)
    return size


@pytest.mark.parametrize("speed", [5_000, 20_000, 60_000, 150_000])
def test_goal_is_reached_within_fifteen_chunks(speed: int):
    size = run(Size(1000), speed)
    assert 0.7 * 0.5 <= size.rows / speed <= 1.05 * 0.5


def test_chunks_of_a_table_that_got_ten_times_slower_are_short_again_at_once():
    size = run(Size(1000), 60_000)
    size = size.after(size.rows, size.rows / 6_000, LIMITS)
    assert size.rows / 6_000 <= 1.0


def test_size_near_the_goal_grows_by_a_fifth_at_most():
    size = Size(10_000, 40_000)
    assert size.after(10_000, 0.2, LIMITS).rows <= 12_000


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=50))
def test_size_stays_within_its_limits_whatever_happens(steps: list[tuple[float, bool]]):
    size = Size(1000)
    for seconds, timed_out in steps:
        size = size.halved(LIMITS) if timed_out else size.after(size.rows, seconds, LIMITS)
        assert 1 <= size.rows <= LIMITS.most


def test_chunk_that_is_never_done_in_time_becomes_one_row():
    size = Size(1000)
    for _ in range(9):
        assert size.rows > 1
        size = size.halved(LIMITS)
    assert size.rows == size.halved(LIMITS).rows == 1


def test_size_below_the_least_is_kept_while_it_takes_its_time():
    """The least would be too many rows for the time there is: 100 rows in 5 s."""
    assert run(Size(10), 20, chunks=30).rows == 10


def test_size_that_is_not_adaptive_stays():
    fixed = Limits(100, 100_000, 0.5, adaptive=False)
    assert run(Size(1000), 60_000, fixed).rows == 1000


def test_bad_row_makes_the_next_chunk_as_long_as_what_was_good():
    assert Size(50_000).after_bad(1_200, LIMITS).rows == 1_200
    assert Size(50_000).after_bad(3, LIMITS).rows == 100
    assert Size(50).after_bad(3, LIMITS).rows == 50
