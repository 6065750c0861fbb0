"""TLS to the console, as libpq's variables would have it: PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY.

What is in none of them is where libpq looks for it, in ~/.postgresql. Without a word it is `prefer`: a console is on
loopback nearly always, and whether it wants TLS the proxy's settings say, which may not be at hand.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from dbproxy.auth.server_login import PLAIN, Line
from dbproxy.errors import ConfigurationError
from dbproxy.net.certificate import bind
from dbproxy.net.tls import DEMANDING, Files, HandshakeFailed, make_server_context, say
from dbproxy.wire import build

MODES = ("disable", "allow", "prefer", *DEMANDING)


@dataclass(frozen=True, slots=True)
class Wish:
    """`mode`: sslmode; `allow` is taken for `prefer`."""

    mode: str
    files: Files


PREFERRED = Wish("prefer", Files())


def read_wish(environ: Mapping[str, str]) -> Wish:
    """ConfigurationError if there is no such mode."""
    mode = environ.get("PGSSLMODE") or "prefer"
    if mode not in MODES:
        raise ConfigurationError(f'PGSSLMODE is "{mode}": must be one of {", ".join(MODES)}')
    own, key, root = (environ.get(f"PGSSL{what}", "") for what in ("CERT", "KEY", "ROOTCERT"))
    return Wish(mode, Files(own, key, root))


def encrypt(connected: socket.socket, host: str, wish: Wish) -> socket.socket:
    """The line, encrypted if both want that. OSError if it cannot be as it must be; ConfigurationError for a file."""
    if wish.mode == "disable":
        return connected
    context = make_server_context(wish.files, wish.mode)
    connected.sendall(build.ssl_request())
    answer = connected.recv(1)
    if answer not in (b"S", b"N"):
        raise HandshakeFailed("what answers there is no console")
    if answer == b"N":
        if wish.mode in DEMANDING:
            raise HandshakeFailed(f"the console does not speak TLS, and PGSSLMODE is {wish.mode}")
        return connected
    try:
        return context.wrap_socket(connected, server_hostname=host)
    except ssl.SSLError as error:
        raise HandshakeFailed(say(error)) from None


def find_line(connected: socket.socket) -> Line:
    """What the login may be bound to."""
    if not isinstance(connected, ssl.SSLSocket):
        return PLAIN
    certificate = connected.getpeercert(binary_form=True)
    return Line(encrypted=True, binding=bind(certificate) if certificate else None)
