"""Every sslmode against servers that can, cannot, fail and lie."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from dbproxy.net.connect import SSL_REQUEST, connect
from dbproxy.net.secure import Secure
from dbproxy.net.tls import Files, HandshakeFailed, ServerTls, make_client_context, make_server_context
from tests.support.certificates import NAME, Authority
from tests.support.door import Door
from tests.unit.net.test_transport import Protocol, until

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
MAY_BE_PLAIN = ("disable", "allow", "prefer")


class Server:
    """Listens; each connection is answered by the next of `answers`, the last for ever."""

    def __init__(self, context: ssl.SSLContext, *answers: str) -> None:
        self.context = context
        self.answers = list(answers)
        self.asked: list[bytes] = []  # what each connection began with
        self.open = 0
        self.names: list[str | None] = []

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Answer, and stay until the other side has gone."""
        self.open += 1
        try:
            with contextlib.suppress(OSError):
                await self.answer(reader, writer)
                while await reader.read(1000):
                    pass
        finally:
            writer.transport.abort()
            self.open -= 1

    async def answer(self, reader: Reader, writer: Writer) -> None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        with contextlib.suppress(OSError):
            if answer == "plain":
                writer.write(b"plain")
                return
            self.asked.append(await reader.read(8))
            words = {
                "no": b"Nplain",
                "more": b"SR\0\0\0\x08\0\0\0\0",
                "error": b"E\0\0\0\x05\0",
                "nonsense": b"?",
            }
            writer.write(words.get(answer, b"S"))
            if answer == "yes":
                await writer.start_tls(self.context)
                writer.write(b"safe")
            elif answer == "fails":
                await reader.read(1000)
                writer.write(b"\x15\x03\x01\0\x02\x02\x28")  # alert: handshake failure
            elif answer == "hangs up":
                writer.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    own = authority.issue_server()
    return make_client_context(Files(str(own.chain), str(own.key)), "require")


Wish = Callable[..., ServerTls]


@pytest.fixture(scope="module")
def wish(authority: Authority) -> Wish:
    def make(mode: str, name: str = NAME, **more: Any) -> ServerTls:
        files = Files(authorities=str(authority.path) if mode.startswith("verify") else "")
        return ServerTls(mode, name, make_server_context(files, mode), **more)

    return make


class Guest(Protocol):
    """Keeps its transport."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport


async def meet(server: Server, tls: ServerTls | None, directly: ssl.SSLContext | None = None) -> str:
    """What the server says to a protocol that has come so: "plain" or "safe"."""
    door = Door(server.serve, directly)
    door.listen()
    protocol = Guest()
    try:
        await connect(lambda: protocol, "127.0.0.1", door.port, tls)
        await until(lambda: protocol.heard != b"")
        protocol.transport.abort()
        await until(lambda: "lost" in protocol.told)
        return protocol.heard.decode()
    finally:
        await door.end()


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_that_can(context: ssl.SSLContext, wish: Wish, mode: str):
    encrypted = mode not in ("disable", "allow")
    server = Server(context, "yes" if encrypted else "plain")
    tls = wish(mode)
    assert await meet(server, tls) == ("safe" if encrypted else "plain")
    assert server.asked == ([SSL_REQUEST] if encrypted else [])
    assert (tls.handshakes.done, tls.handshakes.failed) == (encrypted, 0)


async def test_where_nothing_is_wished_nothing_is_asked(context: ssl.SSLContext):
    assert await meet(Server(context, "plain"), None) == "plain"


@pytest.mark.parametrize("mode", MODES[2:])
async def test_a_server_that_cannot(context: ssl.SSLContext, wish: Wish, mode: str):
    server = Server(context, "no")
    if mode == "prefer":
        assert await meet(server, wish(mode)) == "plain"
        assert server.asked == [SSL_REQUEST]  # it goes on as it began
        return
    with pytest.raises(HandshakeFailed, match="does not support SSL, but SSL was required"):
        await meet(server, wish(mode))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("more", "received unencrypted data after SSL response"),
        ("error", "error response during SSL exchange"),
        ("nonsense", "invalid response to SSL negotiation: 0x3f"),
        ("fails", "handshake failure"),
        ("hangs up", "closed"),
    ],
)
@pytest.mark.parametrize("mode", ["prefer", "require", "verify-full"])
async def test_a_server_with_which_it_fails(
    context: ssl.SSLContext, wish: Wish, mode: str, answer: str, why: str
):
    """As an attacker in between may; prefer promises nothing, and goes on without."""
    server = Server(context, answer, "plain")
    if mode == "prefer":
        assert await meet(server, wish(mode)) == "plain"
        return
    with pytest.raises(OSError, match=f"{why}|reset"):
        await meet(server, wish(mode))


async def test_a_server_that_nobody_vouches_for(
    context: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory
):
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    files = Files(authorities=str(stranger.path))
    for mode in ("prefer", "require", "verify-ca", "verify-full"):
        tls = ServerTls(mode, NAME, make_server_context(files, mode))
        if mode == "prefer":
            assert await meet(Server(context, "yes", "plain"), tls) == "plain"
            assert tls.handshakes.failed == 1
            continue
        with pytest.raises(HandshakeFailed, match="certificate verify failed"):
            await meet(Server(context, "yes"), tls)
        assert tls.handshakes.failed == 1


async def test_a_server_of_another_name(context: ssl.SSLContext, wish: Wish):
    assert await meet(Server(context, "yes"), wish("verify-ca", "other.test")) == "safe"
    with pytest.raises(HandshakeFailed, match=r"Hostname mismatch.*other\.test"):
        await meet(Server(context, "yes"), wish("verify-full", "other.test"))
    assert (
        await meet(Server(context, "yes"), wish("verify-full", "127.0.0.1")) == "safe"
    )  # it is in there, too
    with pytest.raises(HandshakeFailed, match="IP address mismatch"):
        await meet(Server(context, "yes"), wish("verify-full", "127.0.0.2"))
    with pytest.raises(HandshakeFailed, match="cannot be asked for"):
        await meet(Server(context, "yes"), wish("verify-full", "a" * 64 + ".test"))


@pytest.mark.parametrize(
    ("name", "sni", "told"),
    [(NAME, True, NAME), (f"{NAME}.", True, NAME), (NAME, False, None), ("127.0.0.1", True, None)],
)
async def test_the_server_is_told_which_name_it_is_called_by(
    authority: Authority, wish: Wish, name: str, sni: bool, told: str | None
):
    own, names = authority.issue_server(), []
    context = make_client_context(Files(str(own.chain), str(own.key)), "require")
    context.sni_callback = lambda line, name, context: names.append(name)  # type: ignore[assignment]
    assert await meet(Server(context, "yes"), wish("require", name, sni=sni)) == "safe"
    assert names == [told]


async def test_direct_tls_asks_nothing_and_says_by_alpn_what_it_speaks(context: ssl.SSLContext, wish: Wish):
    class Greeter(Server):
        async def answer(self, reader: Reader, writer: Writer) -> None:
            self.names.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            writer.write(b"safe")

    server = Greeter(context, "")
    assert await meet(server, wish("verify-full", direct=True), directly=context) == "safe"
    assert server.names == ["postgresql"]


async def test_direct_tls_to_who_says_not_what_it_speaks_is_refused(authority: Authority, wish: Wish):
    """It may be anybody: a web server, to which a login must not be sent."""
    own = authority.issue_server()
    web = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    web.load_cert_chain(own.chain, own.key)
    with pytest.raises(HandshakeFailed, match="without ALPN"):
        await meet(Server(web, "plain"), wish("verify-full", direct=True), directly=web)


async def test_a_handshake_that_is_given_up_leaves_nothing_open(context: ssl.SSLContext, wish: Wish):
    """As server_connect_timeout ends it."""
    ended = asyncio.Event()

    async def silent(reader: Reader, writer: Writer) -> None:
        await reader.read(8)
        writer.write(b"S")
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                pass
        writer.transport.abort()
        ended.set()

    door = Door(silent)
    door.listen()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await connect(Protocol, "127.0.0.1", door.port, wish("require"))
    async with asyncio.timeout(5):
        await ended.wait()
    await door.end()


async def test_a_unix_socket_is_never_encrypted(context: ssl.SSLContext, wish: Wish, tmp_path):
    server = Server(context, "plain")
    listening = await asyncio.start_unix_server(server.serve, tmp_path / ".s.PGSQL.5432")
    protocol = await connect(Guest, str(tmp_path), 5432, wish("verify-full"))
    await until(lambda: protocol.heard == b"plain")
    protocol.transport.abort()
    await until(lambda: "lost" in protocol.told)
    listening.close()
    await until(lambda: not server.open)


def test_the_line_that_is_made_is_a_transport_like_ours():
    ours = {name for name in dir(Secure) if not name.startswith("_")}
    asked = "write close abort pause_reading resume_reading set_protocol get_extra_info is_closing is_reading"
    assert ours >= {*asked.split(), "get_write_buffer_size"}
