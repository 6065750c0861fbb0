"""A client connection: what the application sends us, and where it goes.

A request (everything up to Query or Sync) is forwarded in the chunks in which it came, to a server that is borrowed
when its first message needs one and given back when the server says that no transaction is open. A chunk is cut only
where a prepared statement is called by the name that servers know it by, or a message need not be sent at all.

A client that waits for a server is *parked*: what else it sends stays in its backlog, and it is still read, up to a
limit, so that we notice when it leaves.
"""

from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.errors import FeatureNotSupported, MessageTooLarge, ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import FLOODING, PARKED, PARTNER_FULL, SELF_FULL
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.pool import Pool
from dbproxy.pool.prepared import AGAIN, NOWHERE, Statement
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.extended import (
    bind_name,
    length_at,
    parse_parts,
    target_name,
    write_bind,
    write_close,
    write_describe,
    write_parse,
)
from dbproxy.wire.framer import client_framer
from dbproxy.wire.pipeline import faked_reply

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

log = structlog.get_logger()

READY_IDLE = build.ready_for_query(ord("I"))
BACKLOG_LIMIT = 65536  # bytes read from a parked client before it is no longer read
DUE_LIMIT = 10000  # replies due before a client that floods is no longer read
REPLAY_LIMIT = 65536  # bytes of a request kept for sending it again
NOTHING_YET, SPOILED = -1, -2  # replay_at: no request since the last answer; one that cannot be sent again


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
        self.statements: dict[bytes, Statement] = {}
        self.promised: list[tuple[int, tuple[bytes, Statement | None, bytes, None], Statement | None]] = []
        self.faked = self.promised  # those of the request at hand
        self.described: set[Statement | None] = set()
        self.unnamed: bytes | None = None
        self.replay: list[bytes] | None = None
        self.replay_at = NOTHING_YET
        self.sealed = False
        self.executes = False
        self.retried = False
        self.describes = False
        self.seen: bytes = b""
        self.seen_at = -1
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
            if self.sealed:
                self.replay_at = SPOILED
            if pipeline.ignoring and kind != ord("S") and kind != ord("X"):
                continue  # PostgreSQL does not look at it
            if kind == ord("Q"):
                pipeline.expect(ord("Q"), (chunk, at, self.started))
                self.started = 0.0
                server.unnamed = self.unnamed = None
                self.replay_at = SPOILED
            elif kind == ord("E"):
                self.executes = True
                pipeline.expect(ord("E"))
            elif kind == ord("S"):
                pipeline.expect(ord("S"), (self.seen, self.seen_at, self.started))
                self.started = 0.0
                self.sealed = True
                self.executes = False
            elif kind == ord("X"):
                self.leave(server, chunk, position, at, pieces)
                return
            elif kind == ord("B") or kind == ord("P") or kind == ord("D") or kind == ord("C"):
                stop = at + length_at(chunk, at)
                if stop > end:
                    stop = end
                if self.replay_at == NOTHING_YET and self.shares and server.status == ord("I"):
                    self.replay_at = at
                new = self.translate(server, kind, chunk, at, stop)
                if new is not None:
                    if pieces is None:
                        pieces = []
                    if at > position:
                        pieces.append(chunk[position:at])
                    pieces.append(new)
                    position = stop
            else:
                self.rare(server, kind)
        if server is None or (end <= position and pieces is None):
            return
        if self.replay_at >= 0:
            self.remember(chunk, end)
        if pieces is None:
            server.write(chunk if position == 0 and end == len(chunk) else chunk[position:end])
            return
        if end > position:
            pieces.append(chunk[position:end])
        server.write(b"".join(pieces))

    def needs_server(self, kind: int, chunk: bytes, at: int) -> bool:
        """Whether a message from a client that holds no server needs one; if not, it is dealt with here."""
        if kind == ord("S"):
            self.discarding = False
            self.write(self.keep_promises() + READY_IDLE)
        elif kind == ord("H") and self.promised:
            self.write(self.keep_promises())
        elif kind == ord("X"):
            self.disconnect("client closed the connection")
        if self.discarding or kind not in b"QPBDECF":
            return False
        return not (self.shares and (kind == ord("P") or kind == ord("C")) and self.promise(kind, chunk, at))

    def rare(self, server: Server, kind: int) -> None:
        if kind == ord("F"):
            server.pipeline.expect(ord("F"), (b"", -1, self.started))
            self.started = 0.0
        elif kind == ord("H"):
            server.flush()
        else:
            server.pipeline.expect(ord("c"))
            self.started = 0.0  # no request begins with it

    # --- prepared statements ---

    def promise(self, kind: int, chunk: bytes, at: int) -> bool:
        """Deal with a Parse or Close without a server, if none need be asked: its reply is faked in its turn.

        Without this a driver that prepares in one connection, and keeps transactions open in as many others as
        there are servers, would wait for itself.
        """
        if len(self.promised) >= DUE_LIMIT:
            return False
        stop = at + length_at(chunk, at)
        previous = statement = None
        if kind == ord("P"):
            parts = parse_parts(chunk, at, stop)
            if parts is None or not parts[0] or parts[0] in self.statements:
                return False
            name, body = parts
            statement = self.pool.statements.find(body)
            if not statement.parsed:
                return False
            self.stats.client_parse_count += 1
            self.statements[name] = statement
        else:
            name = target_name(chunk, at, stop) or b""
            if not name:
                return False
            previous = self.forget_statement(name)
        self.promised.append((kind, (name, previous, b"", None), statement))
        return True

    def keep_promises(self) -> bytes:
        """The replies promised without a server."""
        replies = b"".join([faked_reply(kind) for kind, _, _ in self.promised])
        self.promised.clear()
        return replies

    def translate(self, server: Server, kind: int, chunk: bytes, at: int, stop: int) -> bytes | None:
        """What to send instead of a Parse, Bind, Describe or Close; None: the message as it is."""
        if kind == ord("B"):
            return self.bind(server, chunk, at, stop)
        if kind == ord("P"):
            return self.parse(server, chunk, at, stop)
        if kind == ord("D"):
            self.describes = True
            return self.describe(server, chunk, at, stop)
        return self.close_statement(server, chunk, at, stop)

    def parse(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.client_parse_count += 1
        self.seen = chunk
        self.seen_at = at
        parts = parse_parts(chunk, at, stop) if self.shares else None
        if parts is None:
            server.pipeline.expect(ord("P"))
            return None
        name, body = parts
        if not name:
            server.pipeline.expect(ord("P"), (b"", self.unnamed, b"", None))
            self.unnamed = server.unnamed = body
            return None
        known = self.statements.get(name)
        if known is not None:
            return self.parse_again(server, name, known, body)
        statement = self.pool.statements.find(body)
        self.statements[name] = statement
        if statement.name in server.prepared and server.status != ord("E"):
            server.prepare(statement)
            server.pipeline.fake(ord("P"), (name, None, b"", None))
            return b""
        if statement.name in server.prepared:
            # In a failed transaction PostgreSQL must say what it says to a Parse.
            statement.renew()
        closes = server.keep(statement)
        server.pipeline.expect(ord("P"), (name, None, statement.name, statement))
        self.stats.server_parse_count += 1
        return closes + write_parse(statement.name, body)

    def parse_again(self, server: Server, name: bytes, known: Statement, body: bytes) -> bytes:
        """A name that exists. PostgreSQL judges the text first and then the name; what servers have is not touched."""
        server.pipeline.skip(ord("C"))
        server.pipeline.skip(ord("P"))
        server.pipeline.expect(ord("P"), (name, known, AGAIN, None))
        return write_close(AGAIN) + write_parse(AGAIN, body) + write_parse(AGAIN, body)

    def bind(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.bind_count += 1
        self.executes = True
        where = bind_name(chunk, at, stop) if self.shares else None
        if where is None:
            if self.shares and stop < at + length_at(chunk, at):
                raise MessageTooLarge(f"portal and statement name of a Bind are over {stop - at} bytes")
            server.pipeline.expect(ord("B"))
            return None
        start, end = where
        if start == end:
            prepares = self.unnamed_on(server)
            server.pipeline.expect(ord("B"))
            return prepares + chunk[at:stop] if prepares else None
        name = chunk[start:end]
        statement = self.statements.get(name)
        if statement is None:
            server.pipeline.expect(ord("B"), (name, None, NOWHERE, None))
            return write_bind(chunk, at, start, end, stop, NOWHERE)
        self.seen = statement.body
        self.seen_at = -1
        prepares = server.prepare(statement)
        server.pipeline.expect(ord("B"), (name, None, statement.name, statement))
        return prepares + write_bind(chunk, at, start, end, stop, statement.name)

    def describe(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.pipeline.expect(ord("D"))
            return None
        if not name:
            prepares = self.unnamed_on(server)
            server.pipeline.expect(ord("D"))
            return prepares + chunk[at:stop] if prepares else None
        statement = self.statements.get(name)
        if statement is None:
            server.pipeline.expect(ord("D"), (name, None, NOWHERE, None))
            return write_describe(NOWHERE)
        self.described.add(statement)
        prepares = server.prepare(statement)
        server.pipeline.expect(ord("D"), (name, None, statement.name, statement))
        return prepares + write_describe(statement.name)

    def close_statement(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.pipeline.expect(ord("C"))
            return None
        if not name:
            server.pipeline.expect(ord("C"), (b"", self.unnamed, b"", None))
            self.unnamed = server.unnamed = None
            return None
        previous = self.forget_statement(name)
        server.pipeline.fake(ord("C"), (name, previous, b"", None))
        return b""

    def forget_statement(self, name: bytes) -> Statement | None:
        statement = self.statements.pop(name, None)
        self.described.discard(statement)
        return statement

    def unnamed_on(self, server: Server) -> bytes:
        """Messages that make the server's unnamed statement this client's, or make it have none."""
        if self.unnamed is server.unnamed:
            return b""
        server.unnamed = self.unnamed
        if self.unnamed is None:
            server.pipeline.skip(ord("C"), (b"", None, b"", None))
            return write_close(b"")
        server.pipeline.skip(ord("P"), (b"", None, b"", None))
        self.stats.server_parse_count += 1
        return write_parse(b"", self.unnamed)

    def restore(self, name: bytes, previous: Any) -> None:
        """A Parse or Close of this name did not happen after all."""
        if not name:
            self.unnamed = previous
        elif previous is None:
            self.statements.pop(name, None)
        else:
            self.statements[name] = previous
            self.described.add(previous)  # perhaps it was

    def forget_statements(self, spared: set[bytes]) -> None:
        """DEALLOCATE ALL or DISCARD ALL was carried out; `spared` were prepared since."""
        for name in self.statements.keys() - spared:
            self.forget_statement(name)

    # --- sending a request again ---

    def remember(self, chunk: bytes, end: int) -> None:
        """Keep the request as the client sent it, while it is short and nothing of its answer has been forwarded."""
        if self.replay is None:
            self.replay = [chunk[self.replay_at : end] if self.replay_at or end < len(chunk) else chunk]
        elif sum(map(len, self.replay)) < REPLAY_LIMIT:
            self.replay.append(chunk[:end])
        else:
            self.replay_at = SPOILED

    def forget_request(self) -> None:
        """What was sent has been answered."""
        self.replay_at = NOTHING_YET
        self.replay = None
        if self.faked:
            self.faked = []
        self.sealed = self.retried = self.describes = False

    def may_retry(self, statement: Statement, changed: bool) -> bool:
        """Whether the request can be sent again.

        `changed`: its answer has other columns than before. A client that has asked for them before, and does not
        ask now, would read the new answer by the old description: it gets PostgreSQL's error, upon which drivers
        prepare the statement anew.
        """
        if self.replay_at < 0 or not self.sealed or self.retried or self.framer.left:
            return False
        if changed and statement in self.described and not self.describes:
            return False
        self.parked = self.retried = True
        return True

    def retry(self) -> None:
        """Send the request again."""
        data = self.spell_faked() + b"".join(self.replay or [])
        framer = client_framer(self.login.max_message_size)
        self.forget_request()
        self.retried = True
        self.parked = False
        self.request(data, framer.feed(data), 0, 0, framer.end)
        self.drain()

    def spell_faked(self) -> bytes:
        """The messages that were dealt with before there was a server, as they were sent."""
        return b"".join(
            [
                write_close(note[0]) if statement is None else write_parse(note[0], statement.body)
                for _, note, statement in self.faked
            ]
        )

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
        if self.promised:
            for kind, note, _ in self.promised:
                server.pipeline.fake(kind, note)
            self.faked, self.promised = self.promised, []
        return first

    def serve(self, server: Server, now: float) -> None:
        """The wait is over: this server is lent."""
        try:
            pending, self.pending = self.pending, None
            chunk, marks, index, end = pending  # type: ignore[misc]  # a parked client has it
            self.parked = False
            first = self.borrow(server)
            if first:
                server.write(first[0])
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
        self.write(self.keep_promises() + build.error_response(error))
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
        self.forget_request()
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
        if server is None or self.executes or self.mode == "session":
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
