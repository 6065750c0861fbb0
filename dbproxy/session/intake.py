"""What the application asks for, and where it goes.

A request (everything up to Query or Sync) is forwarded in the chunks in which it came, to a server that is borrowed
when its first message needs one. A chunk is cut only where a prepared statement is called by the name that servers know
it by, or a message need not be sent at all.
"""

from dbproxy.cache.temporary import Temporary, concerns
from dbproxy.cache.writes import Writes
from dbproxy.errors import ProxyError
from dbproxy.gates import Answer, Go, Refuse
from dbproxy.limits.allowance import Allowance
from dbproxy.net.direct import monotonic
from dbproxy.pool.insertions import restore, spell_ours
from dbproxy.pool.request import Request, new_request
from dbproxy.pool.server import Server
from dbproxy.session.connection import DUE_LIMIT, Connection
from dbproxy.session.ear import Ear
from dbproxy.session.gateway import Gateway
from dbproxy.session.loan import Lending
from dbproxy.session.portals import Portals
from dbproxy.session.replay import NOTHING_YET, SPOILED
from dbproxy.session.route import Route
from dbproxy.session.state import SessionState
from dbproxy.session.translator import Translator
from dbproxy.session.wait import ANSWER, HUB, REPLICA, SERVER, TASK
from dbproxy.sql.identity import FUNCTION_CALL, NO_SHAPE, Shape
from dbproxy.wire import build
from dbproxy.wire.extended import bind_name, cut, length_at
from dbproxy.wire.framer import Framer
from dbproxy.wire.splice import Splice

STOP = -1  # instead of where to go on


class Intake:
    """Of one client: takes what it sends, and forwards it."""

    def __init__(
        self,
        client: Connection,
        state: SessionState,
        translator: Translator,
        ear: Ear,
        route: Route,
        lending: Lending,
    ) -> None:
        self.client = client
        self.state = state
        self.prepared = translator.prepared
        self.translator = translator
        self.series = translator.series
        self.ear = ear
        self.route = route
        self.lending = lending
        self.gateway = Gateway(client, translator, ear, route)
        self.shares: bool = state.shares
        self.tracks: bool = state.tracks
        counts = client.pool.tenant.query_stats is not None
        # What is counted; None: nothing is.
        self.portals = Portals(self.prepared, state.find_shape, shares=self.shares) if counts else None
        self.temporary: Temporary | None = None  # its own tables, as far as they matter
        self.splice = Splice()
        self.unfinished: Request | None = None  # something of it has been sent, but not all
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
        if self.gateway.browsing is not None and self.browse(framer):
            return
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
                self.lending.slow_down(server)
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
        server: Server = client.server  # type: ignore[assignment]  # there is one behind `approach`
        limited = client.inbound.allowance is not None
        splice = self.splice
        splice.begin(framer.chunk, position)
        while index < framer.count:
            mark = framer.mark_at(index)
            kind = mark & 255
            at = mark >> 8
            if server is None or limited:
                onward = self.approach(server, framer, index, kind, at)
                if onward != index:
                    if onward == STOP:
                        return
                    index = onward
                    continue
                server = client.server  # type: ignore[assignment]  # it is held now
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
            if self.series.waits:
                server.write(splice.take(at))
                client.park(HUB if self.state.listening.hearing else ANSWER, framer, index - 1)
                return
        if server is not None and splice.is_left(framer.end):
            self.send(server, framer.end)

    def approach(self, server: Server | None, framer: Framer, index: int, kind: int, at: int) -> int:
        """Where to go on: at `index` if its message goes to the server that the client holds (now); or STOP."""
        if server is not None:
            onward = self.follow(server, framer, index, kind, at)
            if onward > index:
                self.splice.forget(framer.mark_at(onward) >> 8 if onward < framer.count else framer.end)
            return onward
        client = self.client
        if not self.needs_server(kind, framer.chunk, at):
            return STOP if client.closed else index + 1
        allowance = client.inbound.allowance
        if (allowance is not None and not self.let_go(allowance)) or client.pool.tenant.gates:
            onward = self.pass_gates(framer, index)
            if onward != index:
                return onward
        self.splice.forget(at)
        return STOP if self.borrow(framer, index) is None else index

    def borrow(self, framer: Framer, index: int) -> Server | None:
        """A server for the request that begins at mark `index`; None: the client waits there."""
        client = self.client
        home = client.pool if self.route.judge.router is None else self.route.choose(framer, index)
        if home is None:
            client.park(REPLICA, framer, index)
            return None
        now = monotonic() if self.route.detours else client.inbound.arrived  # what was sent before is a wait
        server: Server | None = home.checkout(client, now)
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
        prepared, series = self.prepared, self.series
        request.note_text(chunk, at)
        shape = self.route.judge.classify(chunk, at) if self.tracks else NO_SHAPE
        if self.portals is not None:
            request.shape = shape if self.tracks else self.route.judge.classify(chunk, at)
        if server.loan.writes is not None:
            known = shape if self.tracks else self.route.judge.classify(chunk, at)
            self.note_writes(server, known, chunk, at, min(at + length_at(chunk, at), end), b"")
        if shape.harmless and series.restored is None:
            shape.count()
            server.dialogue.pipeline.expect(ord("Q"), request)
        else:
            stop = min(at + length_at(chunk, at), end)
            if self.portals is not None and shape.effects.executes:
                request.shape = self.portals.find_executed(shape)
            self.splice.replace(
                at, stop, b"".join(self.translator.spell_query(server, request, shape, chunk, at, stop))
            )
            if series.waits:
                return
        self.unfinished = None
        series.begun = False
        server.dialogue.statements.unnamed = prepared.unnamed.body = None
        self.route.replay.at = SPOILED

    def translate(self, server: Server, kind: int, chunk: bytes, at: int, end: int) -> None:
        """Parse, Bind, Describe, Close."""
        stop = at + length_at(chunk, at)
        if stop > end:
            stop = end
        replay = self.route.replay
        if replay.at == NOTHING_YET and self.shares and server.dialogue.status == ord("I"):
            replay.at = at
        if server.loan.writes is not None and kind == ord("B"):
            self.note_bind(server, chunk, at, stop)
        new = self.translator.translate(server, kind, chunk, at, stop)
        if new is not None:
            self.splice.replace(at, stop, new)
        if self.portals is not None and not self.series.waits:
            self.portals.note(kind, server.dialogue.pipeline, chunk, at, stop)

    def execute(self, server: Server, chunk: bytes, at: int) -> None:
        series = self.series
        series.executes = True
        if self.portals is None:
            server.dialogue.pipeline.expect(ord("E"))
        else:
            due = self.portals.execute(chunk, at, self.client.inbound.arrived)
            server.dialogue.pipeline.expect(ord("E"), due)
        if series.restores is not None:
            behind = spell_ours(server.dialogue, series.restores, simple=False)
            self.splice.insert(at + length_at(chunk, at), behind)
            series.restores = None

    def sync(self, server: Server, request: Request, chunk: bytes, at: int) -> None:
        series = self.series
        server.dialogue.statements.batch += 1
        series.said.tell(request, series.executes)
        if series.restored is None:
            server.dialogue.pipeline.expect(ord("S"), request)
        else:
            behind = restore(server.dialogue, series.restored, ord("S"), request)
            self.splice.insert(at + length_at(chunk, at), behind)
            series.restored = None
        self.unfinished = None
        self.route.replay.sealed = True
        series.end()

    def rare(self, server: Server, request: Request, kind: int) -> None:
        """FunctionCall, Flush, CopyDone, CopyFail."""
        if kind == ord("F"):
            if self.portals is not None:
                request.shape = FUNCTION_CALL
            if server.loan.writes is not None:
                self.note_writes(server, FUNCTION_CALL, b"", 0, 0, b"")
            server.dialogue.pipeline.expect(ord("F"), request)
            self.unfinished = None
            self.series.begun = False
        elif kind == ord("H"):
            server.relay.flush()
        else:
            server.dialogue.pipeline.expect(ord("c"))
            self.unfinished = None  # no request begins with CopyDone

    def note_writes(
        self, server: Server, shape: Shape, chunk: bytes, at: int, stop: int, body: bytes
    ) -> None:
        """What is kept of other answers may not be current any more, once this was carried out."""
        dialogue = server.dialogue
        writes: Writes = server.loan.writes  # type: ignore[assignment]  # there are some
        if self.temporary is not None or (not shape.harmless and concerns(shape)):
            shape = self.find_temporary().narrow(shape, writes.fence)
        stays_open = dialogue.status == ord("T") and dialogue.pipeline.empty()
        writes.note(shape, stays_open, chunk, at, stop, body)
        if writes.alters or writes.guesses:
            self.find_temporary().doubt(shape, writes.fence)

    def find_temporary(self) -> Temporary:
        if self.temporary is None:
            self.temporary = Temporary()
        return self.temporary

    def note_bind(self, server: Server, chunk: bytes, at: int, stop: int) -> None:
        where = bind_name(chunk, at, stop)
        if where is not None:
            name = cut(chunk, where[0], where[1])
            known = self.shares and (not name or self.prepared.knows(name))
            shape = self.prepared.shape_of(name) if known else FUNCTION_CALL
            body = self.prepared.body_of(name) if shape.rows is not None and shape.targets else b""
            self.note_writes(server, shape, chunk, at, stop, body)

    def leave(self, server: Server, at: int) -> None:
        """Terminate: what was asked before it is still carried out."""
        ahead = self.splice.take(at)
        if ahead:
            server.write(ahead)
        self.client.inbound.leaving = True
        if self.client.stranded():
            self.client.depart()

    # --- held to limits ---

    def follow(self, server: Server, framer: Framer, index: int, kind: int, at: int) -> int:
        """As `approach`, of a client that holds a server: it may begin another transaction there.

        What is sent behind what was not answered may be one, or not. It goes as far as the limit would allow for as
        many; what is behind that waits for the answers, and is asked about if no transaction is open then.
        """
        allowance: Allowance = self.client.inbound.allowance  # type: ignore[assignment]  # there is one
        dialogue = server.dialogue
        if self.discarding:
            self.needs_server(kind, framer.chunk, at)
            return index + 1
        if self.unfinished is not None or kind not in b"QPBDECF":
            return index
        if dialogue.pipeline.empty():
            asks = dialogue.status == ord("I") and not self.let_go(allowance)  # something pins the server
            return self.pass_gates(framer, index) if asks else index
        self.lending.followed += 1
        if self.route.mover.opening is not None:  # it may have to be begun elsewhere, as it was
            return index
        if not allowance.running or allowance.affords(self.lending.followed, self.client.inbound.arrived):
            return index
        waiting = framer.cut(at)  # and is asked about once those ahead of it are paid for
        self.client.inbound.fault = None  # it is met again
        if self.splice.is_left(at):
            self.send(server, at)
        if self.client.routed:
            self.route.batch.cut(len(waiting))
        self.route.set_aside(waiting)
        return STOP

    def let_go(self, allowance: Allowance) -> bool:
        """A transaction, as far as limits go; whether it may begin. What is sent again has been let go."""
        if allowance.running or self.route.mover.repeats is not None:
            return True
        return allowance.let_go(self.client.settings, self.client.inbound.arrived)

    # --- without a server ---

    def needs_server(self, kind: int, chunk: bytes, at: int) -> bool:
        """Whether a message from a client that holds no server needs one; if not, it is dealt with here."""
        if kind == ord("S"):
            self.discarding = self.series.begun = False
            self.client.write(self.prepared.keep_promises() + self.ear.spell_ready())
        elif kind == ord("H") and self.prepared.promised:
            self.client.write(self.prepared.keep_promises())
        elif kind == ord("X"):
            self.client.disconnect("client closed the connection")
        if self.discarding or kind not in b"QPBDECF":
            return False
        promising = self.shares and (kind == ord("P") or kind == ord("C"))
        if not promising or not self.prepared.promise(kind, chunk, at):
            return True
        if kind == ord("P"):
            self.series.begun = True
            self.series.said.parsed(chunk, at, self.prepared.promised[-1][0].name)
            self.series.said.since = self.client.inbound.arrived
        return False

    def drop_request(self, error: ProxyError) -> None:
        """Answer the request that waits with the error, which is raised if it ends the connection."""
        client, mover = self.client, self.route.mover
        client.pool.tenant.stats.refusals[error.sqlstate] += 1
        repeats, mover.repeats = mover.repeats, None
        if error.severity == "FATAL" or repeats:  # a transaction is open, to the client
            raise error
        client.inbound.end_passage()
        client.inbound.room = client.pool
        wait, framer, index = client.inbound.pending.pop()
        self.unfinished = None
        client.inbound.arrived = monotonic()  # what comes behind the request waits anew
        told = self.prepared.keep_promises() + build.error_response(error)
        if framer.mark_at(index) & 255 in b"QF":
            told += self.ear.spell_ready()
            index += 1
        else:
            self.discarding = True
        if index < framer.count:
            client.write_later(told)  # what comes behind it may be refused, too
        else:
            client.write(told)
        self.series.begun = False
        client.park(wait, framer, index)

    def browse(self, framer: Framer) -> bool:
        """Whether what has come in a transaction that browses is answered from what is kept."""
        if self.client.inbound.fault is not None:
            self.gateway.browsing = None
            return False
        return self.gateway.browse(framer, begun=self.unfinished is not None)

    # --- ahead of a server ---

    def pass_gates(self, framer: Framer, index: int) -> int:
        """Ask about the request that begins at mark `index`: where to go on, there if it needs a server; or STOP."""
        client = self.client
        arrived = self.unfinished.arrived if self.unfinished is not None else client.inbound.arrived
        verdict = self.gateway.ask(framer, index, arrived)
        if isinstance(verdict, Go):
            return index
        if isinstance(verdict, Answer):
            answered = self.gateway.answer(framer, index, verdict.data)
            self.unfinished = None
            return index + answered
        client.park(TASK, framer, index)
        if isinstance(verdict, Refuse):
            self.drop_request(verdict.error)
            _, _, behind = client.inbound.end_wait()  # type: ignore[misc]  # it is parked
            return max(int(behind), index + 1)  # what is discarded needs no server
        self.gateway.wait(verdict)
        return STOP

    def wait_anew(self) -> None:
        """A request has waited: for a server it waits anew, but it came when it did."""
        inbound = self.client.inbound
        if self.unfinished is None:
            self.unfinished = new_request(inbound.arrived)
        inbound.arrived = monotonic()
        inbound.room = self.client.pool
