"""Writers and readers through one proxy that answers from what it keeps: nobody sees less than was acknowledged."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import psycopg
import pytest

from tests.support.kept import SETTINGS, Kept, enter
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.row_staleness import SCHEMA as ROWS
from tests.support.row_staleness import Rows, Statements
from tests.support.serving import serving
from tests.support.staleness import SCHEMA, Client, Extended, Psycopg, Report, Storm

CLIENTS = 8
READ = "SELECT count(*) FROM plain"
Wrap = Callable[[asyncpg.Connection], Client]


@asynccontextmanager
async def clients(dsn: str, number: int, extended: Wrap = Extended) -> AsyncIterator[list[Client]]:
    """Of each kind some: Query, Parse and Bind in one go, and statements bound long after their Parse."""
    async with AsyncExitStack() as stack:
        found: list[Client] = []
        for place in range(number):
            if place % 3 == 0:
                connection = await asyncpg.connect(dsn)
                stack.push_async_callback(connection.close)
                found.append(extended(connection))
            else:
                factory = psycopg.AsyncClientCursor if place % 3 == 1 else psycopg.AsyncCursor
                entered = await stack.enter_async_context(
                    await psycopg.AsyncConnection.connect(dsn, autocommit=True, cursor_factory=factory)
                )
                found.append(Psycopg(entered))
        yield found


async def storm(database: Database, proxy: Proxy, reads: int, writes_at: str) -> tuple[Report, int]:
    """The report, and how many statements the servers have executed."""
    with Kept(proxy) as kept, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        kept.wait(client, READ)
    async with clients(proxy.dsn(), CLIENTS) as readers, clients(writes_at, CLIENTS) as writers:
        with Kept(proxy) as kept:
            before = kept.count("SELECT")
            report = await Storm(reads).run(readers, writers)
            return report, kept.count("SELECT") - before


def prepare(database: Database) -> None:
    with connect(database.server, database.name) as owner:
        owner.execute("SET ROLE app")
        owner.execute(SCHEMA + ROWS)


async def check(database: Database, reads: int) -> None:
    prepare(database)
    with serving(database, SETTINGS) as proxy:
        report, executed = await storm(database, proxy, reads, proxy.dsn())
    assert (report.stale, report.backwards, report.uneven) == ([], [], [])
    assert report.commits > reads // 30
    assert executed < report.reads, report


async def test_no_read_shows_less_than_was_acknowledged(database: Database):
    await check(database, reads=4000)


@pytest.mark.soak
async def test_none_of_200000_reads_shows_less_than_was_acknowledged(database: Database):
    await check(database, reads=200_000)


async def test_the_same_readers_notice_writes_that_nobody_has_told_the_proxy_of(database: Database):
    """So the above can fail: these writers go past the proxy."""
    prepare(database)
    with serving(database, SETTINGS) as proxy:
        report, _ = await storm(database, proxy, 1000, database.dsn)
    assert report.stale


async def storm_rows(proxy: Proxy, reads: int, writes_at: str) -> tuple[Rows, int]:
    """The same of single rows."""
    with Kept(proxy) as kept, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        kept.wait(client, READ)
    rows = Rows(reads)
    async with (
        clients(proxy.dsn(), CLIENTS, Statements) as readers,
        clients(writes_at, CLIENTS, Statements) as writers,
    ):
        with Kept(proxy) as kept:
            before = kept.count("SELECT")
            await rows.run(readers, writers)
            return rows, kept.count("SELECT") - before


async def check_rows(database: Database, reads: int) -> None:
    prepare(database)
    with serving(database, SETTINGS) as proxy:
        rows, executed = await storm_rows(proxy, reads, proxy.dsn())
    assert rows.wrong == []
    assert rows.commits > reads // 60
    assert rows.quiet > reads // 3
    assert executed < rows.reads, executed


async def test_no_read_of_a_row_shows_another_state_than_it_is_in(database: Database):
    await check_rows(database, reads=12_000)


@pytest.mark.soak
async def test_none_of_200000_reads_of_a_row_shows_another_state_than_it_is_in(database: Database):
    await check_rows(database, reads=200_000)


async def test_the_same_readers_of_rows_notice_writes_that_nobody_has_told_the_proxy_of(database: Database):
    prepare(database)
    with serving(database, SETTINGS) as proxy:
        rows, _ = await storm_rows(proxy, 1000, database.dsn)
    assert rows.wrong


async def test_the_same_readers_notice_that_only_time_ends_an_answer(database: Database):
    """`ttl` shows less than was acknowledged, and says so (docs/caching.md)."""
    prepare(database)
    with serving(database, SETTINGS | {"cache.invalidation": "ttl"}) as proxy:
        report, _ = await storm(database, proxy, 1000, proxy.dsn())
    assert report.stale


def test_where_only_time_ends_an_answer_it_does(database: Database):
    prepare(database)
    settings = SETTINGS | {"cache.invalidation": "ttl", "cache.ttl": "500ms"}
    count = "SELECT sum(version) FROM plain"
    with serving(database, settings) as proxy, Kept(proxy) as kept, enter(proxy) as client:
        for version in range(1, 4):
            kept.wait(client, count)
            client.execute("UPDATE plain SET version = %s WHERE id = 1", [version])
            kept.until(lambda: client.execute(count).fetchone() == (version,))  # noqa: B023  # called here
        told = [row["cache"] for row in kept.console.execute(f"EXPLAIN CACHE {count}").fetchall()]
        assert any("only time" in line for line in told), told
