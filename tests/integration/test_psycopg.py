"""psycopg 3 through the proxy: what its users do, in each of its ways to send a query."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.rows import scalar_row

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import shuffle, wait_for_activity

THRESHOLDS = pytest.mark.parametrize("threshold", [0, 1, 5, None])


@pytest.fixture
def connection(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True) as connected:
        yield connected


@pytest.fixture
def numbers(connection: psycopg.Connection) -> Iterator[str]:
    """A table with the numbers from 1 to 1000."""
    connection.execute("CREATE TABLE numbers AS SELECT generate_series(1, 1000) AS number")
    yield "numbers"
    connection.execute("DROP TABLE numbers")


@THRESHOLDS
def test_statements_go_on_working_on_another_server(proxy: Proxy, threshold: int | None):
    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=threshold) as connection:
        seen = set()
        for number in range(12):
            row = connection.execute("SELECT %s::int + 1, pg_backend_pid()", [number]).fetchone()
            assert row is not None
            assert row[0] == number + 1
            seen.add(row[1])
            shuffle(proxy, 2)
        assert len(seen) == 2


@THRESHOLDS
async def test_async_clients_share_the_servers(proxy: Proxy, threshold: int | None):
    async def work(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(
            proxy.dsn(), prepare_threshold=threshold
        ) as connection:
            for turn in range(20):
                async with connection.transaction():
                    cursor = await connection.execute("SELECT %s::int * 1000 + %s::int", [number, turn])
                    assert await cursor.fetchone() == (number * 1000 + turn,)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(work(number))


def test_prepared_and_then_dropped_statements(connection: psycopg.Connection):
    connection.prepare_threshold, connection.prepared_max = 0, 3
    for number in range(20):
        row = connection.execute(f"SELECT {number} + %s", [number]).fetchone()
        assert row == (2 * number,)


@THRESHOLDS
def test_pipeline_mode(proxy: Proxy, threshold: int | None):
    with (
        psycopg.connect(proxy.dsn(), prepare_threshold=threshold) as connection,
        connection.pipeline() as pipeline,
    ):
        cursors = [connection.execute("SELECT %s::int * 2", [number]) for number in range(100)]
        pipeline.sync()
        more = [connection.execute("SELECT %s::text", [str(number)]) for number in range(100)]
        assert [cursor.fetchone() for cursor in cursors] == [(2 * number,) for number in range(100)]
        assert [cursor.fetchone() for cursor in more] == [(str(number),) for number in range(100)]


@THRESHOLDS
def test_error_in_a_pipeline_spoils_what_follows_until_the_sync(proxy: Proxy, threshold: int | None):
    def fail(connection: psycopg.Connection) -> None:
        with connection.pipeline() as pipeline:
            good = connection.execute("SELECT %s::int", [1])
            connection.execute("SELECT 1 / %s::int", [0])
            spoilt = connection.execute("SELECT %s::int + 2", [1])
            pipeline.sync()
            assert good.fetchone() == (1,)
            with pytest.raises(psycopg.errors.PipelineAborted):
                spoilt.fetchone()

    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=threshold) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            fail(connection)
        assert connection.execute("SELECT %s::int + 3", [1]).fetchone() == (4,)


def test_executemany(connection: psycopg.Connection, numbers: str):
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO numbers VALUES (%s)", [(number,) for number in range(1001, 1201)])
        assert cursor.rowcount == 200
        cursor.executemany("SELECT %s::int", [(1,), (2,)], returning=True)
        assert cursor.fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (1200,)


def test_server_side_cursor(proxy: Proxy, numbers: str):
    with (
        psycopg.connect(proxy.dsn()) as connection,
        connection.cursor("chosen", row_factory=scalar_row, scrollable=True) as cursor,
    ):
        cursor.itersize = 7
        cursor.execute("SELECT number FROM numbers ORDER BY number")
        assert list(cursor) == list(range(1, 1001))
        cursor.scroll(0, mode="absolute")
        assert cursor.fetchmany(3) == [1, 2, 3]


def test_rows_streamed_one_by_one(connection: psycopg.Connection, numbers: str):
    with connection.cursor(row_factory=scalar_row) as cursor:
        rows = cursor.stream("SELECT number FROM numbers ORDER BY number")
        assert [next(rows) for _ in range(3)] == [1, 2, 3]
        assert len(list(rows)) == 997
        assert len(list(cursor.stream("SELECT number FROM numbers", size=100))) == 1000


def test_binary_parameters_and_results(connection: psycopg.Connection):
    value = bytes(range(256)) * 100
    row = connection.execute(
        "SELECT %b::bytea, %b::int8, %b::text", [value, 2**40, "ü"], binary=True
    ).fetchone()
    assert row == (value, 2**40, "ü")


@pytest.mark.parametrize("form", ["text", "binary"])
def test_copy_in_and_out(connection: psycopg.Connection, numbers: str, form: str):
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY numbers FROM STDIN (FORMAT {form})") as copy:
            copy.set_types(["int4"])
            for number in range(10_000):
                copy.write_row((number,))
        assert cursor.rowcount == 10_000
        with cursor.copy(f"COPY (SELECT * FROM numbers ORDER BY 1) TO STDOUT (FORMAT {form})") as copy:
            copy.set_types(["int4"])
            assert len(list(copy.rows())) == 11_000
    assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (11_000,)


def test_copy_that_the_client_breaks_off(connection: psycopg.Connection, numbers: str):
    def fail() -> None:
        with connection.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
            copy.write(b"1\n2\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (1000,)


@pytest.mark.parametrize("rest", [b"", b"5\n" * 500_000])
def test_copy_that_the_server_breaks_off(connection: psycopg.Connection, numbers: str, rest: bytes):
    def fail() -> None:
        with connection.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
            copy.write(b"1\nnot a number\n")
            copy.write(rest)

    for _ in range(3):
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            fail()
        assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (1000,)


def test_copy_out_left_half_read(connection: psycopg.Connection):
    def leave() -> None:
        many = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT"
        with connection.cursor() as cursor, cursor.copy(many) as copy:
            assert len(copy.read()) == 1001
            raise ZeroDivisionError  # psycopg cancels

    with pytest.raises(ZeroDivisionError):
        leave()
    assert connection.execute("SELECT 7").fetchone() == (7,)


def test_notices_reach_their_client(connection: psycopg.Connection):
    heard: list[str | None] = []
    connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'hear, hear'; RAISE WARNING 'beware'; END $$")
    assert heard == ["hear, hear", "beware"]


def test_errors_are_the_servers_own(connection: psycopg.Connection):
    with pytest.raises(psycopg.errors.UndefinedColumn) as caught:
        connection.execute("SELECT missing", prepare=True)
    assert (caught.value.diag.statement_position, caught.value.diag.severity) == ("8", "ERROR")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_transactions_and_savepoints(proxy: Proxy, numbers: str):
    with psycopg.connect(proxy.dsn()) as connection:
        with connection.transaction():
            connection.execute("DELETE FROM numbers WHERE number > 10")
            with connection.transaction() as inner:
                connection.execute("DELETE FROM numbers")
                raise psycopg.Rollback(inner)
            assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (10,)
        connection.execute("DELETE FROM numbers")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (10,)


def test_several_statements_in_one_query(connection: psycopg.Connection):
    cursor = connection.execute("SELECT 1; SELECT 2; SELECT 3")
    results = [cursor.fetchone()]
    while cursor.nextset():
        results.append(cursor.fetchone())
    assert results == [(1,), (2,), (3,)]


def test_two_phase_commit_is_the_servers_business(connection: psycopg.Connection):
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute("BEGIN; PREPARE TRANSACTION 'one'")
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_cancel_ends_the_query_and_leaves_the_connection(
    connection: psycopg.Connection, module_database: Database
):
    def cancel() -> None:
        wait_for_activity(module_database, "SELECT pg_sleep(61)")
        connection.cancel_safe()

    with ThreadPoolExecutor() as beside:
        cancelling = beside.submit(cancel)
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(61)")
        cancelling.result()
    assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_async_cancel(proxy: Proxy, module_database: Database):
    async with await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as connection:
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.to_thread(wait_for_activity, module_database, "SELECT pg_sleep(60)")
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await sleeping
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
