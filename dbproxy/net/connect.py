"""Opening a connection to a server: TCP, or a Unix socket where the host is a path; encrypted as it has to be.

PostgreSQL: "SSL Session Encryption". A server is asked by an SSLRequest whether it can, and answers S or N; or is
spoken to in TLS from the first byte on. An attacker in between may answer N, or add to an S: what came unencrypted
is never taken for what came encrypted (CVE-2021-23222).
"""

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

from dbproxy.net.dial import ANY_WAY, Way, open_socket
from dbproxy.net.secure import Secure
from dbproxy.net.tls import ALPN, HandshakeFailed, ServerTls
from dbproxy.net.transport import Transport

P = TypeVar("P")
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


async def connect(
    make_protocol: Callable[[], P], host: str, port: int, tls: ServerTls | None = None, way: Way = ANY_WAY
) -> P:
    """The protocol, connected, and encrypted as `tls` has it (None: not at all). Raises OSError.

    A Unix socket is never encrypted, as by libpq.
    """
    sock = await open_socket(host, port, way)
    if tls is None or not tls.begins_encrypted or sock.family == socket.AF_UNIX:
        return speak_plain(make_protocol, sock)
    try:
        if not await agree(sock, tls):
            return speak_plain(make_protocol, sock)
        line = await encrypt(sock, tls)
    except OSError:
        if tls.may_be_plain:
            return speak_plain(make_protocol, await open_socket(host, port, way))
        raise
    protocol: Any = make_protocol()
    protocol.connection_made(line)
    line.serve(protocol)
    return protocol  # type: ignore[no-any-return]  # as it was made


def speak_plain(make_protocol: Callable[[], P], sock: socket.socket) -> P:
    protocol = make_protocol()
    Transport(sock, protocol)
    return protocol


async def agree(sock: socket.socket, tls: ServerTls) -> bool:
    """Whether the line is encrypted. HandshakeFailed, and the socket is closed, if it has to be and cannot."""
    try:
        if tls.direct or await ask_for_tls(sock):
            return True
        if not tls.may_be_plain:
            raise HandshakeFailed("server does not support SSL, but SSL was required")
    except BaseException:
        sock.close()
        raise
    return False


async def ask_for_tls(sock: socket.socket) -> bool:
    """Whether the server can. HandshakeFailed if it says anything else, or more."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, SSL_REQUEST)
    answer = await loop.sock_recv(sock, 1)
    if answer == b"S":
        if says_more(sock):
            raise HandshakeFailed("received unencrypted data after SSL response")
        return True
    if answer == b"N":
        return False
    if answer == b"E":  # nobody can know whose words these are: they are not read
        raise HandshakeFailed("server sent an error response during SSL exchange")
    raise HandshakeFailed(
        f"received invalid response to SSL negotiation: {answer[0]:#04x}"
        if answer
        else "server closed the connection during SSL exchange"
    )


def says_more(sock: socket.socket) -> bool:
    """Whether the server goes on speaking, which nobody does who waits for a handshake."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


async def encrypt(sock: socket.socket, tls: ServerTls) -> Secure:
    """The line, the handshake done. HandshakeFailed if it cannot be; the socket is the line's, which closes it."""
    try:
        line = Secure(tls.context, server_side=False, name=find_name(tls))
    except ValueError as error:  # no such name can be
        sock.close()
        raise HandshakeFailed(f'server name "{tls.name}" cannot be asked for: {error}') from None
    transport = Transport(sock, line)
    try:
        line.begin(transport)
        await line.shaken
        if tls.direct and line.line.selected_alpn_protocol() != ALPN:
            raise HandshakeFailed("direct SSL connection was established without ALPN protocol negotiation")
    except BaseException as error:
        transport.abort()
        if isinstance(error, OSError):
            tls.handshakes.failed += 1
        raise
    tls.handshakes.done += 1
    return line


def find_name(tls: ServerTls) -> str | None:
    """What is asked for by SNI; an address is none, but its certificate is looked at for it."""
    if tls.context.check_hostname or (tls.sni and not is_address(tls.name)):
        return tls.name.rstrip(".")
    return None


def is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
