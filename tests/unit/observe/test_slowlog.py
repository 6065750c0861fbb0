"""Slow queries are told, without their literals, and a storm of them is bounded."""

from typing import Any

from structlog.testing import CapturingLogger

from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.slowlog import SlowLog, show_statement


def record(slow: SlowLog, now: float, statement: bytes = b"SELECT 1") -> None:
    slow.record(
        now,
        statement,
        wait_us=1_500,
        run_us=120_250,
        user="u",
        database="d",
        application_name="psql",
        client="127.0.0.1:1",
        connection_id=7,
        query_id=9,
    )


def told(logger: CapturingLogger) -> list[tuple[str, dict[str, Any]]]:
    return [(call.args[0], call.kwargs) for call in logger.calls]


def test_a_slow_query_is_told_with_its_times_and_origin() -> None:
    logger = CapturingLogger()
    record(SlowLog(100_000, logger), 10.0, b"SELECT 'secret'  FROM t")
    assert told(logger) == [
        (
            "slow query",
            {
                "duration_ms": 121.75,
                "wait_ms": 1.5,
                "run_ms": 120.25,
                "statement": "SELECT $? FROM t",
                "user": "u",
                "database": "d",
                "application_name": "psql",
                "client": "127.0.0.1:1",
                "connection_id": 7,
                "query_id": 9,
            },
        )
    ]


def test_a_storm_is_bounded_and_its_size_told_by_the_next_second() -> None:
    logger = CapturingLogger()
    slow = SlowLog(0, logger, per_second=2)
    for i in range(10):
        record(slow, 10.0 + i / 100)
    assert [event for event, _ in told(logger)] == ["slow query"] * 2
    record(slow, 11.5)
    assert [event for event, _ in told(logger)[2:]] == ["slow queries not logged", "slow query"]
    assert told(logger)[2][1]["count"] == 8


def test_a_sweep_tells_of_a_storm_that_has_ended() -> None:
    logger = CapturingLogger()
    slow = SlowLog(0, logger, per_second=1)
    record(slow, 10.0)
    record(slow, 10.1)
    slow.sweep(10.9)
    assert len(logger.calls) == 1
    slow.sweep(11.1)
    slow.sweep(12.2)
    assert told(logger)[1:] == [("slow queries not logged", {"count": 1, "limit_per_second": 1})]


def test_a_long_statement_is_cut() -> None:
    shown = show_statement(b"SELECT " + b"a, " * 5_000)
    assert len(shown) == 2_001
    assert shown.endswith("a…")


def test_a_huge_literal_is_not_shown_where_the_statement_is_cut() -> None:
    assert show_statement(b"SELECT '" + b"secret" * 100_000 + b"'") == "SELECT $?…"


def test_any_bytes_can_be_shown() -> None:
    assert show_statement(b"SELECT \xff, E'\\'") == "SELECT \ufffd, $?"


def test_a_slow_query_with_a_trace_is_an_example_for_its_bucket() -> None:
    exemplars = Exemplars([100_000, 200_000])
    slow = SlowLog(100_000, CapturingLogger(), exemplars=exemplars)
    record(slow, 10.0, b"SELECT 1")
    assert exemplars.find("d", "u") == {}
    record(slow, 10.0, b"SELECT 1 /*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/")
    (found,) = exemplars.find("d", "u").items()
    assert (found[0], found[1][:2]) == (1, ("5bd66ef5095369c7b0d1f8f4bd33716a", 0.12175))
