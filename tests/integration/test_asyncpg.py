"""asyncpg through the proxy, with the settings it has by default: named statements, all of them cached."""

import asyncio
import datetime
import io
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pytest

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import shuffle, wait_for_activity


@pytest.fixture
async def connection(proxy: Proxy) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(proxy.dsn())
    yield connected
    await connected.close()


@pytest.fixture
async def numbers(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A table with the numbers from 1 to 1000."""
    await connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS number")
    yield
    await connection.execute("DROP TABLE numbers")


async def test_cached_statements_go_on_working_on_another_server(
    proxy: Proxy, connection: asyncpg.Connection
):
    seen = set()
    for number in range(12):
        row = await connection.fetchrow("SELECT $1::int + 1 AS next, pg_backend_pid() AS pid", number)
        assert row["next"] == number + 1
        seen.add(row["pid"])
        await asyncio.to_thread(shuffle, proxy, 2)
    assert len(seen) == 2


async def test_prepared_statement_outlives_many_loans(proxy: Proxy, connection: asyncpg.Connection):
    statement = await connection.prepare("SELECT $1::text || '!', pg_backend_pid()")
    assert [column.name for column in statement.get_attributes()] == ["?column?", "pg_backend_pid"]
    for word in ("one", "two", "three"):
        await asyncio.to_thread(shuffle, proxy, 2)
        assert await statement.fetchval(word) == f"{word}!"


async def test_a_small_cache_closes_what_it_forgets(proxy: Proxy):
    connection = await asyncpg.connect(proxy.dsn(), statement_cache_size=5)
    for turn in range(3):
        for number in range(20):
            assert await connection.fetchval(f"SELECT {number} + $1::int", turn) == number + turn
    await connection.close()


async def test_no_cache(proxy: Proxy):
    connection = await asyncpg.connect(proxy.dsn(), statement_cache_size=0)
    for number in range(20):
        assert await connection.fetchval("SELECT $1::int", number) == number
        await asyncio.to_thread(shuffle, proxy, 2)
    await connection.close()


async def test_transactions_and_savepoints(connection: asyncpg.Connection, numbers: None):
    async with connection.transaction(isolation="serializable"):
        await connection.execute("DELETE FROM numbers WHERE number > 10")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("DELETE FROM numbers")
                await connection.fetchval("SELECT 1 / $1::int", 0)
        assert await connection.fetchval("SELECT count(*) FROM numbers") == 10
    assert await connection.fetchval("SELECT count(*) FROM numbers") == 10


async def test_failed_transaction_is_rolled_back(connection: asyncpg.Connection, numbers: None):
    for _ in range(3):
        with pytest.raises(asyncpg.UndefinedTableError):
            async with connection.transaction():
                await connection.execute("DELETE FROM numbers")
                await connection.fetch("SELECT * FROM missing WHERE id = $1", 1)
        assert await connection.fetchval("SELECT count(*) FROM numbers") == 1000


async def test_cursor(connection: asyncpg.Connection, numbers: None):
    async with connection.transaction():
        rows = connection.cursor("SELECT number FROM numbers ORDER BY 1", prefetch=7)
        assert [row["number"] async for row in rows] == list(range(1, 1001))
        cursor = await connection.cursor("SELECT number FROM numbers ORDER BY 1")
        assert await cursor.forward(10) == 10
        assert (await cursor.fetchrow())["number"] == 11


async def test_limited_fetch_leaves_nothing_behind(connection: asyncpg.Connection, numbers: None):
    for _ in range(5):
        assert await connection.fetchrow("SELECT number FROM numbers ORDER BY 1") == (1,)
        assert await connection.fetchval("SELECT count(*) FROM numbers") == 1000


async def test_executemany(connection: asyncpg.Connection, numbers: None):
    rows = [(number,) for number in range(5000)]
    await connection.executemany("INSERT INTO numbers VALUES ($1)", rows)
    assert await connection.fetchval("SELECT count(*) FROM numbers") == 6000


async def test_executemany_is_all_or_nothing(connection: asyncpg.Connection, numbers: None):
    await connection.execute("CREATE UNIQUE INDEX ON numbers (number)")
    rows = [(number,) for number in [*range(2000, 4000), 5, *range(4000, 6000)]]
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.executemany("INSERT INTO numbers VALUES ($1)", rows)
    assert await connection.fetchval("SELECT count(*) FROM numbers") == 1000


async def test_copy_both_ways(connection: asyncpg.Connection, numbers: None):
    await connection.copy_records_to_table("numbers", records=((number,) for number in range(10_000)))
    out = io.BytesIO()
    assert await connection.copy_from_table("numbers", output=out, format="csv") == "COPY 11000"
    out.seek(0)
    assert await connection.copy_to_table("numbers", source=out, format="csv") == "COPY 11000"
    assert await connection.fetchval("SELECT count(*) FROM numbers") == 22_000


async def test_copy_that_fails_in_the_middle(connection: asyncpg.Connection, numbers: None):
    async def source() -> AsyncIterator[bytes]:
        yield b"1\n2\n"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await connection.copy_to_table("numbers", source=source())
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await connection.copy_to_table("numbers", source=io.BytesIO(b"1\nx\n" + b"1\n" * 500_000))
    assert await connection.fetchval("SELECT count(*) FROM numbers") == 1000


async def test_types_of_ones_own_are_introspected(connection: asyncpg.Connection):
    await connection.execute(
        "CREATE TYPE mood AS ENUM ('fine', 'bad'); CREATE TYPE place AS (x int, moods mood[])"
    )
    place = await connection.fetchval("SELECT ROW(1, $1)::place", ["fine", "bad"])
    assert (place["x"], place["moods"]) == (1, ["fine", "bad"])
    await connection.set_type_codec("mood", encoder=str, decoder=str.upper)
    assert await connection.fetchval("SELECT 'bad'::mood") == "BAD"
    await connection.execute("DROP TYPE place; DROP TYPE mood")


async def test_values_of_many_types(connection: asyncpg.Connection):
    values = (2**40, Decimal("1.5"), "ü", b"\0\1", datetime.date(2020, 2, 29), [1, None, 3], True, None)
    types = ("int8", "numeric", "text", "bytea", "date", "int[]", "bool", "text")
    places = ", ".join(f"${number}::{name}" for number, name in enumerate(types, 1))
    assert tuple(await connection.fetchrow(f"SELECT {places}", *values)) == values


async def test_timeout_cancels_the_query_and_leaves_the_connection(connection: asyncpg.Connection):
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep($1)", 60, timeout=0.1)
        assert await connection.fetchval("SELECT 7") == 7


async def test_cancelled_task_cancels_its_query(connection: asyncpg.Connection, module_database: Database):
    sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(62)"))
    await asyncio.to_thread(wait_for_activity, module_database, "SELECT pg_sleep(62)")
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert await connection.fetchval("SELECT 7") == 7


async def test_pool_of_the_driver_on_top_of_ours(proxy: Proxy):
    """The driver's pool sends its reset query (RESET ALL, UNLISTEN *, …) at each release."""

    async def work(pool: asyncpg.Pool, number: int) -> int:
        total = 0
        for turn in range(10):
            async with pool.acquire() as connection, connection.transaction():
                total += await connection.fetchval("SELECT $1::int * 10 + $2::int", number, turn)
        return total

    async with asyncpg.create_pool(proxy.dsn(), min_size=10, max_size=10) as pool:
        totals = await asyncio.gather(*(work(pool, number) for number in range(20)))
    assert totals == [number * 100 + 45 for number in range(20)]


async def test_notices_reach_their_client(connection: asyncpg.Connection):
    heard: asyncio.Queue[str] = asyncio.Queue()
    connection.add_log_listener(lambda _, message: heard.put_nowait(message.message))
    await connection.execute("DO $$ BEGIN RAISE NOTICE 'hear, hear'; END $$")
    assert await heard.get() == "hear, hear"


async def test_server_settings_are_the_connections_own(proxy: Proxy):
    for zone in ("Asia/Tokyo", "Europe/Paris", "Asia/Tokyo"):
        connection = await asyncpg.connect(proxy.dsn(), server_settings={"timezone": zone})
        assert await connection.fetchval("SHOW timezone") == zone
        assert connection.get_settings().TimeZone == zone
        await connection.close()
