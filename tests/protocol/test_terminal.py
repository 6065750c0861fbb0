"""`dbproxy admin` and `dbproxy top` over a real connection to a proxy's console, and consoles that misbehave."""

import asyncio
import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest
from rich.console import Console

from dbproxy.errors import ConfigurationError, ProtocolViolation, ServerLost, ServerRefused, ServerUnavailable
from dbproxy.net.tls import Files
from dbproxy.terminal.address import Address
from dbproxy.terminal.command import run_commands
from dbproxy.terminal.connection import Connection
from dbproxy.terminal.encryption import PREFERRED, Wish, read_wish
from dbproxy.terminal.format import Format
from dbproxy.terminal.top import Top, show_once
from dbproxy.wire import build
from dbproxy.wire.codes import Authentication
from tests.protocol.test_waiting import hold
from tests.support.certificates import Authority
from tests.support.house import House
from tests.support.speech import query

Enter = Callable[..., Any]
PATIENCE = 5.0


@pytest.fixture
async def console(enter: Enter) -> House:
    """A house whose user `app` may use the console."""
    return await enter({"auth.admin_users": "app", "pool.size": 1, "pool.reserve_size": 0})


def address(house: House, user: str = "app") -> Address:
    return Address("127.0.0.1", house.port, user)


def ask(house: House, *commands: str, chosen: Format = Format.JSON) -> Any:
    return asyncio.to_thread(lambda: list(run_commands(address(house), commands, chosen)))


async def test_commands_are_answered_in_turn(console: House):
    answers = await ask(console, "SHOW STATE; SHOW VERSION", "SET datestyle = ISO")
    texts = [text for text, _ in answers]
    assert texts[0].startswith('[{"key": "active", "value": "yes"}')
    assert texts[1].startswith('[{"version": "dbproxy ')
    assert answers[2] == ('{"command": "SET"}\n', ["NOTICE: SET ignored"])


async def test_error_is_the_consoles_and_ends_the_rest(console: House):
    with pytest.raises(ServerRefused, match="invalid command 'nonsense', use SHOW HELP;"):
        await ask(console, "nonsense", "PAUSE")
    assert not console.proxy.paused


async def test_rows_come_as_they_are_typed(console: House):
    client, server = await hold(console)
    waiting = await console.client()
    waiting.send(query("SELECT 1"))
    await console.until(lambda: len(console.pool.waiting) == 1)
    with await asyncio.to_thread(Connection, address(console)) as connection:
        (result,) = await asyncio.to_thread(connection.ask, "SHOW WAITS")
    (row,) = result.records()
    assert (row["client"], row["holder"]) == (console.inside(waiting).id, console.inside(client).id)
    assert row["server_pid"] == server.pid
    assert isinstance(row["held_seconds"], float)


async def test_command_that_waits_is_taken_back(console: House):
    client, _ = await hold(console)
    connection = await asyncio.to_thread(Connection, address(console))
    pausing = asyncio.create_task(asyncio.to_thread(connection.ask, "PAUSE"))
    await console.until(lambda: console.proxy.paused)
    await asyncio.to_thread(connection.cancel)
    with pytest.raises(ServerRefused, match="PAUSE was ended"):
        await pausing
    assert not console.proxy.paused
    connection.close()
    client.cut()


async def test_who_may_not_ask_is_told_so(console: House):
    with pytest.raises(ServerRefused, match='user "nobody" may not use the console'):
        await asyncio.to_thread(Connection, address(console, "nobody"))


async def test_top_shows_a_running_proxy_and_goes_on_after_it_was_away(console: House):
    await hold(console)
    shown = io.StringIO()
    screen = Console(file=shown, width=160)
    await asyncio.to_thread(show_once, address(console), screen)
    assert "HOLDERS" in shown.getvalue()
    assert "BEGIN" in shown.getvalue()
    top = await asyncio.to_thread(Top, address(console))
    first = await asyncio.to_thread(top.look, monotonic(), 5)
    assert top.console is not None
    top.console.socket.shutdown(socket.SHUT_RDWR)
    screen.print(await asyncio.to_thread(top.look_again, monotonic(), 5, first))
    assert "was lost" in shown.getvalue()
    assert top.console is None
    await asyncio.to_thread(top.look_again, monotonic(), 5, first)
    assert top.console is not None
    top.close()


# --- consoles that misbehave ---


@contextmanager
def saying(*data: bytes) -> Iterator[Address]:
    """A server that says this to whoever connects, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(1000)
                connected.sendall(b"".join(data))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address("127.0.0.1", listening.getsockname()[1], "app", tls=Wish("disable", Files()))
        finally:
            thread.join(PATIENCE)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ServerUnavailable, match="cannot connect to the console") as raised:
        Connection(Address("127.0.0.1", port, "app"))
    assert "--port" in raised.value.hint
    with pytest.raises(ServerUnavailable, match=r"/nowhere/.s.PGSQL.5"):
        Connection(Address("/nowhere", 5, "app"))


@pytest.mark.parametrize("data", [b"", b"R\0\0", b"R\0\0\0\x08\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_console_is_an_error_of_ours(data: bytes):
    with saying(data) as where, pytest.raises(ServerLost, match="was lost: it was closed"):
        Connection(where)


def test_what_answers_neither_yes_nor_no_to_tls_is_no_console():
    with saying(b"HTTP/1.1 400") as where, pytest.raises(ServerUnavailable, match="is no console"):
        Connection(replace(where, tls=PREFERRED))


def test_password_that_is_wanted_and_not_known_says_where_to_put_it():
    with saying(build.authentication(Authentication.MD5_PASSWORD, b"salt")) as where:
        with pytest.raises(ConfigurationError, match="asks user") as raised:
            Connection(where)
        assert "PGPASSWORD" in raised.value.hint


def test_console_that_is_ready_without_a_login():
    with (
        saying(build.ready_for_query(ord("I"))) as where,
        pytest.raises(ProtocolViolation, match="ready before"),
    ):
        Connection(where)


# --- over TLS -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def version(house: House, **environ: str) -> str:
    where = Address("127.0.0.1", house.port, "app", tls=read_wish(environ))
    answers = await asyncio.to_thread(lambda: list(run_commands(where, ["SHOW VERSION"], Format.JSON)))
    return answers[0][0]


async def test_console_that_wants_tls_has_it_whatever_settings_are_at_hand(
    enter: Enter, authority: Authority
):
    own, mine = authority.issue_server(), authority.issue("app")
    keys = {
        "tls.client_tls_cert_file": own.chain,
        "tls.client_tls_key_file": own.key,
        "auth.admin_users": "app",
    }
    house = await enter({**keys, "tls.client_tls_sslmode": "require"})
    trusting = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(authority.path)}
    for environ in ({}, {"PGSSLMODE": "require"}, trusting):
        assert "dbproxy" in await version(house, **environ)
    with pytest.raises(ServerUnavailable, match="certificate verify failed"):
        await version(house, PGSSLMODE="verify-full", PGSSLROOTCERT="system")
    with pytest.raises(ServerRefused, match="SSL required"):
        await version(house, PGSSLMODE="disable")
    demanding = {"tls.client_tls_ca_file": authority.path, "tls.client_tls_sslmode": "verify-ca"}
    house = await enter({**keys, **demanding})
    assert "dbproxy" in await version(house, PGSSLCERT=str(mine.chain), PGSSLKEY=str(mine.key))
    with pytest.raises(ServerLost, match="certificate required") as caught:
        await version(house)
    assert "PGSSLCERT" in caught.value.hint


async def test_console_without_tls_is_left_by_who_must_have_it(console: House):
    assert "dbproxy" in await version(console)
    with pytest.raises(ServerUnavailable, match="does not speak TLS, and PGSSLMODE is require"):
        await version(console, PGSSLMODE="require")
