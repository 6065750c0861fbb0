"""A line of ours and one of OpenSSL's own, by hand, over a real socket."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.net.link import PARTNER_FULL, Link
from dbproxy.net.secure import CUT_OFF, Secure
from dbproxy.net.tls import Files, HandshakeFailed, make_client_context, make_server_context
from dbproxy.net.transport import Transport
from tests.support.certificates import NAME, Authority
from tests.unit.net.test_transport import Protocol, until

LOTS = bytes(range(256)) * 40_000  # 10 MB


class Other:
    """The other end, without an event loop's help: what it sends and reads is as the test wants it."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else NAME
        self.line = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=name
        )

    def write(self, data: bytes) -> bytes:
        """The records; they are not sent yet."""
        while data:
            data = data[self.line.write(data) :]
        return self.outgoing.read()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def receive(self) -> bytes:
        """What has come by now, decrypted; b"" at a goodbye."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                return self.line.read(1 << 20)
            await self.take()

    async def take(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        if not data:
            raise EOFError
        self.incoming.write(data)

    async def shake(self) -> None:
        while True:
            try:
                self.line.do_handshake()
            except ssl.SSLWantReadError:
                await self.send(self.outgoing.read())
                await self.take()
            else:
                await self.send(self.outgoing.read())
                return


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def at_server(authority: Authority) -> ssl.SSLContext:
    own = authority.issue_server()
    return make_client_context(Files(str(own.chain), str(own.key)), "require")


@pytest.fixture(scope="module")
def at_client(authority: Authority) -> ssl.SSLContext:
    return make_server_context(Files(authorities=str(authority.path)), "verify-full")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.settimeout(0)
    theirs.settimeout(0)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
async def line(pair: tuple[socket.socket, socket.socket], at_server: ssl.SSLContext) -> AsyncIterator[Secure]:
    """Ours, at a server's end; nothing has come yet."""
    secure = Secure(at_server, server_side=True)
    secure.begin(Transport(pair[0], secure))
    yield secure
    secure.abort()
    await asyncio.sleep(0)


@pytest.fixture
def other(pair: tuple[socket.socket, socket.socket], at_client: ssl.SSLContext) -> Other:
    return Other(pair[1], at_client, server_side=False)


@pytest.fixture
def protocol() -> Protocol:
    return Protocol()


async def open_line(line: Secure, other: Other, protocol: Protocol) -> None:
    await other.shake()
    await line.shaken
    line.serve(protocol)


async def test_what_one_side_writes_the_other_reads(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    line.write(b"hello")
    assert await other.receive() == b"hello"
    await other.send(other.write(b"and you"))
    await until(lambda: protocol.heard == b"and you")


async def test_what_came_with_the_end_of_the_handshake_is_read(
    line: Secure, other: Other, protocol: Protocol
):
    with contextlib.suppress(ssl.SSLWantReadError):
        other.line.do_handshake()
    await other.send(other.outgoing.read())
    while True:
        await other.take()
        try:
            other.line.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    await other.send(other.outgoing.read() + other.write(b"first"))
    await line.shaken
    line.serve(protocol)
    await until(lambda: protocol.heard == b"first")


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_records_may_come_in_any_pieces(line: Secure, other: Other, protocol: Protocol, size: int):
    await open_line(line, other, protocol)
    data = other.write(LOTS[:300]) + other.write(LOTS[300:40_000] if size > 7 else b"x")
    for at in range(0, len(data), size):
        await other.send(data[at : at + size])
    await until(lambda: protocol.heard == (LOTS[:40_000] if size > 7 else LOTS[:300] + b"x"))


async def test_megabytes_go_both_ways(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    line.write(LOTS)
    assert protocol.told == ["pause"]
    assert line.get_write_buffer_size() > 1_000_000
    heard = b""
    while len(heard) < len(LOTS):
        heard += await other.receive()
    assert heard == LOTS
    await until(lambda: protocol.told == ["pause", "resume"])
    await other.send(other.write(LOTS))
    await until(lambda: len(protocol.heard) == len(LOTS))
    assert protocol.heard == LOTS


class Short:
    """A line that takes half a kilobyte at once."""

    def __init__(self, line: ssl.SSLObject) -> None:
        self.line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)

    def write(self, data: bytes) -> int:
        return self.line.write(data[:512])


async def test_all_is_written_however_much_openssl_takes_at_once(
    pair: tuple[socket.socket, socket.socket], at_server: ssl.SSLContext, other: Other, protocol: Protocol
):
    context: Any = SimpleNamespace(wrap_bio=lambda *ends, **named: Short(at_server.wrap_bio(*ends, **named)))
    line = Secure(context, server_side=True)
    line.begin(Transport(pair[0], line))
    await open_line(line, other, protocol)
    data = LOTS[:20_000]
    line.write(data)
    received = b""
    while len(received) < len(data):
        received += await other.receive()
    assert received == data
    line.abort()


async def test_who_is_paused_hears_nothing_more(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    line.pause_reading()
    await other.send(other.write(b"later"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert protocol.heard == b""
    assert not line.is_reading()
    line.resume_reading()
    await until(lambda: protocol.heard == b"later")


async def test_goodbye_is_said_and_heard(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    line.write(b"last")
    line.close()
    assert await other.receive() == b"last"
    assert await other.receive() == b""  # close_notify, and no mere end
    await until(lambda: protocol.told == ["lost"])
    assert protocol.error is None


async def test_the_peers_goodbye_is_the_end_of_what_it_says(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    data = other.write(b"last words")
    with contextlib.suppress(ssl.SSLError):
        other.line.unwrap()
    await other.send(data + other.outgoing.read())
    await until(lambda: protocol.told == ["eof", "lost"])
    assert protocol.heard == b"last words"
    assert protocol.error is None


async def test_a_goodbye_is_not_heard_while_paused(line: Secure, other: Other):
    class Pausing(Protocol):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            line.pause_reading()

    protocol = Pausing()
    await open_line(line, other, protocol)
    data = other.write(b"a request")
    with contextlib.suppress(ssl.SSLError):
        other.line.unwrap()
    await other.send(data + other.outgoing.read())
    await until(lambda: protocol.heard == b"a request")
    assert protocol.told == []
    line.write(b"its answer")
    assert await other.receive() == b"its answer"
    line.resume_reading()
    await until(lambda: protocol.told == ["eof", "lost"])


async def test_a_line_that_is_cut_off_is_told_apart_from_one_that_was_ended(
    line: Secure, other: Other, protocol: Protocol
):
    await open_line(line, other, protocol)
    other.sock.close()
    await until(lambda: protocol.told == ["lost"])
    assert str(protocol.error) == CUT_OFF


async def test_a_record_that_was_tampered_with_ends_the_line(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    record = bytearray(other.write(b"DROP TABLE t"))
    record[-1] ^= 1
    await other.send(bytes(record))
    await until(lambda: protocol.told == ["lost"])
    assert protocol.heard == b""
    assert "SSL error" in str(protocol.error)


async def test_what_is_written_before_the_handshake_is_done_goes_nowhere(
    line: Secure, other: Other, protocol: Protocol
):
    line.write(b"in the clear")
    await open_line(line, other, protocol)
    line.write(b"safe")
    assert await other.receive() == b"safe"


@pytest.mark.parametrize(
    "garbage", [b"\0\0\0\x08\x04\xd2\x16\x2f", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\x04\x63\0\0\0"]
)
async def test_what_is_no_handshake_is_none(line: Secure, other: Other, garbage: bytes):
    await other.send(garbage)
    with pytest.raises(HandshakeFailed):
        async with asyncio.timeout(5):
            await line.shaken


async def test_a_handshake_that_is_broken_off_has_failed(line: Secure, other: Other):
    with contextlib.suppress(ssl.SSLWantReadError):
        other.line.do_handshake()
    await other.send(other.outgoing.read()[:50])
    other.sock.close()
    with pytest.raises(HandshakeFailed, match="closed during the handshake"):
        await line.shaken


async def test_who_is_told_of_an_authority_that_it_does_not_know_says_so(pair, at_server, tmp_path):
    stranger = Authority(tmp_path)
    context = make_server_context(Files(authorities=str(stranger.path)), "verify-ca")
    secure = Secure(context, server_side=False, name=NAME)
    other = Other(pair[1], at_server, server_side=True)
    secure.begin(Transport(pair[0], secure))
    with contextlib.suppress(ssl.SSLError):
        await other.shake()
    with pytest.raises(HandshakeFailed, match="certificate verify failed"):
        await secure.shaken


async def test_news_are_what_has_come_and_was_not_read(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    link = Link()
    link.attach(line)
    assert link.is_encrypted()
    assert not link.has_news()
    link.hold(PARTNER_FULL)
    await other.send(other.write(b"unread"))
    await until(link.has_news)
    link.free(PARTNER_FULL)
    await until(lambda: protocol.heard == b"unread")
    assert not link.has_news()
    record = other.write(b"in halves")
    await other.send(record[:10])
    await until(link.has_news)  # a server that is amid saying something is not lent
    await other.send(record[10:])
    await until(lambda: protocol.heard.endswith(b"in halves"))
    assert not link.has_news()
    link.hold(PARTNER_FULL)
    other.sock.close()
    await until(link.has_news)


async def test_a_transport_can_be_asked_what_ours_can(line: Secure, other: Other, protocol: Protocol):
    await open_line(line, other, protocol)
    assert line.get_extra_info("peername") == other.sock.getsockname()
    assert line.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert line.get_extra_info("cipher", "none") == "none"
    assert not line.is_closing()
    line.abort()
    assert line.is_closing()
    await until(lambda: protocol.told == ["lost"])


async def test_a_protocol_that_comes_too_late_hears_of_the_end(
    line: Secure, other: Other, protocol: Protocol
):
    await other.shake()
    await line.shaken
    line.abort()
    await asyncio.sleep(0)
    line.serve(protocol)
    await until(lambda: protocol.told == ["lost"])
