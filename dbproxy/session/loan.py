"""How a client borrows a server, and gives it back: it is kept as long as a transaction is open, or something pins it.

What is known of the loan itself is the server's (pool.loan).
"""

from dbproxy.errors import FeatureNotSupported
from dbproxy.net.direct import monotonic
from dbproxy.net.link import FLOODING, PARTNER_FULL
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.server import Server
from dbproxy.session.connection import Connection
from dbproxy.session.recollection import spell_discard
from dbproxy.session.route import Route
from dbproxy.session.series import Series
from dbproxy.session.state import SessionState
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.session.wait import ANSWERED, MOVE, NOT
from dbproxy.sql.statement import WRITES
from dbproxy.wire import build


class Lending:
    """How one client borrows."""

    def __init__(
        self, client: Connection, state: SessionState, prepared: Vocabulary, series: Series, route: Route
    ) -> None:
        self.client = client
        self.state = state
        self.prepared = prepared
        self.series = series
        self.route = route
        self.tracks: bool = state.tracks
        self.request_time = 0.0  # when what the server was borrowed for had come
        self.late = False  # the server has answered what its client has not sent to the end
        self.flushed_at = 0.0
        self.followed = 0  # requests sent behind the first while that was not answered
        self.latest: Server | None = None  # that it was lent
        self.claims = False  # the client called nextval: another transaction may ask what it said

    def begin(self, server: Server) -> list[bytes] | None:
        """Hold the server; what must be sent ahead of the request."""
        client = self.client
        client.server = server
        self.request_time = client.inbound.arrived
        self.followed = 0
        if server.full:
            client.hold(PARTNER_FULL)
        if client.full:
            server.hold(PARTNER_FULL)
        first = None
        dialogue = server.dialogue
        if client.inbound.passage is not None:
            server.loan.fill = client.inbound.passage.listen(server)
        if dialogue.settings is not client.settings or (
            dialogue.traces.has_unlisted_settings and (server.loan.changed or server.loan.fill is not None)
        ):
            first = [server.adopt(client.settings)]
        if dialogue.traces.sequences.known and self.tracks:
            dialogue.traces.sequences.foreign = self.state.recollection.doubts(server, self.latest)
            if self.state.recollection.knows_better(server):
                first = [*(first or []), spell_discard(server, simple=True)]
        self.latest = server
        self.prepared.borrow(server)
        if self.route.writes:
            self.route.writes = False
            dialogue.traces.effects |= WRITES
        if self.route.mover.repeats is not None:
            first = [*(first or []), *self.repeat(server)]
        return first

    def repeat(self, server: Server) -> list[bytes]:
        """What begins a transaction again that has moved here."""
        mover = self.route.mover
        repeats, mover.repeats = mover.repeats or [], None
        return [mover.spell_again(server, *step) for step in repeats]

    def finish(self, server: Server, status: int) -> bool:
        """All that was asked is answered. True gives the server back; else it is kept, or given back already."""
        self.end_answer(server, status)
        waits = self.series.waits and not self.state.listening.hearing  # its next message has waited for this
        if self.client.inbound.framer.left and not waits:
            self.late = True
            return False
        if status == ord("I") and self.tracks and server.settle():
            self.prepared.asked()
            return False
        if waits:
            self.client.resume(ANSWERED)
            return False
        if status != ord("I") or not self.tracks or server.dialogue.traces.pins:
            if status == ord("I"):
                self.account(server, over=True)
                if not self.tracks and server.loan.writes is not None:
                    server.relay.lose_place(server.loan.writes.unplaced)  # it is asked nothing
            elif server.loan.use.transactions:
                self.account(server, over=False)  # another was begun with the same request
            self.keep()
            return False
        return self.end(server)

    def end_answer(self, server: Server, status: int) -> None:
        """What was noted for the answer that is over counts no more."""
        route = self.route
        route.replay.clear()
        self.prepared.end_request()
        server.dialogue.given.end_request()
        if status == ord("I"):
            self.series.executes = False
            if route.wrote:
                route.reader.wrote_at = server.loan.answered_at
                route.wrote = False
            route.mover.opening = None
        elif route.mover.opening is not None:
            route.mover.opening.answered(status)
        elif self.state.mode == "statement":
            self.client.disconnect(
                "transaction in statement mode",
                FeatureNotSupported("transaction blocks are not allowed in statement pooling mode"),
            )

    def keep(self) -> None:
        """A transaction is open, or something pins the server: what comes next stays there."""
        client = self.client
        client.routed = False
        self.followed = 0
        if client.inbound.wait == MOVE:
            client.resume(ANSWERED)
        elif client.inbound.leaving:
            client.depart()

    def end(self, server: Server) -> bool:
        """Hold the server no longer; False if it has been given back, as what waits goes on elsewhere."""
        client = self.client
        client.server = None
        settings: Parameters = server.dialogue.settings
        if settings.hasty:
            server.condemn("its client's timeouts could cut off what we send ahead of the next")
        tenant = client.pool.tenant
        if tenant.routines.sets_unseen and self.tracks:
            server.dialogue.traces.has_unlisted_settings = True
        if self.claims or tenant.recalls:
            server.trail.claimed_by = client
        client.free(PARTNER_FULL)
        if client.routed or self.route.host is not None:
            answered_at = server.loan.answered_at
            total = answered_at - self.request_time if client.routed else 0.0
            self.route.leave_host(total, answered_at - server.loan.since, answered_at)
        moves = self.route.mover.repeats is not None  # its transaction goes on at another host
        if client.inbound.allowance is not None:
            self.account(server, over=not moves)
        if client.inbound.passage is not None and not moves:
            client.inbound.end_passage()
        self.route.forget_detours()
        if client.inbound.wait == MOVE:
            server.release(monotonic())
            client.resume(ANSWERED)
            return False
        if client.inbound.leaving:
            client.depart()
        return True

    def account(self, server: Server, over: bool) -> None:
        """Hold against the client's limits what it has had of the server; `over`: no transaction is open any more."""
        allowance = self.client.inbound.allowance
        if allowance is None:
            return
        use, now = server.loan.use, server.loan.answered_at
        if over:
            allowance.end(now, now - use.since, use.rows, use.transactions, use.statements)
        else:
            allowance.charge(now, now - use.since, use.rows, use.transactions, use.statements)
        use.begin(now)

    def account_lost(self, server: Server) -> None:
        """As `account`, where the client leaves: what is not over by then has been used, too."""
        dialogue = server.dialogue
        pipeline = dialogue.pipeline
        if dialogue.in_transaction() or not (pipeline.empty() or pipeline.only_ours()):
            server.loan.use.end_request(idle=True)
            server.loan.answered_at = monotonic()
        self.account(server, over=True)

    def give_back(self) -> None:
        """The rest of a message that the server no longer wants has been sent: now the server is free."""
        self.late = False
        server = self.client.server
        if server is None or not server.dialogue.pipeline.empty():
            return
        if self.finish(server, server.dialogue.status):
            server.release(monotonic())

    def catch_up(self, server: Server) -> bool:
        """All is answered behind a Flush: asyncpg and others prepare so. Whether a Sync was sent, to free it."""
        client = self.client
        pipeline = server.dialogue.pipeline
        if self.series.waits:
            client.resume(ANSWERED)
            return False
        if client.inbound.wait == MOVE:
            if pipeline.ignoring:
                client.resume(ANSWERED)  # what waits is not looked at
            else:
                self.route.mover.end_request(server)
            return False
        if pipeline.ignoring or self.series.executes or self.state.mode == "session":
            return False
        # A pinned server is not freed, and what came may be no answer: a notification, which the hub tells. And what
        # was asked for at login is given back behind the client's own Sync.
        if server.dialogue.traces.pins or self.series.restored is not None:
            return False
        if server.dialogue.in_transaction() or client.inbound.framer.left:
            return False
        pipeline.skip(ord("S"))
        server.write(build.sync())
        return True

    # --- floods, and silence ---

    def slow_down(self, server: Server) -> None:
        """Read no more until half of the replies due are there; Flush makes the server send them."""
        self.client.hold(FLOODING)
        server.relay.flush()
        server.write(build.flush())

    def lacks_flush(self) -> bool:
        """Whether a request lacks its Sync, and nobody knows whether the server is still at work on the rest."""
        server, inbound = self.client.server, self.client.inbound
        if server is None or inbound.wait != NOT or server.full or inbound.framer.left:
            return False
        pipeline = server.dialogue.pipeline
        unfinished = not (pipeline.copying or pipeline.only_ours()) and pipeline.waits(0)
        return unfinished and self.flushed_at <= inbound.arrived

    def flush(self) -> None:
        """Send the Flush that is lacking: then all that is due comes once the server has carried it out."""
        self.flushed_at = monotonic()
        server = self.client.server
        if server is not None:
            server.relay.flush()
            server.write(build.flush())
