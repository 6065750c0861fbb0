import pytest

from dbproxy.observe.queries import (
    COLUMNS,
    NUMBERS,
    BadQuestion,
    Question,
    arrange,
    ask,
    count,
    describe,
    find_p95,
)
from dbproxy.observe.querystats import OTHER
from dbproxy.observe.sums import Sums


def test_words_make_a_question():
    question = ask({"window": "5m", "sort": "p95", "limit": "20", "database": "app", "min_calls": "3"})
    assert question == Question(window="5m", sort="p95", limit=20, database="app", min_calls=3)
    assert question.minutes == 5
    assert ask({"window": "", "user": ""}) == Question()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"window": "2m"}, "window must be one of 1m, 5m, 15m, 1h, reset"),
        ({"sort": "beauty"}, "sort must be one of total_time, calls"),
        ({"role": "master"}, "role must be one of primary, replica"),
        ({"kind": "select"}, "kind must be one of read, write, utility, unknown"),
        ({"limit": "-1"}, "limit must be a whole number"),
        ({"limit": "٣"}, "limit must be a whole number"),
        ({"colour": "red"}, "no such option: colour"),
    ],
)
def test_what_cannot_be_told_is_said(words: dict[str, str], reason: str):
    with pytest.raises(BadQuestion, match=reason):
        ask(words)


def test_row_has_all_columns():
    sums = Sums()
    sums.add(1000, 200, 300, 5, 70)
    sums.fail("57014")
    row = describe(None, sums)
    assert tuple(row) == COLUMNS
    assert (row["id"], row["states"], row["run_us"], row["wait_us"], row["stall_us"]) == (
        OTHER, "57014:1", 500, 200, 300,
    )  # fmt: skip
    assert all(type(row[name]) is int for name in NUMBERS)


def test_calls_that_did_not_wait_count_in_its_quantile():
    sums = Sums()
    for _ in range(97):
        sums.add(1000, 0, 0, 0, 0)
    for _ in range(3):
        sums.add(1000, 900, 0, 0, 0)
    assert find_p95(sums, "wait") == 0
    for _ in range(10):
        sums.add(1000, 900, 0, 0, 0)
    assert find_p95(sums, "wait") == pytest.approx(900, rel=0.02)


def test_nothing_counted_is_all_zero():
    assert set(count(Sums()).values()) == {0}


def test_rows_are_sorted_and_limited():
    rows = [
        {"id": str(n), "database": "", "user": "", "role": "", "calls": n, "p95_us": 9 - n} for n in range(5)
    ]
    assert [row["id"] for row in arrange(rows, Question(sort="p95", limit=2))] == ["1", "2"]
    assert [row["id"] for row in arrange(rows, Question(sort="calls", limit=0))] == ["4", "3", "2", "1"]
