"""Which sessions a feature is there for, and when they notice that it was switched."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.features.mode import OBSERVE, OFF, ON, UNDECIDED, Feature

SESSIONS = range(1, 10_001)
shares = st.integers(0, 100)


def treated(feature: Feature) -> set[int]:
    return {number for number in SESSIONS if feature.arm_of(number) is feature.treated}


def test_feature_is_off_unless_it_is_switched():
    feature = Feature("cache")
    assert feature.arm_of(1).mode == OFF
    feature.switch("observe", 100)
    assert feature.arm_of(1).mode == OBSERVE


@pytest.mark.parametrize(("mode", "percent"), [("maybe", 100), ("on", -1), ("on", 101)])
def test_what_is_no_mode_or_share_changes_nothing(mode: str, percent: int):
    feature = Feature("cache", "observe", 30)
    with pytest.raises(ValueError, match="cache: "):
        feature.switch(mode, percent)
    assert (feature.mode, feature.percent) == ("observe", 30)


def test_share_is_that_of_the_sessions():
    for percent in (0, 1, 10, 50, 99, 100):
        assert abs(len(treated(Feature("cache", "on", percent))) - percent * 100) <= 50, percent


@given(shares, shares)
def test_raising_the_share_takes_it_from_nobody(one: int, other: int):
    low, high = sorted((one, other))
    assert treated(Feature("cache", "on", low)) <= treated(Feature("cache", "on", high))


def test_feature_is_off_in_the_control_arm():
    feature = Feature("cache", "on", 50)
    assert {feature.arm_of(number).mode for number in SESSIONS} == {OFF, ON}


def test_session_keeps_its_arm_through_a_transaction():
    feature = Feature("cache", "on")
    before = feature.stand(7, UNDECIDED, in_transaction=False)
    feature.switch("on", 0)
    assert feature.stand(7, before, in_transaction=True) is before
    assert feature.stand(7, before, in_transaction=False).arm is feature.control


def test_stand_is_decided_anew_only_after_a_switch():
    feature = Feature("cache", "on", 50)
    before = feature.stand(7, UNDECIDED, in_transaction=False)
    feature.switch("on", 50)
    assert feature.stand(7, before, in_transaction=False) is before


def test_switch_reaches_also_those_who_stay_in_their_arm():
    feature = Feature("cache", "observe")
    stand = feature.stand(7, UNDECIDED, in_transaction=False)
    feature.switch("on", 100)
    assert feature.stand(7, stand, in_transaction=False).mode == ON


def test_mode_that_is_switched_inside_a_transaction_holds_from_its_end_on():
    feature = Feature("cache", "observe")
    stand = feature.stand(7, UNDECIDED, in_transaction=False)
    feature.switch("on", 100)
    assert feature.stand(7, stand, in_transaction=True).mode == OBSERVE


def test_session_that_is_always_treated_is_so_whatever_the_share():
    feature = Feature("cache", "on", 0)
    assert all(feature.arm_of(number, always=True) is feature.treated for number in SESSIONS)
    assert feature.stand(7, UNDECIDED, in_transaction=False, always=True).mode == ON


def test_requests_are_counted_by_arm():
    feature = Feature("cache", "on", 50)
    feature.treated.count(250, failed=False)
    feature.treated.count(50, failed=True)
    feature.control.count(900, failed=False)
    arms = (feature.treated, feature.control)
    assert [(arm.requests, arm.errors, arm.microseconds) for arm in arms] == [(2, 1, 300), (1, 0, 900)]


@pytest.mark.parametrize(("mode", "percent", "both"), [("on", 50, True), ("observe", 1, True), ("on", 100, False),
                                                       ("on", 0, False), ("off", 50, False)])  # fmt: skip
def test_arms_are_compared_while_there_are_sessions_in_both(mode: str, percent: int, both: bool):
    assert Feature("cache", mode, percent).compares() is both


def test_requests_are_counted_at_the_arm_of_their_session():
    feature = Feature("cache", "on", 50)
    failing = treated(Feature("cache", "on", 1))
    for number in SESSIONS:
        session = SimpleNamespace(id=number)
        feature.hear(SimpleNamespace(session=session, microseconds=7, failed=number in failing))
    counted = len(treated(feature))
    assert (feature.treated.requests, feature.control.requests) == (counted, len(SESSIONS) - counted)
    assert feature.treated.microseconds == 7 * counted
    assert (feature.treated.errors > 0, feature.control.errors) == (True, 0)
