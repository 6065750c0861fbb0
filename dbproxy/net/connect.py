"""Opening a connection to a server: TCP, or a Unix socket where the host is a path."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar, cast

P = TypeVar("P")


async def connect(make_protocol: Callable[[], P], host: str, port: int) -> P:
    """The protocol, connected. Raises OSError."""
    loop = asyncio.get_running_loop()
    factory: Any = make_protocol  # duck-typed: compiled classes cannot inherit from asyncio.Protocol
    if host.startswith("/"):
        _, local = await loop.create_unix_connection(factory, f"{host}/.s.PGSQL.{port}")
        return cast("P", local)
    transport, remote = await loop.create_connection(factory, host, port)
    keep_alive(transport)
    return cast("P", remote)


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """A peer that is gone without a word is noticed by the kernel."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
