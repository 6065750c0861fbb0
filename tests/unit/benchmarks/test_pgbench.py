"""What pgbench says is read as it is meant, or refused."""

import math

import pytest

from benchmarks.pgbench import Run, add_up, read_run

REPORT = """pgbench (18.6)
transaction type: <builtin: select only>
number of transactions actually processed: 1234
number of failed transactions: 0 (0.000%)
latency average = 0.028 ms
initial connection time = 2.016 ms
tps = 35490.123456 (without initial connection time)
"""


def test_a_report_and_its_log_are_read() -> None:
    assert read_run(REPORT, "0 1 250 0 1700000000 5\n3 2 500 0 1700000000 9\n") == Run(
        1234, 35490.123456, [250, 500]
    )


@pytest.mark.parametrize(
    "text", ["", REPORT.replace("failed transactions: 0", "failed transactions: 3"), REPORT[:200]]
)
def test_a_run_that_failed_is_no_result(text: str) -> None:
    with pytest.raises(ValueError, match="did not do its work"):
        read_run(text, "")


@pytest.mark.parametrize(("q", "expected"), [(0.5, 0.05), (0.99, 0.099), (1.0, 0.1), (0.001, 0.001)])
def test_percentiles_are_by_nearest_rank(q: float, expected: float) -> None:
    assert Run(1, 1.0, list(range(100, 0, -1))).percentile_ms(q) == expected


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(Run(1, 1.0, []).percentile_ms(0.5))


def test_what_ran_at_the_same_time_is_added_up() -> None:
    assert add_up([Run(2, 10.0, [5]), Run(3, 20.0, [6, 7])]) == Run(5, 30.0, [5, 6, 7])
