"""What a session must see of others' commits and of its own, before replicas that replay two seconds late."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import SETTINGS, create_hosts, host, urls, wait_for_answer
from tests.support.postgres import Database, connect, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

DELAY = {"recovery_min_apply_delay": "2s"}
PAIRS = 20000
HOST = "SELECT current_setting('test.host')"


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Postgres]]:
    with create_hosts(replicas=DELAY) as servers:
        primary, *replicas = servers
        with connect(primary) as owner:
            owner.execute("CREATE TABLE pairs (id int PRIMARY KEY, number int); GRANT ALL ON pairs TO app")
            owner.execute("INSERT INTO pairs SELECT id, 0 FROM generate_series(1, 100) AS id")
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield servers


def serve(hosts: list[Postgres], consistency: str) -> Iterator[Proxy]:
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    settings = {**SETTINGS, "replicas": urls(database, replicas), "routing.consistency": consistency}
    with serving(database, settings) as running:
        with open_client(running.dsn()) as client:
            wait_for_answer(client, f"{HOST} FROM pairs")
        yield running


@pytest.fixture
def proxy(hosts: list[Postgres], request: pytest.FixtureRequest) -> Iterator[Proxy]:
    yield from serve(hosts, request.param)


class Readers:
    """Sessions that have not written, beside the pairs: what replicas are still there for."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.hosts: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.read)

    def __enter__(self) -> "Readers":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def read(self) -> None:
        with open_client(self.proxy.dsn()) as client:
            while not self.stop.is_set():
                self.hosts.append(host(client, HOST))
                self.stop.wait(0.005)


def count_stale(writer: psycopg.Connection, reader: psycopg.Connection, pairs: int) -> int:
    """Write, then read: how often the read did not see the write."""
    stale = 0
    for number in range(1, pairs + 1):
        row = number % 100 + 1
        writer.execute("UPDATE pairs SET number = %s WHERE id = %s", [number, row])
        seen = reader.execute("SELECT number FROM pairs WHERE id = %s", [row]).fetchone()
        stale += seen != (number,)
    return stale


def decisions(proxy: Proxy) -> str:
    """Where reads went, and why, for who has to find out."""
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
        return "\n".join(
            str(console.execute(what).fetchall()) for what in ("SHOW ROUTES", "SHOW RESCUES", "SHOW HOSTS")
        )


@pytest.mark.parametrize("proxy", ["session"], indirect=True)
def test_a_session_sees_its_own_commits(proxy: Proxy):
    with open_client(proxy.dsn()) as client, Readers(proxy) as others:
        assert count_stale(client, client, 500) == 0
    assert {"replica1", "replica2"} <= set(others.hosts)


@pytest.mark.parametrize("proxy", ["global"], indirect=True)
def test_every_session_sees_all_commits_if_asked_to(proxy: Proxy):
    with open_client(proxy.dsn()) as writer, open_client(proxy.dsn()) as reader:
        assert count_stale(writer, reader, 500) == 0


@pytest.mark.parametrize("proxy", ["eventual"], indirect=True)
def test_reads_are_stale_where_that_is_allowed(proxy: Proxy):
    """So that the tests above can fail."""
    with open_client(proxy.dsn()) as client:
        deadline = time.monotonic() + 20
        while (
            count_stale(client, client, 50) <= 10
        ):  # who answers is the balancer's choice, and a replica may be out
            assert time.monotonic() < deadline, decisions(proxy)
        client.execute("SET dbproxy.consistency = 'session'")
        assert count_stale(client, client, 200) == 0


@pytest.mark.parametrize("proxy", ["session"], indirect=True)
def test_a_session_returns_to_the_replicas_once_they_have_its_commit(proxy: Proxy):
    with open_client(proxy.dsn()) as client:
        client.execute("UPDATE pairs SET number = -1 WHERE id = 1")
        began = time.monotonic()
        assert host(client, HOST) == "primary"
        wait_for_answer(client)
        assert time.monotonic() - began > 1  # no sooner than they had replayed it
        assert client.execute("SELECT number FROM pairs WHERE id = 1").fetchone() == (-1,)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("proxy", ["session", "global"], indirect=True)
def test_no_read_is_stale_in_20_000_pairs(proxy: Proxy, request: pytest.FixtureRequest):
    with open_client(proxy.dsn()) as writer, open_client(proxy.dsn()) as other, Readers(proxy) as others:
        reader = writer if "session" in request.node.name else other
        assert count_stale(writer, reader, PAIRS) == 0
    served = sum(host != "primary" for host in others.hosts)
    print(f"\n{request.node.name}: replicas answered {served} of {len(others.hosts)} reads of others")  # noqa: T201
