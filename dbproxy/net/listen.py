"""Where applications connect: TCP addresses and a Unix socket."""

import asyncio
import contextlib
import resource
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from dbproxy.errors import ConfigurationError
from dbproxy.net.transport import Transport

log = structlog.get_logger(__name__)

AT_ONCE = 64  # connections
PAUSE = 1.0  # seconds, when there are no descriptors left


class Listener:
    """Sockets that are listened on; each connection is given a protocol of its own."""

    def __init__(self, make_protocol: Callable[[], object], sockets: Sequence[socket.socket]) -> None:
        self.loop = asyncio.get_running_loop()
        self.make_protocol = make_protocol
        self.sockets = sockets
        for listening in sockets:
            listening.settimeout(0)
            self.start(listening)

    def start(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self.loop.add_reader(listening, self.accept, listening)

    def accept(self, listening: socket.socket) -> None:
        """Whoever waits, but not so many that nothing else gets its turn."""
        for _ in range(AT_ONCE):
            try:
                connected, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error(
                    "cannot accept a connection", error=error.strerror, hint=f"Tried again in {PAUSE:g} s."
                )
                self.loop.remove_reader(listening)
                self.loop.call_later(PAUSE, self.start, listening)
                return
            connected.settimeout(0)
            Transport(connected, self.make_protocol())

    def close(self) -> None:
        """Accept nobody any more; a Unix socket's name goes too."""
        for listening in self.sockets:
            if listening.fileno() < 0:
                continue
            name = listening.getsockname()
            self.loop.remove_reader(listening)
            listening.close()
            if isinstance(name, str):
                Path(name).unlink(missing_ok=True)


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
            f"cannot listen on {', '.join(hosts)} port {port}: {error.strerror or error}",
            hint=f"Change {setting}.",
        ) from error
    return Listener(make_protocol, sockets)


async def listen_unix(
    make_protocol: Callable[[], object], directory: str, port: int, mode: int, backlog: int
) -> Listener:
    """On a Unix socket, named as PostgreSQL names it; one that nobody listens on any more is replaced."""
    path = Path(directory) / f".s.PGSQL.{port}"
    listening = socket.socket(socket.AF_UNIX)
    try:
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
    """Address and port of whoever is at the other end; ("unix", 0) for a Unix socket."""
    peer = transport.get_extra_info("peername")
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) and len(peer) >= 2 else ("unix", 0)
