"""What is said to a batch that runs, what it waits for, and what it does about dead rows."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dbproxy.config.batch import BatchSettings
from dbproxy.errors import JobFailed, JobInterrupted, JobRefused, JobStopped
from dbproxy.jobs.batch import Batch, ledger
from dbproxy.jobs.throttle import Tell, Unthrottled
from tests.support.batches import COUNTS, ONCE, ask, create, make, run, until
from tests.support.postgres import Database, connect


class Gate(Unthrottled):
    """A throttle that a test opens and shuts."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = 0
        self.rows = 0
        self.adjusted: list[BatchSettings] = []
        self.failure: JobFailed | None = None

    async def wait(self, tell: Tell) -> None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        if not self.open.is_set():
            await tell("lag", "replica1 is 3.2 s behind")
            await self.open.wait()
            await tell("", "")

    def worked(self, seconds: float, rows: int) -> None:
        assert seconds > 0
        self.rows += rows

    def adjust(self, settings: BatchSettings) -> None:
        self.adjusted.append(settings)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@contextmanager
def running(batch: Batch) -> Iterator["asyncio.Task[ledger.Job]"]:
    task = asyncio.create_task(batch.run())
    try:
        yield task
    finally:
        task.cancel()


def shown(database: Database) -> tuple[str, str]:
    if ask(database, "SELECT to_regclass('dbproxy.batch_jobs') IS NULL") == [(True,)]:
        return "", ""
    found = ask(database, "SELECT state, waits_for FROM dbproxy.batch_jobs")
    return found[0] if found else ("", "")


async def test_what_it_waits_for_is_shown_and_counted(database: Database, gate: Gate):
    create(database, 1_000)
    async with make(database.dsn, name="lag", throttle=gate, chunk_size=100, adaptive=False) as batch:
        with running(batch) as task:
            await until(lambda: shown(database) == ("running", "lag: replica1 is 3.2 s behind"))
            assert batch.look(0.0).waits_for == "lag: replica1 is 3.2 s behind"
            assert ask(database, COUNTS) == [(0, 1_000)]
            gate.open.set()
            job = await task
    assert (gate.asked, gate.rows) == (11, 1_000)  # before each chunk, and before there is none
    assert job.waits_for == ""
    assert job.throttled["lag"] > 0


async def test_batch_that_is_throttled_hears_that_it_is_cancelled(database: Database, gate: Gate):
    create(database, 1_000)
    async with make(database.dsn, name="lag", throttle=gate) as batch:
        with running(batch) as task:
            await until(lambda: shown(database)[1])
            assert await ledger.order(batch.connection, "lag", "cancel")
            with pytest.raises(JobStopped):
                await task
    assert shown(database) == ("cancelled", "")


async def test_batch_that_is_throttled_is_stopped_and_resumed(database: Database, gate: Gate):
    create(database, 1_000)
    async with make(database.dsn, name="lag", throttle=gate) as batch:
        with running(batch) as task:
            await until(lambda: shown(database)[1])
            batch.stop()
            with pytest.raises(JobInterrupted):
                await task
    assert shown(database) == ("interrupted", "")
    await run(database.dsn, name="lag")
    assert ask(database, COUNTS) == [(1, 1_000)]


async def test_batch_that_waits_keeps_its_lock_where_idle_sessions_are_ended(database: Database, gate: Gate):
    create(database, 1_000)
    with connect(database.server) as owner:
        found = owner.execute(
            "SELECT FROM pg_settings WHERE name = 'idle_session_timeout'"  # from PostgreSQL 14 on
        ).fetchone()
        if found is not None:
            owner.execute(f"ALTER DATABASE {database.name} SET idle_session_timeout = '100ms'")
    holder = (
        "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
        " AND clock_timestamp() - state_change > '500ms'"
    )
    async with make(database.dsn, name="lag", throttle=gate) as batch:
        with running(batch) as task:
            await until(lambda: shown(database)[1] and ask(database, holder))
            gate.open.set()
            assert not (await task).retries
    assert ask(database, COUNTS) == [(1, 1_000)]


async def test_throttle_may_end_it(database: Database, gate: Gate):
    create(database, 1_000)
    gate.failure = JobFailed("the disk is nearly full")
    with pytest.raises(JobFailed, match="nearly full"):
        await run(database.dsn, throttle=gate)
    assert ask(database, "SELECT state, reason FROM dbproxy.batch_jobs") == [
        ("failed", "the disk is nearly full")
    ]


async def test_settings_that_are_changed_while_it_runs_are_the_throttles_too(database: Database, gate: Gate):
    create(database, 1_000)
    async with make(database.dsn, name="set", throttle=gate, chunk_size=1, adaptive=False) as batch:
        with running(batch) as task:
            await until(lambda: shown(database)[1])
            await ledger.change(batch.connection, "set", {"chunk_size": "250", "chunk_time": "2s"})
            await until(lambda: gate.adjusted)
            gate.open.set()
            job = await task
    assert (gate.adjusted[-1].chunk_size, gate.adjusted[-1].chunk_time) == (250, 2.0)
    assert job.totals.chunks == 4


async def test_settings_that_nobody_understands_change_nothing(database: Database, gate: Gate):
    create(database, 100)
    gate.open.set()
    async with make(database.dsn, name="set", throttle=gate) as batch:
        await batch.begin()
        await ledger.change(batch.connection, "set", {"chunk_size": "many"})
        await batch.run()
    assert ask(database, COUNTS) == [(1, 100)]


async def test_plan_that_python_asks_for_has_no_word_of_the_command_line(database: Database):
    create(database, 100)
    async with make(database.dsn) as batch:
        plan = await batch.plan()
    assert plan
    assert not [line for line in plan if "--execute" in line]


async def test_dead_rows_are_vacuumed_now_and_then(database: Database):
    create(database, 1_000)
    job = await run(database.dsn, chunk_size=100, adaptive=False, vacuum_every=500)
    vacuumed = "SELECT vacuum_count, analyze_count > 1 FROM pg_stat_user_tables WHERE relname = 't'"
    await until(lambda: ask(database, vacuumed) == [(1, True)])
    assert "vacuum" in job.throttled


async def test_table_is_not_vacuumed_where_rows_are_only_read(database: Database):
    create(database, 1_000)
    ask(database, "CREATE TABLE copied (id int)")
    job = await run(
        database.dsn, "INSERT INTO copied SELECT id FROM t WHERE {chunk}", chunk_size=100, vacuum_every=100
    )
    assert "vacuum" not in job.throttled


async def test_who_does_not_own_the_table_need_not_vacuum_it(database: Database):
    create(database, 1_000)
    with connect(database.server, database.name) as owner:
        owner.execute("ALTER TABLE t OWNER TO postgres; GRANT ALL ON t TO app")
    await run(database.dsn, chunk_size=100, adaptive=False, vacuum_every=500)
    assert ask(database, COUNTS) == [(1, 1_000)]


@pytest.mark.parametrize(
    ("statement", "table", "said"),
    [
        (
            "UPDATE t SET n = n + 2 WHERE {chunk}",
            "t",
            "mine is another one: run public.t: UPDATE t SET n = n [+] 1",
        ),
        ("DELETE FROM u WHERE {chunk}", "u", "batch mine is another one"),
    ],
)
async def test_id_of_another_batch_is_refused(database: Database, statement: str, table: str, said: str):
    create(database, 10)
    ask(database, "CREATE TABLE u (id int PRIMARY KEY)")
    async with make(database.dsn, name="mine") as batch:
        await batch.begin()
    with pytest.raises(JobRefused, match=said):
        await run(database.dsn, statement, name="mine", table=table)


async def test_id_is_one_word_on_the_console(database: Database):
    """One that an older version has let be another is still gone on with."""
    ask(database, 'CREATE TABLE "my übrige-t;" (id int PRIMARY KEY)')
    async with make(
        database.dsn, 'DELETE FROM "my übrige-t;" WHERE {chunk}', table='"my übrige-t;"'
    ) as batch:
        await batch.begin()
    assert batch.name == "my_übrige-t_-1"
    create(database, 10)
    async with make(database.dsn, name="a b;") as batch:
        with pytest.raises(JobRefused, match="'a b;' cannot be a batch's id"):
            await batch.begin()
        ask(database, "UPDATE dbproxy.batch_jobs SET id = 'a b;', kind = 'run', target = 'public.t',"
            f" statement = '{ONCE}', options = '{{}}'")  # fmt: skip
        await batch.begin()


async def test_same_words_go_on_with_what_was_interrupted(database: Database, gate: Gate):
    create(database, 1_000)
    async with make(database.dsn, throttle=gate) as batch:
        with running(batch) as task:
            await until(lambda: shown(database)[1])
            batch.stop()
            with pytest.raises(JobInterrupted):
                await task
    assert (await run(database.dsn)).id == "t-1"
    assert (await run(database.dsn)).id == "t-2"
    assert ask(database, COUNTS) == [(2, 1_000)]
