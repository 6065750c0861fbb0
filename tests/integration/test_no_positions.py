"""Servers that tell no positions in the WAL, as Amazon Aurora: reads stay on the primary for a while after a write."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, SETTINGS, create_hosts, host, hosts_of, urls, wait_for_answer
from tests.support.postgres import Database, connect, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

HOLD = 1.0
TOKEN = "SHOW dbproxy.causal_token"
SILENT = (
    "pg_current_wal_lsn(), pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn(), pg_last_wal_replay_lsn(), "
    "pg_last_wal_receive_lsn(), pg_walfile_name(pg_lsn)"
)


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Postgres]]:
    with create_hosts(replicas={"recovery_min_apply_delay": "500ms"}) as servers:
        primary, *replicas = servers
        with connect(primary) as owner:
            owner.execute("CREATE TABLE numbers (n int); GRANT ALL ON numbers TO PUBLIC")
            owner.execute("REVOKE app FROM app_trust")  # who is told what app is not
            owner.execute("INSERT INTO numbers VALUES (0)")
            owner.execute(f"REVOKE EXECUTE ON FUNCTION {SILENT} FROM PUBLIC")
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield servers


@pytest.fixture
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    settings = {**SETTINGS, "replicas": urls(database, replicas), "routing.primary_after_write": f"{HOLD} s"}
    with serving(database, settings) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


def test_a_write_before_anything_is_known_of_the_hosts_succeeds(client: psycopg.Connection):
    for number in range(20):
        client.execute("UPDATE numbers SET n = %s", [number])
        assert client.execute("SELECT n FROM numbers").fetchone() == (number,)


def test_reads_are_shared_but_for_a_while_after_the_sessions_own_write(client: psycopg.Connection):
    wait_for_answer(client)
    for number in (1, 2):
        begun_at = time.monotonic()
        client.execute("UPDATE numbers SET n = %s", [number])
        assert host(client) == "primary"
        wait_for_answer(client)
        assert time.monotonic() - begun_at >= HOLD
        assert client.execute("SELECT n FROM numbers").fetchone() == (number,)


def test_a_session_that_does_not_write_is_not_held(proxy: Proxy, client: psycopg.Connection):
    with open_client(proxy.dsn()) as reader:
        wait_for_answer(reader)
        client.execute("UPDATE numbers SET n = 7")
        assert host(reader) in REPLICAS


def test_the_hosts_are_shown_without_positions(proxy: Proxy, client: psycopg.Connection):
    wait_for_answer(client)
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
        cursor = console.execute("SHOW HOSTS")
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    assert [(row["role"], row["state"]) for row in rows] == [
        ("primary", "up"),
        ("replica", "up"),
        ("replica", "up"),
    ]
    assert "host cannot tell all" in proxy.log()


def test_the_token_of_who_wrote_leads_to_the_primary(proxy: Proxy, client: psycopg.Connection):
    wait_for_answer(client)
    assert host(client, TOKEN) == "0/0"  # it has nothing to tell
    client.execute("UPDATE numbers SET n = 8")
    token = host(client, TOKEN)
    with open_client(proxy.dsn()) as reader:
        reader.execute(f"SET dbproxy.causal_token = '{token}'")
        assert hosts_of(reader) == {"primary"}
        assert host(reader, TOKEN) == token


READ = "SELECT current_setting('test.host') FROM numbers"


def test_a_user_who_alone_is_not_told_positions_is_served_by_what_is_known(hosts: list[Postgres]):
    """The probes' user is: then a commit is passed by what a later probe has seen."""
    primary, *replicas = hosts
    database = Database(primary, "postgres")
    with connect(primary) as owner:
        owner.execute(f"GRANT EXECUTE ON FUNCTION {SILENT} TO app")
    for replica in replicas:
        wait_for_replay(primary, replica)  # a probe asks once whether it is told
    try:
        with serving(database, {**SETTINGS, "replicas": urls(database, replicas)}) as running:
            with open_client(running.dsn(user="app_trust")) as client:
                for number in range(5):
                    client.execute("UPDATE numbers SET n = %s", [number])
                    wrote_at = time.monotonic()
                    assert host(client, READ) == "primary"
                    wait_for_answer(client, READ)
                    assert time.monotonic() - wrote_at > 0.4
                    assert client.execute("SELECT n FROM numbers").fetchone() == (number,)
                assert host(client, TOKEN) == "7FFFFFFF/FFFFFFFF"
            assert running.log().count("commits are not told apart") == 1
    finally:
        with connect(primary) as owner:
            owner.execute(f"REVOKE EXECUTE ON FUNCTION {SILENT} FROM app")
