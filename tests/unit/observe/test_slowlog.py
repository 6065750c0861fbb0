"""Slow queries are told, without their literals, and a storm of them is sampled for each database and user."""

from typing import Any

import pytest
from structlog.testing import CapturingLogger

from dbproxy.observe.slowlog import SlowLog, show_statement, show_values


def told(logger: CapturingLogger) -> list[tuple[str, dict[str, Any]]]:
    return [(call.args[0], call.kwargs) for call in logger.calls]


def test_a_slow_query_is_told_with_its_times_and_origin() -> None:
    logger = CapturingLogger()
    SlowLog(logger).record(
        "SELECT $?", wait_us=1_500, run_us=120_250, stands_for=1, more={"user": "u", "request_id": "7-1"}
    )
    line = {"duration_ms": 121.75, "wait_ms": 1.5, "run_ms": 120.25, "statement": "SELECT $?"}
    assert told(logger) == [("slow query", {**line, "user": "u", "request_id": "7-1"})]


def test_one_that_stands_for_others_says_so() -> None:
    logger = CapturingLogger()
    SlowLog(logger).record("SELECT 1", wait_us=0, run_us=1, stands_for=5, more={})
    assert told(logger)[0][1]["sampled"] == 5


def storm(slow: SlowLog, begun: float, number: int, limit: int = 10, user: str = "u") -> list[int]:
    """So many within a second: which of them are logged, and for how many they stand."""
    admitted = [slow.admit(begun + i / number, "d", user, limit, 1000 * (i + 1)) for i in range(number)]
    return [i for i, stands_for in enumerate(admitted) if stands_for]


def test_few_are_all_logged() -> None:
    slow = SlowLog(CapturingLogger())
    assert storm(slow, 100.0, 10) == list(range(10))
    assert storm(slow, 101.0, 10) == list(range(10))


def test_a_storm_is_bounded_and_from_the_next_second_on_a_sample_is_spread_over_it() -> None:
    logger = CapturingLogger()
    slow = SlowLog(logger)
    assert storm(slow, 100.0, 100) == list(range(10))
    assert storm(slow, 101.0, 100) == list(range(0, 100, 10))
    assert slow.admit(102.0, "d", "u", 10, 1) == 10
    assert told(logger)[0] == (
        "slow queries not logged",
        {"count": 90, "limit_per_second": 10, "longest_ms": 100.0, "database": "d", "user": "u"},
    )


def test_one_users_storm_hides_nobody_elses_slow_queries() -> None:
    slow = SlowLog(CapturingLogger())
    storm(slow, 100.0, 1000)
    assert slow.admit(100.9, "d", "other", 10, 1) == 1


def test_all_are_logged_where_there_is_no_limit() -> None:
    assert len(storm(SlowLog(CapturingLogger()), 100.0, 100, limit=0)) == 100


def test_a_sweep_tells_of_a_storm_that_has_ended_once() -> None:
    logger = CapturingLogger()
    slow = SlowLog(logger)
    storm(slow, 100.0, 12)
    slow.sweep(100.9)
    assert not logger.calls
    for now in (101.1, 102.2, 103.3):
        slow.sweep(now)
    assert [line["count"] for _, line in told(logger)] == [2]
    assert not slow.samples


def test_the_second_after_a_pause_is_not_sampled_by_an_old_storm() -> None:
    slow = SlowLog(CapturingLogger())
    storm(slow, 100.0, 100)
    assert storm(slow, 200.0, 5) == [0, 1, 2, 3, 4]


def test_a_long_statement_is_cut() -> None:
    shown = show_statement(b"SELECT " + b"a, " * 5_000)
    assert len(shown) == 2_001
    assert shown.endswith("a…")


def test_a_huge_literal_is_not_shown_where_the_statement_is_cut() -> None:
    assert show_statement(b"SELECT '" + b"secret" * 100_000 + b"'") == "SELECT $?…"


def test_any_bytes_can_be_shown() -> None:
    assert show_statement(b"SELECT \xff, E'\\'") == "SELECT \ufffd, $?"


def test_literals_are_shown_only_where_that_is_asked_for_and_masked_by_their_form_all_the_same() -> None:
    statement = b"SELECT 42, 'a@example.com', '4111 1111 1111 1111'"
    assert show_statement(statement) == "SELECT $?, $?, $?"
    assert show_statement(statement, literals=True) == "SELECT 42, '***', '***'"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (b"", ""),
        (b"42", "42"),
        (b"password=hunter2", "password=***"),
        (b"a@example.com", "***"),
        (b"\0\0\0\x2a", "4 bytes"),
        (b"\xff\xfe", "2 bytes"),
        (b"x" * 1000, "x" * 200 + "…"),
    ],
)
def test_values_are_shown_as_text_and_masked_by_their_form(value: bytes | None, shown: str | None) -> None:
    assert show_values([(value, False)]) == [shown]


def test_so_many_values_are_shown() -> None:
    shown = show_values([(b"1", False)] * 60)
    assert len(shown) == 51
    assert shown[-1] == "and 10 more"
