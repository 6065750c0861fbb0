from typing import Any

from dbproxy.observe.comparison import compare, spell
from dbproxy.observe.querystats import OTHER
from dbproxy.observe.snapshots import Snapshot

HOUR = 3600.0


def row(name: str, **more: Any) -> dict[str, Any]:
    words = {"id": name, "database": "app", "user": "me", "role": "primary", "text": f"SELECT {name}"}
    return words | {"calls": 100, "total_us": 1000, "p95_us": 1000} | more


def changes(
    before: list[dict[str, Any]], after: list[dict[str, Any]], after_s: float = HOUR
) -> list[tuple[str, str]]:
    found = compare(Snapshot(0.0, HOUR, before), Snapshot(86400.0, after_s, after))
    return [(change.what, change.row["id"]) for change in found]


def test_equal_is_no_change():
    assert changes([row("a")], [row("a")]) == []


def test_all_kinds_the_most_expensive_first():
    before = [row("gone"), row("slow"), row("often"), row("same")]
    after = [
        row("new", total_us=5), row("newer", total_us=50), row("slow", p95_us=1600),
        row("often", calls=250), row("same"),
    ]  # fmt: skip
    assert changes(before, after) == [
        ("new", "newer"), ("new", "new"), ("gone", "gone"), ("slower", "slow"), ("more frequent", "often"),
    ]  # fmt: skip


def test_few_calls_and_small_differences_say_nothing():
    assert changes([row("a", calls=19)], [row("a", p95_us=99_000)]) == []
    assert changes([row("a", p95_us=100)], [row("a", p95_us=400)]) == []


def test_frequency_is_by_the_second():
    assert changes([row("a", calls=100)], [row("a", calls=100)], HOUR / 4) == [("more frequent", "a")]
    assert changes([row("a", calls=100)], [row("a", calls=250)], HOUR * 4) == []


def test_the_same_statement_of_another_user_is_new():
    assert changes([row("a")], [row("a"), row("a", user="you")]) == [("new", "a")]


def test_those_that_are_no_more_are_not_compared():
    assert changes([], [row(OTHER)]) == []


def test_change_in_a_line():
    (change,) = compare(Snapshot(0, HOUR, [row("a")]), Snapshot(0, HOUR, [row("a", p95_us=3000)]))
    assert "p95 1.0 -> 3.0 ms (x3.0, 100 calls)" in spell(change)


def test_name_in_a_statement_does_not_steer_the_terminal():
    (change,) = compare(Snapshot(0.0, HOUR, []), Snapshot(86400.0, HOUR, [row("a", text='SELECT "\x1b[2J"')]))
    assert spell(change).endswith('SELECT "\\x1b[2J"')
