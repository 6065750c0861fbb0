"""SIGHUP reads the settings again; SIGTERM lets transactions end, a second one does not."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

SETTINGS = {"auth.type": "trust"}


@pytest.fixture
def proxy(module_database: Database) -> Iterator[Proxy]:
    config = '[pool]\nsize = 1\nreserve_size = 0\nshutdown_timeout = "20s"\n[slow_query]\nthreshold = "1h"\n'
    with serving(module_database, SETTINGS, config=config) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, module_database: Database) -> Iterator[BlockingClient]:
    with raw(proxy, module_database) as connected:
        yield connected


def raw(proxy: Proxy, database: Database) -> BlockingClient:
    return BlockingClient(proxy.host, proxy.port, user="app", database=database.name)


def last_words(client: BlockingClient) -> dict[str, str]:
    """The error that ends the connection."""
    fields = error_of([client.read()])
    with pytest.raises(ConnectionError):
        client.read()
    return fields


def rewrite(proxy: Proxy, old: str, new: str) -> None:
    proxy.config_path.write_text(proxy.config_path.read_text().replace(old, new))
    proxy.send(signal.SIGHUP)


def event(name: str) -> Any:
    return lambda line: line["event"] == name


async def test_reload_takes_effect_and_keeps_clients(proxy: Proxy, client: BlockingClient):
    client.ask(build.query("BEGIN"))
    rewrite(proxy, '"1h"', '"0s"')
    line = await proxy.logged(event("reloaded"))
    assert line["changed"] == ["slow_query.threshold"]
    assert client.values("SELECT 1") == ["1"]
    assert client.status == "T"
    await proxy.logged(event("slow query"))


async def test_reload_of_the_pool_size(proxy: Proxy, client: BlockingClient, module_database: Database):
    client.ask(build.query("BEGIN"))
    rewrite(proxy, "size = 1", "size = 2")
    with raw(proxy, module_database) as other:
        assert other.values("SELECT 1") == ["1"]


@pytest.mark.parametrize("bad", ["size = -1", "size = = 1", "sise = 1"])
async def test_bad_reload_changes_nothing_and_says_why(proxy: Proxy, client: BlockingClient, bad: str):
    rewrite(proxy, "size = 1", bad)
    line = await proxy.logged(event("reload failed"))
    assert str(proxy.config_path) in line["error"]
    assert "2" in line["error"]  # the line
    assert client.values("SELECT 1") == ["1"]


async def test_reload_says_what_needs_a_restart(proxy: Proxy):
    rewrite(proxy, "[pool]", "[listen]\nbacklog = 77\n[pool]")
    line = await proxy.logged(event("reloaded"))
    assert line["needs_restart"] == ["listen.backlog"]


async def test_what_needs_a_restart_is_told_until_it_is_taken_back(proxy: Proxy):
    rewrite(proxy, "[pool]", "[listen]\nbacklog = 77\n[pool]")
    await proxy.logged(lambda line: line.get("needs_restart") == ["listen.backlog"])
    rewrite(proxy, "size = 1", "size = 2")
    line = await proxy.logged(lambda line: line.get("changed") == ["pool.size"])
    assert line["needs_restart"] == ["listen.backlog"]
    rewrite(proxy, "backlog = 77\n", "")
    await proxy.logged(lambda line: line.get("needs_restart") == [])


async def test_reload_of_the_users(module_database: Database, tmp_path: Path):
    users = tmp_path / "users.txt"
    users.write_text('"app" "old"\n')
    url = module_database.dsn.replace("app:secret@", "")
    with serving(module_database, config=f'[auth]\nfile = "{users}"\n', url=url) as proxy:
        users.write_text('"app" "secret"\n')
        proxy.send(signal.SIGHUP)
        await proxy.logged(event("reloaded"))
        with psycopg.connect(proxy.dsn(user="app", password="secret")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_stop_tells_idle_clients_and_exits_0(proxy: Proxy, client: BlockingClient):
    assert client.values("SELECT 1") == ["1"]
    assert proxy.stop() == 0
    fields = last_words(client)
    assert (fields["S"], fields["C"]) == ("FATAL", "57P01")
    assert fields["M"] == "terminating connection due to administrator command"


async def test_stop_lets_a_transaction_end(proxy: Proxy, client: BlockingClient, module_database: Database):
    with raw(proxy, module_database) as idle:
        client.ask(build.query("CREATE TABLE IF NOT EXISTS stopped (id int); BEGIN"))
        proxy.send(signal.SIGTERM)
        assert last_words(idle)["C"] == "57P01"
        with pytest.raises(ConnectionRefusedError):
            raw(proxy, module_database)
        client.ask(build.query("INSERT INTO stopped VALUES (1)"))
        assert not error_of(client.ask(build.query("COMMIT")))
        assert last_words(client)["C"] == "57P01"
        assert proxy.stop() == 0
    with psycopg.connect(module_database.dsn) as direct:
        assert direct.execute("SELECT count(*) FROM stopped").fetchone() == (1,)


async def test_stop_lets_a_waiting_client_have_its_turn(
    proxy: Proxy, client: BlockingClient, module_database: Database
):
    client.ask(build.query("BEGIN"))
    with raw(proxy, module_database) as waiting:
        waiting.send(build.query("SELECT 7"))
        proxy.send(signal.SIGTERM)
        await proxy.logged(event("proxy stopping"))
        client.ask(build.query("COMMIT"))
        assert [kind for kind, _ in waiting.read_until_ready()] == ["T", "D", "C"]
        assert last_words(waiting)["C"] == "57P01"
    assert proxy.stop() == 0


async def test_second_signal_stops_at_once(proxy: Proxy, client: BlockingClient):
    client.ask(build.query("BEGIN"))
    proxy.send(signal.SIGTERM)
    await proxy.logged(event("proxy stopping"))
    began = time.monotonic()
    assert proxy.stop() == 0
    assert time.monotonic() - began < 5
    assert last_words(client)["C"] == "57P01"


async def test_shutdown_timeout_bounds_the_stop(module_database: Database):
    with serving(module_database, {**SETTINGS, "pool.shutdown_timeout": "300ms"}) as proxy:
        client = raw(proxy, module_database)
        client.ask(build.query("BEGIN"))
        began = time.monotonic()
        assert proxy.stop() == 0
        assert 0.3 <= time.monotonic() - began < 5
        assert last_words(client)["C"] == "57P01"
        client.close()


async def test_interrupt_from_the_keyboard_stops_too(proxy: Proxy):
    proxy.send(signal.SIGINT)
    await proxy.logged(event("proxy stopped"))
