"""Batches on the console and over HTTP."""

import json
from typing import Any

import pytest

from dbproxy.admin.batch_command import BatchCommand, BatchOrder, BatchReport
from dbproxy.admin.batches import show_batches
from dbproxy.admin.command import Assignment, Command, parse
from dbproxy.demo.postgres import free_port
from dbproxy.errors import CommandFailed
from dbproxy.observe.figures import BatchCounts, BatchFigures
from tests.unit.admin.house import FakeHouse, records, settings
from tests.unit.admin.test_console import Session
from tests.unit.admin.test_http import fetch

GONE = CommandFailed("there is no batch t-9", sqlstate="42704")
RUNNING = BatchFigures(
    id="t-1", database="shop", table="public.t", state="running",
    done=BatchCounts(rows=90, seen=100, estimate=400, errors=1, chunk_size=500),
    rate=50.0, eta_s=6.0, waits_for="lag: replica1 is 2.0 s behind", started=1.0, host="h", pid=7,
    throttled={"lag": 2.5}, retries={"40P01": 1},
)  # fmt: skip


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port()), DBPROXY_AUTH__STATS_USERS="stats"))


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("SHOW BATCHES", BatchReport()),
        ("show batches", BatchReport()),
        ("PAUSE BATCH t-1", BatchOrder("pause", "t-1")),
        ("resume batch orders.v2-17 shop", BatchOrder("resume", "orders.v2-17", "shop")),
        ("CANCEL BATCH 'my batch' \"my shop\"", BatchOrder("cancel", "my batch", "my shop")),
        ("SET BATCH t-1 chunk_size = 500", BatchOrder("set", "t-1", "", "chunk_size", "500")),
        ("SET BATCH t-1 chunk_size=500", BatchOrder("set", "t-1", "", "chunk_size", "500")),
        ("set batch t-1 chunk_size to 500", BatchOrder("set", "t-1", "", "chunk_size", "500")),
        ("SET BATCH t-1 shop max_errors = 5", BatchOrder("set", "t-1", "shop", "max_errors", "5")),
        ("SET BATCH t-1 throttle.max_lag = '2s'", BatchOrder("set", "t-1", "", "throttle.max_lag", "2s")),
        ("SET BATCH t-1 throttle.max_lag = 2.5s", BatchOrder("set", "t-1", "", "throttle.max_lag", "2.5s")),
        ("SET BATCH t-1 throttle.query = ''", BatchOrder("set", "t-1", "", "throttle.query", "")),
        ("SET BATCH t-1 throttle.query = 'SELECT ''a'''", BatchOrder("set", "t-1", "", "throttle.query", "SELECT 'a'")),
    ],
)  # fmt: skip
def test_command_is_read(text: str, command: BatchCommand) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('PAUSE "batch"', Command("pause", "batch", 'PAUSE "batch"')),
        ("PAUSE batches", Command("pause", "batches", "PAUSE batches")),
        ("SET batch = 1", Assignment("batch", "1")),
    ],
)
def test_what_has_the_word_and_means_something_else(text: str, command: Command | Assignment) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    "text",
    ["PAUSE BATCH", "CANCEL BATCH", "PAUSE BATCH a b c", "SET BATCH t-1", "SET BATCH t-1 chunk_size"],
)  # fmt: skip
def test_bad_one_says_what_would_be_right(text: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        parse(text)
    assert "SET BATCH id" in failed.value.hint


async def test_all_columns_are_shown(house: FakeHouse) -> None:
    house.batches.figures = [RUNNING, BatchFigures(id="t-2", database="shop")]
    one, other = records(await show_batches(house))
    assert one == {
        "id": "t-1", "kind": "run", "table": "public.t", "database": "shop", "state": "running", "rows": 90,
        "seen": 100, "estimated": 400, "percent": "25.0", "rate": "50", "eta": 6, "errors": 1, "chunk_size": 500,
        "waits_for": "lag: replica1 is 2.0 s behind", "started": "1970-01-01T00:00:01+00:00", "ended": None,
        "host": "h", "pid": 7, "reason": "",
    }  # fmt: skip
    assert (other["state"], other["percent"], other["eta"], other["started"]) == (
        "interrupted",
        "0.0",
        None,
        None,
    )


async def test_batch_is_steered(house: FakeHouse) -> None:
    session = Session(house)
    for words in (
        "PAUSE BATCH t-1",
        "RESUME BATCH t-1 shop",
        "CANCEL BATCH t-1",
        "SET BATCH t-1 chunk_size = 500",
    ):
        _, complete = await session.ask(words)
        assert complete.body.tag == " ".join(words.split()[:2])
    assert house.batches.asked == [
        ("pause", "t-1", ""),
        ("resume", "t-1", "shop"),
        ("cancel", "t-1", ""),
        ("set", "t-1", "", "chunk_size", "500"),
    ]


async def test_who_may_only_look_cannot_steer(house: FakeHouse) -> None:
    guest = Session(house, "stats")
    assert (await guest.error("PAUSE BATCH t-1"))["M"] == "admin access needed"
    assert house.batches.asked == []
    assert await guest.ask("SHOW BATCHES")


async def test_error_of_the_ledger_is_told(house: FakeHouse) -> None:
    house.batches.error = GONE
    error = await Session(house).error("PAUSE BATCH t-9")
    assert (error["C"], error["M"]) == ("42704", "there is no batch t-9")


async def test_batches_are_json(house: FakeHouse) -> None:
    house.batches.figures = [RUNNING]
    status, kind, text = await fetch(house, "/batches")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    (found,) = json.loads(text)["batches"]
    expected: dict[str, Any] = {
        "id": "t-1",
        "ratio": 0.25,
        "eta_s": 6.0,
        "throttled": {"lag": 2.5},
        "ended": None,
    }
    assert expected.items() <= found.items()
    house.batches.error = GONE
    assert (await fetch(house, "/batches"))[0] == 503


async def test_metrics_are_of_what_was_read(house: FakeHouse) -> None:
    house.batches.figures = [RUNNING]
    _, _, text = await fetch(house, "/metrics")
    assert 'dbproxy_batch_rows_total{database="shop",job="t-1",outcome="ok"} 90.0' in text
