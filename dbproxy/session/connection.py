"""A client's connection: its transport, what it has sent, the server that it holds, and its end."""

import structlog

from dbproxy.errors import ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARKED, PARTNER_FULL, SELF_FULL
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.identity import Identity
from dbproxy.session.inbound import Inbound
from dbproxy.session.wait import NOT, REPLAYED
from dbproxy.wire import build
from dbproxy.wire.framer import Framer, client_framer

log = structlog.get_logger(__name__)

DUE_LIMIT = 10000  # replies due before a client that floods is no longer read


class Connection(Borrower):
    """What the parts of a `Client` know of the whole."""

    def __init__(self, identity: Identity, pool: Pool) -> None:
        Borrower.__init__(self)
        self.identity = identity
        self.pool = pool
        self.settings: Parameters = identity.settings
        self.inbound = Inbound(client_framer(identity.max_message_size), pool)
        self.server: Server | None = None
        self.stalled_since = 0.0  # since when the client does not take its answers

    @property
    def id(self) -> int:
        return self.identity.id

    def take(self, data: bytes) -> None:
        """Handle what the client sent."""
        raise NotImplementedError

    def resume(self, event: int, server: Server | None = None) -> None:
        """Go on where the client was parked, if that is what the event ends; on `server` if it has waited for one."""
        raise NotImplementedError

    def replayed(self) -> None:
        """A replica is fresh enough, or the time to wait for one is over (routing.room)."""
        self.resume(REPLAYED)

    def notice(self, message: bytes) -> None:
        """Have the client read this between two answers."""
        raise NotImplementedError

    def ask_again(self) -> None:
        """What its request has waited for on its way through the gates is there."""
        raise NotImplementedError

    def disconnect(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit."""
        raise NotImplementedError

    # --- waiting ---

    def park(self, wait: int, framer: Framer, index: int) -> None:
        """Wait with the message of mark `index`; until then the framer is given nothing else."""
        self.inbound.wait = wait
        self.inbound.pending.append((wait, framer, index))

    def is_parked(self) -> bool:
        return self.inbound.wait != NOT

    # --- asyncio.Protocol ---

    def data_received(self, data: bytes) -> None:
        self.pool.tenant.stats.bytes_received += len(data)
        if self.inbound.wait != NOT:
            if self.inbound.keep(data):
                self.hold(PARKED)
            return
        try:
            self.take(data)
        except Exception as error:
            self.fail(error)

    def eof_received(self) -> bool:
        """A half-closed client still gets the answers that are due; one that waits for a server has gone."""
        self.inbound.leaving = True
        if self.is_parked() or self.stranded():
            self.disconnect("client closed the connection")
            return False
        return True

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
        if self.server is not None:
            self.count_stall(self.server)
        self.stalled_since = 0.0
        self.free(SELF_FULL)
        if self.server is not None:
            self.server.free(PARTNER_FULL)

    def count_stall(self, server: Server) -> None:
        """Add what the client has not taken the answer at hand for, up to now."""
        if self.stalled_since and not server.dialogue.pipeline.empty():
            server.loan.stalled += monotonic() - max(self.stalled_since, server.loan.answered_at)

    # --- the end ---

    def stranded(self) -> bool:
        """Whether the client sends no more, and nothing is due to it that would come all the same."""
        return self.inbound.leaving and (
            self.server is None
            or self.inbound.framer.left > 0
            or not self.server.dialogue.pipeline.will_end()
        )

    def fail(self, error: Exception) -> None:
        """What the client sent, or our own bug, costs this client its connection, and nobody else anything."""
        if not isinstance(error, ProxyError):
            log.error("internal error", exc_info=error, **self.describe_request())
            error = ProxyError("internal error in the proxy")
        self.disconnect(error.message, error)

    def end_if_faulty(self) -> None:
        """After its fault nothing is read; what was asked before it is still answered, as PostgreSQL does."""
        if self.inbound.fault is not None and not self.is_parked():
            self.inbound.leaving = True
            if self.stranded():
                self.depart()

    def depart(self) -> None:
        """The client sends no more, and has been answered."""
        fault = self.inbound.fault
        self.disconnect("client closed the connection" if fault is None else fault.message, fault)

    def farewell(self, error: ProxyError | None) -> None:
        """Send the client its last words, unless they would be taken for the rest of a message."""
        if error is not None and not (self.server is not None and self.server.relay.inside_message()):
            self.write(build.error_response(error))
