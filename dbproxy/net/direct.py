"""The system calls that are made once for each query or connection: send, receive, accept, and the clock.

Compiled, they are the C functions that direct.pxd declares: on a socket that never blocks, giving up Python's lock
around `send` costs more than it could gain. Interpreted, the standard library does the same.
"""

# mypy: disable-error-code="name-defined, no-any-return"
# ruff: noqa: F821  # both: the C functions' names exist in the compiled module alone

import os
import select
import socket
import time
from typing import Any

COMPILED = not __file__.endswith(".py")
CHUNK = 65536  # bytes that are read at once, at most


def send_now(fd: int, data: bytes) -> int:
    """How many bytes the socket took; 0 also if it is broken: its transport finds that out."""
    if COMPILED:
        taken = send(fd, data, len(data), MSG_DONTWAIT | MSG_NOSIGNAL)
        return 0 if taken < 0 else taken
    try:
        return os.write(fd, data)
    except OSError:
        return 0


def receive(fd: int) -> bytes | None:
    """What has come, up to CHUNK bytes; empty at the end, None if nothing has come. Raises OSError."""
    if COMPILED:
        size = fill(fd)
        if size >= 0:
            return filled[:size]
        if not is_broken():
            return None
        raise OSError(last_error(), os.strerror(last_error()))
    try:
        return os.read(fd, CHUNK)
    except (BlockingIOError, InterruptedError):
        return None


def accept_next(listening: socket.socket) -> tuple[int, Any] | None:
    """A connection that waits: its descriptor, on which nothing blocks, and its peer's name. None: nobody waits.

    Raises OSError.
    """
    if COMPILED:
        fd = accept_waiting(listening.fileno())
        if fd < 0:
            if is_broken():
                raise OSError(last_error(), os.strerror(last_error()))
            return None
        if accepted_from[0]:  # by IPv4
            return fd, (accepted_from.decode(), accepted_port)
        return fd, ask_peer(fd)
    try:
        connected, peer = listening.accept()
    except (BlockingIOError, InterruptedError):
        return None
    connected.settimeout(0)
    return connected.detach(), peer


def ask_peer(fd: int) -> Any:
    """The name of the peer of a socket; None if it has gone already."""
    sock = socket.socket(fileno=fd)
    try:
        return sock.getpeername()
    except OSError:
        return None
    finally:
        sock.detach()


def has_news(fd: int) -> bool:
    """Whether something has come that is not read yet, be it the end of the connection; never without a socket."""
    if fd < 0:
        return False
    if COMPILED:
        return peek_news(fd)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def monotonic() -> float:
    """Seconds, as `time.monotonic`."""
    if COMPILED:
        return read_clock()
    return time.monotonic()
