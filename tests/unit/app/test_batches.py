"""Which ledgers are read, how often, and what is made of them."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from dbproxy.app.batches import LOOK_EVERY, READ_EVERY, SHOWN, Batches, describe
from dbproxy.errors import CommandFailed, ServerUnavailable
from dbproxy.jobs.batch.ledger import Job, State, Totals
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import ACTIVE
from tests.unit.admin.house import FakeHouse, settings

JOB = Job("t-1", "run", "UPDATE t …", "public.t", ("id",), {}, {}, "running", estimate=400, started=1.0)
FAR = "postgresql://app:secret@elsewhere.example/far"


class Ledgers(Batches):
    """Without servers: `jobs` by database; one that is an exception is raised."""

    def __init__(self, **environment: str) -> None:
        Batches.__init__(self, FakeHouse(settings(**environment)), spawn)
        self.jobs: dict[str, Any] = {}
        self.asked: list[str] = []

    async def ask(self, database: str, question: Any) -> Any:
        self.asked.append(database)
        found = self.jobs.get(database)
        if isinstance(found, Exception):
            raise found
        if question.__name__ == "list_jobs":
            return found
        one: Any = next((job for job in found or () if job.id == "t-1"), None)
        return one


def spawn(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)


def test_rate_and_time_left_are_those_of_all_workers() -> None:
    totals = Totals(rows=90, seen=100, chunks=4, errors=1, worked=4.0, chunk_size=50, open=2)
    found = describe(replace(JOB, totals=totals), "shop")
    assert (found.rate, found.eta_s, found.ratio) == (50.0, 6.0, 0.25)


@pytest.mark.parametrize("state", ["interrupted", "done", "failed"])
def test_one_that_does_not_run_has_no_time_left(state: State) -> None:
    found = describe(replace(JOB, state=state, totals=Totals(seen=100, worked=2.0)), "shop")
    assert (found.rate, found.eta_s) == (50.0, None)


def test_database_with_several_names_is_asked_once() -> None:
    ledgers = Ledgers(DBPROXY_DATABASES__OTHER__DBNAME="app", DBPROXY_DATABASES__FAR__PRIMARY__URL=FAR)
    assert ledgers.list_databases() == ["app", "far"]


async def test_one_that_cannot_be_asked_does_not_hide_the_others() -> None:
    ledgers = Ledgers(DBPROXY_DATABASES__FAR__PRIMARY__URL=FAR)
    ledgers.jobs = {"app": [JOB], "far": ServerUnavailable("gone")}
    assert [batch.id for batch in await ledgers.fetch()] == ["t-1"]
    ledgers.jobs = {"app": None, "far": ServerUnavailable("gone")}
    with pytest.raises(CommandFailed, match="far cannot be read: gone") as failed:
        await ledgers.fetch()
    assert failed.value.sqlstate == "08001"


async def test_id_that_two_databases_have_needs_the_database() -> None:
    ledgers = Ledgers(DBPROXY_DATABASES__FAR__PRIMARY__URL=FAR)
    ledgers.jobs = {"app": [JOB], "far": [JOB]}
    with pytest.raises(CommandFailed, match="app, far") as failed:
        await ledgers.order("t-1", "", "pause")
    assert failed.value.sqlstate == "42725"
    await ledgers.order("t-1", "far", "pause")
    assert ledgers.asked[-2:] == ["far", "far"]


@pytest.mark.parametrize(
    ("state", "verb", "sqlstate"),
    [
        ("running", "pause", ""),
        ("paused", "resume", ""),
        ("interrupted", "resume", "55000"),
        ("done", "cancel", "55000"),
    ],
)
async def test_only_one_that_runs_is_steered(state: State, verb: str, sqlstate: str) -> None:
    ledgers = Ledgers()
    ledgers.jobs = {"app": [replace(JOB, state=state)]}
    if not sqlstate:
        await ledgers.order("t-1", "", verb)
        return
    with pytest.raises(CommandFailed) as failed:
        await ledgers.order("t-1", "", verb)
    assert failed.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("chunk_size", "500", True),
        ("throttle.max_lag", "5s", True),
        ("chunk_size", "0", False),
        ("chunk_size", "many", False),
        ("throttle.max_lags", "5s", False),
        ("min_chunk", "200000", False),
    ],
)
async def test_setting_is_judged_before_it_is_set(key: str, value: str, good: bool) -> None:
    ledgers = Ledgers()
    ledgers.jobs = {"app": [JOB]}
    if good:
        await ledgers.change("t-1", "", key, value)
        return
    with pytest.raises(CommandFailed) as failed:
        await ledgers.change("t-1", "", key, value)
    assert failed.value.sqlstate == "22023"
    assert len(ledgers.asked) == 1


async def test_metrics_ask_nobody_where_no_ledger_is_known() -> None:
    ledgers = Ledgers()
    await ledgers.refresh()
    assert (ledgers.asked, list(ledgers.figures)) == ([], [])


async def test_metrics_are_read_now_and_then_and_only_those_of_a_day() -> None:
    ledgers = Ledgers()
    now = time.time()
    ledgers.known = {"app"}
    ledgers.jobs = {
        "app": [
            JOB,
            replace(JOB, id="t-2", state="done", ended=now - SHOWN + 60),
            replace(JOB, id="t-3", state="done", ended=now - SHOWN - 60),
        ]
    }
    for _ in range(3):
        await ledgers.refresh()
    assert [batch.id for batch in ledgers.figures] == ["t-1", "t-2"]
    assert ledgers.asked == ["app"]
    ledgers.read_at -= READ_EVERY
    await ledgers.refresh()
    assert ledgers.asked == ["app", "app"]


async def test_ledger_that_is_gone_is_not_asked_again() -> None:
    ledgers = Ledgers()
    ledgers.known, ledgers.jobs = {"app"}, {"app": None}
    await ledgers.refresh()
    ledgers.read_at -= LOOK_EVERY
    await ledgers.refresh()
    assert ledgers.asked == ["app"]


async def test_ledger_that_cannot_be_read_for_once_is_asked_again_and_told_once() -> None:
    ledgers = Ledgers()
    ledgers.known, ledgers.jobs = {"app"}, {"app": ServerUnavailable("gone")}
    for _ in range(2):
        await ledgers.refresh()
        ledgers.read_at -= LOOK_EVERY
    assert (ledgers.asked, ledgers.failed, ledgers.known) == (["app", "app"], {"app"}, {"app"})


async def test_ledgers_are_looked_for_where_clients_are_while_somebody_reads_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledgers, asked = Ledgers(), list[str]()
    busy, unused = ledgers.house.add_pool("busy"), ledgers.house.add_pool("unused")  # type: ignore[attr-defined]
    ledgers.house.add_server(busy, ACTIVE)  # type: ignore[attr-defined]

    async def discover(pool: Pool) -> None:
        asked.append(pool.database)

    monkeypatch.setattr(ledgers, "discover", discover)
    now = time.monotonic()
    ledgers.sweep(now)
    await asyncio.sleep(0)
    assert asked == []
    await ledgers.refresh()
    for later in (0.0, 1.0, LOOK_EVERY + 1):
        ledgers.sweep(now + later)
    await asyncio.sleep(0)
    assert asked == ["busy", "busy"]
    assert not unused.size()


async def test_ledger_that_was_found_is_read_at_once() -> None:
    ledgers = Ledgers()
    ledgers.jobs = {"app": [JOB]}
    await ledgers.refresh()
    ledgers.learn("app")
    await ledgers.refresh()
    assert [batch.id for batch in ledgers.figures] == ["t-1"]
