"""Where applications connect: TCP addresses and a Unix socket."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from dbproxy.errors import ConfigurationError
from dbproxy.net.dial import name_unix, tell_error
from dbproxy.net.direct import accept_next
from dbproxy.net.loop import poller_of
from dbproxy.net.poller import READABLE, Entrance
from dbproxy.net.transport import Transport

log = structlog.get_logger(__name__)

AT_ONCE = 64  # connections
MAPPED = "::ffff:"  # ahead of an IPv4 address, as getpeername of an IPv6 socket has it
PAUSE = 1.0  # seconds, when there are no descriptors left


class Listener:
    """Sockets that are listened on; each connection is given a protocol of its own.

    Unless `own`, the sockets were handed over (`net.activation`), and so a Unix socket's name is another's.
    """

    def __init__(
        self, make_protocol: Callable[[], object], sockets: Sequence[socket.socket], *, own: bool = True
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.make_protocol = make_protocol
        self.sockets = sockets
        self.poller = poller_of(self.loop)
        self.own = own
        for listening in sockets:
            listening.settimeout(0)
            # As PostgreSQL: some leave without a word. Who is accepted has both from here.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if listening.family != socket.AF_UNIX:
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.start(listening)

    def start(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            entrance = Entrance(partial(self.accept, listening))
            self.poller.watch(listening.fileno(), entrance, READABLE, 0)

    def accept(self, listening: socket.socket) -> None:
        """Whoever waits, but not so many that nothing else gets its turn."""
        try:
            for _ in range(AT_ONCE):
                accepted = accept_next(listening)
                if accepted is None:
                    return
                self.serve(*accepted)
        except ConnectionAbortedError:
            return
        except OSError as error:
            log.error("cannot accept a connection", error=error.strerror, hint=f"Tried again in {PAUSE:g} s.")
            self.poller.ignore(listening.fileno())
            self.loop.call_later(PAUSE, self.start, listening)
        except Exception as error:  # a bug of ours costs this connection, and nobody else anything
            self.loop.call_exception_handler({"message": "internal error", "exception": error})

    def serve(self, fd: int, peername: Any) -> None:
        try:
            Transport(fd, self.make_protocol(), peername, self.loop)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Accept nobody any more; the name of a Unix socket of ours goes, too."""
        for listening in self.sockets:
            if listening.fileno() < 0:
                continue
            name = listening.getsockname()
            self.poller.ignore(listening.fileno())
            listening.close()
            if self.own and isinstance(name, str):
                Path(name).unlink(missing_ok=True)


def is_port_refused(error: OSError) -> bool:
    """Of a socket that is to listen: another port would do, and it is not the address that is wrong."""
    return error.errno in (errno.EADDRINUSE, errno.EACCES)


async def listen_tcp(
    make_protocol: Callable[[], object], hosts: Sequence[str], port: int, backlog: int, setting: str
) -> Listener:
    """A listener. ConfigurationError if an address is taken or not ours; `setting` is the key to change."""
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            for family, _, _, _, address in await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                sockets.append(socket.create_server(address[:2], family=family, backlog=backlog))
    except OSError as error:
        for listening in sockets:
            listening.close()
        raise ConfigurationError(
            f"cannot listen on {', '.join(hosts)} port {port}: {tell_error(error)}",
            hint=f"Change {setting if is_port_refused(error) else 'listen.host (DBPROXY_LISTEN__HOST)'}.",
        ) from error
    return Listener(make_protocol, sockets)


async def listen_unix(
    make_protocol: Callable[[], object], directory: str, port: int, mode: int, backlog: int
) -> Listener:
    """On a Unix socket, named as PostgreSQL names it; one that nobody listens on any more is replaced.

    One in the abstract namespace has no file, and so no `mode`.
    """
    path = Path(directory) / f".s.PGSQL.{port}"
    listening = socket.socket(socket.AF_UNIX)
    try:
        if directory.startswith("@"):
            listening.bind(name_unix(directory, port))
            listening.listen(backlog)
            return Listener(make_protocol, [listening])
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()
        listening.bind(str(path))
        listening.listen(backlog)
        path.chmod(mode)
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"cannot listen on {path}: {error.strerror or error}", hint="Change listen.unix_socket_dir."
        ) from error
    return Listener(make_protocol, [listening])


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
        probe.connect(str(path))
        return True
    return False


def raise_file_limit() -> int:
    """Let the process have as many descriptors as the system allows; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe_peer(transport: asyncio.BaseTransport) -> tuple[str, int]:
    """Address and port of whoever is at the other end; ("unix", 0) for a Unix socket.

    A socket that was handed over may be for both versions of IP (systemd's are): an IPv4 address is shown as one, as
    rules have it.
    """
    peer = transport.get_extra_info("peername")
    if not (isinstance(peer, tuple) and len(peer) >= 2):
        return "unix", 0
    return str(peer[0]).removeprefix(MAPPED), int(peer[1])
