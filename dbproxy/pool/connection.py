"""A connection to PostgreSQL: its transport, what it owes, and its end.

While it logs in, its messages go to a mailbox (pool.login); after that it is relayed (pool.relay).
"""

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.errors import ProtocolViolation, ProxyError, ServerLost, SessionLost
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.states import NAMES, Member
from dbproxy.wire import build
from dbproxy.wire.framer import server_framer
from dbproxy.wire.pipeline import Pipeline

if TYPE_CHECKING:
    from dbproxy.pool.pool import Pool

log = structlog.get_logger()
ids = count(1)


class Connection(Member):
    """Base of `Server`."""

    def __init__(self, pool: "Pool") -> None:
        Member.__init__(self, pool.generation)
        self.id = next(ids)
        self.pool: Any = pool
        self.stats = pool.stats
        self.client: Any = None  # a Borrower, while lent
        self.framer = server_framer()
        self.pipeline = Pipeline()
        self.mailbox: asyncio.Queue[tuple[int, bytes] | None] | None = asyncio.Queue()
        self.parameters: dict[str, str] = {}
        self.skipping = False  # what comes now is not for the client
        self.told = False  # the client has PostgreSQL's own last words
        self.pid = 0
        self.key = b""
        self.address = ""
        self.endpoint = ("", 0)  # host and port, for cancel requests
        self.connected_at = monotonic()

    def relay(self, data: bytes) -> None:
        """What came once the login was over."""
        raise NotImplementedError

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.attach(transport)

    def data_received(self, data: bytes) -> None:
        try:
            if self.mailbox is not None:
                self.post(data)
            else:
                self.relay(data)
        except ProtocolViolation as error:
            self.close(error.message)
        except SessionLost as error:
            self.close(error.message, error)
        except Exception:  # our own bug: the state of this server is in doubt, nobody else's is
            log.exception("internal error", server=self.id)
            self.close("internal error")

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"connection lost: {error}" if error else "server closed the connection")

    def pause_writing(self) -> None:
        self.full = True
        if self.client is not None:
            self.client.hold(PARTNER_FULL)

    def resume_writing(self) -> None:
        self.full = False
        if self.client is not None:
            self.client.free(PARTNER_FULL)

    # --- login ---

    def post(self, data: bytes) -> None:
        """While logging in, whole messages go to the mailbox (pool.login reads it)."""
        mailbox = self.mailbox
        for mark in self.framer.feed(data):
            at = mark >> 8
            length = int.from_bytes(self.framer.chunk[at + 1 : at + 5], "big")
            mailbox.put_nowait((mark & 255, self.framer.chunk[at + 5 : at + 1 + length]))  # type: ignore[union-attr]

    # --- the end ---

    def close(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit, whoever wanted it. A client that holds the server is told: `error`, or that it is lost."""
        if self.closed:
            return
        self.closed = True
        client, self.client = self.client, None
        if self.mailbox is not None:
            self.mailbox.put_nowait(None)
        if self.transport is not None:
            if self.pipeline.empty() and not self.full and not self.transport.is_closing():
                self.transport.write(build.terminate())
                self.transport.close()
            else:
                self.transport.abort()
        if self.mailbox is None:
            self.pool.lost(self, reason)
        if client is not None:
            client.server_lost(error or self.lost_error(reason), self.told or self.inside_message())

    def inside_message(self) -> bool:
        """Whether the client has part of a message: what is sent now would be taken for the rest of it."""
        return self.framer.left > 0 and not self.skipping

    def lost_error(self, reason: str) -> ServerLost:
        """What the client is told. 08007: a request was sent and its outcome is not known (promise 5)."""
        unknown = not self.pipeline.only_ours()
        return ServerLost(
            f"the connection to the server at {self.address} was lost: {reason}",
            detail="Whether the last request was carried out is not known." if unknown else "",
            sqlstate="08007" if unknown else "08006",
        )

    def state_name(self) -> str:
        return NAMES[self.state]
