"""Under a service manager: what it hears (sd_notify), and sockets that it hands over (sd_listen_fds)."""

import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import which

import psutil
import psycopg
import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient
from tests.support.manager import Managed, Manager
from tests.support.postgres import PASSWORD, Database
from tests.support.proxy import Proxy
from tests.support.serving import judge_log

WATCHDOG = 1.0  # seconds after which the manager gives up
BLOCKER = """
import pathlib, signal, time

def block(*_):
    pathlib.Path({sign!r}).touch()
    time.sleep(60)

def route(statement, session, cluster):
    return None

signal.signal(signal.SIGUSR1, block)
"""
TRUST = {"auth.type": "trust"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as listening:
        yield listening


@pytest.fixture
def proxy(module_database: Database, manager: Manager) -> Iterator[Managed]:
    environment = {"WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
    config = '[pool]\nshutdown_timeout = "60s"\n[slow_query]\nthreshold = "1h"\n'
    with Managed(
        module_database.dsn, manager, settings=TRUST, config=config, environment=environment
    ) as running:
        yield running
        judge_log(running)


def raw(proxy: Proxy, database: Database) -> BlockingClient:
    return BlockingClient(proxy.host, proxy.port, user="app", database=database.name)


def listening(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0))


def listening_at(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock


def ask(database: Database, statement: str, host: str, port: int) -> object:
    with psycopg.connect(
        host=host, port=port, dbname=database.name, user="app", password=PASSWORD, connect_timeout=20
    ) as connection:
        return (connection.execute(statement).fetchone() or ("nothing",))[0]


def greet(client: socket.socket, database: Database) -> bytes:
    """The first byte of what the proxy answers to a client that begins: R, a request to log in."""
    client.settimeout(20)
    client.sendall(build.startup_message({"user": "app", "database": database.name}))
    return client.recv(1)


# --- what it hears ---


def test_manager_hears_that_clients_are_let_in_once_they_are(proxy: Managed, module_database: Database):
    (ready,) = [told for told in proxy.manager.heard if "READY" in told]
    assert ready["STATUS"].startswith("0 pools, 0 clients, ")
    with raw(proxy, module_database) as client:
        assert client.values("SELECT 1") == ["1"]


def test_manager_with_an_abstract_socket_hears_it(module_database: Database):
    with Manager("@dbproxy-test-notify") as manager, Managed(module_database.dsn, manager) as proxy:
        assert proxy.stop() == 0
        assert manager.wait_for(lambda told: told.get("STOPPING") == "1")


def test_status_says_who_is_there_and_which_host_takes_writes(proxy: Managed, module_database: Database):
    with raw(proxy, module_database) as client:
        client.ask(build.query("SELECT 1"))
        status = f"1 pool, 1 client, primary 127.0.0.1:{module_database.server.port}"
        proxy.manager.wait_for(lambda told: told.get("STATUS") == status)
    proxy.manager.wait_for(lambda told: "0 clients," in told.get("STATUS", ""))


def test_manager_hears_of_a_reload_from_start_to_end(proxy: Managed):
    began = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    proxy.send(signal.SIGHUP)
    told = proxy.manager.wait_for(lambda told: told.get("RELOADING") == "1")
    assert began <= int(told["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    ready = proxy.manager.wait_for(lambda told: told.get("READY") == "1")
    assert "reload" not in ready["STATUS"]


def test_reload_that_fails_ends_too_and_shows_in_the_status(proxy: Managed, module_database: Database):
    good = proxy.config_path.read_text()
    proxy.config_path.write_text(good.replace('"1h"', '"often"'))
    proxy.send(signal.SIGHUP)
    ready = proxy.manager.wait_for(lambda told: told.get("READY") == "1")
    assert ready["STATUS"].endswith("reload failed: the settings before are in force")
    proxy.config_path.write_text(good)
    proxy.send(signal.SIGHUP)
    ready = proxy.manager.wait_for(lambda told: told.get("READY") == "1")
    assert "reload" not in ready["STATUS"]


def test_manager_waits_for_as_long_as_a_transaction_takes(proxy: Managed, module_database: Database):
    with raw(proxy, module_database) as client:
        client.ask(build.query("BEGIN"))
        proxy.send(signal.SIGTERM)
        told = proxy.manager.wait_for(lambda told: told.get("STOPPING") == "1")
        assert told["STATUS"] == "stopping: 1 client left"
        for _ in range(2):  # again and again
            told = proxy.manager.wait_for(lambda told: "EXTEND_TIMEOUT_USEC" in told)
        assert int(told["EXTEND_TIMEOUT_USEC"]) >= 5_000_000
        proxy.manager.wait_for(lambda told: told.get("WATCHDOG") == "1")
        client.ask(build.query("COMMIT"))
        proxy._process.wait(20)  # type: ignore[union-attr]
    assert proxy.stop() == 0


def test_proxy_that_stands_still_shows_no_sign_of_life(proxy: Managed, module_database: Database):
    for _ in range(2):
        proxy.manager.wait_for(lambda told: told.get("WATCHDOG") == "1")
    proxy.send(signal.SIGSTOP)
    while psutil.Process(proxy.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    proxy.manager.forget()
    assert proxy.manager.listen(2 * WATCHDOG) is None  # the manager would have given up
    proxy.send(signal.SIGCONT)
    proxy.manager.wait_for(lambda told: told.get("WATCHDOG") == "1")
    with raw(proxy, module_database) as client:
        assert client.values("SELECT 1") == ["1"]


def test_event_loop_that_is_blocked_shows_no_sign_of_life(
    module_database: Database, manager: Manager, tmp_path: Path
):
    sign = tmp_path / "blocked"
    (tmp_path / "blocker.py").write_text(BLOCKER.format(sign=str(sign)))
    environment = {"WATCHDOG_USEC": str(int(WATCHDOG * 1e6)), "PYTHONPATH": str(tmp_path)}
    settings = {"routing.plugin": "blocker:route"}
    with Managed(module_database.dsn, manager, settings=settings, environment=environment) as proxy:
        manager.wait_for(lambda told: told.get("WATCHDOG") == "1")
        proxy.send(signal.SIGUSR1)
        while not sign.exists():
            time.sleep(0.01)
        manager.forget()
        assert manager.listen(2 * WATCHDOG) is None
        assert psutil.Process(proxy.pid).status() == psutil.STATUS_SLEEPING


def test_manager_that_asks_for_no_sign_of_life_gets_none(module_database: Database, manager: Manager):
    with Managed(module_database.dsn, manager, settings=TRUST) as proxy:
        with raw(proxy, module_database) as client:
            manager.wait_for(lambda told: "1 client," in told.get("STATUS", ""))
            client.ask(build.query("SELECT 1"))
        manager.wait_for(lambda told: "0 clients," in told.get("STATUS", ""))
        assert not any("WATCHDOG" in told for told in manager.heard)


# --- sockets that it hands over ---


def test_each_entry_is_where_its_sockets_are(module_database: Database, manager: Manager, tmp_path: Path):
    with (
        listening() as tcp,
        closing(listening_at(str(tmp_path / ".s.PGSQL.6432"))) as unix,
        closing(listening_at("\0dbproxy-test/.s.PGSQL.6432")) as abstract,
        listening() as reading,
        listening() as http,
    ):
        entry, readers, pages = (sock.getsockname()[1] for sock in (tcp, reading, http))
        sockets = [("postgresql", tcp), ("dbproxy.socket", unix), ("", abstract)]
        sockets += [("read-only", reading), ("http", http)]
        with Managed(module_database.dsn, manager, sockets=sockets) as proxy:
            for host, port in (("127.0.0.1", entry), (str(tmp_path), 6432)):
                assert ask(module_database, "SHOW transaction_read_only", host, port) == "off"
            with closing(socket.socket(socket.AF_UNIX)) as client:  # psycopg takes @ for a host's name
                client.connect(abstract.getsockname())
                assert greet(client, module_database) == b"R"
            assert ask(module_database, "SHOW transaction_read_only", "127.0.0.1", readers) == "on"
            with urllib.request.urlopen(f"http://127.0.0.1:{pages}/metrics") as answer:
                assert b"dbproxy_" in answer.read()
            for unused in (proxy.port, proxy.http_port):
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", unused))
            (started,) = [line for line in proxy.log_lines() if line["event"] == "proxy started"]
            assert started["listen"][1:3] == [f"{tmp_path}/.s.PGSQL.6432", "@dbproxy-test/.s.PGSQL.6432"]
            assert started["http"] == f"127.0.0.1:{pages}"
            assert proxy.stop() == 0
            judge_log(proxy)


@pytest.mark.parametrize("event_loop", ["dbproxy", "uvloop"])
def test_http_is_served_on_a_unix_socket_too(
    module_database: Database, manager: Manager, tmp_path: Path, event_loop: str
):
    path = tmp_path / "http"
    settings = {"listen.event_loop": event_loop}
    with closing(listening_at(str(path))) as unix:
        with Managed(module_database.dsn, manager, settings=settings, sockets=[("http", unix)]) as proxy:
            assert ask(module_database, "SELECT 1", "127.0.0.1", proxy.port) == 1  # as the settings say
            with closing(socket.socket(socket.AF_UNIX)) as client:
                client.connect(str(path))
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
            assert proxy.stop() == 0
        assert path.exists()


def test_who_comes_while_the_proxy_is_started_anew_waits(
    module_database: Database, manager: Manager, tmp_path: Path
):
    path = tmp_path / ".s.PGSQL.6432"
    with listening() as tcp, closing(listening_at(str(path))) as unix:
        sockets = [("postgresql", tcp), ("postgresql", unix)]
        with Managed(module_database.dsn, manager, settings=TRUST, sockets=sockets) as proxy:
            assert ask(module_database, "SELECT 1", str(tmp_path), 6432) == 1
            assert proxy.stop() == 0
            assert path.exists()
            with socket.create_connection(tcp.getsockname()) as early:
                proxy.start()
                assert greet(early, module_database) == b"R"
            assert ask(module_database, "SELECT 1", str(tmp_path), 6432) == 1


def refusal(database: Database, manager: Manager, name: str, sock: socket.socket) -> str:
    """What a proxy says that does not start; its exit code tells the manager not to try again."""
    proxy = Managed(database.dsn, manager, sockets=[(name, sock)])
    try:
        with pytest.raises(AssertionError, match=r"did not start \(exit code 2\)") as caught:
            proxy.start()
    finally:
        proxy.close()
    return str(caught.value)


def test_socket_for_what_there_is_not_is_refused(module_database: Database, manager: Manager):
    with listening() as tcp:
        said = refusal(module_database, manager, "metrics", tcp)
    assert 'a socket named "metrics" was handed over' in said
    assert "postgresql, read-only, http" in said


def test_socket_that_nobody_listens_on_is_refused(module_database: Database, manager: Manager):
    with socket.socket() as idle:
        assert "use Accept=no" in refusal(module_database, manager, "postgresql", idle)


def test_http_that_others_reach_needs_a_token_however_it_is_listened_on(
    module_database: Database, manager: Manager
):
    with listening("0.0.0.0") as http:
        assert "http.token" in refusal(module_database, manager, "http", http)
        settings = {"http.token": "open-sesame"}
        port = http.getsockname()[1]
        with Managed(module_database.dsn, manager, settings=settings, sockets=[("http", http)]):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                assert answer.status == 200
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


def test_sockets_for_another_process_are_left_alone(module_database: Database, manager: Manager):
    environment = {"LISTEN_PID": "1"}
    with (
        listening() as tcp,
        Managed(module_database.dsn, manager, sockets=[("strange", tcp)], environment=environment) as proxy,
    ):
        assert ask(module_database, "SELECT 1", "127.0.0.1", proxy.port) == 1


@pytest.mark.skipif(not which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
def test_systemd_itself_hands_a_socket_over(module_database: Database, manager: Manager):
    class Activated(Managed):
        """Started by the first client, as systemd-socket-activate does it."""

        def _listens(self) -> bool:
            return Proxy._listens(self)

    proxy = Activated(module_database.dsn, manager)
    del proxy.environment["DBPROXY_LISTEN__PORT"]
    passed = [word for name in proxy.environment for word in ("-E", name)]
    listen = ["-l", f"127.0.0.1:{proxy.port}", "--fdname=postgresql"]
    proxy.command = ("systemd-socket-activate", *listen, *passed, *Proxy.command)
    with proxy:
        assert ask(module_database, "SELECT 1", "127.0.0.1", proxy.port) == 1
        assert manager.wait_for(lambda told: told.get("READY") == "1")
        assert psutil.Process(proxy.pid).cmdline()[0] == sys.executable
