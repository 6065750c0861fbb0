"""One connection's end: writing to its transport, and the reasons for which it is not read.

Backpressure (promise 7 of docs/architecture.md): whoever cannot write stops its partner from being read. Several
reasons may hold at once; reading goes on when the last is gone.

What is written goes straight to the socket: a transport would keep it until the loop's next turn, at twice the cost.
Only what the kernel does not take is left to the transport, and until that is gone, all else too.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from dbproxy.net.direct import send_now

PARKED = 1  # waits for a server or for a task beside the data path
PARTNER_FULL = 2  # what is read here cannot be written there
SELF_FULL = 4  # does not take what it asked for: nothing more is asked
FLOODING = 8  # sent more messages than replies that may be due


class Link:
    """Base of client and server connections. `full`: the transport's write buffer is over its high-water mark."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_closing: Callable[[], bool] | None = (
            None  # the transport's: looked up for every write, it costs more
        )
        self.fd = -1
        self.buffered = False
        self.reasons = 0
        self.full = False
        self.closed = False

    def attach(self, transport: asyncio.Transport) -> None:
        """Take the transport; its socket is written to directly."""
        self.transport = transport
        self.is_closing = transport.is_closing
        self.fd = transport.get_extra_info("socket").fileno()
        self.buffered = transport.get_write_buffer_size() > 0

    def write(self, data: bytes) -> None:
        if self.closed or self.is_closing is None or self.is_closing():
            return  # a descriptor that is closed may be somebody else's by now
        transport: Any = self.transport
        if self.buffered and not transport.get_write_buffer_size():
            self.buffered = False
        if not self.buffered:
            sent = send_now(self.fd, data)
            if sent == len(data):
                return
            self.buffered = True
            data = data[sent:]
        transport.write(data)

    def hold(self, reason: int) -> None:
        """Stop reading, for this reason."""
        if not self.reasons and not self.closed:
            self.transport.pause_reading()  # type: ignore[union-attr]  # attached until closed
        self.reasons |= reason

    def free(self, reason: int) -> None:
        """A reason is gone; read again if it was the last."""
        if self.reasons:
            self.reasons &= ~reason
            if not self.reasons and not self.closed:
                self.transport.resume_reading()  # type: ignore[union-attr]  # as above
