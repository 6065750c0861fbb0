"""Which plans are asked for, and when."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from dbproxy.app.plans import PAUSE, QUEUED, Plans, Wanted
from dbproxy.pool.errand import Errand
from dbproxy.pool.pool import Pool
from tests.support.speech import IDLE, columns, complete, error, row
from tests.unit.pool.fakes import FakePool
from tests.unit.session.fakes import make_server, sent

SELECT, INSERT = "SELECT a FROM t WHERE b = 1", "INSERT INTO t VALUES (1)"
ANSWER = (
    columns("plan")
    + row('[{"Plan": {"Node Type": "Seq Scan", "Filter": "(b = 1)"}}]')
    + complete("EXPLAIN")
    + IDLE
)


class Spawned:
    """What was to be run, and is when the test says so."""

    def __init__(self) -> None:
        self.work: list[Coroutine[Any, Any, None]] = []

    def __call__(self, work: Coroutine[Any, Any, None]) -> None:
        self.work.append(work)

    def close(self) -> None:
        for work in self.work:
            work.close()


@pytest.fixture
def spawned() -> Any:
    found = Spawned()
    yield found
    found.close()


def wanted(text: str, pool: Pool) -> Wanted:
    shape = pool.tenant.classifier.find(text.encode())
    return Wanted(pool, pool.tenant.parameter_sets.find({}), shape, text.encode(), {"request_id": "r"})


def new_pool() -> Pool:
    return FakePool(size=1, reserve_size=0, read_functions=False).pool


def test_once_an_hour_for_each_statement(spawned: Spawned) -> None:
    plans, pool = Plans(spawned), new_pool()
    for now in (100.0, 101.0, 100.0 + PAUSE - 1):
        plans.want(wanted(SELECT, pool), "reads", now)
    plans.want(wanted(SELECT.replace("1", "2"), pool), "reads", 102.0)
    assert len(plans.queue) == 1
    plans.want(wanted(SELECT, pool), "reads", 100.0 + PAUSE)
    assert len(plans.queue) == 2
    assert len(spawned.work) == 1  # one after the other


@pytest.mark.parametrize(
    ("text", "explain", "asked"),
    [
        (SELECT, "reads", True),
        (INSERT, "reads", False),
        (INSERT, "all", True),
        (SELECT, "all", True),
        ("CREATE TABLE t (a int)", "all", False),
        ("SELECT '" + "x" * 20_000 + "'", "all", False),
    ],
)
def test_reads_only_unless_asked(spawned: Spawned, text: str, explain: str, asked: bool) -> None:
    plans = Plans(spawned)
    plans.want(wanted(text, new_pool()), explain, 100.0)
    assert bool(plans.queue) == asked


def test_a_text_that_the_session_reads_otherwise_than_the_grammar_is_left_alone(spawned: Spawned) -> None:
    plans, pool = Plans(spawned), new_pool()
    pool.welcome["standard_conforming_strings"] = "off"
    plans.want(wanted(r"SELECT '\' || '; DROP TABLE t; --'", pool), "reads", 100.0)
    assert not plans.queue


def test_so_many_may_wait(spawned: Spawned) -> None:
    plans, pool = Plans(spawned), new_pool()
    for number in range(2 * QUEUED):
        plans.want(wanted(f"SELECT a{number} FROM t", pool), "reads", 100.0)
    assert len(plans.queue) == QUEUED


async def ask(plans: Plans, pool: Pool, text: str, answer: bytes) -> list[Any]:
    """Its log lines; `answer`: the server's, if it is asked."""
    server = make_server(pool)
    with capture_logs() as lines:
        plans.want(wanted(text, pool), "all", 100.0)
        task = asyncio.ensure_future(plans.spawn.work.pop())  # type: ignore[attr-defined]
        for _ in range(5):
            await asyncio.sleep(0)
        question = sent(server)
        if question:
            assert b"transaction_read_only" in question
            assert b"ANALYZE" not in question
            server.data_received(answer)
        await task
    return [line for line in lines if "plan" in line["event"]]


async def test_plan_is_logged_with_the_ids_of_the_request_and_without_literals(spawned: Spawned) -> None:
    pool = new_pool()
    (line,) = await ask(Plans(spawned), pool, SELECT, ANSWER)
    assert line["event"] == "slow query plan"
    assert line["plan"].endswith("Filter: (b = $?)")
    assert (line["request_id"], line["database"]) == ("r", pool.database)
    assert line["query"] == pool.tenant.classifier.find(SELECT.encode()).name()


async def test_words_of_postgresql_are_not_logged_as_they_may_quote_the_text(spawned: Spawned) -> None:
    (line,) = await ask(
        Plans(spawned), new_pool(), SELECT, error("42P01", 'relation "hunter2" does not exist') + IDLE
    )
    assert (line["event"], line["sqlstate"]) == ("no plan", "42P01")
    assert "hunter2" not in str(line)


@pytest.mark.parametrize("text", ["SELECT a FROM t; SELECT b FROM t", "SELECT a INTO u FROM t", "SHOW a"])
async def test_what_is_no_single_query_is_not_sent(spawned: Spawned, text: str) -> None:
    assert await ask(Plans(spawned), new_pool(), text, b"") == []


async def test_where_a_client_waits_none_is_asked_for_until_the_next_slow_query(spawned: Spawned) -> None:
    plans, pool = Plans(spawned), new_pool()
    waits = Errand(pool)
    pool.waiting.add(waits, 0.0)
    (line,) = await ask(plans, pool, SELECT, b"")
    assert line["event"] == "plan put off"
    pool.waiting.remove(waits)
    assert plans.asked == {}
    assert not plans.busy
