"""What the application asks for, and where it goes.

A request (everything up to Query or Sync) is forwarded in the chunks in which it came, to a server that is borrowed
when its first message needs one. A chunk is cut only where a prepared statement is called by the name that servers know
it by, or a message need not be sent at all.
"""

from dbproxy.errors import ProxyError
from dbproxy.gates import Answer, Go, Refuse
from dbproxy.net.direct import monotonic
from dbproxy.net.link import FLOODING
from dbproxy.pool.insertions import restore, spell_ours
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.request import Refusal, Request, new_request
from dbproxy.pool.server import Server
from dbproxy.session.connection import DUE_LIMIT, Connection
from dbproxy.session.ear import Ear
from dbproxy.session.gateway import Gateway
from dbproxy.session.loan import Lending
from dbproxy.session.names import FLUSH
from dbproxy.session.replay import NOTHING_YET, SPOILED
from dbproxy.session.route import Route
from dbproxy.session.state import REFUSED, SessionState
from dbproxy.session.statements import ClientStatements
from dbproxy.session.wait import ANSWER, HUB, NOT, REPLICA, SERVER, TASK
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire import build
from dbproxy.wire.extended import length_at
from dbproxy.wire.framer import Framer
from dbproxy.wire.splice import Splice

STOP = -1  # instead of where to go on


class Intake:
    """Of one client: takes what it sends, and forwards it."""

    def __init__(
        self,
        client: Connection,
        state: SessionState,
        prepared: ClientStatements,
        ear: Ear,
        route: Route,
        lending: Lending,
    ) -> None:
        self.client = client
        self.state = state
        self.prepared = prepared
        self.ear = ear
        self.route = route
        self.lending = lending
        self.gateway = Gateway(client, prepared, route)
        self.shares: bool = state.shares
        self.tracks: bool = state.tracks
        self.splice = Splice()
        self.unfinished: Request | None = None  # something of it has been sent, but not all
        self.flushed_at = 0.0
        self.discarding = False  # a request has failed without a server: up to its Sync nothing is looked at

    def take(self, data: bytes) -> None:
        """Handle what the client sent."""
        client = self.client
        inbound = client.inbound
        if self.ear.owes_ready:
            self.ear.tell_ready()
        if inbound.fault is not None:
            return
        framer = inbound.framer
        self.route.judge.forget()
        try:
            framer.scan(data)
        except ProxyError as error:
            inbound.fault = error
        inbound.arrived = monotonic()
        if self.route.judge.router is not None and client.server is not None:
            stays = self.route.stays()
            if stays < framer.end:
                self.put_off(framer, stays)
                return
        self.handle(framer, 0, 0)
        server = client.server
        if server is not None:
            if self.lending.late and not framer.left:
                self.lending.give_back()
            elif len(server.dialogue.pipeline.due) > DUE_LIMIT and not framer.left:
                self.slow_down(server)
        if inbound.fault is not None:
            client.end_if_faulty()

    def put_off(self, framer: Framer, at: int) -> None:
        """What came from `at` on waits until the server is done; inside a request it says so only upon a Flush."""
        client = self.client
        waiting = framer.cut(at)
        client.inbound.fault = None  # the fault is met again
        self.handle(framer, 0, 0)
        if client.is_parked():  # for something else: what waits is judged behind that
            client.inbound.put_back(waiting)
            return
        self.route.set_aside(waiting)
        server = client.server
        if server is not None and not server.dialogue.pipeline.will_end():
            server.relay.flush()
            server.write(build.flush())

    # --- the messages of a chunk ---

    def handle(self, framer: Framer, index: int, position: int) -> None:
        """Handle the framer's messages from mark `index` on; bytes before `position` have been dealt with.

        Bytes between marks (CopyData, the rest of a long message) go where the message before them went: to the
        server, or nowhere if the client has none, as PostgreSQL ignores COPY data after a COPY has failed.
        """
        client = self.client
        server = client.server
        splice = self.splice
        splice.begin(framer.chunk, position)
        while index < framer.count:
            mark = framer.mark_at(index)
            kind = mark & 255
            at = mark >> 8
            if server is None:
                onward = self.do_without(framer, index, kind, at)
                if onward == STOP:
                    return
                if onward != index:
                    index = onward
                    continue
                splice.forget(at)
                server = self.borrow(framer, index)
                if server is None:
                    return
            index += 1
            request = self.unfinished
            if request is None:
                request = self.unfinished = new_request(client.inbound.arrived)
            if self.route.replay.sealed:
                self.route.replay.at = SPOILED
            if server.dialogue.pipeline.ignoring and kind != ord("S") and kind != ord("X"):
                continue  # PostgreSQL does not look at the message
            if kind == ord("Q"):
                self.query(server, request, framer.chunk, at, framer.end)
            elif kind == ord("B") or kind == ord("P") or kind == ord("D") or kind == ord("C"):
                self.translate(server, kind, framer.chunk, at, framer.end)
            elif kind == ord("E"):
                self.execute(server, framer.chunk, at)
            elif kind == ord("S"):
                self.sync(server, request, framer.chunk, at)
            elif kind == ord("X"):
                self.leave(server, at)
                return
            else:
                self.rare(server, request, kind)
            if self.prepared.asks:
                server.write(splice.take(at))
                client.park(HUB if self.state.listening.hearing else ANSWER, framer, index - 1)
                return
        if server is not None and splice.is_left(framer.end):
            self.send(server, framer.end)

    def borrow(self, framer: Framer, index: int) -> Server | None:
        """A server for the request that begins at mark `index`; None: the client waits there."""
        client = self.client
        home = client.pool if self.route.judge.router is None else self.route.choose(framer, index)
        if home is None:
            client.park(REPLICA, framer, index)
            return None
        server: Server | None = home.checkout(client, client.inbound.arrived)
        if server is None:
            client.park(SERVER, framer, index)
            return None
        self.lend(server)
        return server

    def lend(self, server: Server) -> None:
        """The loan begins; what must be sent ahead of the request goes with it."""
        first = self.lending.begin(server)
        if first is not None:
            for piece in first:
                self.splice.insert(self.splice.position, piece)

    def send(self, server: Server, end: int) -> None:
        """Forward what the chunk has for the server."""
        replay = self.route.replay
        if replay.at >= 0:
            replay.keep(self.splice.chunk, end)
        data = self.splice.take(end)
        if data:
            server.write(data)

    # --- one message ---

    def query(self, server: Server, request: Request, chunk: bytes, at: int, end: int) -> None:
        prepared = self.prepared
        request.note_text(chunk, at)
        shape = self.route.judge.classify(chunk, at) if self.tracks else NO_SHAPE
        if shape.harmless and prepared.restored is None:
            shape.count()
            server.dialogue.pipeline.expect(ord("Q"), request)
        else:
            stop = min(at + length_at(chunk, at), end)
            self.splice.replace(at, stop, b"".join(self.spell_query(server, request, shape, chunk, at, stop)))
            if prepared.asks:
                return
        self.unfinished = None
        prepared.begun = False
        server.dialogue.statements.unnamed = prepared.unnamed = None
        self.route.replay.at = SPOILED

    def spell_query(self, server: Server, request: Request, shape: Shape, chunk: bytes, at: int,
                    stop: int) -> list[bytes]:  # fmt: skip
        """A Query that may change the session: what is sent instead of it; `asks` is set if it has to wait."""
        state, prepared, effects = self.state, self.prepared, shape.effects
        refusal = state.refusal(effects)
        if refusal is not None:
            return self.refuse_query(server, request, refusal)
        if state.must_wait(server, effects, simple=True):
            prepared.asks = True
            return [FLUSH]
        if state.must_hear(effects):
            prepared.asks = True
            return []
        pieces: list[bytes] = []
        if prepared.restored is not None:  # no Sync came behind DISCARD ALL
            pieces.append(spell_ours(server.dialogue, [prepared.restored.difference(NOTHING)], simple=True))
            prepared.restored = None
        shape.count()
        # What Execute has done since the last Sync is part of the Query's transaction: nothing may end it before.
        pieces.append(state.begin(server, effects, (), simple=not prepared.executes))
        answered = state.answer(server, chunk[at + 5 : stop - 1]) if effects.bare else None
        if isinstance(answered, Refusal):
            return [*pieces, *self.refuse_query(server, request, answered)]
        pieces.append(chunk[at:stop] if answered is None else build.query(answered.decode()))
        restored = state.restored(effects) if stop - at == length_at(chunk, at) else NOTHING
        if restored is NOTHING:
            server.dialogue.pipeline.expect(ord("Q"), request)
        else:
            pieces.append(restore(server.dialogue, restored, ord("Q"), request))
        return pieces

    def refuse_query(self, server: Server, request: Request, refusal: Refusal) -> list[bytes]:
        """PostgreSQL is sent what it fails: to all that stands beside it the Query has failed."""
        request.refusal = refusal
        server.dialogue.pipeline.expect(ord("Q"), request)
        return [build.query(REFUSED)]

    def translate(self, server: Server, kind: int, chunk: bytes, at: int, end: int) -> None:
        """Parse, Bind, Describe, Close."""
        stop = at + length_at(chunk, at)
        if stop > end:
            stop = end
        replay = self.route.replay
        if replay.at == NOTHING_YET and self.shares and server.dialogue.status == ord("I"):
            replay.at = at
        new = self.prepared.translate(server, kind, chunk, at, stop)
        if new is not None:
            self.splice.replace(at, stop, new)

    def execute(self, server: Server, chunk: bytes, at: int) -> None:
        prepared = self.prepared
        prepared.executes = True
        server.dialogue.pipeline.expect(ord("E"))
        if prepared.restores is not None:
            behind = spell_ours(server.dialogue, prepared.restores, simple=False)
            self.splice.insert(at + length_at(chunk, at), behind)
            prepared.restores = None

    def sync(self, server: Server, request: Request, chunk: bytes, at: int) -> None:
        prepared = self.prepared
        server.dialogue.statements.batch += 1
        request.note_text(prepared.seen, prepared.seen_at)
        if prepared.restored is None:
            server.dialogue.pipeline.expect(ord("S"), request)
        else:
            behind = restore(server.dialogue, prepared.restored, ord("S"), request)
            self.splice.insert(at + length_at(chunk, at), behind)
            prepared.restored = None
        self.unfinished = None
        self.route.replay.sealed = True
        prepared.begun = prepared.executes = False

    def rare(self, server: Server, request: Request, kind: int) -> None:
        """FunctionCall, Flush, CopyDone, CopyFail."""
        if kind == ord("F"):
            server.dialogue.pipeline.expect(ord("F"), request)
            self.unfinished = None
            self.prepared.begun = False
        elif kind == ord("H"):
            server.relay.flush()
        else:
            server.dialogue.pipeline.expect(ord("c"))
            self.unfinished = None  # no request begins with CopyDone

    def leave(self, server: Server, at: int) -> None:
        """Terminate: what was asked before it is still carried out."""
        ahead = self.splice.take(at)
        if ahead:
            server.write(ahead)
        self.client.inbound.leaving = True
        if self.client.stranded():
            self.client.depart()

    # --- without a server ---

    def do_without(self, framer: Framer, index: int, kind: int, at: int) -> int:
        """Where to go on: at `index` if that message needs a server, behind what has been dealt with here; or STOP."""
        if not self.needs_server(kind, framer.chunk, at):
            return STOP if self.client.closed else index + 1
        return self.pass_gates(framer, index) if self.client.pool.tenant.gates else index

    def needs_server(self, kind: int, chunk: bytes, at: int) -> bool:
        """Whether a message from a client that holds no server needs one; if not, it is dealt with here."""
        if kind == ord("S"):
            self.discarding = self.prepared.begun = False
            self.client.write(self.prepared.keep_promises() + self.ear.spell_ready())
        elif kind == ord("H") and self.prepared.promised:
            self.client.write(self.prepared.keep_promises())
        elif kind == ord("X"):
            self.client.disconnect("client closed the connection")
        if self.discarding or kind not in b"QPBDECF":
            return False
        promising = self.shares and (kind == ord("P") or kind == ord("C"))
        return not (promising and self.prepared.promise(kind, chunk, at))

    def drop_request(self, error: ProxyError) -> None:
        """Answer the request that waits with the error, which is raised if it ends the connection."""
        client, mover = self.client, self.route.mover
        repeats, mover.repeats = mover.repeats, None
        if error.severity == "FATAL" or repeats:  # a transaction is open, to the client
            raise error
        client.inbound.end_passage()
        client.inbound.room = client.pool
        wait, framer, index = client.inbound.pending.pop()
        self.unfinished = None
        client.inbound.arrived = monotonic()  # what comes behind the request waits anew
        client.write(self.prepared.keep_promises() + build.error_response(error))
        if framer.mark_at(index) & 255 in b"QF":
            client.write(self.ear.spell_ready())
            index += 1
        else:
            self.discarding = True
        self.prepared.begun = False
        client.park(wait, framer, index)

    # --- ahead of a server ---

    def pass_gates(self, framer: Framer, index: int) -> int:
        """Ask about the request that begins at mark `index`: where to go on, there if it needs a server; or STOP."""
        client = self.client
        arrived = self.unfinished.arrived if self.unfinished is not None else client.inbound.arrived
        verdict = self.gateway.ask(framer, index, arrived)
        if isinstance(verdict, Go):
            return index
        if isinstance(verdict, Answer):
            return index + self.answer_request(framer, index, verdict.data)
        client.park(TASK, framer, index)
        if isinstance(verdict, Refuse):
            self.drop_request(verdict.error)
            _, _, behind = client.inbound.end_wait()  # type: ignore[misc]  # it is parked
            return max(int(behind), index + 1)  # what is discarded needs no server
        self.gateway.wait(verdict)
        return STOP

    def answer_request(self, framer: Framer, index: int, data: bytes) -> int:
        """A gate has answered what begins at mark `index`; how many messages that are."""
        query = self.gateway.settle(framer, index)
        self.client.write(self.prepared.keep_promises() + data + self.ear.spell_ready())
        self.unfinished = None
        self.prepared.begun = False
        microseconds = int((monotonic() - query.arrived) * 1e6)
        self.client.pool.stats.query(microseconds)
        self.gateway.tell(query, microseconds, failed=data[:1] == b"E")
        self.client.inbound.end_passage()
        return len(query.kinds)

    def wait_anew(self) -> None:
        """A request has waited: for a server it waits anew, but it came when it did."""
        inbound = self.client.inbound
        if self.unfinished is None:
            self.unfinished = new_request(inbound.arrived)
        inbound.arrived = monotonic()
        inbound.room = self.client.pool

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
