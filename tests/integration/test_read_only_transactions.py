"""Transactions that only read are a replica's up to their end, and the primary's where they want more."""

from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, host, routing
from tests.support.postgres import wait_for_replay
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client

WRITE = "INSERT INTO items VALUES (1, 'one') ON CONFLICT (id) DO UPDATE SET name = excluded.name"


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    with routing(hosts, {"pool.size": 6}) as running:
        with open_client(running.dsn()) as client:
            client.execute(
                "CREATE FUNCTION assign() RETURNS int LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM txid_current(); RETURN 1; END $$"
            )
        for replica in hosts[1:]:
            wait_for_replay(hosts[0], replica)
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    """Its transactions begin on replicas, whatever it has written."""
    with open_client(proxy.dsn(), options="-c dbproxy.consistency=eventual") as connection:
        yield connection


def begin(client: psycopg.Connection) -> None:
    """Behind a write that the primary is still asked about it may begin there."""
    client.execute("BEGIN READ ONLY")
    while host(client) not in REPLICAS:
        client.execute("COMMIT")
        client.execute("BEGIN READ ONLY")


@pytest.mark.parametrize(
    "middle",
    [
        "SELECT 1",
        "SET work_mem = '5MB'",
        "SELECT set_config('TimeZone', 'UTC', false)",
        "SET ROLE app",
        "PREPARE p AS SELECT 1; DEALLOCATE p",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    ],
)
def test_a_write_right_behind_one_is_written(client: psycopg.Connection, middle: str):
    for _ in range(20):
        for statement in ("BEGIN READ ONLY", middle, "SELECT 1", "COMMIT", WRITE):
            client.execute(statement)


def test_a_write_in_one_pipeline_with_the_end_is_written(client: psycopg.Connection):
    for _ in range(20):
        begin(client)
        with client.pipeline():
            client.execute("SELECT 1")
            client.execute("COMMIT")
            client.execute(WRITE)
            answer = client.execute("SELECT 2")
        assert answer.fetchone() == (2,)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "SELECT 1; COMMIT", "COMMIT; SELECT 1"])
def test_a_write_in_one_text_with_the_end_is_written(client: psycopg.Connection, end: str):
    begin(client)
    client.execute(f"{end}; {WRITE}")
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.mark.parametrize(
    "text",
    [
        "SET TRANSACTION READ WRITE",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET LOCAL transaction_read_only = 'no'",
        "LOCK TABLE items IN SHARE MODE",
        "SELECT txid_current()",
        "SELECT assign()",  # which the proxy does not see
        "NOTIFY a",
        "SELECT pg_advisory_xact_lock(1)",
    ],
)
def test_one_that_wants_more_than_a_standby_can_is_the_primarys(client: psycopg.Connection, text: str):
    for prepare in (False, True):
        begin(client)
        client.execute("SET LOCAL work_mem = '5MB'")
        client.execute("SET extra_float_digits = 0")
        client.execute(text, prepare=prepare)
        assert host(client) == "primary"
        assert host(client, "SHOW work_mem") == "5MB"
        client.execute("COMMIT")
        assert host(client, "SHOW extra_float_digits") == "0"
        client.execute("RESET extra_float_digits")


def test_one_that_writes_after_all_does(client: psycopg.Connection):
    begin(client)
    client.execute("SET TRANSACTION READ WRITE")
    client.execute("INSERT INTO items VALUES (7, 'seven') ON CONFLICT DO NOTHING")
    client.execute("COMMIT")
    assert host(client, "/* dbproxy: primary */ SELECT name FROM items WHERE id = 7") == "seven"


@pytest.mark.parametrize("read_only", ["", "READ ONLY"])
def test_an_exported_snapshot_is_used_by_others(proxy: Proxy, client: psycopg.Connection, read_only: str):
    client.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ {read_only}")
    snapshot = host(client, "SELECT pg_export_snapshot()")
    for _ in range(3):
        with open_client(proxy.dsn()) as other:
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            other.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            assert host(other) == "primary"
            other.execute("COMMIT")
    client.execute("COMMIT")


def test_one_that_has_read_gets_what_its_replica_says(client: psycopg.Connection):
    begin(client)
    assert host(client, "SELECT count(*)::text FROM items") is not None
    assert host(client) in REPLICAS
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        client.execute("NOTIFY a")
    client.execute("ROLLBACK")
    client.execute(WRITE)
