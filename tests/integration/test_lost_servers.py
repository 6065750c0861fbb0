"""Servers that go away: unseen while idle, as PostgreSQL tells it inside a transaction."""

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.faults import Line
from tests.support.postgres import Database, connect, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_for_activity, wait_until

OURS = "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'"


@pytest.fixture
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust"}) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, module_database: Database) -> Iterator[BlockingClient]:
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as connected:
        yield connected


def terminate(database: Database) -> None:
    """End every server of the proxy; returns once PostgreSQL has none."""
    with connect(database.server, database.name) as admin:
        admin.execute(f"SELECT pg_terminate_backend(pid) {OURS}")
    wait_until(database, f"NOT EXISTS (SELECT {OURS})")


def test_server_lost_while_idle_is_replaced_unseen(client: BlockingClient, module_database: Database):
    for _ in range(5):
        assert client.values("SELECT 1") == ["1"]
        terminate(module_database)
    assert client.values("SELECT 1") == ["1"]


def test_server_lost_in_a_transaction_ends_its_client_in_postgresqls_words(
    client: BlockingClient, proxy: Proxy, module_database: Database
):
    client.ask(build.query("BEGIN"))
    terminate(module_database)
    kind, payload = client.read()
    assert kind == "E"
    fields = error_of([(kind, payload)])
    assert (fields["S"], fields["C"]) == ("FATAL", "57P01")
    assert fields["M"] == "terminating connection due to administrator command"
    with pytest.raises(ConnectionError):
        client.read()
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as other:
        assert other.values("SELECT 1") == ["1"]


def test_server_lost_in_a_query_ends_its_client_alone(
    client: BlockingClient, proxy: Proxy, module_database: Database
):
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as other:
        other.ask(build.query("BEGIN"))
        client.send(build.query("SELECT pg_sleep(64)"))
        wait_for_activity(module_database, "SELECT pg_sleep(64)")
        with connect(module_database.server, module_database.name) as admin:
            admin.execute(f"SELECT pg_terminate_backend(pid) {OURS} AND query = 'SELECT pg_sleep(64)'")
        answer = [client.read()]
        while answer[-1][0] != "E":
            answer.append(client.read())
        assert error_of(answer)["C"] == "57P01"
        with pytest.raises(ConnectionError):
            client.read()
        assert other.values("SELECT 1") == ["1"]
        assert other.status == "T"


def closed(proxy: Proxy) -> int:
    return sum(line["event"] == "server closed" for line in proxy.log_lines())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # of several tasks, or another process
            await asyncio.sleep(0.01)


async def test_line_that_is_cut_while_idle_is_replaced_unseen(module_database: Database):
    async with Line(module_database.server.port) as line:
        with_line = module_database.dsn.replace(f":{module_database.server.port}/", f":{line.port}/")
        async with (
            Proxy(with_line) as proxy,
            await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as connection,
        ):
            for number in range(2, 5):  # with the first goes the one by which logins ask for altered settings
                await connection.execute("SELECT 1")
                line.cut()
                await until(lambda number=number: closed(proxy) == number)
            cursor = await connection.execute("SELECT 7")
            assert await cursor.fetchone() == (7,)


async def test_line_that_is_cut_in_a_query_leaves_its_fate_unknown(module_database: Database):
    async with Line(module_database.server.port) as line:
        with_line = module_database.dsn.replace(f":{module_database.server.port}/", f":{line.port}/")
        async with Proxy(with_line) as proxy:
            connection = await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True)
            asked = asyncio.create_task(connection.execute("SELECT pg_sleep(65)"))
            await asyncio.to_thread(wait_for_activity, module_database, "SELECT pg_sleep(65)")
            line.cut()
            with pytest.raises(psycopg.errors.TransactionResolutionUnknown):
                await asked
            assert connection.closed
            await connection.close()


async def test_nobody_is_there(module_database: Database):
    """A new client is told at once; one that is in already waits for the server to come back."""
    async with Line(module_database.server.port) as line:
        with_line = module_database.dsn.replace(f":{module_database.server.port}/", f":{line.port}/")
        async with Proxy(with_line, settings={"pool.server_login_retry": "200ms"}) as proxy:
            connection = await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True)
            line.refuse()
            line.cut()
            await proxy.logged(lambda line: line["event"] == "server closed")
            waiting = asyncio.create_task(connection.execute("SELECT 7"))
            await proxy.logged(lambda line: line["event"] == "server login failed")
            with pytest.raises(psycopg.OperationalError, match="refused"):
                await psycopg.AsyncConnection.connect(proxy.dsn(), options="-c TimeZone=Asia/Tokyo")
            await line.accept()
            assert await (await waiting).fetchone() == (7,)
            await connection.close()


@pytest.fixture
def own_database(own_primary: Postgres) -> Iterator[Database]:
    with create_database(own_primary) as fresh:
        yield fresh


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_postgresql_restarts_under_load(own_database: Database, mode: str):
    """Whoever was in a transaction is told and comes again; afterwards everything flows."""
    stop = asyncio.Event()
    done = [0] * 20

    async def work(proxy: Proxy, number: int) -> None:
        while not stop.is_set():
            try:
                async with await psycopg.AsyncConnection.connect(
                    proxy.dsn(), prepare_threshold=0
                ) as connection:
                    while not stop.is_set():
                        async with connection.transaction():
                            await connection.execute("INSERT INTO done VALUES (%s)", [number])
                        done[number] += 1
            except psycopg.OperationalError:
                continue

    settings = {"pool.size": 5, "pool.server_login_retry": "200ms"}
    async with Proxy(own_database.dsn, settings=settings) as proxy:
        async with await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as connection:
            await connection.execute("CREATE TABLE done (number int)")
        workers = [asyncio.create_task(work(proxy, number)) for number in range(len(done))]
        await until(lambda: min(done) > 5)
        await asyncio.to_thread(own_database.server.restart, mode)
        after = [count + 5 for count in done]
        await until(lambda: all(count > wanted for count, wanted in zip(done, after, strict=True)))
        stop.set()
        await asyncio.gather(*workers)
        with connect(own_database.server, own_database.name) as admin:
            row = admin.execute("SELECT count(*) FROM done").fetchone()
        assert row is not None
        assert sum(done) <= row[0] <= sum(done) + len(done)  # a COMMIT may have been lost on its way back
