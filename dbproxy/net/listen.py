"""Where applications connect: TCP addresses and a Unix socket."""

import asyncio
import contextlib
import resource
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dbproxy.errors import ConfigurationError


async def listen_tcp(
    make_protocol: Callable[[], object], hosts: Sequence[str], port: int, backlog: int, setting: str
) -> asyncio.Server:
    """A listening server. ConfigurationError if an address is taken or not ours; `setting` is the key to change."""
    factory: Any = make_protocol
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(factory, list(hosts), port, backlog=backlog, reuse_address=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {', '.join(hosts)} port {port}: {error.strerror or error}",
            hint=f"Change {setting}.",
        ) from error


async def listen_unix(
    make_protocol: Callable[[], object], directory: str, port: int, mode: int, backlog: int
) -> asyncio.Server:
    """A listening Unix socket, named as PostgreSQL names it; one that nobody listens on any more is replaced."""
    path = Path(directory) / f".s.PGSQL.{port}"
    factory: Any = make_protocol
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()
        server = await asyncio.get_running_loop().create_unix_server(factory, str(path), backlog=backlog)
        path.chmod(mode)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {path}: {error.strerror or error}", hint="Change listen.unix_socket_dir."
        ) from error
    return server


def stop_listening(server: asyncio.Server) -> None:
    """Accept nobody any more; a Unix socket's name goes too."""
    names = [listening.getsockname() for listening in server.sockets]
    server.close()
    for name in names:
        if isinstance(name, str):
            Path(name).unlink(missing_ok=True)


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
