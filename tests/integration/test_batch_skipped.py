"""Rows that others have are passed over, and changed once all the same."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from dbproxy.errors import JobFailed, JobInterrupted
from dbproxy.jobs.batch import Batch
from dbproxy.jobs.batch.source import Chunk, Fault
from dbproxy.jobs.batch.worker import Worker
from tests.integration.test_batch_keys import StopAfter
from tests.support.batches import (
    COUNTS,
    ONCE,
    ask,
    command,
    create,
    errors,
    make,
    run,
    start,
    until,
    wait_until,
)
from tests.support.postgres import Database

SKIPPING = {"chunk_size": 20, "adaptive": False, "skip_locked": True}
SKIPPED = "SELECT count(*) FROM dbproxy.batch_errors WHERE sqlstate = '55P03'"


@contextmanager
def holding(database: Database, condition: str, change: str = "c = c") -> Iterator[psycopg.Connection[Any]]:
    """Rows in a transaction that the test ends."""
    with psycopg.connect(database.dsn) as other:
        other.execute(f"UPDATE t SET {change} WHERE {condition}")
        yield other


async def run_until_they_are_all_that_is_left(
    database: Database, batch: Batch, rows: int
) -> "asyncio.Task[Any]":
    task = asyncio.create_task(batch.run())
    left = f"SELECT count(*) FILTER (WHERE n = 0) = {rows} FROM t"
    await until(lambda: task.done() or ask(database, left) == [(True,)])
    return task


@pytest.mark.parametrize("workers", [1, 2])
async def test_rows_that_others_have_are_passed_over_and_revisited(database: Database, workers: int):
    create(database, 100)
    async with make(database.dsn, name="s", workers=workers, **SKIPPING) as batch:
        with holding(database, "id IN (1, 50, 51, 100)") as other:
            task = await run_until_they_are_all_that_is_left(database, batch, 4)
            assert errors(database, "s") == [(str(key), "55P03") for key in (1, 50, 51, 100)]
            ask(database, "UPDATE dbproxy.batch_jobs SET estimate = 127")  # which was only a guess
            await until(lambda: batch.look(0.0).revisits)
            assert batch.look(0.0).progress.total == 100
            assert (
                "s  running (revisits rows that others had)  96 rows, 100 of about 100 seen"
                in (await asyncio.to_thread(command, database.dsn, "status", "s"))[1]
            )
            other.commit()  # he was not disturbed
        job = await task
    assert (job.state, job.totals.rows, job.totals.seen, job.totals.errors) == ("done", 100, 100, 0)
    assert errors(database, "s") == []
    assert ask(database, COUNTS) == [(1, 100)]


async def test_rows_that_others_have_all_the_time_stop_it_and_are_revisited_when_it_is_resumed(
    database: Database,
):
    create(database, 100)
    settings = {**SKIPPING, "retries": 1, "lock_timeout": "10ms"}
    with holding(database, "id IN (3, 5)"):
        with pytest.raises(JobFailed, match="55P03"):
            await run(database.dsn, name="s", **settings)
        assert ask(database, COUNTS) == [(0, 2), (1, 98)]
    job = await run(database.dsn, name="s")  # whatever its settings are by then
    assert (job.state, job.totals.rows, ask(database, COUNTS)) == ("done", 100, [(1, 100)])


async def test_batch_that_is_stopped_in_between_knows_what_it_has_passed_over(database: Database):
    create(database, 100, "a int NOT NULL, b text NOT NULL", "g % 3, g || '\"'")
    ask(database, 'CREATE UNIQUE INDEX ON t (a DESC, b COLLATE "C")')
    words = {"key": "a,b", "name": "s", **SKIPPING}
    with holding(database, "a = 2 AND b < '2'"):
        async with make(database.dsn, **words) as batch:
            batch.throttle = StopAfter(batch, 3)
            with suppress(JobInterrupted):
                await batch.run()
        assert ask(database, SKIPPED)[0][0] > 0
    await run(database.dsn, **words)
    assert ask(database, COUNTS) == [(1, 100)]


@pytest.mark.parametrize(
    ("statement", "change", "counts"),
    [
        ("UPDATE t SET n = 1 WHERE {chunk} AND c <> 'done'", "c = 'done'", [(0, 2), (1, 98)]),
        ("DELETE FROM t WHERE {chunk}", "c = 'changed'", []),
        ("UPDATE t SET n = n + 1 WHERE {chunk}", "id = -id", [(1, 98), (0, 2)]),
        ("UPDATE t SET n = t.n + 1 FROM u WHERE {chunk} AND u.id = t.id", "c = c", [(1, 100)]),
        ("UPDATE t SET n = n + 1 WHERE id IN (SELECT id FROM t WHERE {chunk})", "c = c", [(1, 100)]),
        (
            "UPDATE t SET n = n + 1 WHERE id IN (SELECT x.id FROM t AS x WHERE {chunk} AND x.c = t.c)",
            "c = c",
            [(1, 100)],
        ),
    ],
)
async def test_what_he_has_made_of_them_counts(database: Database, statement: str, change: str, counts: Any):
    """They may be none of what it is for any more, or gone."""
    create(database, 100)
    ask(database, "CREATE TABLE u AS SELECT id FROM t")
    async with make(database.dsn, statement, name="s", **SKIPPING) as batch:
        with holding(database, "id IN (41, 42)", change) as other:
            task = asyncio.create_task(batch.run())
            await until(lambda: task.done() or batch.look(0.0).progress.seen >= 100)
            other.commit()
        await task
    assert sorted(ask(database, COUNTS)) == sorted(counts)


async def test_row_that_cannot_be_changed_when_it_is_revisited_is_left_out(database: Database):
    create(database, 100)
    ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR id NOT IN (5, 70))")
    async with make(database.dsn, name="s", **SKIPPING) as batch:
        with holding(database, "id IN (5, 6)"):
            task = await run_until_they_are_all_that_is_left(database, batch, 3)
        job = await task
    assert (job.state, job.totals.errors, job.totals.rows) == ("done with errors", 2, 98)
    assert errors(database, "s") == [("5", "23514"), ("70", "23514")]
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_check")
    async with make(database.dsn, name="s") as batch:
        assert (await batch.retry()).mended == 2
    assert ask(database, "SELECT sum(rows)::int, sum(errors)::int FROM dbproxy.batch_progress") == [(100, 0)]


async def test_good_row_is_not_left_out_for_a_bad_one_that_somebody_has(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    create(database, 8)
    ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR id <> 3)")
    original = Worker.isolate

    async def held(self: Worker, chunk: Chunk, fault: Fault) -> None:
        with holding(database, "id = 3"):
            await original(self, chunk, fault)

    monkeypatch.setattr(Worker, "isolate", held)
    job = await run(database.dsn, name="s", **SKIPPING)
    assert (job.state, job.totals.rows, errors(database, "s")) == ("done with errors", 7, [("3", "23514")])


async def test_rows_are_revisited_before_the_sweep(database: Database):
    create(database, 100, "id uuid PRIMARY KEY", "gen_random_uuid()")
    statement = "UPDATE t SET n = n + 1 WHERE {chunk} AND n < 1"
    async with make(database.dsn, statement, sweep="on", name="s", **SKIPPING) as batch:
        with holding(database, "c IN ('Row 1', 'Row 2')"):
            task = await run_until_they_are_all_that_is_left(database, batch, 2)
        await task
    assert ask(database, COUNTS) == [(1, 100)]
    assert ask(database, "SELECT part, round FROM dbproxy.batch_progress WHERE part = 0") == [(0, 2)]


EXACT = f"SELECT (SELECT count(*) FROM t WHERE n = 1) + ({SKIPPED}) - sum(seen)::int, (SELECT max(n) FROM t) FROM dbproxy.batch_progress"  # noqa: E501


def test_batch_that_is_killed_changes_rows_that_others_had_once(database: Database):
    """A third of all is held at a time, so that it is killed while it revisits them, too."""
    create(database, 300)
    chance = random.Random(1)
    words = ("run", "--table", "t", "--id", "s", ONCE, "--execute", "--no-throttle", "--set", "skip_locked=true",
             "--set", "chunk_size=20", "--set", "adaptive=false")  # fmt: skip
    moved = "SELECT coalesce(sum(chunks), 0)::int FROM dbproxy.batch_progress"
    for turn in range(4):
        before = ask(database, moved)[0][0] if turn else 0
        more = chance.randint(1, 12)
        with holding(database, f"id % 3 = {turn % 3}"):
            process = start(database.dsn, *words)
            wait_until(
                lambda: ask(database, "SELECT to_regclass('dbproxy.batch_errors') IS NOT NULL") == [(True,)]
            )
            wait_until(lambda: ask(database, moved)[0][0] >= before + more or process.poll() is not None)  # noqa: B023
            process.kill()
            process.communicate()
        ((difference, most),) = ask(database, EXACT)
        assert (difference, most <= 1) == (0, True)
    code, out, err = command(database.dsn, *words)
    assert code == 0, (out, err)
    assert ask(database, COUNTS) == [(1, 300)]
