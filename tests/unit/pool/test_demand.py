from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.config import PoolSettings
from dbproxy.pool.demand import backoff, wanted


def ask(**situation: Any) -> int:
    settings = situation.pop("settings", {"size": 10, "reserve_size": 2, "reserve_timeout": 5.0})
    usual = {"size": 0, "opening": 0, "waiting": 0, "longest_wait": 0.0, "probing": False}
    return wanted(**{**usual, **situation}, limits=PoolSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("situation", "number"),
    [
        ({}, 0),
        ({"waiting": 3}, 3),
        ({"waiting": 3, "opening": 2, "size": 2}, 1),
        ({"waiting": 3, "opening": 5, "size": 5}, 0),
        ({"waiting": 30}, 10),
        ({"waiting": 3, "size": 9}, 1),
        ({"waiting": 3, "size": 10}, 0),
        ({"waiting": 3, "size": 12}, 0),
    ],
)
def test_one_for_each_who_waits_as_far_as_there_is_room(situation: dict[str, int], number: int):
    assert ask(**situation) == number


@pytest.mark.parametrize(("wait", "number"), [(0.0, 0), (4.9, 0), (5.0, 2), (60.0, 2)])
def test_reserve_is_for_those_who_have_waited(wait: float, number: int):
    assert ask(waiting=5, size=10, longest_wait=wait) == number


def test_reserve_timeout_of_nothing_turns_the_reserve_off():
    settings = {"size": 10, "reserve_size": 2, "reserve_timeout": 0}
    assert ask(waiting=5, size=10, longest_wait=60.0, settings=settings) == 0


@pytest.mark.parametrize(("size", "number"), [(0, 4), (3, 1), (4, 0), (7, 0)])
def test_minimum_is_kept_open(size: int, number: int):
    assert ask(size=size, settings={"size": 10, "min_pool_size": 4}) == number


def test_minimum_over_the_size_is_the_size():
    assert ask(settings={"size": 2, "min_pool_size": 4}) == 2


def test_after_a_failure_one_at_a_time_is_tried():
    assert ask(waiting=5, probing=True) == 1
    assert ask(waiting=5, probing=True, opening=1, size=1) == 0
    assert ask(waiting=5, probing=True, opening=3, size=3) <= 0


@given(st.integers(0, 20), st.integers(0, 5), st.integers(0, 50), st.floats(0, 100), st.booleans())
def test_never_more_than_size_and_reserve(size: int, opening: int, waiting: int, wait: float, probing: bool):
    number = ask(size=size + opening, opening=opening, waiting=waiting, longest_wait=wait, probing=probing)
    assert number <= max(0, 12 - size - opening)


def test_pauses_double_up_to_the_longest():
    pauses = [backoff(failures, 15) for failures in range(1, 12)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15, 15]
    assert backoff(10**9, 15) == 15
