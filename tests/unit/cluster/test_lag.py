import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.cluster.lag import MOST, PAGE, RESOLUTION, History, Lag, settle
from tests.unit.cluster.hosts import LIMITS

STEPS = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1000)), min_size=1, max_size=200)


def history(*samples: tuple[float, int]) -> History:
    made = History()
    for now, lsn in samples:
        made.note(lsn, now)
    return made


def test_a_replica_that_has_replayed_all_does_not_lag_however_long_nobody_writes():
    assert history((1.0, 100)).seconds(100, now=5000.0) == 0.0


def test_lag_is_counted_from_the_first_position_that_is_not_reached():
    written = history((1.0, 100), (2.0, 200), (3.0, 300))
    assert written.seconds(99, now=10.0) == 9.0
    assert written.seconds(100, now=10.0) == 8.0
    assert written.seconds(250, now=10.0) == 7.0
    assert written.seconds(300, now=10.0) == 0.0


def test_a_primary_that_stands_still_does_not_make_lag_young():
    assert history((1.0, 100), (2.0, 200), (9.0, 200)).seconds(100, now=10.0) == 8.0


def test_older_positions_say_nothing():
    assert history((1.0, 200), (2.0, 100)).seconds(150, now=3.0) == 2.0


def test_bytes_are_up_to_the_newest_position():
    written = history((1.0, 100), (2.0, 250))
    assert (written.size(100), written.size(250), written.size(300)) == (150, 0, 0)


def test_nothing_lags_while_nothing_is_known():
    assert (History().seconds(5, now=1.0), History().size(5)) == (0.0, 0)


def test_what_was_never_there_is_forgotten_and_the_way_there_is_not():
    written = history((1.0, 100), (2.0, 200), (3.0, 300))
    written.cut(250)
    assert (written.newest, written.seconds(200, now=9.0), written.seconds(150, now=9.0)) == (200, 0.0, 7.0)


def test_memory_is_bounded_and_the_oldest_sample_stays():
    written = history(*((float(second), second) for second in range(1, 10 * MOST)))
    assert len(written.times) == len(written.lsns) <= MOST
    assert written.seconds(0, now=20.0 * MOST) == 20.0 * MOST - 1.0


def test_samples_in_quick_succession_take_no_room():
    written = history(*((number * RESOLUTION / 100, number) for number in range(1, 1001)))
    assert len(written.times) < 30
    assert written.newest == 1000


@given(STEPS, st.integers(0, 200_000), st.floats(0, 100))
def test_lag_is_never_more_than_it_is_and_zero_only_if_all_is_replayed(
    steps: list[tuple[float, int]], lsn: int, later: float
):
    now, at, samples = 0.0, 0, []
    for seconds, size in steps:
        now, at = now + seconds, at + size
        samples.append((now, at))
    written = history(*samples)
    missing = [when for when, position in samples if position > lsn]
    lag = written.seconds(lsn, now + later)
    if missing:
        assert now + later - missing[0] - lag <= RESOLUTION + 1e-6
        assert lag <= now + later - missing[0] + 1e-6
    else:
        assert lag == 0.0


@pytest.mark.parametrize(("inside", "settled"), [(0, 0), (24, 0), (40, 0), (48, 48), (8, 8), (8184, 8184)])
def test_a_position_behind_a_page_header_is_the_end_of_the_page_before(inside: int, settled: int):
    assert settle(7 * PAGE + inside) == 7 * PAGE + settled


def note(*seconds: float) -> tuple[Lag, list[bool]]:
    """What is known after all of these, and whether the replica had just caught up at each."""
    lag = Lag()
    return lag, [lag.note(each, LIMITS) for each in seconds]


@pytest.mark.parametrize(
    ("seconds", "over"),
    [
        ([29.9], False),
        ([30.0], True),
        ([30.0, 15.0], True),
        ([30.0, 14.9], False),
        ([30.0, 14.9, 29.9], False),
    ],
)
def test_lag_must_fall_below_half_the_limit_before_a_replica_is_back(seconds: list[float], over: bool):
    assert note(*seconds)[0].over is over


def test_replica_has_caught_up_once_it_is_back():
    assert note(31.0, 20.0, 0.0, 0.0)[1] == [False, False, True, False]


@pytest.mark.parametrize(
    ("seconds", "late"), [([4.9], False), ([5.0], True), ([5.0, 2.5], True), ([5.0, 2.4], False)]
)
def test_the_warning_has_hysteresis_too(seconds: list[float], late: bool):
    assert note(*seconds)[0].late is late
