"""Many who ask for the same at once, of which nothing is kept yet."""

import asyncio

import psycopg

from tests.support.kept import SETTINGS, Kept, until
from tests.support.postgres import Database, connect
from tests.support.serving import serving

CLIENTS = 500
SCHEMA = """
CREATE TABLE items (id int); INSERT INTO items VALUES (7);
CREATE TABLE locked (id int); INSERT INTO locked VALUES (7);
GRANT ALL ON items, locked TO app
"""
SLOW = "SELECT count(*) FROM locked"


async def test_of_500_equal_queries_at_once_on_a_cold_cache_at_most_2_are_executed(database: Database):
    """They take as long as their table is locked. PostgreSQL itself counts how often it was read."""
    with connect(database.server, database.name) as owner:
        owner.execute(SCHEMA)
        with serving(database, SETTINGS | {"cache.coalesce": "1m"}) as proxy, Kept(proxy) as kept:
            with psycopg.connect(proxy.dsn(), autocommit=True) as client:
                kept.wait(client, "SELECT count(*) FROM items")
            clients = [await enter(proxy.dsn(), number) for number in range(CLIENTS)]
            with owner.transaction():
                owner.execute("LOCK locked")
                asked = [asyncio.ensure_future(ask(client)) for client in clients]
                await asyncio.to_thread(until, lambda: waiting(kept) == CLIENTS - 1)
            assert await asyncio.gather(*asked) == [[(1,)]] * CLIENTS
            await asyncio.gather(*(client.close() for client in clients))
    with connect(database.server, database.name) as owner:  # those that have counted are gone
        until(lambda: read_scans(owner) > 0)
        assert read_scans(owner) <= 2


async def enter(dsn: str, number: int) -> psycopg.AsyncConnection:
    """Who sends a Query, or Parse, Bind and Execute."""
    factory = psycopg.AsyncClientCursor if number % 2 else psycopg.AsyncCursor
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True, cursor_factory=factory)


async def ask(client: psycopg.AsyncConnection) -> list[tuple[int]]:
    return await (await client.execute(SLOW)).fetchall()


def waiting(kept: Kept) -> int:
    """How many have waited for another one, or do."""
    return sum(
        row["coalesced"] for row in kept.console.execute("SHOW CACHE").fetchall() if row["user"] == "app"
    )


def read_scans(owner: psycopg.Connection) -> int:
    row = owner.execute("SELECT seq_scan::int FROM pg_stat_user_tables WHERE relname = 'locked'").fetchone()
    assert row is not None
    return int(row[0])
