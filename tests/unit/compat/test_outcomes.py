"""What two runs and the page together say."""

import pytest

from tests.compat.outcomes import Pair, fold, judge, tally

PASSED = {"a": "passed", "b": "passed"}
SAME = Pair(PASSED, PASSED)
FAILED = ("passed", "failed")


def b_fails() -> Pair:
    return Pair(PASSED, {"a": "passed", "b": "failed"})


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        (["passed"], "passed"),
        (["skipped"], "skipped"),
        (["failed", "passed"], "failed"),  # a subtest, then the rest
        (["passed", "error"], "error"),  # its teardown
    ],
)
def test_the_gravest_phase_counts(phases: list[str], outcome: str) -> None:
    assert fold(f'["a", "{phase}"]' for phase in phases) == {"a": outcome}


def test_a_tally_names_all_outcomes() -> None:
    assert tally(b_fails().proxied) == "1 passed, 0 skipped, 1 failed, 0 error"


def test_what_differs_is_told_with_both_outcomes() -> None:
    assert SAME.differences() == {}
    assert b_fails().differences() == {"b": FAILED}


def test_a_test_that_only_one_run_knows_differs() -> None:
    assert Pair(PASSED, {"a": "passed"}).differences() == {"b": ("passed", "missing")}
    assert Pair({}, {"a": "passed"}).differences() == {"a": ("missing", "passed")}


def test_in_doubt_is_what_the_page_does_not_say() -> None:
    assert b_fails().doubtful(["b"]) == set()
    assert b_fails().doubtful([]) == {"b"}
    assert b_fails().doubtful(["a"]) == {"a", "b"}


def test_without_differences_an_empty_page_holds() -> None:
    assert judge([], SAME, SAME).holds


def test_a_listed_difference_is_explained_and_needs_no_second_run() -> None:
    verdict = judge(["b"], b_fails(), Pair({}, {}))
    assert verdict.holds
    assert verdict.explained == {"b": FAILED}


def test_an_unlisted_difference_in_both_runs_is_unexplained() -> None:
    verdict = judge([], b_fails(), b_fails())
    assert not verdict.holds
    assert verdict.unexplained == {"b": FAILED}


def test_an_unlisted_difference_that_did_not_come_back_is_unstable() -> None:
    verdict = judge([], b_fails(), SAME)
    assert verdict.holds
    assert verdict.unstable == ["b"]


def test_a_difference_of_the_second_run_alone_is_not_held_against_the_page() -> None:
    assert judge([], SAME, b_fails()).holds


def test_listed_but_equal_in_both_runs_is_stale() -> None:
    verdict = judge(["a"], SAME, SAME)
    assert not verdict.holds
    assert verdict.stale == ["a"]


def test_listed_and_unknown_to_both_runs_is_stale() -> None:
    assert judge(["gone"], SAME, SAME).stale == ["gone"]


def test_listed_and_different_only_in_the_second_run_is_unstable() -> None:
    verdict = judge(["b"], SAME, b_fails())
    assert verdict.holds
    assert verdict.unstable == ["b"]
