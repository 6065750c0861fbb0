"""What has happened lately, as the log tells it."""

import io
from pathlib import Path

import pytest
import structlog

import dbproxy
from dbproxy.observe import journal as module
from dbproxy.observe.journal import KEPT, KINDS, LONGEST, PLANS_KEPT, Journal, Plan, judge
from dbproxy.observe.logs import configure


@pytest.mark.parametrize(
    ("text", "level", "kind"),
    [
        ("primary lost", "error", "failover"),
        ("host fenced: it takes writes, but is not the primary", "error", "failover"),
        ("host lagging", "warning", "host"),
        ("client pinned", "info", "pin"),
        ("reloaded", "info", "reload"),
        ("setting changed", "info", "setting"),
        ("cancel failed", "warning", "other"),
        ("slow query", "warning", ""),
        ("client disconnected", "info", ""),
    ],
)
def test_lines_that_an_operator_looks_for_are_events(text: str, level: str, kind: str) -> None:
    assert judge(text, level) == kind


def test_kinds_are_of_lines_that_are_written() -> None:
    source = "".join(
        path.read_text()
        for path in Path(dbproxy.__file__).parent.rglob("*.py")
        if path.parts[-2:] != ("observe", "journal.py")
    )
    assert [text for text in KINDS if f'"{text}"' not in source] == []


def test_a_flood_of_one_kind_leaves_the_others_where_they_are() -> None:
    journal = Journal()
    journal.add("failover", "error", "primary lost", {})
    for number in range(10 * KEPT):
        journal.add("pin", "info", "client pinned", {"client": number})
    events = journal.since(0)
    assert [event.text for event in events[:2]] == ["primary lost", "client pinned"]
    assert len(events) == KEPT + 1
    assert [event.number for event in events] == sorted(event.number for event in events)


def test_only_what_came_behind_is_told() -> None:
    journal = Journal()
    for text in ("reloaded", "reload failed"):
        journal.add("reload", "info", text, {})
    first, second = journal.since(0)
    assert journal.since(first.number) == [second]


def test_details_are_short_texts() -> None:
    journal = Journal()
    journal.add(
        "pin", "info", "client pinned", {"reason": "x" * 1000, "ports": [1, 2], "user": "", "plan": None}
    )
    (event,) = journal.since(0)
    assert len(event.details["reason"]) == LONGEST
    assert event.details["ports"] == "1, 2"
    assert event.details.keys() == {"reason", "ports"}


def test_log_lines_come_masked_and_are_still_written(monkeypatch: pytest.MonkeyPatch) -> None:
    journal, stream = Journal(), io.StringIO()
    monkeypatch.setattr("dbproxy.observe.logs.journal", journal)
    configure(stream=stream)
    structlog.get_logger().error("primary lost", url="postgresql://u:hunter2@h", password="hunter2")
    (event,) = journal.since(0)
    assert (event.kind, event.level, event.text) == ("failover", "error", "primary lost")
    assert "hunter2" not in str(event.details)
    assert "primary lost" in stream.getvalue()


def test_plans_are_kept_by_statement_the_latest_of_each() -> None:
    journal = Journal()
    line = {"event": module.PLAN, "database": "app", "user": "web", "plan": "Seq Scan on a"}
    for text in ("Seq Scan on a", "Index Scan on a"):
        journal.note(None, "info", {**line, "query": "00000000000000aa", "plan": text})
    assert journal.plans["00000000000000aa"].text == "Index Scan on a"
    for number in range(PLANS_KEPT):
        journal.add_plan(str(number), Plan(0.0, "app", "web", ""))
    assert len(journal.plans) == PLANS_KEPT
    assert "00000000000000aa" not in journal.plans
    assert journal.since(0) == []
