"""Actions of the console that reach beyond one session: who is let in, who is ended, when the process ends."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.integration.test_console import connect, show, until
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

SETTINGS = {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust", "auth.admin_users": "app"}


@pytest.fixture
def proxy(module_database: Database) -> Proxy:
    with serving(module_database, SETTINGS) as running:
        yield running


def ended(proxy: Proxy) -> Callable[[], bool]:
    assert proxy._process is not None
    return lambda: proxy._process.poll() is not None


def test_disabled_database_lets_nobody_else_in_until_it_is_enabled(
    proxy: Proxy, module_database: Database
) -> None:
    name = module_database.name
    with connect(proxy) as console, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        assert console.execute(f"DISABLE {name}").statusmessage == "DISABLE"
        with pytest.raises(psycopg.OperationalError, match=f"database does not allow connections: {name}"):
            psycopg.connect(proxy.dsn())
        client.execute("SELECT 1")  # who is there goes on
        assert [row["disabled"] for row in show(console, "DATABASES")] == [1]
        console.execute(f"ENABLE {name}")
        psycopg.connect(proxy.dsn()).close()


def test_client_is_killed_by_its_number(proxy: Proxy) -> None:
    with (
        connect(proxy) as console,
        psycopg.connect(proxy.dsn(), autocommit=True, application_name="victim") as victim,
        psycopg.connect(proxy.dsn(), autocommit=True) as other,
    ):
        (number,) = [row["id"] for row in show(console, "CLIENTS") if row["application_name"] == "victim"]
        assert console.execute(f"KILL_CLIENT {number}").statusmessage == "KILL_CLIENT"
        with pytest.raises(psycopg.errors.AdminShutdown, match="admin forced disconnect"):
            victim.execute("SELECT 1")
        other.execute("SELECT 1")


def test_wait_close_returns_when_old_servers_are_gone(proxy: Proxy) -> None:
    with connect(proxy) as console, connect(proxy) as second, psycopg.connect(proxy.dsn()) as client:
        client.execute("SELECT 1")
        console.execute("RECONNECT")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second.execute, "WAIT_CLOSE")
            until(lambda: any(row["close_needed"] for row in show(console, "SERVERS")))
            assert not waiting.done()
            client.commit()
            assert waiting.result(10).statusmessage == "WAIT_CLOSE"
        assert not any(row["close_needed"] for row in show(console, "SERVERS"))


def test_pool_size_is_set_until_the_next_reload(proxy: Proxy) -> None:
    with (
        connect(proxy) as console,
        psycopg.connect(proxy.dsn()) as first,
        psycopg.connect(proxy.dsn()) as second,
    ):
        assert console.execute("SET default_pool_size = 3").statusmessage == "SET default_pool_size=3"
        for client in (first, second):
            client.execute("SELECT 1")
        with psycopg.connect(proxy.dsn()) as third:
            third.execute("SELECT 1")
        console.execute("RELOAD")
        assert {row["key"]: row["value"] for row in show(console, "CONFIG")}["pool.size"] == "2"


def test_shutdown_ends_the_process_at_once(proxy: Proxy) -> None:
    with connect(proxy) as console, psycopg.connect(proxy.dsn()) as client:
        client.execute("SELECT 1")
        assert console.execute("SHUTDOWN").statusmessage == "SHUTDOWN"
        until(ended(proxy))
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_shutdown_that_waits_for_clients_ends_with_the_last(proxy: Proxy) -> None:
    with connect(proxy) as console, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        assert console.execute("SHUTDOWN WAIT_FOR_CLIENTS").statusmessage == "SHUTDOWN"
        until(lambda: refused(proxy))
        for _ in range(3):
            assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.Error, match="pooler is shutting down"):
            console.execute("RESUME")
        assert not ended(proxy)()
        client.close()
        until(ended(proxy))


def test_shutdown_that_waits_for_servers_lets_transactions_end(proxy: Proxy) -> None:
    with connect(proxy) as console, psycopg.connect(proxy.dsn()) as client:
        client.execute("SELECT 1")
        console.execute("SHUTDOWN WAIT_FOR_SERVERS")
        until(lambda: refused(proxy))
        assert client.execute("SELECT 2").fetchone() == (2,)
        assert not ended(proxy)()
        client.commit()
        until(ended(proxy))


def refused(proxy: Proxy) -> bool:
    try:
        psycopg.connect(proxy.dsn(), connect_timeout=5).close()
    except psycopg.OperationalError:
        return True
    time.sleep(0.01)  # another process: asked, not awaited
    return False
