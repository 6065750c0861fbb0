"""Replication connections: each has a server of its own, and what comes at one end leaves at the other as it is.

PostgreSQL: "Streaming Replication Protocol". Both log in as all others do; from then on nothing is looked at: a slot, a
temporary one too, a base backup or a stream is the server's session, and what the client says to it is not SQL. Whoever
ends the connection ends both, without a word: nobody knows where a message begins.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from dbproxy.errors import ProtocolViolation, ProxyError
from dbproxy.net.link import PARTNER_FULL, Link
from dbproxy.net.secure import Secure
from dbproxy.net.transport import Transport
from dbproxy.pool.backend import Backend
from dbproxy.session.identity import Identity
from dbproxy.wire.framer import server_framer


class House(Protocol):
    """What is told of the end."""

    def left(self, client: Identity, reason: str) -> None: ...


class Walsender(Link):
    """The server's end; its messages go to the backend's mailbox until it has let us in (pool.login)."""

    def __init__(self) -> None:
        Link.__init__(self)
        self.backend = Backend()
        self.framer = server_framer()
        self.replication: Replication | None = None
        self.on_close: Callable[[], object] = lambda: None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.attach(transport)

    def data_received(self, data: bytes) -> None:
        mailbox = self.backend.mailbox
        if self.replication is not None:
            self.replication.write(data)
        elif mailbox is not None:
            self.post(data, mailbox)

    def post(self, data: bytes, mailbox: "asyncio.Queue[tuple[int, bytes] | None]") -> None:
        try:
            for mark in self.framer.feed(data):
                at = mark >> 8
                length = int.from_bytes(self.framer.chunk[at + 1 : at + 5], "big")
                mailbox.put_nowait((mark & 255, self.framer.chunk[at + 5 : at + 1 + length]))
        except ProtocolViolation as error:
            self.close(error.message)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.close("the server closed the connection")

    def pause_writing(self) -> None:
        self.full = True
        if self.replication is not None:
            self.replication.hold(PARTNER_FULL)

    def resume_writing(self) -> None:
        self.full = False
        if self.replication is not None:
            self.replication.free(PARTNER_FULL)

    def close(self, reason: str) -> None:
        """The one exit: the client's end goes, too, or whoever logs in is told."""
        if self.closed:
            return
        self.closed = True
        if self.backend.mailbox is not None:
            self.backend.mailbox.put_nowait(None)
        if self.transport is not None:
            self.transport.close()
        self.on_close()
        if self.replication is not None:
            self.replication.disconnect(reason)


class Replication(Link):
    """The client's end. `mode`: "physical" or "logical", as PgBouncer's SHOW CLIENTS has it."""

    kind = "replication"

    def __init__(self, identity: Identity, house: House, walsender: Walsender, mode: str) -> None:
        Link.__init__(self)
        self.identity = identity
        self.house = house
        self.walsender = walsender
        self.mode = mode
        self.since = monotonic()

    @property
    def parameters(self) -> dict[str, str]:
        """What the server has said of itself."""
        return self.walsender.backend.parameters

    def begin(self, transport: asyncio.Transport | Transport | Secure) -> None:
        """From here on each end sends what the other hears."""
        self.attach(transport)
        self.walsender.replication = self

    def data_received(self, data: bytes) -> None:
        self.walsender.write(data)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.disconnect("client closed the connection")

    def pause_writing(self) -> None:
        self.walsender.hold(PARTNER_FULL)

    def resume_writing(self) -> None:
        self.walsender.free(PARTNER_FULL)

    def cancel(self) -> Backend:
        """Who is to get the cancel request."""
        return self.walsender.backend

    def retire(self, why: str) -> None:
        """As a pool's connections are, but at once: it is never free, and who streams connects again."""
        self.disconnect(why)

    def disconnect(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit."""
        if self.closed:
            return
        self.closed = True
        self.house.left(self.identity, error.message if error is not None else reason)
        if self.transport is not None:
            self.transport.close()
        self.walsender.close(reason)
