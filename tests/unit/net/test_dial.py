"""Reaching a host by any of its addresses."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dbproxy.net import dial
from dbproxy.net import names as module
from dbproxy.net.dial import Way, open_socket, prefer_alive
from dbproxy.net.loop import Loop
from dbproxy.net.names import Address, names_here
from tests.support.door import Door


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    async def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    door = Door(turn_away)
    door.listen()
    try:
        yield door.port
    finally:
        await door.end()


def know(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """What the resolver says of any name."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    numeric = socket.getaddrinfo

    def answer(host: str, port: int, **how: int) -> object:
        return numeric(host, port, **how) if how.get("flags") else found

    monkeypatch.setattr(module.socket, "getaddrinfo", answer)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """Where nobody ever answers, as behind a firewall that drops."""
    dead: set[tuple[str, int]] = set()
    connect = dial._connect

    async def held(family: int, endpoint: tuple[str, int]) -> socket.socket:
        if endpoint[:2] in dead:
            await asyncio.Event().wait()
        return await connect(family, endpoint)

    monkeypatch.setattr(dial, "_connect", held)
    return dead


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_dead_first_address_holds_nobody_up_and_is_last_from_then_on(
    monkeypatch: pytest.MonkeyPatch, hanging: set[tuple[str, int]]
):
    dead: Address = (socket.AF_INET, ("192.0.2.1", 5432))
    hanging.add(("192.0.2.1", 5432))
    async with listening() as port:
        know(monkeypatch, ("192.0.2.1", 5432), ("127.0.0.1", port))
        (await open_socket("db.test", 5432)).close()
        assert (await names_here().find("db.test", 5432))[-1] == dead
        monkeypatch.setattr(dial, "HEAD_START", 3600)
        (await open_socket("db.test", 5432)).close()  # without a head start for the dead one


async def test_address_where_nobody_listens_is_passed_over_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dial, "HEAD_START", 3600)
    async with listening() as port:
        know(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", port))
        (await open_socket("db.test", 5432)).close()


async def test_name_that_has_moved_is_found_where_it_is_now(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dial, "HEAD_START", 3600)
    know(monkeypatch, ("127.0.0.1", free_port()))
    with pytest.raises(ConnectionRefusedError):
        await open_socket("db.test", 5432)
    async with listening() as port:
        know(monkeypatch, ("127.0.0.1", port))
        (await open_socket("db.test", 5432)).close()


async def test_error_is_that_of_the_address_that_comes_first(monkeypatch: pytest.MonkeyPatch):
    know(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", free_port()))
    with pytest.raises(ConnectionRefusedError):
        await open_socket("db.test", 5432)


async def test_host_by_its_address_is_not_looked_up():
    async with listening() as port:
        (await open_socket("no.such.name.test", port, Way(address="127.0.0.1"))).close()


async def test_socket_has_the_options_that_were_asked_for():
    options = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77))
    async with listening() as port:
        with await open_socket("127.0.0.1", port, Way(options=options)) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        with await open_socket("127.0.0.1", port) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_addresses_are_put_in_order_for_who_tries_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, hanging: set[tuple[str, int]]
):
    hanging.add(("192.0.2.1", 5432))
    async with listening() as port:
        know(monkeypatch, ("192.0.2.1", 5432), ("127.0.0.1", port))
        await prefer_alive("db.test", 5432)
        loop = asyncio.get_running_loop()
        if isinstance(loop, Loop):  # uvloop has a way of its own
            found = await loop.getaddrinfo("db.test", 5432, type=socket.SOCK_STREAM)
            assert found[0][4] == ("127.0.0.1", port)
        assert (await names_here().find("db.test", 5432))[0][1] == ("127.0.0.1", port)
