"""One connection's end: its transport, and the reasons for which it is not read.

Backpressure (DESIGN promise 7): whoever cannot write stops its partner from being read. Several reasons may hold at
once; reading goes on when the last is gone.
"""

import asyncio

PARKED = 1  # waits for a server or for a task beside the data path
PARTNER_FULL = 2  # what is read here cannot be written there
SELF_FULL = 4  # does not take what it asked for: nothing more is asked
FLOODING = 8  # sent more messages than replies that may be due


class Link:
    """Base of client and server connections. `full`: the transport's write buffer is over its high-water mark."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reasons = 0
        self.full = False
        self.closed = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.transport.write(data)  # type: ignore[union-attr]  # set from connection_made until closed

    def hold(self, reason: int) -> None:
        """Stop reading, for this reason."""
        if not self.reasons and not self.closed:
            self.transport.pause_reading()  # type: ignore[union-attr]  # as above
        self.reasons |= reason

    def free(self, reason: int) -> None:
        """This reason is gone; read again if it was the last."""
        if self.reasons:
            self.reasons &= ~reason
            if not self.reasons and not self.closed:
                self.transport.resume_reading()  # type: ignore[union-attr]  # as above
