import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.cluster import health
from dbproxy.cluster.member import Member
from dbproxy.config import HealthSettings
from tests.unit.cluster.hosts import LIMITS, member


def probe(found: Member, answers: str, limits: HealthSettings = LIMITS) -> list[bool]:
    """Whether it is down after each of the probes, `+` answered and `-` not."""
    states = []
    for now, answer in enumerate(answers):
        if answer == "+":
            health.succeed(found, float(now), limits)
        else:
            health.fail(found, "no answer", limits)
        states.append(found.down)
    return states


def downs(answers: str, **limits: int) -> str:
    states = probe(member(), answers, HealthSettings.model_validate(limits))
    return "".join("d" if down else "u" for down in states)


@pytest.mark.parametrize(
    ("answers", "states"),
    [
        ("--", "uu"),
        ("---", "uud"),
        ("--+--", "uuuuu"),
        ("---+", "uudd"),
        ("---++", "uuddu"),
        ("---+-+-+", "uudddddd"),
    ],
)
def test_three_failures_in_a_row_take_a_host_out_and_two_successes_bring_it_back(answers: str, states: str):
    assert downs(answers) == states


def test_the_thresholds_are_settings():
    assert downs("-+-", failure_threshold=1, success_threshold=1) == "dud"


def test_a_host_that_was_never_heard_is_up_at_its_first_answer():
    fresh = member(heard=False)
    assert probe(fresh, "---+") == [False, False, True, False]


def test_one_that_comes_back_starts_slowly_and_one_that_was_always_there_does_not():
    back, steady = member(), member()
    probe(back, "---++")
    probe(steady, "++--++")
    assert back.started_at == 4.0
    assert steady.started_at == float("-inf")


@given(st.text("+-", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_host_changes_only_at_a_whole_run(answers: str, failures: int, successes: int):
    states = downs(answers, failure_threshold=failures, success_threshold=successes)
    before = "u"
    for end, (state, answer) in enumerate(zip(states, answers, strict=True), 1):
        run = len(answers[:end]) - len(answers[:end].rstrip(answer))
        if answer == "-":
            assert state == ("d" if run >= failures else before)
        else:
            assert state == ("u" if run >= successes else before)
        before = state


def test_one_that_does_not_let_us_in_is_not_down():
    found = member()
    probe(found, "--")
    health.refuse(found, "password authentication failed")
    assert (found.failures, found.down, found.last_error) == (0, False, "password authentication failed")


@pytest.mark.parametrize(
    ("seconds", "lagging"),
    [
        ([29.9], False),
        ([30.0], True),
        ([30.0, 15.0], True),
        ([30.0, 14.9], False),
        ([30.0, 14.9, 29.9], False),
    ],
)
def test_lag_must_fall_below_half_the_limit_before_a_replica_is_back(seconds: list[float], lagging: bool):
    found = member()
    for lag in seconds:
        health.lag(found, lag, 1.0, LIMITS)
    assert found.lagging is lagging


def test_one_that_caught_up_starts_slowly():
    found = member()
    health.lag(found, 31.0, 1.0, LIMITS)
    health.lag(found, 20.0, 2.0, LIMITS)
    assert found.started_at == float("-inf")
    health.lag(found, 0.0, 3.0, LIMITS)
    assert found.started_at == 3.0


@pytest.mark.parametrize(
    ("seconds", "late"), [([4.9], False), ([5.0], True), ([5.0, 2.5], True), ([5.0, 2.4], False)]
)
def test_the_warning_has_hysteresis_too(seconds: list[float], late: bool):
    found = member()
    for lag in seconds:
        health.lag(found, lag, 1.0, LIMITS)
    assert found.late is late


def pause(
    *, lost: bool = False, wanted: bool = False, limits: HealthSettings = LIMITS, **facts: object
) -> float:
    return health.pause(member(**facts), lost=lost, wanted=wanted, limits=limits)


def test_a_quiet_host_is_asked_each_lag_interval():
    assert pause() == LIMITS.lag_interval


def test_without_a_lag_interval_it_is_asked_each_interval():
    assert pause(limits=HealthSettings.model_validate({"lag_interval": 0})) == LIMITS.interval


def test_what_somebody_waits_for_is_asked_often_but_only_of_those_that_may_answer_reads():
    assert pause(wanted=True) == health.WANTED
    assert pause(wanted=True, state="lagging", lagging=True) == LIMITS.lag_interval


def test_all_are_asked_fast_while_there_is_no_primary():
    assert pause(lost=True) == health.RETRY
    assert pause(lost=True, down=True, failures=50) == health.RETRY


def test_one_that_begins_to_fail_or_comes_back_is_asked_fast():
    assert pause(failures=1) == health.RETRY
    assert pause(down=True, successes=1) == health.RETRY


@given(st.integers(1, 10_000))
def test_one_that_is_down_is_asked_ever_more_slowly_but_each_second(failures: int):
    assert health.RETRY <= pause(down=True, failures=failures) <= health.LONGEST_RETRY


def test_one_that_does_not_let_us_in_is_asked_seldom():
    assert pause(refused=True, wanted=True, lost=True) == health.REFUSED
