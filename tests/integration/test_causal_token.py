"""A token carries what one session has committed to another: replicas that are behind it do not answer."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import asyncpg
import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, host, hosts_of, routing, wait_for_answer
from tests.support.postgres import connect
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client, until

SHOW = "SHOW dbproxy.causal_token"
NAME = "SELECT name FROM items WHERE id = 1"
WRITE = "INSERT INTO items VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name"
LSN = re.compile(r"[0-9A-F]+/[0-9A-F]+")


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    with routing(hosts, {"routing.consistency": "session"}) as running:
        yield running


@pytest.fixture
def writer(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as client:
        client.execute(WRITE, ["old"])
        yield client


@pytest.fixture
def reader(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as client:
        yield client


@pytest.fixture
def paused(hosts: list[Postgres], writer: psycopg.Connection) -> Iterator[list[psycopg.Connection]]:
    """The replicas have what the writer has written so far, and nothing that comes later."""
    with ExitStack() as stack:
        replicas = [stack.enter_context(connect(replica)) for replica in hosts[1:]]
        written = int_of(show(writer))
        for replica in replicas:
            until(lambda replica=replica: replayed(replica) >= written, "replayed")
            replica.execute("SELECT pg_wal_replay_pause()")
            stack.callback(replica.execute, "SELECT pg_wal_replay_resume()")
            until(lambda replica=replica: is_paused(replica), "paused")
        yield replicas


def replayed(replica: psycopg.Connection) -> int:
    return int_of(host(replica, "SELECT pg_last_wal_replay_lsn()"))


def is_paused(replica: psycopg.Connection) -> bool:
    return host(replica, "SELECT pg_get_wal_replay_pause_state()") == "paused"


def show(client: psycopg.Connection, **how: bool) -> str:
    row = client.execute(SHOW, **how).fetchone()
    assert row is not None
    assert LSN.fullmatch(row[0])
    return str(row[0])


def int_of(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def read(client: psycopg.Connection, times: int = 30) -> set[tuple[str, str]]:
    """What is read, and from whom."""
    query = f"SELECT current_setting('test.host'), ({NAME})"
    return {tuple(client.execute(query).fetchone() or ()) for _ in range(times)}


@pytest.mark.parametrize("prepare", [False, True])
def test_who_was_given_the_token_reads_nothing_older(
    writer: psycopg.Connection, reader: psycopg.Connection, paused: list[psycopg.Connection], prepare: bool
):
    wait_for_answer(reader, f"SELECT current_setting('test.host') FROM ({NAME}) AS n")
    writer.execute(WRITE, ["new"])
    token = show(writer, prepare=prepare)
    stale = read(reader)
    assert stale
    assert {name for _, name in stale} == {"old"}, "replicas are behind"
    reader.execute("SELECT set_config('dbproxy.causal_token', %s, false)", [token], prepare=prepare)
    assert read(reader) == {("primary", "new")}
    for replica in paused:
        replica.execute("SELECT pg_wal_replay_resume()")
    until(lambda: host(reader) in REPLICAS, "a replica has caught up")
    assert {name for _, name in read(reader)} == {"new"}


def test_token_that_was_given_at_login_holds_until_a_replica_has_reached_it(
    proxy: Proxy, writer: psycopg.Connection, reader: psycopg.Connection, paused: list[psycopg.Connection]
):
    """Nothing but the token keeps this session from what is stale."""
    writer.execute(WRITE, ["new"])
    with open_client(proxy.dsn(), options=f"-c dbproxy.causal_token={show(writer)}") as client:
        assert {name for _, name in read(reader)} == {"old"}
        assert read(client) == {("primary", "new")}
        paused[0].execute("SELECT pg_wal_replay_resume()")
        until(lambda: host(client) in REPLICAS, "a replica has caught up")
        found = read(client)
        assert {name for _, name in found} == {"new"}
        assert len({server for server, _ in found}) == 1, "the other replica is still behind"


def test_another_session_keeps_its_own_position(
    proxy: Proxy, writer: psycopg.Connection, reader: psycopg.Connection, paused: list[psycopg.Connection]
):
    """The setting is no one else's, though they share servers."""
    writer.execute(WRITE, ["new"])
    reader.execute(f"SET dbproxy.causal_token = '{show(writer)}'")
    assert hosts_of(reader) == {"primary"}
    with open_client(proxy.dsn()) as other:
        assert hosts_of(other) == REPLICAS
        shown = other.execute("SELECT nullif(current_setting('dbproxy.causal_token', true), '')")
        assert int_of(str(shown.fetchone()[0])) < int_of(show(writer))  # type: ignore[index]


def test_the_token_holds_whatever_the_consistency(
    writer: psycopg.Connection, reader: psycopg.Connection, paused: list[psycopg.Connection]
):
    writer.execute(WRITE, ["new"])
    reader.execute(f"SET dbproxy.consistency = 'eventual'; SET dbproxy.causal_token = '{show(writer)}'")
    assert read(reader) == {("primary", "new")}


def test_the_token_is_passed_on(
    proxy: Proxy, writer: psycopg.Connection, reader: psycopg.Connection, paused: list[psycopg.Connection]
):
    """What a session was given, and has not written itself, is in the token that it gives."""
    writer.execute(WRITE, ["new"])
    reader.execute(f"SET dbproxy.causal_token = '{show(writer)}'")
    with open_client(proxy.dsn()) as third:
        third.execute(f"SET dbproxy.causal_token = '{show(reader)}'")
        assert read(third) == {("primary", "new")}


def test_token_is_shown_in_transactions_too_and_outlives_their_rollback(writer: psycopg.Connection):
    with writer.transaction():
        writer.execute(WRITE, ["new"])
        token = show(writer)
    with pytest.raises(ZeroDivisionError), writer.transaction():
        show(writer)
        raise ZeroDivisionError
    assert int_of(show(writer)) >= int_of(token)
    with writer.transaction():
        writer.execute("SET TRANSACTION READ ONLY")
        assert int_of(show(writer)) >= int_of(token)


def test_token_is_shown_by_a_replica_in_its_transaction(reader: psycopg.Connection):
    reader.execute("BEGIN READ ONLY")
    assert host(reader) in REPLICAS
    assert show(reader)
    reader.execute("COMMIT")


def test_who_has_done_nothing_asks_for_nothing(reader: psycopg.Connection):
    assert show(reader) == "0/0"
    wait_for_answer(reader)


async def test_asyncpg_asks_for_it_with_prepared_statements_on_any_server(proxy: Proxy):
    connections = [await asyncpg.connect(proxy.dsn()) for _ in range(6)]
    try:
        statements = [await connection.prepare(SHOW) for connection in connections]
        for _ in range(3):
            open_ones = [connection.transaction() for connection in connections[:2]]
            for transaction in open_ones:
                await transaction.start()
            assert LSN.fullmatch(await statements[3].fetchval())
            for transaction in open_ones:
                await transaction.rollback()
            for statement in statements:
                assert LSN.fullmatch(await statement.fetchval())
    finally:
        for connection in connections:
            await connection.close()


def test_without_replicas_there_is_a_token_too(hosts: list[Postgres]):
    with routing(hosts, {"replicas": ""}) as alone, open_client(alone.dsn()) as client:
        client.execute(WRITE, ["x"])
        assert int_of(show(client)) > 0


def test_current_setting_shows_it(writer: psycopg.Connection):
    assert LSN.fullmatch(host(writer, "SELECT current_setting('dbproxy.causal_token')"))
