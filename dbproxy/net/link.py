"""One connection's end: writing to its transport, and the reasons for which it is not read.

Backpressure (promise 7 of docs/architecture.md): whoever cannot write stops its partner from being read. Several
reasons may hold at once; reading goes on when the last is gone.
"""

import asyncio

from dbproxy.net.direct import has_news
from dbproxy.net.secure import Secure
from dbproxy.net.transport import Receiver, Transport

PARKED = 1  # waits for a server or for a task beside the data path
PARTNER_FULL = 2  # what is read here cannot be written there
SELF_FULL = 4  # does not take what it asked for: nothing more is asked
FLOODING = 8  # sent more messages than replies that may be due


class Link(Receiver):
    """Base of client and server connections. `full`: the transport's write buffer is over its high-water mark."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | Transport | Secure | None = None
        self.direct: Transport | None = None  # the transport, where it is ours and not the loop's
        self.reasons = 0
        self.full = False
        self.closed = False

    def attach(self, transport: asyncio.Transport | Transport | Secure) -> None:
        """Take the transport: ours, plain or encrypted, or the loop's."""
        self.transport = transport
        self.direct = transport if isinstance(transport, Transport) else None

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        if self.direct is not None:
            self.direct.write(data)
        elif self.transport is not None:
            self.transport.write(data)

    def write_later(self, data: bytes) -> None:
        """As `write`, with what else is written in this turn of the loop: one system call for all of it."""
        if self.direct is not None and not self.closed:
            self.direct.write_later(data)
        else:
            self.write(data)

    def has_news(self) -> bool:
        """Whether something has come that is not read yet, be it the end of the connection."""
        if self.direct is not None:
            return has_news(self.direct.fd)
        return isinstance(self.transport, Secure) and self.transport.has_news()

    def is_encrypted(self) -> bool:
        return isinstance(self.transport, Secure)

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
