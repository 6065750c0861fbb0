"""A plan is shown as EXPLAIN's text has it, and never what it compares with."""

from typing import Any

from dbproxy.observe.plans import SHOWN, show_plan

SCAN = {
    "Node Type": "Index Scan",
    "Parallel Aware": False,
    "Async Capable": False,
    "Scan Direction": "Forward",
    "Index Name": "items_pkey",
    "Relation Name": "items",
    "Alias": "i",
    "Startup Cost": 0.15,
    "Total Cost": 8.17,
    "Plan Rows": 1,
    "Plan Width": 36,
    "Index Cond": "(id = 4711)",
    "Filter": "(name = 'hunter2\nhunter2'::text)",
}


def plan(**more: Any) -> list[Any]:
    return [{"Plan": {**SCAN, **more}}]


def test_nodes_are_named_and_conditions_have_no_literals() -> None:
    assert show_plan(plan()) == (
        "Index Scan using items_pkey on items i  (cost=0.15..8.17 rows=1 width=36)\n"
        "  Scan Direction: Forward\n"
        "  Index Cond: (id = $?)\n"
        "  Filter: (name = $?::text)"
    )


def test_what_is_not_known_is_shown_without_literals_too() -> None:
    shown = show_plan(
        plan(
            **{
                "Remote SQL": "SELECT 'hunter2'",
                "Sort Key": ["(a + 5)", "b"],
                "Workers Planned": 2,
                "New": {"a": "hunter2"},
            }
        )
    )
    assert "hunter2" not in shown
    assert "  Remote SQL: SELECT $?\n  Sort Key: (a + $?), b\n  Workers Planned: 2\n  New: …" in shown


def test_what_is_below_is_set_in() -> None:
    shown = show_plan([{"Plan": {"Node Type": "Nested Loop", "Plans": [SCAN, SCAN]}}])
    assert shown.splitlines()[0].startswith("Nested Loop  (cost=")
    assert shown.count("\n  Index Scan using items_pkey") == 2


def test_what_has_no_plan_has_none() -> None:
    assert show_plan(["Utility Statements have no plan structure"]) == ""


def test_a_deep_or_long_plan_is_cut() -> None:
    deep: dict[str, Any] = {"Node Type": "Append"}
    for _ in range(200):
        deep = {"Node Type": "Append", "Plans": [deep]}
    assert show_plan([{"Plan": deep}]).endswith("…")
    assert len(show_plan(plan(Plans=[SCAN] * 1000))) == SHOWN
