"""A client connection: how it borrows a server, waits for one, and gives it back.

A server is given back when it says that no transaction is open. A client that waits for one is *parked*: what else it
sends stays in its backlog, and it is still read, up to a limit, so that we notice when it leaves.
"""

from typing import TYPE_CHECKING, Any

from dbproxy.errors import FeatureNotSupported, ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARKED, PARTNER_FULL
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.requests import Requester
from dbproxy.sql.statement import WRITES
from dbproxy.wire import build
from dbproxy.wire.framer import Framer, client_framer

if TYPE_CHECKING:
    from dbproxy.session.startup import Login


class Client(Requester):
    """One logged-in client; session.startup makes it from a login."""

    def __init__(self, login: "Login", pool: Pool) -> None:
        Requester.__init__(self, login, pool)
        self.request_time = 0.0
        self.flushed_at = 0.0

    # --- waiting ---

    def park(self, framer: Framer, index: int) -> None:
        """Wait with the message of mark `index`; until then the framer is given nothing else."""
        self.parked = True
        self.pending.append((framer, index))

    def serve(self, server: Server, now: float) -> None:
        """The wait is over: this server is lent."""
        self.resume(server)

    def resume(self, server: Server | None = None) -> None:
        """Go on where it was parked, on `server` if it has waited for one.

        The one way on. Whoever calls it, the janitor, a server or another client's request, goes on, too: what goes
        wrong here is this client's.
        """
        try:
            framer, index = (
                self.pending.pop() if self.pending else (None, 0)
            )  # what waits may be all in the backlog
            self.parked = bool(self.pending)
            self.prepared.asks = False
            if server is not None:
                first = self.borrow(server)
                if first:
                    server.write(b"".join(first))
            if self.owes_ready:  # ahead of what is answered now
                self.tell_ready()
            if framer is not None:
                self.request(
                    framer, index, framer.mark_at(index) >> 8 if index < framer.count else framer.end
                )
            self.drain()
            self.end_if_faulty()
        except Exception as error:
            self.fail(error)

    def drain(self) -> None:
        """Handle what came while parked."""
        if self.backlog and not self.parked and not self.closed:
            data = b"".join(self.backlog)
            self.backlog.clear()
            self.backlog_size = 0
            self.take(data)
        if not self.parked:
            self.free(PARKED)

    def refuse(self, error: ProxyError) -> None:
        """There is no server for the request: it fails, and the connection goes on if the error allows it."""
        try:
            if not self.refused(error):
                self.drop_request(error)
        except Exception as failure:
            self.fail(failure)
            return
        self.resume()

    def drop_request(self, error: ProxyError) -> None:
        """Answer what waits with the error, which is raised if it ends the connection."""
        repeats, self.repeats = self.repeats, None
        if error.severity == "FATAL" or repeats:  # a transaction is open, to the client
            raise error
        framer, index = self.pending.pop()
        self.started = 0.0
        self.arrived = monotonic()  # what comes behind it waits anew
        self.write(self.prepared.keep_promises() + build.error_response(error))
        if framer.mark_at(index) & 255 in b"QF":
            self.write(self.spell_ready())
            index += 1
        else:
            self.discarding = True
        self.prepared.begun = False
        self.park(framer, index)

    def wait_for_hub(self, channels: list[str]) -> None:
        self.login.hear(self, channels)

    # --- a loan ---

    def borrow(self, server: Server) -> list[bytes] | None:
        """Begin the loan; what must be sent ahead of the request."""
        self.server = server
        self.request_time = self.arrived
        if server.full:
            self.hold(PARTNER_FULL)
        if self.full:
            server.hold(PARTNER_FULL)
        first = None
        if server.dialogue.settings is not self.settings or (
            server.dialogue.traces.has_unlisted_settings and server.loan.changed
        ):
            first = [server.adopt(self.settings)]
        if server.dialogue.traces.sequences.known and self.tracks:
            server.dialogue.traces.sequences.foreign = server.loan.changed
            if self.state.knows_better(server):
                first = [*(first or []), self.state.discard_sequences(server, simple=True)]
        self.prepared.borrow(server)
        if self.writes:
            self.writes = False
            server.dialogue.traces.effects |= WRITES
        if self.repeats is not None:
            repeats, self.repeats = self.repeats, None
            first = [*(first or []), *(self.spell_again(server, *step) for step in repeats)]
        return first

    def finished(self, status: int) -> bool:
        """Nothing more is due. True gives the server back."""
        self.replay.clear()
        self.prepared.end_request()
        self.server.dialogue.given.end_request()  # type: ignore[union-attr]  # it calls
        if status == ord("I"):
            self.prepared.executes = False
            if self.wrote:
                self.wrote_at = self.server.loan.answered_at  # type: ignore[union-attr]  # it calls
                self.wrote = False
            self.opening = None
        elif self.opening is not None:
            self.opening.answered(status)
        elif self.mode == "statement":
            self.disconnect(
                "transaction in statement mode",
                FeatureNotSupported("transaction blocks are not allowed in statement pooling mode"),
            )
        server = self.server
        asks = self.prepared.asks and not self.state.listening.hearing  # its next message has waited for this
        if self.framer.left and not asks:
            self.late = True
            return False
        if status == ord("I") and self.tracks and server.settle():  # type: ignore[union-attr]  # it calls
            return False
        if asks:
            self.resume()
            return False
        if status != ord("I") or not self.tracks or server.dialogue.traces.pins:  # type: ignore[union-attr]
            self.routed = False  # what has begun there stays there
            if self.moving:
                self.moving = False
                self.resume()
                return False
            if self.leaving:
                self.depart()
            return False
        self.server = None
        settings: Parameters = server.dialogue.settings  # type: ignore[union-attr]
        if settings.hasty:
            server.condemn("its client's timeouts could cut off what we send ahead of the next")  # type: ignore[union-attr]
        if self.pool.tenant.sets_unseen and self.tracks:
            server.dialogue.traces.has_unlisted_settings = True  # type: ignore[union-attr]
        if self.claims or self.pool.tenant.recalls:
            server.trail.claimed_by = self  # type: ignore[union-attr]
        self.free(PARTNER_FULL)
        if self.routed or self.host is not None:
            self.leave_host(monotonic() - self.request_time if self.routed else 0.0)
        self.detours = 0
        self.avoided = None
        self.waited = False
        if self.moving:
            self.moving = False
            server.release(monotonic())  # type: ignore[union-attr]
            self.resume()
            return False
        if self.leaving:
            self.depart()
        return True

    def caught_up(self) -> None:
        """Answered after a Flush, as asyncpg and others prepare: with no more than that, our Sync frees the server."""
        server = self.server
        if self.prepared.asks:
            self.resume()
            return
        if self.moving:
            if self.server.dialogue.pipeline.ignoring:  # type: ignore[union-attr]  # it calls
                self.moving = False  # what waits is not looked at
                self.resume()
            else:
                self.end_request(self.server)  # type: ignore[arg-type]
            return
        if (
            server is None
            or server.dialogue.pipeline.ignoring
            or self.prepared.executes
            or self.mode == "session"
        ):
            return
        # A pinned one is not freed, and what came may be no answer: a notification, which the hub tells. And what was
        # asked for at login is given back behind the client's own Sync.
        if server.dialogue.traces.pins or self.prepared.restored is not None:
            return
        if server.dialogue.status == ord("I") and not self.framer.left:
            self.started = 0.0
            server.dialogue.pipeline.skip(ord("S"))
            server.write(build.sync())

    def give_back(self) -> None:
        """The rest of a message that the server no longer wants has been sent: now the server is free."""
        server = self.server
        if server is not None and server.dialogue.pipeline.empty() and self.finished(server.dialogue.status):
            server.release(monotonic())

    def is_idle(self) -> bool:
        """Whether nothing is open: no transaction, no reply due, no server waited for."""
        server = self.server
        if server is None or self.parked:
            return not self.parked
        begun = self.framer.left or server.relay.answer.forwarded or server.dialogue.pipeline.ignoring
        return server.dialogue.status == ord("I") and server.dialogue.only_ours() and not begun

    def last_active(self) -> float:
        """When this client last sent something, or was last answered."""
        server = self.server
        return (
            self.arrived
            if server is None
            else max(self.arrived, server.loan.answered_at, server.loan.heard_at)
        )

    def is_silent(self) -> bool:
        """Whether the server, if it has one, waits for it to send more."""
        server = self.server
        if server is None or self.parked or server.full:
            return server is None and not self.parked
        pipeline, half = server.dialogue.pipeline, int(self.framer.left > 0)
        return bool(half or pipeline.copying or pipeline.only_ours()) and pipeline.waits(half)

    def lacks_flush(self) -> bool:
        """Whether it has sent half a batch, and nobody knows whether the server is still at it."""
        server = self.server
        if server is None or self.parked or server.full or self.framer.left or self.flushed_at > self.arrived:
            return False
        pipeline = server.dialogue.pipeline
        return not (pipeline.copying or pipeline.only_ours()) and pipeline.waits(0)

    def flush(self) -> None:
        """Send the Flush that it lacks: all that is due comes once the server has done it."""
        self.flushed_at = monotonic()
        server: Server = self.server  # type: ignore[assignment]  # it owes something
        server.relay.flush()
        server.write(build.flush())

    def slow(self, request: tuple[bytes, int, float], wait: float, run: float) -> None:
        self.login.slow(self, request, wait, run)

    # --- sending a request again ---

    def may_retry(self, name: bytes, changed: bool) -> bool:
        """Whether the request can be sent again.

        `changed`: the answer of statement `name` has other columns than before. A client that has asked for them
        before, and does not ask now, would read the new answer by the old description: it gets PostgreSQL's
        error, upon which drivers prepare the statement anew.
        """
        prepared = self.prepared
        if prepared.asks or not self.replay.possible(prepared.executes) or self.framer.left:
            return False
        if changed and name in prepared.described and not prepared.describes:
            return False
        self.parked = self.replay.used = True
        return True

    def retry(self) -> None:
        """Send the request again."""
        if self.host is not None and self.detours:
            self.move_on()
            return
        data = self.prepared.spell_faked() + self.replay.use()
        self.prepared.end_request()
        self.send_again(data)

    def move_on(self) -> None:
        """A replica has failed the request: the primary is asked."""
        server: Server = self.server  # type: ignore[assignment]  # it says so
        if server.dialogue.status != ord("I") and self.opening is not None:
            self.begin_again()
            return
        data = self.rescue()
        if server.dialogue.status != ord("I") or server.dialogue.traces.effects:
            server.loan.client = None
            server.close("left in a transaction")
        else:
            server.release(monotonic())
        self.send_again(data)

    def send_again(self, data: bytes) -> None:
        framer = client_framer(self.login.max_message_size)
        framer.scan(data)
        self.park(framer, 0)
        self.resume()

    # --- its prepared statements ---

    def knows(self, name: bytes) -> bool:
        return self.prepared.knows(name)

    def told(self, name: bytes, statement: Any, columns: int) -> None:
        if self.prepared.statements.get(name) is statement:
            self.prepared.described[name] = columns

    def restore(self, name: bytes, previous: Any) -> None:
        self.prepared.restore(name, previous)

    def forget_statements(self, spared: set[bytes]) -> None:
        self.prepared.forget_all(spared)
