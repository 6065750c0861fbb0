"""Loads and copies that lose a primary, or the line to one: each row comes once."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.config.batch import BatchSettings
from dbproxy.config.url import parse_url
from dbproxy.demo.postgres import Postgres
from dbproxy.jobs.batch import Batch, Lines, Order, Primary, Transfer, Wish, control, lock, session
from dbproxy.jobs.batch.formats import Format
from dbproxy.jobs.batch.source import Source
from tests.integration.test_batch_faults import Swallower
from tests.support.batches import ask, until
from tests.support.crowd import wait_for_standby
from tests.support.faults import Line
from tests.support.hosts import create_hosts
from tests.support.postgres import Database, connect, create_database

ROWS = 4_000
# Tables that rows come to have no key, so that one which comes twice is there twice.
ONCE = "SELECT count(*)::int, count(DISTINCT id)::int, sum(id)::int FROM {}"
BUSY = """
SELECT FROM pg_stat_activity WHERE application_name IN ('dbproxy batch doubt', 'dbproxy batch copy')
AND datname = current_database()"""
ALL = [(ROWS, ROWS, ROWS * (ROWS + 1) // 2)]


def find(*dsns: str) -> Primary:
    return Primary([host for host in map(parse_url, dsns) if host])


def make(primary: Primary, source: Source, name: str) -> Batch:
    return Batch(primary, source, BatchSettings(chunk_size=20, adaptive=False), name=name)


def create(dsn: str, *tables: str) -> None:
    ask(dsn, "CREATE TABLE s (id int PRIMARY KEY, name text)")
    ask(dsn, f"INSERT INTO s SELECT g, 'row ' || g FROM generate_series(1, {ROWS}) g; ANALYZE s")
    for table in tables:
        ask(dsn, f"CREATE TABLE {table} (id int, name text)")


def write(path: Path) -> Path:
    path.write_text("id,name\n" + "".join(f'{number},"two\nlines"\n' for number in range(1, ROWS + 1)))
    return path


def seen(dsn: str, batch: str) -> int:
    if ask(dsn, "SELECT to_regclass('dbproxy.batch_errors') IS NULL") == [(True,)]:
        return 0
    rows = ask(dsn, f"SELECT coalesce(sum(seen), 0)::int FROM dbproxy.batch_progress WHERE batch = '{batch}'")
    return int(rows[0][0])


@pytest.fixture
def hosts() -> Iterator[list[Postgres]]:
    """The primary waits for replica1 at each commit."""
    with create_hosts() as servers:
        wait_for_standby(servers[0])
        yield servers


async def test_loads_and_copies_go_on_at_the_new_primary(
    hosts: list[Postgres], database: Database, tmp_path: Path
):
    """Into it, within it, from another server to it and from it to another, all at once."""
    primary, replica, _ = hosts
    old, new, other = primary.dsn(), replica.dsn(), database.dsn
    create(old, "loaded", "within", "come")
    create(other, "gone")
    moving, steady = find(old, new), find(other)
    sources: dict[str, tuple[Primary, Source]] = {
        "loaded": (moving, Lines(Order("loaded", str(write(tmp_path / "t.csv")), Format()))),
        "within": (moving, Transfer(Wish("s", "within"))),
        "come": (moving, Transfer(Wish("s", "come"), steady)),
        "gone": (steady, Transfer(Wish("s", "gone"), moving)),
    }

    async def run(name: str) -> str:
        async with make(*sources[name], name) as batch:
            return (await batch.run()).state

    running = asyncio.gather(*map(run, sources))
    for name in sources:
        await until(lambda name=name: seen(other if name == "gone" else old, name) > 100)
    os.kill(primary.pid, signal.SIGKILL)
    await asyncio.to_thread(replica.promote)
    with connect(replica) as owner:
        owner.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        owner.execute("SELECT pg_reload_conf()")
    results = await running
    assert results == ["done"] * 4
    for name in sources:
        assert ask(other if name == "gone" else new, ONCE.format(name)) == ALL, name


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    with create_database(database.server) as found:
        yield found


@pytest.mark.parametrize(
    ("lost", "word", "end"),
    [
        ("answer", b"COMMIT", "silence"),
        ("request", b"COMMIT", "cut"),
        ("answer", b"COPY (SELECT", "cut"),
        ("answer", b"OFFSET", "silence"),
    ],
)
async def test_copy_over_a_bad_line_brings_each_row_once(
    database: Database, other: Database, monkeypatch: pytest.MonkeyPatch, lost: str, word: bytes, end: str
):
    """COMMIT, or its answer, where it writes; rows, or where the next chunk ends, from where it reads."""
    monkeypatch.setattr(session, "UNHURRIED", 0.3)
    monkeypatch.setattr(session, "ANSWER", 0.2)
    monkeypatch.setattr(control, "TIMEOUT", 0.5)
    monkeypatch.setattr(lock, "TIMEOUT", 0.5)
    create(database.dsn)
    ask(other, "CREATE TABLE t (id int, name text)")
    port = database.server.port
    async with Line(port) as line:
        swallower = Swallower(line, lost, 7, word)
        far, near = (replace_port(one.dsn, port, line.port) for one in (database, other))
        writes = word == b"COMMIT"
        source = Transfer(Wish("s", "t"), find(database.dsn if writes else far))
        async with make(find(near if writes else other.dsn), source, "doubt") as batch:
            running = asyncio.create_task(batch.run())
            for _ in range(2):
                hears = asyncio.create_task(swallower.swallowed.wait())
                await asyncio.wait({hears, running}, return_when=asyncio.FIRST_COMPLETED)
                assert hears.done(), running.result()
                if end == "cut":
                    line.cut()
                else:
                    await until(lambda: not ask(other if writes else database, BUSY))
                swallower.mend()
            line.up.shown = lambda _chunk: None
            job = await running
    assert (job.state, job.totals.rows, job.totals.chunks) == ("done", ROWS, ROWS // 20)
    assert ask(other, ONCE.format("t")) == ALL


def replace_port(dsn: str, port: int, by: int) -> str:
    return dsn.replace(f":{port}/", f":{by}/")
