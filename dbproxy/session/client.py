"""A client connection: what the application sends us, and where it goes.

A request (everything up to Query or Sync) is forwarded in the chunks in which it came, to a server that is borrowed
when its first message needs one and given back when the server says that no transaction is open. A chunk is cut only
where a prepared statement is called by the name that servers know it by, or a message need not be sent at all.

A client that waits for a server is *parked*: what else it sends stays in its backlog, and it is still read, up to a
limit, so that we notice when it leaves.
"""

from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.errors import FeatureNotSupported, ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import FLOODING, PARKED, PARTNER_FULL, SELF_FULL
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.replay import NOTHING_YET, SPOILED, Replay
from dbproxy.session.statements import ClientStatements
from dbproxy.wire import build
from dbproxy.wire.extended import cut, length_at
from dbproxy.wire.framer import client_framer

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

log = structlog.get_logger()

READY_IDLE = build.ready_for_query(ord("I"))
BACKLOG_LIMIT = 65536  # bytes read from a parked client before it is no longer read
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
        self.mode = pool.settings.mode
        self.shares = self.mode != "session" and pool.settings.max_prepared_statements > 0
        self.framer = client_framer(login.max_message_size)
        self.server: Server | None = None
        self.parked = False
        self.leaving = False
        self.late = False
        self.discarding = False
        self.pending: tuple[bytes, list[int], int, int] | None = None
        self.backlog: list[bytes] = []
        self.backlog_size = 0
        self.prepared = ClientStatements(
            pool, self.shares, login.settings.values.get("search_path", "").encode(errors="surrogateescape")
        )
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
        marks = self.framer.feed(data)
        self.arrived = monotonic()
        self.request(self.framer.chunk, marks, 0, 0, self.framer.end)
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

    def request(self, chunk: bytes, marks: list[int], index: int, position: int, end: int) -> None:
        """Handle messages from `marks[index]` on; bytes before `position` have been dealt with.

        Bytes between marks (CopyData, the rest of a long message) go where the message before them went: to the
        server, or nowhere if the client has none, as PostgreSQL ignores COPY data after a COPY has failed.
        """
        server = self.server
        prepared = self.prepared
        replay = self.replay
        pipeline: Any = server.pipeline if server is not None else None
        pieces: list[bytes] | None = None
        number = len(marks)
        while index < number:
            mark = marks[index]
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
                    self.park(chunk, marks, index - 1, end)
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
                pipeline.expect(ord("Q"), (chunk, at, self.started))
                self.started = 0.0
                server.unnamed = prepared.unnamed = None
                replay.at = SPOILED
            elif kind == ord("E"):
                prepared.executes = True
                pipeline.expect(ord("E"))
            elif kind == ord("S"):
                pipeline.expect(ord("S"), (prepared.seen, prepared.seen_at, self.started))
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
                        self.park(chunk, marks, index - 1, end)
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
        self.prepared.end_request()
        self.parked = False
        self.request(data, framer.feed(data), 0, 0, framer.end)
        self.drain()

    def told(self, name: bytes, statement: Any, columns: int) -> None:
        if self.prepared.statements.get(name) is statement:
            self.prepared.described[name] = columns

    def restore(self, name: bytes, previous: Any) -> None:
        self.prepared.restore(name, previous)

    def forget_statements(self, spared: set[bytes]) -> None:
        self.prepared.forget_all(spared)

    # --- waiting and borrowing ---

    def park(self, chunk: bytes, marks: list[int], index: int, end: int) -> None:
        self.parked = True
        self.pending = (chunk, marks, index, end)

    def borrow(self, server: Server) -> list[bytes] | None:
        """Begin the loan; what must be sent ahead of the request."""
        self.server = server
        self.request_time = self.arrived
        if server.full:
            self.hold(PARTNER_FULL)
        if self.full:
            server.hold(PARTNER_FULL)
        first = None
        if server.settings is not self.settings or (
            server.tainted_by is not None and server.tainted_by is not self
        ):
            first = [server.adopt(self.settings)]
        self.prepared.borrow(server)
        return first

    def serve(self, server: Server, now: float) -> None:
        """The wait is over: this server is lent."""
        first = self.borrow(server)
        if first:
            server.write(first[0])
        self.resume()

    def resume(self) -> None:
        """Go on with the request where it was parked."""
        pending, self.pending = self.pending, None
        chunk, marks, index, end = pending  # type: ignore[misc]  # a parked client has it
        self.parked = self.prepared.asks = False
        try:
            self.request(chunk, marks, index, marks[index] >> 8, end)
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
        chunk, marks, index, end = self.pending  # type: ignore[misc]  # a parked client has it
        self.pending = None
        self.parked = False
        self.started = 0.0
        self.arrived = monotonic()  # what comes behind it waits anew
        self.write(self.prepared.keep_promises() + build.error_response(error))
        if marks[index] & 255 in b"QF":
            self.write(READY_IDLE)
            index += 1
        else:
            self.discarding = True
        self.request(chunk, marks, index, end, end)
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
        if status != ord("I") and self.mode == "statement":
            self.disconnect(
                "transaction in statement mode",
                FeatureNotSupported("transaction blocks are not allowed in statement pooling mode"),
            )
        if status != ord("I") or self.mode == "session" or self.server.pin:  # type: ignore[union-attr]  # it calls
            if self.leaving:
                self.disconnect("client closed the connection")
            return False
        if self.framer.left:
            self.late = True
            return False
        self.server = None
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
        return server.status == ord("I") and server.pipeline.empty() and not begun

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
        self.pending = None
        self.backlog.clear()
        if self.transport is not None:
            self.transport.close()
        if server is not None:
            server.abandon(self.framer.left > 0)
        self.login.left(self, reason)
