"""Replication connections through the proxy: PostgreSQL's own programs back up, receive WAL and decode it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
from psycopg import pq

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import PASSWORD, Database, connect, create_cluster, create_database
from tests.support.programs import run
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_until
from tests.support.two_servers import open_client, until

ADMIN = "streamer"


@pytest.fixture(scope="module")
def primary() -> Iterator[Postgres]:
    with create_cluster(wal_level="logical") as server, connect(server) as connection:
        connection.execute(f"CREATE ROLE {ADMIN} LOGIN REPLICATION PASSWORD '{PASSWORD}'")
        yield server


@pytest.fixture(scope="module")
def database(primary: Postgres) -> Iterator[Database]:
    with create_database(primary) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def proxy(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    users = tmp_path_factory.mktemp("auth") / "userlist.txt"
    users.write_text(f'"{ADMIN}" "{PASSWORD}"\n')
    settings = {"pool.size": 1, "pool.reserve_size": 0, "auth.file": users, "auth.admin_users": "app"}
    with serving(database, settings) as running:
        yield running


def open_line(proxy: Proxy, mode: str, user: str = ADMIN) -> pq.PGconn:
    dsn = proxy.dsn(user=user, password=PASSWORD)
    return pq.PGconn.connect(f"{dsn}?replication={mode}".encode())


def ask(line: pq.PGconn, command: str) -> pq.PGresult:
    result = line.exec_(command.encode())
    assert result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK), line.error_message
    return result


def test_base_backup_is_whole(proxy: Proxy, primary: Postgres, tmp_path: Path):
    folder = tmp_path / "backup"
    run(
        primary,
        "pg_basebackup",
        "-c",
        "fast",
        "-D",
        folder,
        "-X",
        "stream",
        dsn=proxy.dsn(user=ADMIN, password=PASSWORD),
    )
    assert "successfully verified" in run(primary, "pg_verifybackup", folder, dsn=proxy.dsn())


def test_wal_is_received_up_to_a_position(proxy: Proxy, primary: Postgres, tmp_path: Path):
    dsn = proxy.dsn(user=ADMIN, password=PASSWORD)
    run(primary, "pg_receivewal", "--slot", "kept", "--create-slot", dsn=dsn)
    with connect(primary) as direct:
        direct.execute("SELECT pg_switch_wal(), pg_logical_emit_message(false, 'x', 'y')")
        (end,) = direct.execute("SELECT pg_current_wal_flush_lsn()").fetchone() or ("",)
    run(primary, "pg_receivewal", "-D", tmp_path, "--slot", "kept", "--endpos", end, "--no-loop", dsn=dsn)
    assert any(len(path.name.split(".")[0]) == 24 for path in tmp_path.iterdir())
    run(primary, "pg_receivewal", "--slot", "kept", "--drop-slot", dsn=dsn)


def test_changes_are_decoded_as_they_are_made(
    proxy: Proxy, primary: Postgres, database: Database, tmp_path: Path
):
    dsn = proxy.dsn(user=ADMIN, password=PASSWORD)
    named = ("--slot", "decoded", "-d", database.name)
    run(primary, "pg_recvlogical", *named, "--create-slot", "-P", "test_decoding", dsn=dsn)
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        client.execute("CREATE TABLE streamed (id int PRIMARY KEY)")
        client.execute("INSERT INTO streamed SELECT generate_series(1, 2000)")
        with connect(primary) as direct:
            (end,) = direct.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",)
    run(primary, "pg_recvlogical", *named, "--start", "--endpos", end, "-f", tmp_path / "out", dsn=dsn)
    assert (tmp_path / "out").read_text().count("table public.streamed: INSERT") == 2000
    run(primary, "pg_recvlogical", *named, "--drop-slot", dsn=dsn)


def test_it_has_a_server_of_its_own_and_is_shown(proxy: Proxy, primary: Postgres):
    line = open_line(proxy, "database")
    assert ask(line, "IDENTIFY_SYSTEM").get_value(0, 3) is not None
    assert ask(line, "SELECT 1").get_value(0, 0) == b"1"
    with (
        psycopg.connect(proxy.dsn(), autocommit=True) as client,
        psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console,
    ):
        assert client.execute("SELECT 2").fetchone() == (2,)
        shown = {}
        for what in ("CLIENTS", "SERVERS"):
            cursor = console.execute(f"SHOW {what}")
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            (shown[what],) = [row for row in rows if row["replication"] != "none"]
        assert shown["CLIENTS"]["replication"] == shown["SERVERS"]["replication"] == "logical"
        assert shown["CLIENTS"]["link"] == shown["SERVERS"]["ptr"]
        with connect(primary) as direct:
            pid = shown["SERVERS"]["remote_pid"]
            found = direct.execute(
                "SELECT backend_type FROM pg_stat_activity WHERE pid = %s", [pid]
            ).fetchone()
        assert found == ("walsender",)
        console.execute(f"KILL_CLIENT {shown['CLIENTS']['id']}")
    line.exec_(b"SELECT 1")
    assert line.status == pq.ConnStatus.BAD
    assert any(row["event"] == "client disconnected" for row in proxy.log_lines())


def test_a_cancel_reaches_its_server(proxy: Proxy, database: Database):
    line = open_line(proxy, "database")
    line.send_query(b"SELECT pg_sleep(60)")
    wait_until(
        database,
        "count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%' AND state = 'active'",
    )
    line.get_cancel().cancel()
    result = line.get_result()
    assert result is not None
    assert result.error_field(pq.DiagnosticField.SQLSTATE) == b"57014"


def test_who_may_not_replicate_is_told_in_the_words_of_postgresql(proxy: Proxy):
    line = open_line(proxy, "true", user="app")
    assert line.status == pq.ConnStatus.BAD
    assert b"permission denied to start WAL sender" in line.error_message


def test_what_is_neither_is_refused_with_what_would_be_right(proxy: Proxy):
    line = open_line(proxy, "maybe")
    assert line.status == pq.ConnStatus.BAD
    assert b'invalid value for parameter "replication": "maybe"' in line.error_message


async def test_both_ends_go_with_the_server(proxy: Proxy, primary: Postgres):
    line = await asyncio.to_thread(open_line, proxy, "database")
    pid = int(ask(line, "SELECT pg_backend_pid()").get_value(0, 0) or 0)
    with connect(primary) as direct:
        direct.execute("SELECT pg_terminate_backend(%s)", [pid])
    await proxy.logged(lambda row: row["event"] == "client disconnected" and row["user"] == ADMIN)
    assert line.exec_(b"SELECT 1").status == pq.ExecStatus.FATAL_ERROR


# --- what administrators ask for ------------------------------------------------------------------------------


def serving_anew(database: Database, folder: Path) -> AbstractContextManager[Proxy]:
    """One that may be stopped."""
    users = folder / "userlist.txt"
    users.write_text(f'"{ADMIN}" "{PASSWORD}"\n')
    return serving(database, {"auth.file": users, "auth.admin_users": "app"})


def test_pause_waits_for_it_and_what_comes_meanwhile_waits_for_the_end_of_the_pause(
    proxy: Proxy, primary: Postgres
):
    dsn = proxy.dsn(user=ADMIN, password=PASSWORD)
    line = open_line(proxy, "true")
    with (
        ThreadPoolExecutor(2) as pool,
        open_client(proxy.dsn("dbproxy")) as console,
        open_client(proxy.dsn("dbproxy")) as second,
    ):
        lists = lambda: dict(row[:2] for row in console.execute("SHOW LISTS").fetchall())  # noqa: E731
        pausing = pool.submit(second.execute, "PAUSE")
        until(lambda: dict(console.execute("SHOW STATE").fetchall())["paused"] == "yes", "paused")
        opening = pool.submit(run, primary, "pg_receivewal", "--slot", "late", "--create-slot", dsn=dsn)
        until(lambda: lists()["login_clients"] == 1, "somebody waits")
        assert ask(line, "IDENTIFY_SYSTEM").ntuples == 1  # it goes on
        assert (pausing.done(), opening.done()) == (False, False)
        line.finish()
        pausing.result(10)
        assert not opening.done()
        console.execute("RESUME")
        opening.result(10)
    run(primary, "pg_receivewal", "--slot", "late", "--drop-slot", dsn=dsn)


def test_reconnect_ends_it(proxy: Proxy):
    line = open_line(proxy, "true")
    with open_client(proxy.dsn("dbproxy")) as console:
        console.execute("RECONNECT")
    assert line.exec_(b"IDENTIFY_SYSTEM").status == pq.ExecStatus.FATAL_ERROR


@pytest.mark.parametrize("awaited", ["SERVERS", "CLIENTS"])
def test_shutdown_waits_for_it(database: Database, tmp_path: Path, awaited: str):
    with serving_anew(database, tmp_path) as proxy:
        line = open_line(proxy, "true")
        with open_client(proxy.dsn("dbproxy")) as console:
            console.execute(f"SHUTDOWN WAIT_FOR_{awaited}")
        until(lambda: open_line(proxy, "true").status == pq.ConnStatus.BAD, "nobody else is let in")
        assert ask(line, "IDENTIFY_SYSTEM").ntuples == 1
        line.finish()
        process = proxy._process
        assert process is not None
        assert process.wait(10) == 0


def test_reload_by_which_it_would_be_opened_otherwise_ends_it(database: Database, tmp_path: Path):
    with serving_anew(database, tmp_path) as proxy:
        line = open_line(proxy, "true")
        users = tmp_path / "userlist.txt"
        with open_client(proxy.dsn("dbproxy")) as console:
            console.execute("RELOAD")
            assert ask(line, "IDENTIFY_SYSTEM").ntuples == 1  # nothing has changed
            users.write_text(f'"{ADMIN}" "another"\n')
            console.execute("RELOAD")
        assert line.exec_(b"IDENTIFY_SYSTEM").status == pq.ExecStatus.FATAL_ERROR
