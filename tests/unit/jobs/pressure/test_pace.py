"""How fast a job goes beside the application, by its p99."""

import pytest

from dbproxy.config.throttle import ThrottleSettings
from dbproxy.jobs.pressure.pace import EVERY, LEAST, MOST, SHORT, Pace

SETTINGS = ThrottleSettings()
USUAL, SLOW, CHUNK_TIME = 0.010, 0.020, 0.5


def follow(pace: Pace, *p99s: float | None, settings: ThrottleSettings = SETTINGS) -> Pace:
    """By looks that are far enough from each other."""
    start = max(pace.since, 0.0)
    for turn, p99 in enumerate(p99s, 1):
        pace = pace.after(p99, settings, start + turn * EVERY)
    return pace


@pytest.mark.parametrize(
    ("pace", "settings"),
    [
        (Pace(), SETTINGS),
        (Pace(USUAL), ThrottleSettings(p99_ratio=0)),
        (Pace(USUAL), ThrottleSettings(enabled=False)),
    ],
)
def test_nothing_is_slower_where_the_application_is_not_known_or_not_heeded(
    pace: Pace, settings: ThrottleSettings
) -> None:
    slowed = follow(pace, *[SLOW] * 10, settings=settings)
    assert (slowed.goal(settings, CHUNK_TIME), slowed.rest(settings)) == (CHUNK_TIME, 0)


def test_chunks_are_short_and_rest_to_begin_with() -> None:
    pace = Pace(USUAL)
    assert pace.goal(SETTINGS, CHUNK_TIME) == SHORT
    assert pace.rest(SETTINGS) == pytest.approx(1)


def test_chunks_become_as_long_as_they_may_while_the_application_bears_it() -> None:
    pace = follow(Pace(USUAL), *[USUAL] * 30)
    assert (pace.goal(SETTINGS, CHUNK_TIME), pace.rest(SETTINGS)) == (CHUNK_TIME, 0)
    assert pace.goal(SETTINGS, 0.02) == 0.02
    assert pace.time == MOST


def test_chunks_become_shorter_and_then_rest_while_the_application_is_slower() -> None:
    pace, seen = Pace(USUAL, MOST), []
    for _ in range(30):
        pace = follow(pace, SLOW)
        seen.append((pace.goal(SETTINGS, CHUNK_TIME), pace.rest(SETTINGS)))
    assert seen[0] == (CHUNK_TIME, 0)
    assert all(rest == 0 for goal, rest in seen if goal > SHORT)
    assert seen[-1] == (SHORT, pytest.approx(SHORT / LEAST - 1))


def test_what_a_change_does_is_waited_for() -> None:
    pace = Pace(USUAL, MOST).after(SLOW, SETTINGS, 10.0)
    assert pace.time < MOST
    assert pace.after(SLOW, SETTINGS, 10.0 + EVERY / 2) == pace
    assert pace.after(SLOW, SETTINGS, 10.0 + EVERY).time < pace.time


@pytest.mark.parametrize(
    ("p99", "slower"),
    [(0.0129, False), (0.0131, True), (None, False)],
)
def test_limit_is_a_multiple_of_what_was_usual(p99: float | None, slower: bool) -> None:
    assert (follow(Pace(USUAL, SHORT), p99).time < SHORT) is slower


def test_half_a_millisecond_is_not_noticed() -> None:
    assert follow(Pace(0.0002, SHORT), 0.0006).time > SHORT
