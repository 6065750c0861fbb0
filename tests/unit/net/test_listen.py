import asyncio
import errno
import socket
from pathlib import Path

import pytest

from dbproxy.errors import ConfigurationError
from dbproxy.net import listen
from dbproxy.net.connect import connect
from dbproxy.net.direct import accept_next
from dbproxy.net.listen import Listener, describe_peer, listen_tcp, listen_unix
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


async def test_a_connection_is_kept_alive_by_the_kernel_and_what_it_is_sent_is_not_delayed() -> None:
    accepted: list[Protocol] = []
    listener = await listen_tcp(lambda: keep(accepted), ["127.0.0.1"], 0, 10, "listen.port")
    _, writer = await asyncio.open_connection("127.0.0.1", _port(listener))
    while not accepted:  # noqa: ASYNC110  # a plain list
        await asyncio.sleep(0)
    line = accepted[0].transport.get_extra_info("socket")
    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    writer.close()
    accepted[0].transport.abort()
    listener.close()
    await asyncio.sleep(0)


async def test_a_unix_socket_is_named_as_postgresqls_and_its_name_goes_with_it(tmp_path: Path) -> None:
    accepted: list[Protocol] = []
    listener = await listen_unix(lambda: keep(accepted), str(tmp_path), 6432, 0o700, 10)
    name = tmp_path / ".s.PGSQL.6432"
    assert name.is_socket()
    await talk(listener, accepted, str(tmp_path), 6432)
    assert not name.exists()


async def test_an_abstract_unix_socket_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    accepted: list[Protocol] = []
    listener = await listen_unix(lambda: keep(accepted), "@dbproxy-test-listen", 6432, 0o700, 10)
    assert listener.sockets[0].getsockname() == b"\0dbproxy-test-listen/.s.PGSQL.6432"
    with pytest.raises(ConfigurationError, match=r"cannot listen on @dbproxy-test-listen/\.s\.PGSQL\.6432"):
        await listen_unix(lambda: keep([]), "@dbproxy-test-listen", 6432, 0o700, 10)
    await talk(listener, accepted, "@dbproxy-test-listen", 6432)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240  # a look at an empty folder


async def test_a_port_that_is_taken_is_told_once() -> None:
    listener = await listen_tcp(lambda: keep([]), ["127.0.0.1"], 0, 10, "listen.port")
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(ConfigurationError) as raised:
        await listen_tcp(lambda: keep([]), ["127.0.0.1"], port, 10, "listen.port")
    assert raised.value.message == f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert raised.value.hint == "Change listen.port."
    listener.close()


@pytest.mark.parametrize("host", ["host.invalid", "192.0.2.1"])
async def test_an_address_that_is_not_ours_is_told_as_that(host: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"on {host} port 0: (?!Unknown error)") as raised:
        await listen_tcp(lambda: keep([]), [host], 0, 10, "listen.port")
    assert raised.value.hint.startswith("Change listen.host")


async def test_socket_that_was_handed_over_keeps_its_name(tmp_path: Path) -> None:
    name = tmp_path / "socket"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(name))
    listening.listen()
    Listener(Protocol, [listening], own=False).close()
    assert name.is_socket()


async def test_who_finds_no_descriptor_left_is_accepted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "PAUSE", 0.001)
    accepted: list[Protocol] = []
    refusals = [OSError(errno.EMFILE, "Too many open files")]

    def accept(listening: socket.socket) -> tuple[int, object] | None:
        if refusals:
            raise refusals.pop()
        return accept_next(listening)

    monkeypatch.setattr(listen, "accept_next", accept)
    listener = await listen_tcp(lambda: keep(accepted), ["127.0.0.1"], 0, 10, "listen.port")
    await talk(listener, accepted, "127.0.0.1", _port(listener))
    assert not refusals


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
async def test_ipv4_address_is_shown_as_one_where_a_socket_is_for_both_versions() -> None:
    """Else a rule that rejects 10.0.0.0/8 would let in who comes from there."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        accepted: list[Protocol] = []

        def accept() -> Protocol:
            accepted.append(Protocol())
            return accepted[-1]

        listener = Listener(accept, [both], own=False)
        await talk(listener, accepted, "127.0.0.1", _port(listener))
    assert describe_peer(accepted[0].transport)[0] == "127.0.0.1"


async def test_a_connection_that_cannot_be_served_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

    def fail() -> object:
        raise ZeroDivisionError

    listener = await listen_tcp(fail, ["127.0.0.1"], 0, 10, "listen.port")
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(listener))
    assert await reader.read() == b""
    assert told == ["internal error"]
    writer.close()
    listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_whoever_is_accepted_has_the_name_that_it_has_given_itself(host: str) -> None:
    accepted: list[Protocol] = []
    try:
        listener = await listen_tcp(lambda: keep(accepted), [host], 0, 10, "listen.port")
    except ConfigurationError:
        pytest.skip("no IPv6 here")
    _, writer = await asyncio.open_connection(host, _port(listener))
    while not accepted:  # noqa: ASYNC110  # a plain list
        await asyncio.sleep(0)
    transport = accepted[0].transport
    assert transport.get_extra_info("peername") == writer.get_extra_info("sockname")
    assert transport.get_extra_info("sockname") == writer.get_extra_info("peername")
    assert transport.get_extra_info("socket").fileno() >= 0
    writer.close()
    transport.abort()
    listener.close()
    await asyncio.sleep(0)


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
