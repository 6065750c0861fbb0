import asyncio
import errno
import socket
from pathlib import Path

import pytest

from dbproxy.errors import ConfigurationError
from dbproxy.net import listen
from dbproxy.net.connect import connect
from dbproxy.net.listen import Listener, listen_tcp, listen_unix
from dbproxy.net.transport import Receiver, Transport


class Protocol(Receiver):
    """Knows its transport, and sends back what comes."""

    transport: Transport

    def __init__(self) -> None:
        self.arrived = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.arrived.set_result(data)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        """As it comes."""


class Exhausted(socket.socket):
    """No descriptor is left for the first who comes."""

    refusals = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def talk(listener: Listener, accepted: list[Protocol], host: str, port: int) -> None:
    """What is sent on one side arrives at the other."""
    try:
        async with asyncio.timeout(10):
            dialled = await connect(Protocol, host, port)
            dialled.transport.write(b"hello")
            while not accepted:  # noqa: ASYNC110  # a plain list: nothing to await
                await asyncio.sleep(0)
            assert await accepted[0].arrived == b"hello"
    finally:
        listener.close()
        for protocol in (*accepted, dialled):
            protocol.transport.abort()
        await asyncio.sleep(0)


def keep(accepted: list[Protocol]) -> Protocol:
    accepted.append(Protocol())
    return accepted[-1]


async def test_a_connection_is_given_a_protocol_of_its_own() -> None:
    accepted: list[Protocol] = []
    listener = await listen_tcp(lambda: keep(accepted), ["127.0.0.1"], 0, 10, "listen.port")
    await talk(listener, accepted, "localhost", _port(listener))
    assert len(accepted) == 1


async def test_a_unix_socket_is_named_as_postgresqls_and_its_name_goes_with_it(tmp_path: Path) -> None:
    accepted: list[Protocol] = []
    listener = await listen_unix(lambda: keep(accepted), str(tmp_path), 6432, 0o700, 10)
    name = tmp_path / ".s.PGSQL.6432"
    assert name.is_socket()
    await talk(listener, accepted, str(tmp_path), 6432)
    assert not name.exists()


async def test_who_finds_no_descriptor_left_is_accepted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "PAUSE", 0.001)
    accepted: list[Protocol] = []
    exhausted = Exhausted(socket.AF_INET)
    exhausted.bind(("127.0.0.1", 0))
    exhausted.listen()
    listener = Listener(lambda: keep(accepted), [exhausted])
    await talk(listener, accepted, "127.0.0.1", _port(listener))
    assert exhausted.refusals == 0


async def test_an_address_that_is_taken_is_told_with_the_setting() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match="Address already in use") as told,
    ):
        await listen_tcp(Protocol, ["127.0.0.1"], taken.getsockname()[1], 10, "listen.port")
    assert told.value.hint == "Change listen.port."


async def test_a_refused_connection_is_told_in_the_systems_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ConnectionRefusedError, match="Connection refused"):
        await connect(Protocol, "127.0.0.1", port)


def _port(listener: Listener) -> int:
    return int(listener.sockets[0].getsockname()[1])
