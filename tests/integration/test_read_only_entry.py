"""A database or a port that takes no writes: replicas answer there, and libpq takes it for one."""

from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from dbproxy.demo.postgres import Postgres, free_port
from tests.support.hosts import HOST, REPLICAS, hosts_of, routing
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client

PORT = free_port()
ENTRY = """
[databases.reports]
dbname = "DATABASE"
read_only = true
"""


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    """All that may be is kept on the primary: only the entries send reads to replicas."""
    settings = {"listen.read_only_port": PORT, "routing.percent": 0, "routing.primary_reads_weight": 100}
    with routing(hosts, settings, config=ENTRY, entry="reports") as running:
        yield running


@pytest.fixture(params=["database", "port"])
def entry(request: pytest.FixtureRequest, proxy: Proxy) -> str:
    """The URL of a read-only entry."""
    if request.param == "database":
        return proxy.dsn("reports")
    return proxy.dsn().replace(f":{proxy.port}/", f":{PORT}/")


@pytest.fixture
def reader(entry: str) -> Iterator[psycopg.Connection]:
    with open_client(entry) as client:
        yield client


def test_writes_are_refused_there(reader: psycopg.Connection):
    for statement in (
        "INSERT INTO items VALUES (1)",
        "CREATE TABLE t ()",
    ):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute(statement)


def test_reset_does_not_open_it(reader: psycopg.Connection):
    for reset in ("RESET ALL", "DISCARD ALL", "RESET default_transaction_read_only"):
        reader.execute(reset)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("INSERT INTO items VALUES (1)")


def test_reads_and_transactions_are_the_replicas_alone(reader: psycopg.Connection):
    assert hosts_of(reader) == REPLICAS
    seen = set()
    for _ in range(20):
        with reader.transaction():
            seen |= hosts_of(reader, times=2)
    assert seen == REPLICAS


def test_other_sessions_of_the_same_pool_may_write(proxy: Proxy, reader: psycopg.Connection):
    reader.execute(HOST)
    with open_client(proxy.dsn()) as writer:
        writer.execute("INSERT INTO items VALUES (7) ON CONFLICT DO NOTHING")
        assert writer.execute("SHOW transaction_read_only").fetchone() == ("off",)
    assert reader.execute("SHOW transaction_read_only").fetchone() == ("on",)


@pytest.mark.parametrize("attrs", ["read-only", "standby", "prefer-standby", "any"])
def test_libpq_gets_in_as_reader(entry: str, attrs: str):
    with psycopg.connect(entry, target_session_attrs=attrs) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("attrs", ["read-write", "primary"])
def test_libpq_that_looks_for_a_primary_is_not_let_in_there_but_at_the_usual_port(
    proxy: Proxy, entry: str, attrs: str
):
    with pytest.raises(psycopg.OperationalError, match=r"read-only|hot standby"):
        psycopg.connect(entry, target_session_attrs=attrs)
    with psycopg.connect(proxy.dsn(), target_session_attrs=attrs) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("attrs", ["read-only", "standby"])
def test_libpq_that_looks_for_a_reader_is_not_let_in_at_the_usual_port(proxy: Proxy, attrs: str):
    with pytest.raises(psycopg.OperationalError, match="is not"):
        psycopg.connect(proxy.dsn(), target_session_attrs=attrs)


def test_libpq_finds_each_of_two_entries_in_a_list(proxy: Proxy):
    ports = f"host={proxy.host},{proxy.host} port={proxy.port},{PORT} user=app dbname={proxy.dsn().rsplit('/')[-1]}"
    for attrs, port in {"read-write": proxy.port, "prefer-standby": PORT}.items():
        with psycopg.connect(ports, target_session_attrs=attrs) as client:
            assert client.info.port == port


async def test_asyncpg_gets_in_as_reader(entry: str):
    for attrs in ("read-only", "standby"):
        connection = await asyncpg.connect(entry, target_session_attrs=attrs)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
