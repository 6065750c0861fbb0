"""Batches that are killed, cut off, or lose their primary: each row is changed once all the same."""

import asyncio
import gzip
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.errors import JobRuns
from dbproxy.jobs.batch import control, lock, session
from tests.support.batches import COUNTS, ONCE, ask, command, create, make, run, start, until, wait_until
from tests.support.crowd import wait_for_standby
from tests.support.faults import Line
from tests.support.hosts import create_hosts
from tests.support.postgres import Database, connect

ROWS = 20_000
DIFFERENCE = """
SELECT (SELECT count(*) FROM t WHERE n = 1) - (SELECT sum(seen) FROM dbproxy.batch_progress)::int,
    (SELECT count(*) FROM t WHERE n > 1)"""
LOADED = "SELECT (SELECT count(*) FROM t) - (SELECT sum(seen) FROM dbproxy.batch_progress)::int"
WORKS = "SELECT FROM pg_stat_activity WHERE application_name = 'dbproxy batch million'"
SMALL = ("--set", "chunk_size=50", "--set", "adaptive=false")


def seen(database: Database) -> int:
    """How many rows the ledger has, over all parts."""
    if ask(database, "SELECT to_regclass('dbproxy.batch_progress') IS NULL") == [(True,)]:
        return 0
    return ask(database, "SELECT coalesce(sum(seen), 0)::int FROM dbproxy.batch_progress")[0][0]


def kill_at_random(database: Database, moments: int, workers: int) -> None:
    chance = random.Random(f"{moments} {workers}")
    create(database, ROWS)
    words = (
        "run",
        "--table",
        "t",
        "--id",
        "killed",
        ONCE,
        "--execute",
        *SMALL,
        "--set",
        f"workers={workers}",
    )
    for _ in range(moments):
        process = start(database.dsn, *words)
        more = seen(database) + chance.randint(1, ROWS // moments // 2)
        wait_until(lambda more=more, process=process: seen(database) >= more or process.poll() is not None)
        process.kill()
        process.communicate()
        assert ask(database, DIFFERENCE) == [(0, 0)]
    if ask(database, "SELECT state FROM dbproxy.batch_jobs") != [("done",)]:
        code, out, err = command(database.dsn, "resume", "killed")
        assert code == 0, (out, err)
    assert ask(database, COUNTS) == [(1, ROWS)]


@pytest.mark.parametrize("workers", [1, 3])
def test_batch_that_is_killed_changes_each_row_once(database: Database, workers: int):
    kill_at_random(database, 5, workers)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_batch_that_is_killed_fifty_times_changes_each_row_once(database: Database):
    kill_at_random(database, 50, 2)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.ndjson"])
def test_load_of_a_million_lines_that_is_killed_has_each_of_them_once(
    database: Database, tmp_path: Path, name: str
):
    """In chunks as large as they become. There is no key, so that a line which comes twice is there twice."""
    lines, chance = 1_000_000, random.Random(name)
    ask(database, "CREATE TABLE t (id int, name text)")
    form = '{"id": %d, "name": "of line %d"}\n' if name.endswith("ndjson") else '%d,"of\nline %d"\n'
    content = "".join(form % (number, number) for number in range(lines)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith("gz") else content)
    columns = () if name.endswith("ndjson") else ("--header", "none")
    words = ("load", str(path), "--table", "t", "--id", "million", "--execute", *columns)
    for moment in sorted(chance.sample(range(lines * 9 // 10), 8)):
        process = start(database.dsn, *words)
        wait_until(
            lambda moment=moment, process=process: seen(database) > moment or process.poll() is not None, 120
        )
        time.sleep(chance.random() * 0.1)  # a random moment is what is tried
        process.kill()
        told = process.communicate()
        assert process.returncode == -signal.SIGKILL, told
        wait_until(lambda: ask(database, WORKS) == [])  # until the server has noticed
        assert ask(database, LOADED) == [(0,)]
    process = start(database.dsn, "resume", "million")
    told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    counts = "SELECT count(*), count(DISTINCT id), min(id), max(id), bool_and(name ~ (id || '$')) FROM t"
    assert ask(database, counts) == [(lines, lines, 0, lines - 1, True)]


class Swallower:
    """A line that loses the answer to a COMMIT, or the COMMIT itself, again and again."""

    def __init__(self, line: Line, lost: str, every: int, word: bytes = b"COMMIT") -> None:
        self.line, self.lost, self.left, self.every = line, lost, every, every
        self.word = word
        self.swallowed = asyncio.Event()
        line.up.shown = self.look

    def look(self, chunk: bytes) -> None:
        self.left -= self.word in chunk
        if self.left == 0:
            direction = self.line.up if self.lost == "request" else self.line.down
            direction.dropping = True
            self.swallowed.set()

    def mend(self) -> None:
        self.line.up.dropping = self.line.down.dropping = False
        self.left = self.every
        self.swallowed.clear()


@pytest.mark.parametrize("lost", ["answer", "request"])
@pytest.mark.parametrize("end", ["cut", "silence"])
async def test_commit_in_doubt_is_looked_up_in_the_ledger(
    database: Database, monkeypatch: pytest.MonkeyPatch, lost: str, end: str
):
    """The line is cut behind it, or says nothing at all any more."""
    monkeypatch.setattr(session, "UNHURRIED", 0.3)
    monkeypatch.setattr(session, "ANSWER", 0.2)
    monkeypatch.setattr(control, "TIMEOUT", 0.5)
    monkeypatch.setattr(lock, "TIMEOUT", 0.5)
    create(database, 2_000)
    async with Line(database.server.port) as line:
        swallower = Swallower(line, lost, 7)
        dsn = database.dsn.replace(f":{database.server.port}/", f":{line.port}/")
        async with make(dsn, name="doubt", chunk_size=100, adaptive=False) as batch:
            running = asyncio.create_task(batch.run())
            for _ in range(3):
                hears = asyncio.create_task(swallower.swallowed.wait())
                await asyncio.wait({hears, running}, return_when=asyncio.FIRST_COMPLETED)
                assert hears.done(), running.result()
                if end == "cut":
                    await until(
                        lambda: lost == "request" or not count(database, "AND xact_start IS NOT NULL")
                    )
                    line.cut()
                else:
                    await until(lambda: not count(database))
                swallower.mend()
            job = await running
    assert ask(database, COUNTS) == [(1, 2_000)]
    assert (job.totals.rows, job.totals.chunks) == (2_000, 20)


def count(database: Database, more: str = "") -> int:
    """Connections of the batch."""
    named = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'dbproxy batch doubt'"
    return int(ask(database, f"{named} {more}")[0][0])


def test_batch_that_stands_still_holds_no_row_for_long(database: Database):
    """Stopped anywhere, in the middle of a transaction or between two messages of a statement."""
    create(database, ROWS)
    small = ("--set", "max_chunk=50", "--set", "min_chunk=50", "--set", "chunk_size=50")
    process = start(database.dsn, "run", "--table", "t", "--id", "still", ONCE, "--execute", *small)
    try:
        for _ in range(5):
            more = seen(database) + 100
            wait_until(lambda more=more: seen(database) >= more)
            process.send_signal(signal.SIGSTOP)
            held = "SELECT mode FROM pg_locks WHERE relation = 't'::regclass"
            if ask(database, held):
                break
            process.send_signal(signal.SIGCONT)
        wait_until(lambda: ask(database, held) == [], 60)
    finally:
        process.send_signal(signal.SIGCONT)
        told = process.communicate()
    assert ask(database, COUNTS) == [(1, ROWS)], told


async def test_batch_sends_no_savepoint(database: Database):
    """More than 64 subtransactions would make every replica slow."""
    create(database, 500)
    ask(database, "ALTER TABLE t ADD CHECK (id % 100 <> 7 OR n = 0)")
    said = bytearray()
    async with Line(database.server.port) as line:
        line.up.shown = said.extend
        dsn = database.dsn.replace(f":{database.server.port}/", f":{line.port}/")
        await run(dsn, chunk_size=100)
    assert b"COMMIT" in said
    assert b"SAVEPOINT" not in said.upper()


def test_batch_that_runs_cannot_be_started_again(database: Database):
    create(database, ROWS)
    words = ("run", "--table", "t", "--id", "twice", ONCE, "--execute", *SMALL, "--set", "chunk_size=5")
    process = start(database.dsn, *words)
    try:
        wait_until(lambda: seen(database) > 0)
        code, _, err = command(database.dsn, *words, "--set", "chunk_size=99")
        assert (code, process.poll()) == (1, None)
        assert f"batch twice is already running (pid {process.pid}, host " in err
        code, _, err = command(database.dsn, "run", "--table", "t", ONCE, "--execute")
        assert code == 1
        assert "already running" in err
        (settings,) = ask(database, "SELECT settings ->> 'chunk_size' FROM dbproxy.batch_jobs")
        assert settings == ("5",)  # who is refused changes nothing
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130


async def test_lock_that_a_lost_connection_still_has_is_taken_back(database: Database):
    create(database, 1_000)
    async with make(database.dsn, name="held", chunk_size=10, adaptive=False) as batch:
        running = asyncio.create_task(batch.run())
        await until(lambda: seen(database) > 0)
        assert batch.control is not None
        held = batch.control.lock.connection
        batch.control.lock.connection = None  # as if its line were dead, and the server did not know
        try:
            await running
        finally:
            held.terminate()
    assert ask(database, COUNTS) == [(1, 1_000)]


async def test_two_processes_that_both_believe_to_have_the_batch_change_each_row_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    """The ledger moves only from where it was: the lock is there to save work."""

    async def always(*_: object) -> bool:
        return True

    monkeypatch.setattr(lock.ledger, "lock", always)
    create(database, 3_000)
    results = await asyncio.gather(
        *(run(database.dsn, name="both", chunk_size=20, adaptive=False) for _ in range(3)),
        return_exceptions=True,
    )
    assert not any(isinstance(result, JobRuns) for result in results)
    assert ask(database, COUNTS) == [(1, 3_000)]


@pytest.fixture
def hosts() -> Iterator[list[Postgres]]:
    """The primary waits for replica1 at each commit."""
    with create_hosts() as servers:
        wait_for_standby(servers[0])
        yield servers


@pytest.mark.parametrize("workers", [1, 2])
async def test_batch_goes_on_at_the_new_primary(hosts: list[Postgres], workers: int):
    primary, replica, _ = hosts
    database = Database(primary, "postgres", "postgres", primary.password)
    with connect(primary) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0)")
        owner.execute("INSERT INTO t SELECT g FROM generate_series(1, 5000) g")
        owner.execute("ANALYZE t")
    dsn = f"{primary.dsn()} {replica.dsn()}"
    async with make(dsn, name="moved", chunk_size=20, adaptive=False, workers=workers) as batch:
        running = asyncio.create_task(batch.run())
        await until(lambda: seen(database) > 500)
        os.kill(primary.pid, signal.SIGKILL)
        await asyncio.to_thread(replica.promote)
        with connect(replica) as owner:
            owner.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            owner.execute("SELECT pg_reload_conf()")
        job = await running
    assert ask(replica.dsn(), COUNTS) == [(1, 5000)]
    assert job.state == "done"
