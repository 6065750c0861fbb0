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
            found.health.succeed(float(now), limits)
        else:
            found.health.fail("no answer", limits)
        states.append(found.health.down)
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
    assert back.health.started_at == 4.0
    assert steady.health.started_at == float("-inf")


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
    health = found.health
    health.refuse("password authentication failed")
    assert (health.failures, health.down, health.last_error) == (0, False, "password authentication failed")


def pause(
    *, lost: bool = False, wanted: bool = False, limits: HealthSettings = LIMITS, **facts: object
) -> float:
    found = member(**facts)
    return found.health.pause(fit=found.fit, lost=lost, wanted=wanted, limits=limits)


def test_a_quiet_host_is_asked_each_lag_interval():
    assert pause() == LIMITS.lag_interval


def test_without_a_lag_interval_it_is_asked_each_interval():
    assert pause(limits=HealthSettings.model_validate({"lag_interval": 0})) == LIMITS.interval


def test_what_somebody_waits_for_is_asked_often_but_only_of_those_that_may_answer_reads():
    assert pause(wanted=True) == health.WANTED
    assert pause(wanted=True, state="lagging", over=True) == LIMITS.lag_interval


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
