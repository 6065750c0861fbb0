"""What a client asks for when it connects stays true for it, on whatever server it is, and for nobody else."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.support.blocking_client import BlockingClient
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import function_call


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """A pool of one: every client has the server that another had before."""
    with serving(module_database, {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}) as running:
        yield running


def connect(proxy: Proxy, **parameters: object) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, **parameters)  # type: ignore[arg-type]


def show(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def test_each_client_has_its_own_settings(proxy: Proxy):
    wanted = [
        {},
        {"options": "-c TimeZone=Asia/Tokyo"},
        {"options": "-c timezone=Europe/Paris -c search_path=one,two", "application_name": "shop"},
        {"options": "--datestyle=German --work_mem=7MB"},
        {"application_name": "back\\slash 'quote' ü"},
        {"client_encoding": "LATIN1"},
    ]
    names = ("TimeZone", "search_path", "application_name", "DateStyle", "work_mem", "client_encoding")
    plain = ("Etc/UTC", '"$user", public', "", "ISO, MDY", "4MB", "UTF8")
    changes = [
        {},
        {"TimeZone": "Asia/Tokyo"},
        {"TimeZone": "Europe/Paris", "search_path": "one,two", "application_name": "shop"},
        {"DateStyle": "German, DMY", "work_mem": "7MB"},
        {"application_name": "back\\slash 'quote' ü"},
        {"client_encoding": "LATIN1"},
    ]
    expected = [{**dict(zip(names, plain, strict=True)), **change} for change in changes]
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy, **parameters)) for parameters in wanted]
        for _ in range(3):
            for client, settings in zip(clients, expected, strict=True):
                shown = {name: show(client, name) for name in names}
                shown["application_name"] = shown["application_name"].replace("\\xc3\\xbc", "ü")
                assert shown == settings


def test_parameter_status_tells_what_was_asked_for(proxy: Proxy, module_database: Database):
    for zone in ("Asia/Tokyo", "Europe/Paris"):
        with (
            connect(
                proxy, options=f"-c TimeZone={zone}", application_name="shop", client_encoding="latin1"
            ) as ours,
            psycopg.connect(
                module_database.dsn,
                options=f"-c TimeZone={zone}",
                application_name="shop",
                client_encoding="latin1",
            ) as direct,
        ):
            for name in (
                "TimeZone", "application_name", "client_encoding", "server_version", "DateStyle", "IntervalStyle",
                "integer_datetimes", "is_superuser", "session_authorization", "standard_conforming_strings",
                "default_transaction_read_only", "in_hot_standby", "search_path", "scram_iterations",
            ):  # fmt: skip
                value = direct.info.parameter_status(name)
                assert ours.info.parameter_status(name) == value, name


@pytest.mark.parametrize(
    "options",
    [
        "-c TimeZone=Mars/Olympus",
        "-c no_such_setting=1",
        "-c work_mem=many",
        "-c fsync=off",
        "--no-such=1",
    ],
)
def test_a_value_that_postgresql_refuses_is_refused_in_its_words(
    proxy: Proxy, module_database: Database, options: str
):
    with pytest.raises(psycopg.OperationalError) as direct:
        psycopg.connect(module_database.dsn, options=options)
    with pytest.raises(psycopg.OperationalError) as ours:
        connect(proxy, options=options)
    assert last_line(ours.value) == last_line(direct.value)
    with connect(proxy) as unharmed:
        assert show(unharmed, "TimeZone") == "Etc/UTC"


def last_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[-1].split("FATAL: ")[-1].strip()


def test_settings_reach_the_first_extended_query_too(proxy: Proxy):
    for zone in ("Asia/Tokyo", "Europe/Paris", "Asia/Tokyo"):
        with connect(proxy, options=f"-c TimeZone={zone}", prepare_threshold=0) as client:
            assert show(client, "TimeZone") == zone


def test_notice_right_after_the_settings_reaches_its_client(proxy: Proxy):
    heard = []
    for zone in ("Asia/Tokyo", "Europe/Paris", "Asia/Tokyo"):
        with connect(proxy, options=f"-c TimeZone={zone}") as client:
            client.add_notice_handler(lambda notice: heard.append(notice.message_primary))
            client.execute("DO $$ BEGIN RAISE NOTICE 'hear, hear'; END $$")
    assert heard == ["hear, hear"] * 3


def test_function_call_right_after_the_settings_is_answered(proxy: Proxy, module_database: Database):
    for zone in ("Asia/Tokyo", "Europe/Paris"):
        who = {"user": "app", "database": module_database.name, "TimeZone": zone}
        with BlockingClient(proxy.host, proxy.port, **who) as client:
            assert client.ask(function_call(177, b"1", b"2")) == [("V", struct.pack("!ii", 4, 3))]


def test_settings_hold_in_a_transaction_begun_before_another_clients(proxy: Proxy):
    with connect(proxy, options="-c TimeZone=Asia/Tokyo") as one, connect(proxy) as other:
        with one.transaction():
            assert show(one, "TimeZone") == "Asia/Tokyo"
        assert show(other, "TimeZone") == "Etc/UTC"
        with one.transaction():
            assert show(one, "TimeZone") == "Asia/Tokyo"


def test_role_and_read_only_follow_their_client(proxy: Proxy, module_database: Database):
    with (
        connect(proxy, options="-c default_transaction_read_only=on") as reader,
        connect(proxy) as writer,
    ):
        for number in range(3):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reader.execute("CREATE TABLE never (id int)")
            writer.execute(f"CREATE TABLE written{number} (id int)")


def test_statement_timeout_is_the_clients_own(proxy: Proxy):
    with connect(proxy, options="-c statement_timeout=50") as hasty, connect(proxy) as patient:
        for _ in range(2):
            with pytest.raises(psycopg.errors.QueryCanceled):
                hasty.execute("SELECT pg_sleep(10)")
            patient.execute("SELECT pg_sleep(0.1)")


@pytest.mark.parametrize("unix", [False, True])
def test_server_is_told_where_a_client_comes_from(database: Database, tmp_path: Path, *, unix: bool):
    settings = {
        "pool.size": 1,
        "pool.application_name_add_host": True,
        "auth.type": "trust",
        "listen.unix_socket_dir": tmp_path,
    }
    with serving(database, settings) as proxy:
        host = {"host": str(tmp_path)} if unix else {}
        names = []
        for name in ("shop", "back office"):
            with psycopg.connect(proxy.dsn(), autocommit=True, application_name=name, **host) as client:
                row = client.execute(
                    "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
                ).fetchone()
                place = "unix" if unix else client_address(client)
                names.append((row, f"{name} - {place}"))
                assert client.info.parameter_status("application_name") == f"{name} - {place}"
        assert [row for row, _ in names] == [(told,) for _, told in names]


def client_address(client: psycopg.Connection) -> str:
    with socket.socket(fileno=os.dup(client.fileno())) as end:
        host, port = end.getsockname()
    return f"{host}:{port}"


@pytest.mark.parametrize(
    "failing", ["RESET ALL; SELECT 1/0", "SELECT 1; DISCARD ALL", "RESET work_mem; SELECT 1/0"]
)
def test_reset_that_fails_leaves_what_was_set_since(proxy: Proxy, failing: str):
    names = ("application_name", "work_mem", "app.who")
    options = "-c app.who=start -c work_mem=7MB"
    with connect(proxy, application_name="start", options=options) as client:
        client.execute("SET application_name = 'own'; SET work_mem = '9MB'; SET app.who = 'own'")
        with pytest.raises(psycopg.Error):
            client.execute(failing)
        assert [show(client, name) for name in names] == ["own", "9MB", "own"]
        client.execute("RESET ALL")
        assert [show(client, name) for name in names] == ["start", "7MB", "start"]
