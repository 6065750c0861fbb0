"""Few servers for many clients: who gets one, for how long, and what happens to those that are not used."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import dict_row

from dbproxy.wire import build
from dbproxy.wire.startup import parse_error_response
from tests.support.blocking_client import BlockingClient
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_for_activity, wait_until

PID = "SELECT pg_backend_pid()"
ACTIVITY = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'"


def client(proxy: Proxy, **parameters: object) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, **parameters)  # type: ignore[arg-type]


def raw(proxy: Proxy, database: Database) -> BlockingClient:
    return BlockingClient(proxy.host, proxy.port, user="app", database=database.name)


def pid(connection: psycopg.Connection) -> int:
    row = connection.execute(PID).fetchone()
    assert row is not None
    return int(row[0])


def backends(database: Database) -> set[int]:
    """The proxy's connections as PostgreSQL sees them."""
    with connect(database.server, database.name) as connection:
        return {row[0] for row in connection.execute(ACTIVITY)}


def test_transaction_keeps_its_server_and_the_next_may_have_another(database: Database):
    with serving(database, {"pool.size": 2}) as proxy, client(proxy) as one, client(proxy) as other:
        with one.transaction():
            first = pid(one)
            for _ in range(5):
                assert pid(other) != first
                assert pid(one) == first
        with other.transaction():
            assert pid(other) == first  # the one given back last
            assert pid(one) != first


def test_failed_transaction_keeps_its_server_too(database: Database):
    with serving(database, {"pool.size": 2}) as proxy, client(proxy) as one, client(proxy) as other:
        one.execute("BEGIN")
        first = pid(one)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            one.execute("SELECT missing")
        assert pid(other) != first
        one.execute("ROLLBACK")
        assert pid(other) == first


def test_session_mode_keeps_the_server_until_the_client_leaves(database: Database):
    with serving(database, {"pool.size": 1, "pool.mode": "session"}) as proxy, client(proxy) as one:
        first = pid(one)
        one.execute("CREATE TEMP TABLE mine (id int); SET work_mem = '7MB'; PREPARE mine AS SELECT 1")
        with client(proxy, connect_timeout=10) as other, ThreadPoolExecutor() as beside:
            waiting = beside.submit(other.execute, "SELECT count(*) FROM pg_prepared_statements")
            assert pid(one) == first
            assert not waiting.done()
            one.close()
            assert waiting.result().fetchone() == (0,)
            assert pid(other) == first
            with pytest.raises(psycopg.errors.UndefinedTable):
                other.execute("SELECT * FROM mine")
            assert other.execute("SHOW work_mem").fetchone() == ("4MB",)


def test_statement_mode_refuses_a_transaction(database: Database):
    settings = {"pool.size": 1, "pool.mode": "statement", "auth.type": "trust"}
    with serving(database, settings) as proxy, raw(proxy, database) as one, raw(proxy, database) as other:
        one.ask(build.query("SELECT 1; SELECT 2"))
        one.ask(build.query("BEGIN"))
        kind, payload = one.read()
        assert (kind, parse_error_response(payload)["C"]) == ("E", "0A000")
        with pytest.raises(ConnectionError):
            one.read()
        assert other.values("SELECT 1") == ["1"]
        assert other.status == "I"


def test_waiting_clients_are_served_in_their_order(database: Database):
    settings = {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}
    with serving(database, settings) as proxy, ExitStack() as stack:
        holder = stack.enter_context(client(proxy))
        holder.execute("CREATE SEQUENCE turn; BEGIN")
        clients = [stack.enter_context(client(proxy)) for _ in range(8)]
        with ThreadPoolExecutor(8) as beside:
            waiting = []
            for one in clients:
                waiting.append(beside.submit(one.execute, "SELECT nextval('turn')"))
                wait_for_waiters(proxy, len(waiting))
            holder.execute("COMMIT")
            assert [turn.result().fetchone() for turn in waiting] == [(number,) for number in range(1, 9)]


def wait_for_waiters(proxy: Proxy, number: int) -> None:
    """Return once so many clients wait for a server."""
    deadline = time.monotonic() + 10
    console = psycopg.connect(proxy.dsn("dbproxy", "dbproxy"), autocommit=True, row_factory=dict_row)
    console.prepare_threshold = None  # it takes simple queries only, however often it is asked
    with console:
        while sum(pool["cl_waiting"] for pool in console.execute("SHOW POOLS", binary=False)) != number:
            assert time.monotonic() < deadline


def test_query_wait_timeout_fails_the_query_and_leaves_the_connection(database: Database):
    settings = {"pool.size": 1, "pool.reserve_size": 0, "pool.query_wait_timeout": "300ms"}
    with serving(database, settings) as proxy, client(proxy) as holder, client(proxy) as waiting:
        with holder.transaction():
            pid(holder)
            for _ in range(2):
                with pytest.raises(psycopg.errors.TooManyConnections, match="query_wait_timeout"):
                    waiting.execute("SELECT 1")
                with pytest.raises(psycopg.errors.TooManyConnections), waiting.pipeline():
                    waiting.execute("SELECT 1")
        assert waiting.execute("SELECT %s::int", [7], prepare=True).fetchone() == (7,)


def test_waiting_client_that_left_takes_no_server(database: Database):
    settings = {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}
    with serving(database, settings) as proxy, client(proxy) as holder:
        holder.execute("BEGIN")
        for leave in (BlockingClient.vanish, BlockingClient.close):
            gone = raw(proxy, database)
            gone.send(build.query("CREATE TABLE never (id int)"))
            wait_for_waiters(proxy, 1)
            leave(gone)
            wait_for_waiters(proxy, 0)
        with client(proxy) as other, ThreadPoolExecutor() as beside:
            asked = beside.submit(other.execute, "SELECT to_regclass('never')")
            holder.execute("COMMIT")
            assert asked.result().fetchone() == (None,)


def test_reserve_serves_those_who_wait_too_long(database: Database):
    settings = {"pool.size": 1, "pool.reserve_size": 1, "pool.reserve_timeout": "200ms"}
    with (
        serving(database, settings) as proxy,
        client(proxy) as holder,
        client(proxy) as other,
        holder.transaction(),
    ):
        first = pid(holder)
        assert pid(other) != first


def test_min_pool_size_is_kept_warm(database: Database):
    settings = {"pool.size": 5, "pool.min_pool_size": 3, "pool.server_idle_timeout": "300ms"}
    with serving(database, settings) as proxy:
        with client(proxy) as one:
            one.execute("SELECT 1")
        wait_until(database, f"count(*) = 3 FROM ({ACTIVITY}) s")
        with connect(database.server, database.name) as admin:
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({ACTIVITY}) s")
        wait_until(database, f"count(*) = 3 FROM ({ACTIVITY}) s")


def test_idle_server_is_closed(database: Database):
    with serving(database, {"pool.server_idle_timeout": "300ms"}) as proxy, client(proxy) as one:
        first = pid(one)
        wait_until(database, f"count(*) = 0 FROM ({ACTIVITY}) s")
        assert pid(one) != first


def test_old_server_is_closed_after_its_transaction(database: Database):
    with serving(database, {"pool.server_lifetime": "300ms", "pool.size": 1}) as proxy, client(proxy) as one:
        with one.transaction():
            first = pid(one)
            one.execute("SELECT pg_sleep(0.4)")
            assert pid(one) == first
        assert pid(one) != first


async def test_clients_many_times_the_servers(database: Database):
    async def work(proxy: Proxy, number: int) -> None:
        async with await psycopg.AsyncConnection.connect(proxy.dsn()) as connection:
            for turn in range(3):
                async with connection.transaction():
                    cursor = await connection.execute("SELECT %s::int", [number * turn])
                    assert await cursor.fetchone() == (number * turn,)

    settings = {"pool.size": 3, "pool.reserve_size": 0}
    with serving(database, settings) as proxy:
        async with asyncio.TaskGroup() as group:
            for number in range(150):
                group.create_task(work(proxy, number))
        assert 1 <= len(backends(database)) <= 3


def test_pools_of_different_users_and_databases_are_apart(database: Database, module_database: Database):
    with serving(database, {"auth.type": "trust"}) as proxy:
        dsns = [proxy.dsn(), proxy.dsn(user="app_trust"), proxy.dsn(module_database.name)]
        seen = []
        for dsn in dsns * 2:
            with psycopg.connect(dsn) as connection:
                seen.append(connection.execute("SELECT current_user, current_database()").fetchone())
    assert seen == [("app", database.name), ("app_trust", database.name), ("app", module_database.name)] * 2


@pytest.mark.parametrize("leave", [BlockingClient.close, BlockingClient.vanish])
def test_client_that_leaves_in_a_transaction_is_rolled_back(
    database: Database, leave: Callable[[BlockingClient], None]
):
    settings = {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}
    with serving(database, settings) as proxy, client(proxy) as other:
        other.execute("CREATE TABLE kept (id int)")
        first = pid(other)
        gone = raw(proxy, database)
        gone.ask(build.query("BEGIN; INSERT INTO kept VALUES (1)"))
        leave(gone)
        assert other.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert pid(other) == first


def test_what_was_asked_before_terminate_is_carried_out(database: Database):
    with serving(database, {"auth.type": "trust"}) as proxy:
        gone = raw(proxy, database)
        gone.ask(build.query("CREATE TABLE kept (id int)"))
        gone.send(build.query("INSERT INTO kept SELECT 1 FROM pg_sleep(0.1)"))
        gone.close()
        wait_until(database, "count(*) = 1 FROM kept")


def test_client_that_vanishes_in_a_query_stops_it(database: Database):
    settings = {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}
    with serving(database, settings) as proxy, client(proxy) as other:
        gone = raw(proxy, database)
        gone.send(build.query("SELECT pg_sleep(63)"))
        wait_for_activity(database, "SELECT pg_sleep(63)")
        gone.vanish()
        assert other.execute("SELECT 1").fetchone() == (1,)
        running = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(63)' AND state = 'active'"
        wait_until(database, f"NOT EXISTS ({running})")


def test_min_pool_size_is_warm_before_the_first_client(database: Database):
    with serving(database, {"pool.min_pool_size": 2}):
        wait_until(database, f"count(*) = 2 FROM ({ACTIVITY}) s")
