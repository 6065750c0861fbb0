"""A client's connection: its transport, what it has sent and is not looked at yet, and its end."""

from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.errors import ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARKED, PARTNER_FULL, SELF_FULL
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.framer import Framer, client_framer

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

log = structlog.get_logger()

BACKLOG_LIMIT = 65536  # bytes read from a parked client before it is no longer read


class ClientConnection(Borrower):
    """Base of `Client`."""

    def __init__(self, login: "Login", pool: Pool) -> None:
        Borrower.__init__(self)
        self.login = login
        self.id = login.id
        self.pool = pool
        self.waits_in: Any = pool  # where it stands if it waits for a server
        self.stats = pool.stats
        self.settings = login.settings
        self.reported.update({name.lower(): value for name, value in login.reported.items()})
        self.mode = pool.settings.mode
        self.framer = client_framer(login.max_message_size)
        self.server: Server | None = None
        self.hub: Any = None  # once it has listened
        self.parked = False
        self.leaving = False
        self.pending: list[tuple[Framer, int]] = []  # where to go on; the last first
        self.fault: ProxyError | None = (
            None  # what it sent, and will not be looked at: it goes once it is answered
        )
        self.backlog: list[bytes] = []
        self.backlog_size = 0
        self.arrived = monotonic()
        self.stalled_since = 0.0

    def take(self, data: bytes) -> None:
        """Handle what the client sent."""
        raise NotImplementedError

    # --- asyncio.Protocol ---

    def data_received(self, data: bytes) -> None:
        self.stats.bytes_received += len(data)
        if self.parked:
            self.backlog.append(data)
            self.backlog_size += len(data)
            if self.backlog_size > BACKLOG_LIMIT:
                self.hold(PARKED)
            return
        try:
            self.take(data)
        except Exception as error:
            self.fail(error)

    def eof_received(self) -> bool:
        """A half-closed client still gets the answers that are due; one that waits for a server has gone."""
        self.leaving = True
        if self.parked or self.stranded():
            self.disconnect("client closed the connection")
            return False
        return True

    def stranded(self) -> bool:
        """Whether the client sends no more, and nothing is due to it that would come all the same."""
        return self.leaving and (
            self.server is None or self.framer.left > 0 or not self.server.dialogue.pipeline.will_end()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.disconnect("client closed the connection")

    def pause_writing(self) -> None:
        self.full = True
        self.stalled_since = monotonic()
        self.hold(SELF_FULL)
        if self.server is not None:
            self.server.hold(PARTNER_FULL)

    def resume_writing(self) -> None:
        self.full = False
        self.stalled_since = 0.0
        self.free(SELF_FULL)
        if self.server is not None:
            self.server.free(PARTNER_FULL)

    # --- the end ---

    def fail(self, error: Exception) -> None:
        """What the client sent, or our own bug, costs this client its connection, and nobody else anything."""
        if not isinstance(error, ProxyError):
            log.error("internal error", client=self.id, exc_info=error)
            error = ProxyError("internal error in the proxy")
        self.disconnect(error.message, error)

    def end_if_faulty(self) -> None:
        """After its fault nothing is read; what was asked before it is still answered, as PostgreSQL does."""
        if self.fault is not None and not self.parked:
            self.leaving = True
            if self.stranded():
                self.depart()

    def depart(self) -> None:
        """The client sends no more, and has been answered."""
        fault = self.fault
        self.disconnect("client closed the connection" if fault is None else fault.message, fault)

    def leave(self, server: Server, chunk: bytes, position: int, at: int, pieces: list[bytes] | None) -> None:
        """Terminate: what was asked before it is still carried out."""
        ahead = b"".join([*(pieces or []), chunk[position:at]])
        if ahead:
            server.write(ahead)
        self.leaving = True
        if self.stranded():
            self.depart()

    def server_lost(self, error: ProxyError, told: bool) -> None:
        """The server connection broke; PostgreSQL would close ours. `told`: its own last words were forwarded."""
        self.server = None
        self.disconnect("server lost", None if told else error)

    def disconnect(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit. Sends the error, gives up or gives back the server, and is always logged."""
        if self.closed:
            return
        if error is not None and not (self.server is not None and self.server.relay.inside_message()):
            self.write(build.error_response(error))
        self.closed = True
        server, self.server = self.server, None
        self.waits_in.leave(self)
        if self.hub is not None:
            self.hub.leave(self)
        self.pending.clear()
        self.backlog.clear()
        if self.transport is not None:
            self.transport.close()
        if server is not None:
            server.abandon(self.framer.left > 0)
        self.login.left(self, reason)
