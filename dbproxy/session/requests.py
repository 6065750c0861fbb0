"""What the application asks for, and where it goes.

A request (everything up to Query or Sync) is forwarded in the chunks in which it came, to a server that is borrowed
when its first message needs one. A chunk is cut only where a prepared statement is called by the name that servers know
it by, or a message need not be sent at all.
"""

from typing import TYPE_CHECKING, Any

from dbproxy.errors import ProxyError
from dbproxy.net.direct import monotonic
from dbproxy.net.link import FLOODING
from dbproxy.pool.failure import Refusal
from dbproxy.pool.insertions import restore, spell_ours
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.names import FLUSH
from dbproxy.session.replay import NOTHING_YET, SPOILED
from dbproxy.session.routed import Routed
from dbproxy.session.state import REFUSED
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire import build
from dbproxy.wire.extended import cut, length_at
from dbproxy.wire.framer import Framer

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

DUE_LIMIT = 10000  # replies due before a client that floods is no longer read


class Requester(Routed):
    """Base of `Client`: forwards what the client sends."""

    def __init__(self, login: "Login", pool: Pool) -> None:
        Routed.__init__(self, login, pool)
        self.late = False
        self.discarding = False
        self.started = 0.0

    def park(self, framer: Framer, index: int) -> None:
        """Wait with the message of mark `index`; until then the framer is given nothing else."""
        raise NotImplementedError

    def borrow(self, server: Server) -> list[bytes] | None:
        """Begin the loan; what must be sent ahead of the request."""
        raise NotImplementedError

    def give_back(self) -> None:
        """The rest of a message that the server no longer wants has been sent: now the server is free."""
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        """Handle what the client sent."""
        if self.owes_ready:
            self.tell_ready()
        if self.fault is not None:
            return
        self.known_in = None
        try:
            self.framer.scan(data)
        except ProxyError as error:
            self.fault = error
        self.arrived = monotonic()
        stays = self.stays() if self.router is not None and self.server is not None else self.framer.end
        if stays < self.framer.end:
            self.put_off(stays)
            return
        self.request(self.framer, 0, 0)
        if self.server is not None:
            if self.late and not self.framer.left:
                self.late = False
                self.give_back()
            elif len(self.server.dialogue.pipeline.due) > DUE_LIMIT and not self.framer.left:
                self.slow_down(self.server)
        if self.fault is not None:
            self.end_if_faulty()

    def put_off(self, at: int) -> None:
        """What came from `at` on waits until the server is done; inside a request it says so only when asked."""
        waiting = self.framer.cut(at)
        self.fault = None  # it is met again
        self.request(self.framer, 0, 0)
        parked = self.parked  # for something else, behind which it is judged
        self.set_aside(waiting)
        self.moving = not parked
        server = self.server
        if self.moving and server is not None and not server.dialogue.pipeline.will_end():
            server.relay.flush()
            server.write(build.flush())

    def request(self, framer: Framer, index: int, position: int) -> None:
        """Handle the framer's messages from mark `index` on; bytes before `position` have been dealt with.

        Bytes between marks (CopyData, the rest of a long message) go where the message before them went: to the
        server, or nowhere if the client has none, as PostgreSQL ignores COPY data after a COPY has failed.
        """
        server = self.server
        prepared = self.prepared
        replay = self.replay
        pipeline: Any = server.dialogue.pipeline if server is not None else None
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
                home = self.pool if self.router is None else self.choose(framer, index - 1)
                server = home.checkout(self, self.arrived) if home is not None else None
                if server is None:
                    self.park(framer, index - 1)
                    return
                pieces = self.borrow(server)
                pipeline = server.dialogue.pipeline
            if not self.started:
                self.started = self.arrived
            if replay.sealed:
                replay.at = SPOILED
            if pipeline.ignoring and kind != ord("S") and kind != ord("X"):
                continue  # PostgreSQL does not look at it
            if kind == ord("Q"):
                shape = self.classify(chunk, at) if self.tracks else NO_SHAPE
                if not shape.harmless or prepared.restored is not None:
                    stop = min(at + length_at(chunk, at), end)
                    pieces = self.query(server, shape, chunk, position, at, stop, pieces)
                    position = stop
                    if prepared.asks:
                        server.write(b"".join(pieces))
                        self.park(framer, index - 1)
                        return
                else:
                    shape.count()
                    pipeline.expect(ord("Q"), (chunk, at, self.started))
                self.started = 0.0
                prepared.begun = False
                server.dialogue.statements.unnamed = prepared.unnamed = None
                replay.at = SPOILED
            elif kind == ord("E"):
                prepared.executes = True
                pipeline.expect(ord("E"))
                if prepared.restores is not None:
                    stop = at + length_at(chunk, at)
                    pieces = pieces if pieces is not None else []
                    pieces += (
                        chunk[position:stop],
                        spell_ours(server.dialogue, prepared.restores, simple=False),
                    )
                    prepared.restores = None
                    position = stop
            elif kind == ord("S"):
                server.dialogue.statements.batch += 1
                if prepared.restored is None:
                    pipeline.expect(ord("S"), (prepared.seen, prepared.seen_at, self.started))
                else:
                    stop = at + length_at(chunk, at)
                    pieces = pieces if pieces is not None else []
                    request = (prepared.seen, prepared.seen_at, self.started)
                    pieces += (
                        chunk[position:stop],
                        restore(server.dialogue, prepared.restored, ord("S"), request),
                    )
                    prepared.restored = None
                    position = stop
                self.started = 0.0
                replay.sealed = True
                prepared.begun = prepared.executes = False
            elif kind == ord("X"):
                self.leave(server, chunk, position, at, pieces)
                return
            elif kind == ord("B") or kind == ord("P") or kind == ord("D") or kind == ord("C"):
                stop = at + length_at(chunk, at)
                if stop > end:
                    stop = end
                if replay.at == NOTHING_YET and self.shares and server.dialogue.status == ord("I"):
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

    # --- Queries ---

    def query(self, server: Server, shape: Shape, chunk: bytes, position: int, at: int, stop: int,
              pieces: list[bytes] | None) -> list[bytes]:  # fmt: skip
        """A Query that may change the session: what is sent up to `stop`, with what has to go ahead of it."""
        pieces = pieces if pieces is not None else []
        if at > position:
            pieces.append(chunk[position:at])
        state, effects = self.state, shape.effects
        refusal = state.refusal(effects)
        if refusal is not None:
            return self.refuse_query(server, refusal, chunk, at, pieces)
        if state.must_wait(server, effects, simple=True):
            self.prepared.asks = True
            pieces.append(FLUSH)
            return pieces
        if state.must_hear(effects):
            self.prepared.asks = True
            return pieces
        if self.prepared.restored is not None:  # no Sync came behind DISCARD ALL
            pieces.append(
                spell_ours(server.dialogue, [self.prepared.restored.difference(NOTHING)], simple=True)
            )
            self.prepared.restored = None
        shape.count()
        # What Execute has done since the last Sync is part of the Query's transaction: nothing may end it before.
        pieces.append(state.begin(server, effects, (), simple=not self.prepared.executes))
        answered = state.answer(server, chunk[at + 5 : stop - 1]) if effects.bare else None
        if isinstance(answered, Refusal):
            return self.refuse_query(server, answered, chunk, at, pieces)
        pieces.append(chunk[at:stop] if answered is None else build.query(answered.decode()))
        restored = state.restored(effects) if stop - at == length_at(chunk, at) else NOTHING
        if restored is NOTHING:
            server.dialogue.pipeline.expect(ord("Q"), (chunk, at, self.started))
        else:
            pieces.append(restore(server.dialogue, restored, ord("Q"), (chunk, at, self.started)))
        return pieces

    def refuse_query(
        self, server: Server, refusal: Refusal, chunk: bytes, at: int, pieces: list[bytes]
    ) -> list[bytes]:
        """PostgreSQL is sent what it fails: to all that stands beside it the Query has failed."""
        server.dialogue.pipeline.expect(ord("Q"), (chunk, at, self.started, refusal))
        pieces.append(build.query(REFUSED))
        return pieces

    # --- other messages ---

    def needs_server(self, kind: int, chunk: bytes, at: int) -> bool:
        """Whether a message from a client that holds no server needs one; if not, it is dealt with here."""
        if kind == ord("S"):
            self.discarding = self.prepared.begun = False
            self.write(self.prepared.keep_promises() + self.spell_ready())
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
            server.dialogue.pipeline.expect(ord("F"), (b"", -1, self.started))
            self.started = 0.0
            self.prepared.begun = False
        elif kind == ord("H"):
            server.relay.flush()
        else:
            server.dialogue.pipeline.expect(ord("c"))
            self.started = 0.0  # no request begins with it

    # --- floods ---

    def slow_down(self, server: Server) -> None:
        """Read no more until half of the replies due are there; Flush makes the server send them."""
        self.hold(FLOODING)
        server.relay.flush()
        server.write(build.flush())

    def reply(self, data: bytes) -> None:
        self.write(data)
        server = self.server
        if (
            self.reasons & FLOODING
            and server is not None
            and len(server.dialogue.pipeline.due) < DUE_LIMIT // 2
        ):
            self.free(FLOODING)
