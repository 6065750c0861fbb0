"""The system calls that the data path makes itself: send, a look at what has come, and the clock.

Compiled, they are the C functions that direct.pxd declares: on a socket that never blocks, giving up Python's lock
around `send` costs more than it could gain. Interpreted, the standard library does the same.
"""

# mypy: disable-error-code="name-defined, no-any-return"
# ruff: noqa: F821  # both: the C functions' names exist in the compiled module alone

import os
import select
import time

COMPILED = not __file__.endswith(".py")


def send_now(fd: int, data: bytes) -> int:
    """How many bytes the socket took; 0 also if it is broken: its transport finds that out."""
    if COMPILED:
        taken = send(fd, data, len(data), MSG_DONTWAIT | MSG_NOSIGNAL)
        return 0 if taken < 0 else taken
    try:
        return os.write(fd, data)
    except OSError:
        return 0


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
