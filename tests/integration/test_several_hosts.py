"""Several hosts in one URL, and several addresses of one name: whoever can be reached is."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import pq

from dbproxy.demo.postgres import Postgres
from tests.support.crowd import TABLE, Crowd, read_ledger, wait_for_standby
from tests.support.hosts import create_hosts, family, host
from tests.support.names import NamedProxy
from tests.support.postgres import PASSWORD, connect, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import judge_log
from tests.support.two_servers import open_client, until

FAST = {
    "auth.type": "trust",
    "pool.size": 4,
    "health.timeout": "500ms",
    "health.failure_threshold": 2,
    "health.lag_interval": "50ms",
}
QUICK = 5.0  # seconds: a login that waits for nobody, on a busy machine; server_connect_timeout is 15


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Postgres]]:
    with create_hosts() as found:
        yield found


def url(*hosts: str | Postgres, query: str = "") -> str:
    places = (one if isinstance(one, str) else f"{Proxy.host}:{one.port}" for one in hosts)
    return f"postgresql://app:{PASSWORD}@{','.join(places)}/postgres{query}"


def closed() -> str:
    """Where nobody listens."""
    with socket.create_server((Proxy.host, 0)) as server:
        return f"{Proxy.host}:{server.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """A host that is connected to, and says nothing, as one that is frozen."""
    with socket.create_server((Proxy.host, 0), backlog=100) as server:
        yield f"{Proxy.host}:{server.getsockname()[1]}"


@contextmanager
def unreachable() -> Iterator[str]:
    """Where every packet is dropped: a listener whose queue is full."""
    with socket.socket() as server:
        server.bind((Proxy.host, 0))
        server.listen(0)
        address = server.getsockname()
        guests = [socket.socket() for _ in range(4)]
        try:
            for guest in guests:
                guest.setblocking(False)
                guest.connect_ex(address)
            yield f"{address[0]}:{address[1]}"
        finally:
            for guest in guests:
                guest.close()


def took(dsn: str) -> tuple[float, str]:
    """Seconds until a new client has its first answer, and who gave it."""
    begun = time.monotonic()
    with open_client(dsn) as client:
        who = host(client)
    return time.monotonic() - begun, who


# --- the primary among several ------------------------------------------------------------------------------


def test_primary_is_found_wherever_it_stands_in_the_url(servers: list[Postgres]):
    primary, one, two = servers
    with Proxy(url(one, two, primary, query="?target_session_attrs=read-write"), settings=FAST) as proxy:
        assert took(proxy.dsn())[1] == "primary"
        with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True) as console:
            rows = console.execute("SHOW HOSTS").fetchall()
        assert [row[0] for row in rows] == ["primary", "primary-2", "primary-3"]
        judge_log(proxy)


async def test_clients_go_on_at_the_host_that_is_promoted():
    with create_hosts() as hosts:
        with connect(hosts[0]) as owner:
            owner.execute(TABLE)
        wait_for_replay(hosts[0], hosts[1])
        wait_for_standby(hosts[0])
        async with Proxy(url(*hosts[:2]), settings=FAST) as proxy:
            crowd = Crowd(proxy.dsn(), 5, every=1)
            async with crowd.busy():
                await crowd.go_on()
                os.kill(hosts[0].pid, signal.SIGKILL)
                await crowd.until(lambda: "primary lost" in proxy.log())
                await asyncio.to_thread(hosts[1].promote)
                written = len(crowd.acknowledged)
                await crowd.until(lambda: len(crowd.acknowledged) > written + 50)
            assert not crowd.missing(read_ledger(hosts[1]))


def test_one_that_is_down_holds_nobody_up(servers: list[Postgres]):
    with Proxy(url(servers[0], closed()), settings=FAST) as proxy:
        assert took(proxy.dsn())[0] < QUICK
    with unreachable() as dead, Proxy(url(servers[0], dead), settings=FAST) as proxy:
        assert took(proxy.dsn())[0] < QUICK


# --- a database of its own ------------------------------------------------------------------------------------


def own(where: str) -> str:
    return f'[databases.own]\nprimary.url = "{where}"\ndbname = "postgres"\n'


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ("any", {"replica1"}),
        ("primary", {"primary"}),
        ("read-write", {"primary"}),
        ("standby", {"replica1"}),
        ("read-only", {"replica1"}),
        ("prefer-standby", {"replica1"}),
    ],
)
def test_host_is_the_first_that_is_what_is_asked_for(servers: list[Postgres], attrs: str, expected: set[str]):
    config = own(url(closed(), servers[1], servers[0], query=f"?target_session_attrs={attrs}"))
    with Proxy(url(servers[0]), settings=FAST, config=config) as proxy:
        assert {took(proxy.dsn("own"))[1]} == expected


def test_any_host_is_taken_where_there_is_no_standby(servers: list[Postgres]):
    where = url(servers[0], query="?target_session_attrs=prefer-standby")
    with Proxy(where, settings=FAST) as proxy:
        assert took(proxy.dsn())[1] == "primary"


def test_host_that_is_not_what_is_asked_for_is_an_error_that_says_so(servers: list[Postgres]):
    config = own(url(servers[0], query="?target_session_attrs=standby"))
    with (
        Proxy(url(servers[0]), settings={**FAST, "pool.query_wait_timeout": "1s"}, config=config) as proxy,
        pytest.raises(psycopg.OperationalError, match="no standby, and target_session_attrs is standby"),
    ):
        psycopg.connect(proxy.dsn("own"))


def test_load_is_spread_where_that_is_asked_for(servers: list[Postgres]):
    config = own(url(*servers, query="?load_balance_hosts=random"))
    settings = {**FAST, "pool.mode": "session", "pool.size": 40}
    with Proxy(url(servers[0]), settings=settings, config=config) as proxy:
        clients = [open_client(proxy.dsn("own")) for _ in range(40)]
        assert len({host(client) for client in clients}) == 3
        for client in clients:
            client.close()


def test_frozen_first_host_is_not_waited_for(servers: list[Postgres]):
    with silent() as frozen:
        config = own(url(frozen, servers[1]))
        with Proxy(url(servers[0]), settings=FAST, config=config) as proxy:
            seconds, who = took(proxy.dsn("own"))
            assert (who, seconds < QUICK) == ("replica1", True)


def test_frozen_first_host_is_not_waited_for_by_replication(servers: list[Postgres]):
    with connect(servers[0]) as direct:
        direct.execute("ALTER ROLE app REPLICATION")
    with silent() as frozen:
        config = own(url(frozen, servers[0]))
        with Proxy(url(servers[0]), settings=FAST, config=config) as proxy:
            begun = time.monotonic()
            line = pq.PGconn.connect(f"{proxy.dsn('own')}?replication=database".encode())
            assert line.exec_(b"IDENTIFY_SYSTEM").ntuples == 1
            assert time.monotonic() - begun < QUICK
            line.finish()


# --- one name, several addresses ----------------------------------------------------------------------------------


def named(where: str, names: dict[str, int | str], **settings: object) -> NamedProxy:
    return NamedProxy(where, names, settings={**FAST, **settings})


def test_dead_first_address_does_not_hold_up_a_login(servers: list[Postgres]):
    with unreachable() as dead, named(url("db.test"), {"db.test": f"{dead} {servers[0].port}"}) as proxy:
        seconds, who = took(proxy.dsn())
        assert (who, seconds < QUICK) == ("primary", True)


def test_server_at_an_address_that_left_the_name_is_closed_once_it_is_free(servers: list[Postgres]):
    where = {"db.test": servers[1].port}
    with (
        named(url("db.test"), where, **{"health.dns_max_ttl": "200ms"}) as proxy,
        open_client(proxy.dsn()) as client,
    ):
        with client.transaction():
            assert host(client) == "replica1"
            proxy.move({"db.test": servers[2].port})
            until(lambda: "addresses of a name changed" in proxy.log(), "the change is noticed")
            assert host(client) == "replica1"
        assert host(client) == "replica2"
        assert "db.test has another address now" in proxy.log()
        with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True) as console:
            assert console.execute("SHOW DNS_HOSTS").fetchall()[0][0] == "db.test"


@pytest.mark.parametrize("trouble", ["fail", "hang"])
def test_last_addresses_serve_while_the_resolver_is_in_trouble(servers: list[Postgres], trouble: str):
    with named(url("db.test"), {"db.test": servers[0].port}, **{"health.dns_max_ttl": "100ms"}) as proxy:
        took(proxy.dsn())
        proxy.move({"db.test": trouble})
        with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True) as console:
            console.execute("RECONNECT")
        assert took(proxy.dsn())[0] < QUICK
        assert proxy.stop() == 0


# --- what else a URL may say --------------------------------------------------------------------------------------


def test_servers_are_told_the_options_and_the_name_of_the_url(servers: list[Postgres]):
    where = url(servers[0], query="?options=-c%20work_mem%3D7MB&application_name=shop&keepalives_idle=33")
    with Proxy(where, settings=FAST) as proxy:
        with psycopg.connect(proxy.dsn(), autocommit=True) as client:
            assert client.execute("SHOW work_mem").fetchone() == ("7MB",)
            assert client.execute("SHOW application_name").fetchone() == ("shop",)
            assert client.info.parameter_status("application_name") == "shop"
            client.execute("SET work_mem = '9MB'")
            client.execute("RESET work_mem")
            assert client.execute("SHOW work_mem").fetchone() == ("7MB",)
        with psycopg.connect(proxy.dsn(), autocommit=True, application_name="mine") as client:
            assert client.execute("SHOW application_name").fetchone() == ("mine",)


def test_key_words_and_values_serve_as_a_url(servers: list[Postgres]):
    where = f"host={Proxy.host} port={servers[0].port} user=app password='{PASSWORD}' dbname=postgres"
    with Proxy(where, settings=FAST) as proxy:
        assert took(f"postgresql://app@{Proxy.host}:{proxy.port}/postgres")[1] == "primary"


def test_url_s_user_may_use_the_console_from_here(servers: list[Postgres]):
    with Proxy(url(servers[0]), settings={"pool.size": 2}) as proxy:
        with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True) as console:
            console.execute("PAUSE")
            console.execute("RESUME")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(proxy.dsn(user="nobody", password="x"))
        [line] = [line for line in proxy.log_lines() if line["event"] == "client refused"]
        assert line["detail"].startswith("there is no such user")


def test_user_whose_password_is_not_known_waits_for_no_other_primary(servers: list[Postgres]):
    servers[0].psql("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    settings = {**FAST, "auth.type": "trust", "pool.query_wait_timeout": "5s"}
    with (
        Proxy(url(*servers), settings=settings) as proxy,
        pytest.raises(psycopg.OperationalError, match="but no secret of that user is known"),
    ):
        psycopg.connect(proxy.dsn(user="stranger"))


def test_who_waits_in_vain_for_a_primary_is_told_what_is_wrong_with_the_hosts(servers: list[Postgres]):
    settings = {**FAST, "pool.query_wait_timeout": "3s"}
    with (
        Proxy(url(*servers, query="?sslmode=require"), settings=settings) as proxy,
        pytest.raises(psycopg.OperationalError, match=r"no host is writable.*rejected SSL upgrade"),
    ):
        psycopg.connect(proxy.dsn())


def test_frozen_standby_in_the_url_of_the_primary_changes_nothing(servers: list[Postgres]):
    processes = family(servers[1])
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        with Proxy(url(servers[0], servers[1]), settings=FAST) as proxy:
            assert took(proxy.dsn())[0] < QUICK
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
