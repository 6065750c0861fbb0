"""Opening a connection to a server: TCP, or a Unix socket where the host is a path."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from dbproxy.net.transport import Transport

P = TypeVar("P")


async def connect(make_protocol: Callable[[], P], host: str, port: int) -> P:
    """The protocol, connected. Raises OSError."""
    if host.startswith("/"):
        sock = await _connect(socket.AF_UNIX, f"{host}/.s.PGSQL.{port}")
    else:
        sock = await _connect_to_name(host, port)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
        )  # the kernel notices who is gone without a word
    protocol = make_protocol()
    Transport(sock, protocol)
    return protocol


async def _connect_to_name(host: str, port: int) -> socket.socket:
    """To the first of its addresses where somebody listens."""
    refusal: OSError | None = None
    for family, _, _, _, address in await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            return await _connect(family, address)
        except OSError as error:
            refusal = refusal or error
    raise refusal or OSError(f"{host} has no address")


async def _connect(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:  # the loop's own words hide the system's
        sock.close()
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None
    except BaseException:
        sock.close()
        raise
    return sock
