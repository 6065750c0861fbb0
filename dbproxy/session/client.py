"""A client connection: what the application sends us, and where it goes.

A request (everything up to Query or Sync) is forwarded in the chunks in which it came, to a server that is borrowed
when its first message needs one and given back when the server says that no transaction is open. A chunk is cut only
where a prepared statement is called by the name that servers know it by, or a message need not be sent at all.

A client that waits for a server is *parked*: what else it sends stays in its backlog, and it is still read, up to a
limit, so that we notice when it leaves.
"""

from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.errors import AdminShutdown, FeatureNotSupported, ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import FLOODING, PARKED, PARTNER_FULL, SELF_FULL
from dbproxy.pool.audit import Findings
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.insertions import restore, spell_ours
from dbproxy.pool.parameters import NOTHING, Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.names import FLUSH, USES
from dbproxy.session.replay import NOTHING_YET, SPOILED, Replay
from dbproxy.session.state import REFUSED, SessionState
from dbproxy.session.statements import ClientStatements
from dbproxy.sql.statement import DISCARDS, HARMLESS, LISTENS, UNKNOWN, Statement
from dbproxy.wire import build
from dbproxy.wire.extended import cut, length_at
from dbproxy.wire.framer import STATEMENT_NEED, Framer, client_framer

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

log = structlog.get_logger()

READY_IDLE = build.ready_for_query(ord("I"))
BACKLOG_LIMIT = 65536  # bytes read from a parked client before it is no longer read
UNREAD = Statement(effects=UNKNOWN)  # a Query too long to be looked at
NOTIFICATION_LIMIT = 10000  # kept for a client in a transaction
DUE_LIMIT = 10000  # replies due before a client that floods is no longer read


class Client(Borrower):
    """One logged-in client; session.startup makes it from a login."""

    def __init__(self, login: "Login", pool: Pool) -> None:
        Borrower.__init__(self)
        self.login = login
        self.id = login.id
        self.pool = pool
        self.stats = pool.stats
        self.settings = login.settings
        self.reported.update({name.lower(): value for name, value in login.reported.items()})
        self.mode = pool.settings.mode
        self.shares = self.mode != "session" and pool.settings.max_prepared_statements > 0
        self.framer = client_framer(login.max_message_size)
        self.server: Server | None = None
        self.parked = False
        self.leaving = False
        self.late = False
        self.discarding = False
        self.pending: tuple[Framer, int] | None = None
        self.backlog: list[bytes] = []
        self.backlog_size = 0
        self.tracks = self.by_hub = self.mode != "session"
        self.state = SessionState(self, login.settings)
        self.prepared = ClientStatements(
            pool,
            self.shares,
            login.settings.values.get("search_path", "").encode(errors="surrogateescape"),
            self.state,
        )
        self.owes_ready = False
        self.claims = False  # called nextval: another transaction may ask what it said
        self.hub: Any = None  # once it has listened
        self.replay = Replay()
        self.arrived = monotonic()
        self.started = 0.0
        self.request_time = 0.0
        self.stalled_since = 0.0

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
        except ProxyError as error:
            self.disconnect(error.message, error)
        except Exception:  # our own bug costs this client its connection, and nobody else anything
            log.exception("internal error", client=self.id)
            self.disconnect("internal error", ProxyError("internal error in the proxy"))

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
            self.server is None or self.framer.left > 0 or not self.server.pipeline.will_end()
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

    # --- requests ---

    def take(self, data: bytes) -> None:
        """Handle what the client sent."""
        if self.owes_ready:
            self.tell_ready()
        self.framer.scan(data)
        self.arrived = monotonic()
        self.request(self.framer, 0, 0)
        if self.server is not None:
            if self.late and not self.framer.left:
                self.late = False
                self.give_back()
            elif len(self.server.pipeline.due) > DUE_LIMIT and not self.framer.left:
                self.slow_down(self.server)

    def slow_down(self, server: Server) -> None:
        """Read no more until half of the replies due are there; Flush makes the server send them."""
        self.hold(FLOODING)
        server.flush()
        server.write(build.flush())

    def request(self, framer: Framer, index: int, position: int) -> None:
        """Handle the framer's messages from mark `index` on; bytes before `position` have been dealt with.

        Bytes between marks (CopyData, the rest of a long message) go where the message before them went: to the
        server, or nowhere if the client has none, as PostgreSQL ignores COPY data after a COPY has failed.
        """
        server = self.server
        prepared = self.prepared
        replay = self.replay
        pipeline: Any = server.pipeline if server is not None else None
        pieces: list[bytes] | None = None
        chunk = framer.chunk
        end = framer.end
        while index < framer.count:
            mark = framer.mark_at(index)
            index += 1
            kind = mark & 255
            at = mark >> 8
            if server is None:
                position = at
                if not self.needs_server(kind, chunk, at):
                    if self.closed:
                        return
                    continue
                server = self.pool.checkout(self, self.arrived)
                if server is None:
                    self.park(framer, index - 1)
                    return
                pieces = self.borrow(server)
                pipeline = server.pipeline
            if not self.started:
                self.started = self.arrived
            if replay.sealed:
                replay.at = SPOILED
            if pipeline.ignoring and kind != ord("S") and kind != ord("X"):
                continue  # PostgreSQL does not look at it
            if kind == ord("Q"):
                if self.tracks and (
                    (effects := self.classify(chunk, at)) is not HARMLESS or prepared.restored is not None
                ):
                    stop = min(at + length_at(chunk, at), end)
                    pieces = self.query(server, effects, chunk, position, at, stop, pieces)
                    position = stop
                    if prepared.asks:
                        server.write(b"".join(pieces))
                        self.park(framer, index - 1)
                        return
                else:
                    pipeline.expect(ord("Q"), (chunk, at, self.started))
                self.started = 0.0
                server.statements.unnamed = prepared.unnamed = None
                replay.at = SPOILED
            elif kind == ord("E"):
                prepared.executes = True
                pipeline.expect(ord("E"))
                if prepared.restores is not None:
                    stop = at + length_at(chunk, at)
                    pieces = pieces if pieces is not None else []
                    pieces += (chunk[position:stop], spell_ours(server, prepared.restores, simple=False))
                    prepared.restores = None
                    position = stop
            elif kind == ord("S"):
                server.statements.batch += 1
                if prepared.restored is None:
                    pipeline.expect(ord("S"), (prepared.seen, prepared.seen_at, self.started))
                else:
                    stop = at + length_at(chunk, at)
                    pieces = pieces if pieces is not None else []
                    request = (prepared.seen, prepared.seen_at, self.started)
                    pieces += (chunk[position:stop], restore(server, prepared.restored, ord("S"), request))
                    prepared.restored = None
                    position = stop
                self.started = 0.0
                replay.sealed = True
                prepared.executes = False
            elif kind == ord("X"):
                self.leave(server, chunk, position, at, pieces)
                return
            elif kind == ord("B") or kind == ord("P") or kind == ord("D") or kind == ord("C"):
                stop = at + length_at(chunk, at)
                if stop > end:
                    stop = end
                if replay.at == NOTHING_YET and self.shares and server.status == ord("I"):
                    replay.at = at
                new = prepared.translate(server, kind, chunk, at, stop)
                if new is not None:
                    if pieces is None:
                        pieces = []
                    if at > position:
                        pieces.append(cut(chunk, position, at))
                    pieces.append(new)
                    position = stop
                    if prepared.asks:
                        server.write(b"".join(pieces))
                        self.park(framer, index - 1)
                        return
            else:
                self.rare(server, kind)
        if server is None or (end <= position and pieces is None):
            return
        if replay.at >= 0:
            replay.keep(chunk, end)
        if pieces is None:
            server.write(chunk if position == 0 and end == len(chunk) else chunk[position:end])
            return
        if end > position:
            pieces.append(cut(chunk, position, end))
        server.write(b"".join(pieces))

    # --- what a statement does to the session ---

    def classify(self, chunk: bytes, at: int) -> Statement:
        length = length_at(chunk, at)
        if length > STATEMENT_NEED:
            return UNREAD
        classifier = self.pool.classifier
        start, stop = at + 5, at + length - 1
        found = classifier.alike.find(chunk, start, stop)
        if found is None:
            found = classifier.find(cut(chunk, start, stop), self.state.backslashes)
        return found

    def query(self, server: Server, effects: Statement, chunk: bytes, position: int, at: int, stop: int,
              pieces: list[bytes] | None) -> list[bytes]:  # fmt: skip
        """A Query that may change the session: what is sent up to `stop`, with what has to go ahead of it."""
        pieces = pieces if pieces is not None else []
        if at > position:
            pieces.append(chunk[position:at])
        state = self.state
        refusal = state.refusal(effects)
        if refusal is not None:
            server.pipeline.expect(ord("Q"), (chunk, at, self.started, refusal))
            pieces.append(build.query(REFUSED))
            return pieces
        if effects.effects & USES and self.prepared.names.must_wait(server):
            self.prepared.asks = True
            pieces.append(FLUSH)
            return pieces
        if state.must_hear(effects):
            self.prepared.asks = True
            return pieces
        if self.prepared.restored is not None:  # no Sync came behind DISCARD ALL
            pieces.append(spell_ours(server, [self.prepared.restored.difference(NOTHING)], simple=True))
            self.prepared.restored = None
        # What Execute has done since the last Sync is part of the Query's transaction: nothing may end it before.
        pieces.append(state.begin(server, effects, (), simple=not self.prepared.executes))
        pieces.append(chunk[at:stop])
        restored = state.restored(effects) if stop - at == length_at(chunk, at) else NOTHING
        if restored is NOTHING:
            server.pipeline.expect(ord("Q"), (chunk, at, self.started))
        else:
            pieces.append(restore(server, restored, ord("Q"), (chunk, at, self.started)))
        return pieces

    def audited(self, findings: Findings, effects: int) -> None:
        assert self.server is not None  # it says so
        self.state.conclude(self.server, findings, effects)
        if self.owes_ready:
            self.hear_own()

    def owe_ready(self) -> None:
        """LISTEN counts, and its own notifications have come, before the client is told that it is ready."""
        self.owes_ready = True
        self.state.listen_early()
        if not self.server.marks.effects & (LISTENS | DISCARDS):  # type: ignore[union-attr]  # which ask
            self.hear_own()

    def listen_early(self) -> None:
        self.state.listen_early()

    def hear_own(self) -> None:
        if self.state.notifies and self.hub is not None:
            self.state.notifies = False
            self.hub.catch_up(self.tell_ready)
        else:
            self.tell_ready()

    def tell_ready(self) -> None:
        if self.owes_ready:
            self.owes_ready = False
            self.write(b"".join([*self.news, READY_IDLE]))
            self.news.clear()

    def find_hub(self) -> Any:
        if self.hub is None:
            self.hub = self.login.find_hub()
        return self.hub

    def wait_for_hub(self, channels: list[str]) -> None:
        self.login.hear(self, channels)

    def heard(self, error: ProxyError | None) -> None:
        """The hub hears what this client asked for, or cannot: go on."""
        self.state.hearing = False
        if self.closed or not self.parked:
            return
        if error is not None:
            self.disconnect(error.message, error)
            return
        self.resume()

    def notify(self, message: bytes) -> None:
        """A notification, or a notice about them: now, or once what is under way is answered."""
        if self.state.is_early(message):
            return
        if self.parked or (self.server is not None and not self.may_hear(self.server)):
            self.news.append(message)
            if len(self.news) > NOTIFICATION_LIMIT:
                why = f"{NOTIFICATION_LIMIT} notifications wait for its transaction to end"
                self.disconnect("too many notifications", AdminShutdown(f"terminating connection: {why}"))
        else:
            self.write(message)

    notice = notify

    def may_hear(self, server: Server) -> bool:
        """Whether PostgreSQL would tell a notification now: no transaction is open, and no reply due."""
        pipeline = server.pipeline
        if server.status != ord("I") or server.framer.left or not pipeline.only_ours():
            return False
        return bool(pipeline.ignoring or not (self.prepared.executes or server.forwarded))

    def needs_server(self, kind: int, chunk: bytes, at: int) -> bool:
        """Whether a message from a client that holds no server needs one; if not, it is dealt with here."""
        if kind == ord("S"):
            self.discarding = False
            self.write(self.prepared.keep_promises() + READY_IDLE)
        elif kind == ord("H") and self.prepared.promised:
            self.write(self.prepared.keep_promises())
        elif kind == ord("X"):
            self.disconnect("client closed the connection")
        if self.discarding or kind not in b"QPBDECF":
            return False
        promising = self.shares and (kind == ord("P") or kind == ord("C"))
        return not (promising and self.prepared.promise(kind, chunk, at))

    def rare(self, server: Server, kind: int) -> None:
        if kind == ord("F"):
            server.pipeline.expect(ord("F"), (b"", -1, self.started))
            self.started = 0.0
        elif kind == ord("H"):
            server.flush()
        else:
            server.pipeline.expect(ord("c"))
            self.started = 0.0  # no request begins with it

    # --- sending a request again ---

    def may_retry(self, name: bytes, changed: bool) -> bool:
        """Whether the request can be sent again.

        `changed`: the answer of statement `name` has other columns than before. A client that has asked for them
        before, and does not ask now, would read the new answer by the old description: it gets PostgreSQL's
        error, upon which drivers prepare the statement anew.
        """
        prepared = self.prepared
        if not self.replay.possible(prepared.executes) or self.framer.left:
            return False
        if changed and name in prepared.described and not prepared.describes:
            return False
        self.parked = self.replay.used = True
        return True

    def retry(self) -> None:
        """Send the request again."""
        data = self.prepared.spell_faked() + self.replay.use()
        framer = client_framer(self.login.max_message_size)
        framer.scan(data)
        self.prepared.end_request()
        self.parked = False
        self.request(framer, 0, 0)
        self.drain()

    def knows(self, name: bytes) -> bool:
        return self.prepared.knows(name)

    def told(self, name: bytes, statement: Any, columns: int) -> None:
        if self.prepared.statements.get(name) is statement:
            self.prepared.described[name] = columns

    def restore(self, name: bytes, previous: Any) -> None:
        self.prepared.restore(name, previous)

    def forget_statements(self, spared: set[bytes]) -> None:
        self.prepared.forget_all(spared)

    # --- waiting and borrowing ---

    def park(self, framer: Framer, index: int) -> None:
        """Wait with the message of mark `index`; until then the framer is given nothing else."""
        self.parked = True
        self.pending = (framer, index)

    def borrow(self, server: Server) -> list[bytes] | None:
        """Begin the loan; what must be sent ahead of the request."""
        self.server = server
        self.request_time = self.arrived
        if server.full:
            self.hold(PARTNER_FULL)
        if self.full:
            server.hold(PARTNER_FULL)
        first = None
        if server.settings is not self.settings or (server.marks.murky and server.changed):
            first = [server.adopt(self.settings)]
        if self.pool.recalls and server.changed and self.tracks:
            first = [*(first or []), spell_ours(server, ["DISCARD SEQUENCES"], simple=True)]
        self.prepared.borrow(server)
        return first

    def serve(self, server: Server, now: float) -> None:
        """The wait is over: this server is lent."""
        first = self.borrow(server)
        if first:
            server.write(b"".join(first))
        self.resume()

    def resume(self) -> None:
        """Go on with the request where it was parked."""
        pending, self.pending = self.pending, None
        framer, index = pending  # type: ignore[misc]  # a parked client has it
        self.parked = self.prepared.asks = False
        try:
            if self.owes_ready:  # ahead of what is answered now
                self.tell_ready()
            self.request(framer, index, framer.mark_at(index) >> 8)
            self.drain()
        except ProxyError as error:
            self.disconnect(error.message, error)

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
        if error.severity == "FATAL":
            self.disconnect(error.message, error)
            return
        framer, index = self.pending  # type: ignore[misc]  # a parked client has it
        self.pending = None
        self.parked = False
        self.started = 0.0
        self.arrived = monotonic()  # what comes behind it waits anew
        self.write(self.prepared.keep_promises() + build.error_response(error))
        if framer.mark_at(index) & 255 in b"QF":
            self.write(READY_IDLE)
            index += 1
        else:
            self.discarding = True
        self.request(framer, index, framer.end)
        self.drain()

    def reply(self, data: bytes) -> None:
        self.write(data)
        server = self.server
        if self.reasons & FLOODING and server is not None and len(server.pipeline.due) < DUE_LIMIT // 2:
            self.free(FLOODING)

    def finished(self, status: int) -> bool:
        """Nothing more is due. True gives the server back."""
        self.replay.clear()
        self.prepared.end_request()
        if status == ord("I"):
            self.prepared.executes = False
        elif self.mode == "statement":
            self.disconnect(
                "transaction in statement mode",
                FeatureNotSupported("transaction blocks are not allowed in statement pooling mode"),
            )
        server = self.server
        asks = self.prepared.asks and not self.state.hearing
        if self.framer.left and not asks:
            self.late = True
            return False
        if status == ord("I") and self.tracks and server.settle():  # type: ignore[union-attr]  # it calls
            return False
        if asks:
            self.resume()
            return False
        if status != ord("I") or not self.tracks or server.marks.pins:  # type: ignore[union-attr]
            if self.leaving:
                self.disconnect("client closed the connection")
            return False
        self.server = None
        settings: Parameters = server.settings  # type: ignore[union-attr]
        if settings.hasty:
            server.expires_at = 0.0  # type: ignore[union-attr]
        if self.pool.sets_unseen and self.tracks:
            server.marks.murky = True  # type: ignore[union-attr]
        if self.claims or self.pool.recalls:
            server.claimed_by = self  # type: ignore[union-attr]
        self.free(PARTNER_FULL)
        if self.leaving:
            self.disconnect("client closed the connection")
        return True

    def caught_up(self) -> None:
        """Answered after a Flush, as asyncpg and others prepare: with no more than that, our Sync frees the server."""
        server = self.server
        if self.prepared.asks:
            self.resume()
            return
        if server is None or server.pipeline.ignoring or self.prepared.executes or self.mode == "session":
            return
        if server.status == ord("I") and not self.framer.left:
            self.started = 0.0
            server.pipeline.skip(ord("S"))
            server.write(build.sync())

    def give_back(self) -> None:
        """The rest of a message that the server no longer wants has been sent: now the server is free."""
        server = self.server
        if server is not None and server.pipeline.empty() and self.finished(server.status):
            server.release(monotonic())

    def is_idle(self) -> bool:
        """Whether nothing is open: no transaction, no reply due, no server waited for."""
        server = self.server
        if server is None or self.parked:
            return not self.parked
        begun = self.framer.left or server.forwarded or server.pipeline.ignoring
        return server.status == ord("I") and server.pipeline.only_ours() and not begun

    def last_active(self) -> float:
        """When this client last sent something, or was last answered."""
        return max(self.arrived, self.server.busy_since if self.server is not None else 0.0)

    def slow(self, request: tuple[bytes, int, float], wait: float, run: float) -> None:
        self.login.slow(self, request, wait, run)

    # --- the end ---

    def leave(self, server: Server, chunk: bytes, position: int, at: int, pieces: list[bytes] | None) -> None:
        """Terminate: what was asked before it is still carried out."""
        ahead = b"".join([*(pieces or []), chunk[position:at]])
        if ahead:
            server.write(ahead)
        self.leaving = True
        if self.stranded():
            self.disconnect("client closed the connection")

    def server_lost(self, error: ProxyError, told: bool) -> None:
        """The server connection broke; PostgreSQL would close ours. `told`: its own last words were forwarded."""
        self.server = None
        self.disconnect("server lost", None if told else error)

    def disconnect(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit. Sends the error, gives up or gives back the server, and is always logged."""
        if self.closed:
            return
        if error is not None and not (self.server is not None and self.server.inside_message()):
            self.write(build.error_response(error))
        self.closed = True
        server, self.server = self.server, None
        self.pool.leave(self)
        if self.hub is not None:
            self.hub.leave(self)
        self.pending = None
        self.backlog.clear()
        if self.transport is not None:
            self.transport.close()
        if server is not None:
            server.abandon(self.framer.left > 0)
        self.login.left(self, reason)
