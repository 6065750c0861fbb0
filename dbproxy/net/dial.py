"""Reaching a host: a socket to the first of its addresses where somebody answers, or to a Unix socket.

Addresses are tried as by RFC 8305 (net.race): a dead one costs its head start, once, as names remember it. Where none
of those that are known answers, the name is looked up again: it may have moved.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from dbproxy.net.names import Address, describe, is_numeric, names_here
from dbproxy.net.race import AllFailed, race

HEAD_START = 0.25  # seconds

Attempt = Callable[[], Coroutine[Any, Any, socket.socket]]


@dataclass(frozen=True, slots=True)
class Way:
    """How a host is reached, beside its name and port."""

    address: str = ""  # where it is, so that its name is not looked up
    options: tuple[tuple[int, int, int], ...] = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    )  # as setsockopt has them
    shuffles: bool = False  # its addresses are tried in random order


ANY_WAY = Way()


def name_unix(folder: str, port: int) -> str:
    """What a Unix socket is bound to; a folder that begins with @ is in the abstract namespace, as for libpq."""
    path = f"{folder}/.s.PGSQL.{port}"
    return "\0" + path[1:] if folder.startswith("@") else path


async def open_socket(host: str, port: int, way: Way = ANY_WAY) -> socket.socket:
    """Connected. OSError says why not."""
    if host.startswith(("/", "@")):
        return await _connect(socket.AF_UNIX, name_unix(host, port))
    sock = await _connect_to_name(way.address or host, port, shuffles=way.shuffles)
    for level, name, value in way.options:
        sock.setsockopt(level, name, value)
    return sock


async def prefer_alive(host: str, port: int) -> None:
    """Look the name up, and have those of its addresses tried first that answer now. Raises OSError."""
    if not host.startswith(("/", "@")) and len(await names_here().find(host, port, anew=True)) > 1:
        (await _connect_to_name(host, port, shuffles=False)).close()


async def _connect_to_name(host: str, port: int, *, shuffles: bool) -> socket.socket:
    addresses = await names_here().find(host, port, shuffles=shuffles)
    if is_numeric(host):
        return await _connect(*addresses[0])
    attempts: list[Attempt] = [partial(_try, host, port, address) for address in addresses]
    try:
        return await race(
            [*attempts, partial(_try_news, host, port, addresses)], HEAD_START, socket.socket.close
        )
    except AllFailed as error:
        raise describe(error) from None


async def _try(host: str, port: int, address: Address) -> socket.socket:
    names, begun = names_here(), monotonic()
    try:
        sock = await _connect(*address)
    except OSError:
        names.note(host, port, address, answers=False)
        raise
    except asyncio.CancelledError:
        if monotonic() - begun >= HEAD_START:  # another was quicker
            names.note(host, port, address, answers=False)
        raise
    names.note(host, port, address, answers=True)
    return sock


async def _try_news(host: str, port: int, tried: list[Address]) -> socket.socket:
    """To the first that answers of those that the name did not have before."""
    fresh = await names_here().find(host, port, anew=True)
    refusal: OSError | None = None
    for address in fresh:
        if address not in tried:
            try:
                return await _try(host, port, address)
            except OSError as error:
                refusal = refusal or error
    raise refusal or OSError(f"{host} has no other address")


def tell_error(error: OSError) -> str:
    """The system's own words: the loop's hide them, and repeat the address."""
    other = isinstance(error, (ssl.SSLError, socket.gaierror))  # which have numbers of their own
    known = error.errno in errno.errorcode and not other
    return os.strerror(error.errno or 0) if known else error.strerror or str(error)


async def _connect(family: int, endpoint: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        await asyncio.get_running_loop().sock_connect(sock, endpoint)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, tell_error(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock
