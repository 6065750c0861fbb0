"""A client's first bytes, where the proxy speaks TLS: each way in, and each that is refused."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from dbproxy.config.load import load
from dbproxy.errors import ConfigurationError
from dbproxy.net.secure import Secure
from dbproxy.net.tls import Files, make_server_context, read_own
from dbproxy.wire import build
from dbproxy.wire.codes import Startup
from tests.support.certificates import Authority
from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import ScriptedServer
from tests.support.speech import IDLE, query, row, rows

SSL_REQUEST = build.ssl_request()
GSSENC_REQUEST = (8).to_bytes(4, "big") + int(Startup.GSSENC_REQUEST).to_bytes(4, "big")
START = build.startup_message({"user": "app", "database": "shop"})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def keys(authority: Authority) -> dict[str, object]:
    own = authority.issue_server()
    return {
        "tls.client_tls_sslmode": "allow",
        "tls.client_tls_cert_file": own.chain,
        "tls.client_tls_key_file": own.key,
    }


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def house(server: ScriptedServer, keys: Mapping[str, object]) -> AsyncIterator[House]:
    async with House(server, keys) as house:
        yield house


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    return make_server_context(Files(authorities=str(authority.path)), "verify-full")


async def encrypt(client: RawClient, context: ssl.SSLContext) -> None:
    """Go on encrypted; the answer to the SSLRequest has been read."""
    await client.writer.start_tls(context, server_hostname="localhost")


async def ask(house: House, context: ssl.SSLContext) -> RawClient:
    client = await house.dial()
    client.send(SSL_REQUEST)
    await client.receives_bytes(b"S")
    await encrypt(client, context)
    return client


# --- in -------------------------------------------------------------------------------------------------------


async def test_who_asks_is_encrypted(house: House, context: ssl.SSLContext):
    client = await ask(house, context)
    await client.log_in("app", "shop")
    peer = house.proxy.registry.by_pid[client.pid].identity.peer
    assert (peer.encrypted, peer.version, peer.direct) == (True, "TLSv1.3", False)
    client.send(query("SELECT 1"))
    backend = await house.server.accept()
    await backend.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    assert house.proxy.hosts.encryption.by_clients.done == 1


async def test_who_does_not_ask_is_not_where_that_may_be(house: House):
    client = await house.client()
    assert not house.proxy.registry.by_pid[client.pid].identity.peer.encrypted


async def test_gssapi_is_declined_and_tls_is_not(house: House, context: ssl.SSLContext):
    client = await house.dial()
    client.send(GSSENC_REQUEST)
    await client.receives_bytes(b"N")
    client.send(SSL_REQUEST)
    await client.receives_bytes(b"S")
    await encrypt(client, context)
    await client.log_in("app", "shop")


async def dial_directly(house: House, context: ssl.SSLContext) -> RawClient:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", house.port, ssl=context, server_hostname="localhost"
    )
    client = RawClient(reader, writer, house.dial)
    house._clients.append(client)
    return client


async def test_tls_from_the_first_byte_on(house: House, context: ssl.SSLContext):
    client = await dial_directly(house, context)
    await client.log_in("app", "shop")
    peer = house.proxy.registry.by_pid[client.pid].identity.peer
    assert (peer.encrypted, peer.direct) == (True, True)


async def test_an_encrypted_cancel_request_is_carried_out(house: House, context: ssl.SSLContext):
    client = await ask(house, context)
    await client.log_in("app", "shop")
    backend = await house.server.accept()
    client.send(query("SELECT pg_sleep(9)"))
    await backend.receives(query("SELECT pg_sleep(9)"))
    messenger = await ask(house, context)
    messenger.send(build.cancel_request(client.pid, client.key))
    cancel = await house.server.cancelled()
    assert (cancel.pid, cancel.key) == (backend.pid, backend.key)
    cancel.finish()
    await messenger.hears_the_end()


async def test_a_million_rows_wait_for_who_does_not_read(house: House, context: ssl.SSLContext):
    client = await ask(house, context)
    await client.log_in("app", "shop")
    backend = await house.server.accept()
    client.send(query("SELECT"))
    await backend.receives(query("SELECT"))
    chunk = row("x" * 1000) * 50
    sent = 0
    inside = house.inside(client)
    while not inside.server.reasons:  # type: ignore[union-attr]  # until the server is not read from any more
        backend.send(chunk)
        sent += len(chunk)
        await backend.writer.drain()
        await asyncio.sleep(0)
    assert inside.transport.get_write_buffer_size() < 1_000_000  # type: ignore[union-attr]
    heard = await client.read(sent)
    assert heard == chunk * (sent // len(chunk))
    await house.until(lambda: not inside.server.reasons)  # type: ignore[union-attr]


# --- out ------------------------------------------------------------------------------------------------------


async def test_bytes_ahead_of_the_handshake_are_refused(house: House):
    """CVE-2021-23214: somebody in between adds a statement, to be run as the user who logs in then."""
    client = await house.dial()
    client.send(SSL_REQUEST, START)
    message = await client.fails("08P01", "received unencrypted data after SSL request")
    assert "man-in-the-middle" in message.raw.decode("latin-1")
    await client.hears_the_end()


async def test_bytes_that_come_as_the_handshake_should_begin_are_none_of_it(house: House):
    client = await house.dial()
    client.send(SSL_REQUEST)
    await client.receives_bytes(b"S")
    client.send(START)
    await client.hears_the_end()
    assert house.proxy.hosts.encryption.by_clients.failed == 1


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST], ids=["ssl", "gssenc"])
async def test_nobody_is_encrypted_twice(house: House, context: ssl.SSLContext, request_: bytes):
    client = await ask(house, context)
    client.send(request_)
    await client.fails("0A000", "received another")
    await client.hears_the_end()


async def test_nobody_asks_twice(server: ScriptedServer):
    async with House(server) as plain:
        client = await plain.dial()
        client.send(SSL_REQUEST)
        await client.receives_bytes(b"N")
        client.send(SSL_REQUEST)
        await client.fails("0A000", "received another SSL request")


async def test_direct_tls_without_alpn_is_refused(house: House, authority: Authority):
    """As PostgreSQL has it: what was meant for a web server may not be taken for a login (ALPACA)."""
    context = ssl.create_default_context(cafile=authority.path)
    client = await dial_directly(house, context)
    client.send(START)
    await client.hears_the_end()
    await house.until(lambda: house.proxy.hosts.encryption.by_clients.failed == 1)


async def test_direct_tls_where_there_is_none_ends_without_a_word(server: ScriptedServer):
    async with House(server) as plain:
        client = await plain.dial()
        client.send(b"\x16\x03\x01\x00\xfa\x01\x00\x00\xf6\x03\x03")
        await client.hears_the_end()


async def test_who_must_be_encrypted_and_is_not_is_refused(
    server: ScriptedServer, keys: Mapping[str, object], context: ssl.SSLContext
):
    async with House(server, {**keys, "tls.client_tls_sslmode": "require"}) as house:
        client = await house.dial()
        client.send(START)
        await client.fails("28000", "SSL required")
        await client.hears_the_end()
        client = await ask(house, context)
        await client.log_in("app", "shop")
        # libpq before 17 sends its cancel requests unencrypted, whatever the line was
        backend = await house.server.accept()
        client.send(query("SELECT pg_sleep(9)"))
        await backend.receives(query("SELECT pg_sleep(9)"))
        await client.cancel()
        (await house.server.cancelled()).finish()


async def test_a_slow_handshake_ends_with_the_login_timeout(house: House):
    client = await house.dial()
    client.send(SSL_REQUEST)
    await client.receives_bytes(b"S")
    client.send(b"\x16\x03\x01")  # and no more
    await house.until(lambda: any(login.is_encrypted() for login in house.proxy.registry))
    house.sweep(later=61)
    await client.hears_the_end()  # nothing in the clear
    assert not len(house.proxy.registry)


async def test_a_line_that_is_cut_off_loses_its_client(house: House, context: ssl.SSLContext):
    client = await ask(house, context)
    await client.log_in("app", "shop")
    client.cut()
    await house.until(lambda: not len(house.proxy.registry))


async def test_only_who_shows_a_good_certificate_is_let_in(
    server: ScriptedServer, keys: Mapping[str, object], authority: Authority, tmp_path: Path
):
    strict = {**keys, "tls.client_tls_sslmode": "verify-ca", "tls.client_tls_ca_file": authority.path}
    strangers = Authority(tmp_path)
    async with House(server, strict) as house:
        own, strange = authority.issue_client("app"), strangers.issue_client("app")
        good = make_server_context(
            Files(str(own.chain), str(own.key), authorities=str(authority.path)), "verify-full"
        )
        client = await ask(house, good)
        await client.log_in("app", "shop")
        peer = house.proxy.registry.by_pid[client.pid].identity.peer
        assert (peer.verified, peer.common_name, peer.dn.split(",")[0]) == (True, "app", "CN=app")
        for files in (Files(), Files(str(strange.chain), str(strange.key))):
            # In TLS 1.3 a client hears of it only after its own part of the handshake.
            bad = make_server_context(files, "require")
            with pytest.raises((OSError, asyncio.IncompleteReadError, AssertionError)):
                client = await ask(house, bad)
                await client.log_in("app", "shop")
        await house.until(lambda: house.proxy.hosts.encryption.by_clients.failed == 2)
        assert len(house.proxy.registry) == 1


# --- reload ---------------------------------------------------------------------------------------------------


def replace(path: object, content: bytes) -> bytes:
    """What was there before."""
    before = Path(str(path)).read_bytes()
    Path(str(path)).write_bytes(content)
    return before


async def test_a_reload_changes_what_new_connections_are_shown(
    house: House, keys: Mapping[str, object], authority: Authority, context: ssl.SSLContext
):
    before = await ask(house, context)
    await before.log_in("app", "shop")
    fresh = authority.issue_server()
    replace(keys["tls.client_tls_cert_file"], fresh.chain.read_bytes())
    replace(keys["tls.client_tls_key_file"], fresh.key.read_bytes())
    house.proxy.apply(house.proxy.settings)
    after = await ask(house, context)
    await after.log_in("app", "shop")
    shown = [client.writer.get_extra_info("ssl_object").getpeercert(True) for client in (before, after)]
    assert shown[0] != shown[1] == read_own(str(fresh.chain))
    await before.hears_nothing()  # it stays


async def test_a_reload_with_a_bad_key_changes_nothing(
    house: House, keys: Mapping[str, object], context: ssl.SSLContext
):
    key = keys["tls.client_tls_key_file"]
    good = replace(key, b"nothing")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        house.proxy.apply(house.proxy.settings)
    replace(key, good)
    client = await ask(house, context)
    await client.log_in("app", "shop")


# --- servers --------------------------------------------------------------------------------------------------


@pytest.fixture
async def encrypted(authority: Authority) -> AsyncIterator[ScriptedServer]:
    """A server that speaks TLS, and wants it."""
    own = authority.issue_server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.chain, own.key)
    async with ScriptedServer() as server:
        server.context = context
        yield server


async def test_server_that_hung_up_while_idle_is_not_lent(encrypted: ScriptedServer, authority: Authority):
    url = f"postgresql://app@localhost:{encrypted.port}/shop?sslmode=verify-full&sslrootcert={authority.path}"
    async with House(encrypted, {"primary.url": url}) as house:
        client, backend = await house.pair()
        [idle] = house.pool.idle
        assert isinstance(idle.transport, Secure)
        client.send(query("SELECT 1"))
        await backend.answers(rows("1"), IDLE, to=query("SELECT 1"))
        await client.receives(rows("1"), IDLE)
        assert not idle.has_news()
        backend.writer.transport.abort()
        await house.until(lambda: idle.closed)
        client.send(query("SELECT 2"))
        other = await encrypted.accept()
        await other.answers(rows("2"), IDLE, to=query("SELECT 2"))
        await client.receives(rows("2"), IDLE)


async def test_cancel_request_to_an_encrypted_server_is_encrypted(
    encrypted: ScriptedServer, authority: Authority
):
    url = f"postgresql://app@localhost:{encrypted.port}/shop?sslmode=verify-full&sslrootcert={authority.path}"
    async with House(encrypted, {"primary.url": url}) as house:
        client, backend = await house.pair()
        client.send(query("SELECT pg_sleep(9)"))
        await backend.receives(query("SELECT pg_sleep(9)"))
        await client.cancel()
        cancel = await encrypted.cancelled()
        assert cancel.writer.get_extra_info("ssl_object") is not None
        cancel.finish()


def test_settings_that_do_not_go_together_are_mistakes():
    with pytest.raises(ConfigurationError, match="client_tls_cert_file"):
        load(None, {}, {"tls.client_tls_sslmode": "require"})
