"""Which host answers a client: the primary, or, if all that it asks for at once are reads, a replica.

What came in one chunk is judged as a whole: one write makes all of it a write. As long as a replica has not begun to
answer a request, that can be sent again elsewhere, with those behind it, and the client sees nothing of it (*rescue*).
What comes while a replica still answers, and is not a read, waits until that is done (session.wait: MOVE).
"""

import structlog

from dbproxy.cluster.balancer import end
from dbproxy.cluster.lag import settle
from dbproxy.cluster.member import Member
from dbproxy.errors import ProxyError, ServerRefused, ServerUnavailable
from dbproxy.features.mode import UNDECIDED
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARTNER_FULL
from dbproxy.observe.record import Rescue
from dbproxy.pool.dues import Sent
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.routing.reader import Reader
from dbproxy.routing.rescue import LOST, SHUTDOWN, UNREACHABLE, why_rescue
from dbproxy.routing.router import AT_PRIMARY, MOVED, READ_ONLY, READS, Router
from dbproxy.session.batch import BATCH_LIMIT, Batch
from dbproxy.session.connection import Connection
from dbproxy.session.judging import NO_CALL, Judge
from dbproxy.session.moving import Mover
from dbproxy.session.replay import Replay
from dbproxy.session.series import Series
from dbproxy.session.state import SessionState
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.session.wait import ANSWERED, MOVE, RETRY
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import WRITES
from dbproxy.wire.extended import length_at, parse_parts
from dbproxy.wire.framer import Framer, client_framer

log = structlog.get_logger(__name__)

DETOURS = 2  # a request is sent again so often: to another replica, to the primary


class Route:
    """Of one client: where a request goes, and goes again."""

    def __init__(
        self,
        client: Connection,
        state: SessionState,
        prepared: Vocabulary,
        series: Series,
        reader: Reader,
        judge: Judge,
    ) -> None:
        self.client = client
        self.prepared = prepared
        self.series = series
        self.reader = reader
        self.judge = judge
        self.replay = Replay()
        self.batch = Batch()
        self.mover = Mover(client, state, judge, self.batch)
        self.stand = UNDECIDED  # where routing stands for it
        self.host: Member | None = None  # of the replica that answers
        self.detours = 0
        self.detour: Rescue | None = None  # the last one
        self.wrote = False  # the client, perhaps, in the loan at hand
        self.writes = False  # what the client is about to send to the primary may write

    def begin(self, router: Router | None) -> None:
        """There are replicas now. Where the client has committed until now is not known."""
        self.judge.router = router
        self.reader.wrote_at = monotonic()
        self.misplaced()

    # --- where to ---

    def choose(self, framer: Framer, index: int) -> Pool | None:
        """The pool whose server is to answer what begins at mark `index`; None: the client waits for `resume`."""
        client, reader = self.client, self.reader
        router = self.judge.router
        client.routed = False
        feature = router.feature  # type: ignore[union-attr]  # there is one
        if self.stand.version != feature.version:
            moves = self.mover.repeats is not None
            self.stand = feature.stand(client.id, self.stand, in_transaction=moves, always=reader.read_only)
        verdict = self.judge.judge(framer, index) if self.mover.repeats is None else MOVED
        found = None
        if self.detours < DETOURS:
            found = router.choose(verdict, reader, self.stand.mode, client.inbound.arrived)  # type: ignore[union-attr]
            if reader.awaits:
                self.wait_for_replica()
                return None
        client.inbound.room = client.pool
        calls = verdict is not NO_CALL
        self.wrote = found is None and calls and verdict is not READS and verdict not in AT_PRIMARY
        self.writes = self.wrote and router.commits.asks  # type: ignore[union-attr]
        if self.wrote or not calls:
            return client.pool
        self.keep(framer, index, 0)
        if found is None:
            return client.pool
        self.host = found.host
        if verdict is READ_ONLY:
            self.mover.begin(framer, index)
        client.inbound.room = found.pool
        return found.pool

    def wait_for_replica(self) -> None:
        """Wait for a replica that is fresh enough."""
        reader, room = self.reader, self.judge.router.room  # type: ignore[union-attr]
        patience = self.judge.router.settings.consistency_wait  # type: ignore[union-attr]
        reader.waited = True
        self.client.inbound.room = room
        room.enter(self.client, reader.awaits, patience, self.client.inbound.arrived)

    def stays(self) -> int:
        """How many bytes of what has come while a server is held go there, too; the others wait until it is done."""
        client = self.client
        server: Server = client.server  # type: ignore[assignment]  # the client holds it
        framer = client.inbound.framer
        if not framer.count:
            return framer.end
        idle = server.dialogue.status == ord("I")
        if not idle and self.mover.opening is not None:
            return self.mover.stays_open(server, self.mover.opening)
        reads = idle and self.judge.judge(framer, 0) is READS and self.batch.size() <= BATCH_LIMIT
        if not reads or self.is_behind(server):
            return self.stays_unread(server, framer)
        if client.routed:
            self.batch.add(self.judge.judged, framer.bytes_from(0))
            if self.mover.opening is not None:
                self.mover.note(framer, 0)
        elif server.dialogue.only_ours():  # all is answered but a question of ours
            self.keep(framer, 0, server.loan.served)
        return framer.end

    def is_behind(self, server: Server) -> bool:
        """Whether the replica is at work on other reads, and may be too old for what has come."""
        if self.host is None or server.dialogue.pipeline.empty():
            return False
        return not self.judge.router.may_answer(self.host, self.reader, self.client.inbound.arrived)  # type: ignore[union-attr]

    def stays_unread(self, server: Server, framer: Framer) -> int:
        """`stays` of what is no read: with a replica only if that is pinned, and done."""
        if self.host is None:
            self.note_write(server)
        elif not server.dialogue.pipeline.empty():
            return framer.mark_at(0) >> 8
        return framer.end

    def note_write(self, server: Server) -> None:
        """Note that what has come may write."""
        self.wrote = True
        self.client.routed = False
        if self.judge.router.commits.asks:  # type: ignore[union-attr]  # there is a router
            server.dialogue.traces.effects |= WRITES

    def keep(self, framer: Framer, index: int, answered: int) -> None:
        """Begin a batch of reads: what there is from mark `index` on."""
        self.client.routed = True
        self.batch.begin(self.judge.judged, framer.bytes_from(index), answered)

    def committed(self, position: int) -> None:
        router = self.judge.router
        if router is not None:
            self.reader.committed(position, router.commits.epoch)
            router.cluster.note_primary_lsn(settle(position), monotonic())

    def misplaced(self) -> None:
        if self.judge.router is not None:
            self.reader.misplaced(self.judge.router.commits.epoch)

    # --- a replica's answer ---

    def leave_host(self, seconds: float = 0.0, ran: float = 0.0, now: float = 0.0) -> None:
        """The loan of the server is over; `seconds`: what a replica's answer took until now, 0 if that says nothing.

        `ran`: the same without the wait for a server.
        """
        host, self.host = self.host, None
        self.mover.opening = None
        self.client.routed = False
        self.batch.clear()
        if host is not None:
            end(host, seconds, ran, now)

    def forget_detours(self) -> None:
        """The request has been answered, or is refused."""
        self.detours = 0
        self.reader.forget_detours()

    def may_rescue(self, server: Server, fields: dict[str, str]) -> bool:
        """Whether what has failed is to be sent again elsewhere."""
        reason = why_rescue(fields)
        if not reason or (self.host is None and (reason != SHUTDOWN or fields.get("V") != "FATAL")):
            return False
        return not server.dialogue.in_transaction() or self.mover.can_move(server, fields)

    def begin_rescue(self, server: Server, fields: dict[str, str]) -> None:
        """What has failed is sent again, once the server is done."""
        if self.host is not None:
            self.note_rescue(server, self.host, why_rescue(fields))
            self.detours = DETOURS  # the primary is asked
        self.client.inbound.wait = RETRY

    def note_rescue(self, server: Server, host: Member, reason: str) -> None:
        self.tell_rescue(host, reason, self.batch.failing(server.loan.served), server.loan.since)

    def tell_rescue(self, host: Member, reason: str, failing: Shape, since: float) -> None:
        """`since`: when the host was asked."""
        self.detour = Rescue(host.name, reason, since, monotonic())
        self.judge.router.note_rescue(host, reason, failing)  # type: ignore[union-attr]  # there is a router
        log.info("read rescued", host=host.name, reason=reason, **self.client.describe_request())

    def move_on(self, server: Server) -> None:
        """A replica has failed the request: the primary is asked."""
        if server.dialogue.in_transaction() and self.mover.opening is not None:
            self.begin_again(server, self.mover)
            return
        data = self.rescue(server)
        if server.dialogue.in_transaction() or server.dialogue.traces.effects:
            server.loan.end()
            server.close("left in a transaction")
        else:
            server.release(monotonic())
        self.send_again(data)

    def begin_again(self, server: Server, mover: Mover) -> None:
        """A replica has failed the first request of a transaction that was more than its beginning: on the primary."""
        mover.repeats = mover.opening.to_repeat(server.loan.served) or []  # type: ignore[union-attr]  # the transaction can move
        self.set_aside(self.take_unanswered(server))
        server.send_ours("ROLLBACK")

    def set_aside(self, data: bytes) -> None:
        """What was sent waits until the server is done, as if it had not come yet."""
        self.client.inbound.put_back(data)
        self.client.inbound.wait = MOVE

    def send_again(self, data: bytes) -> None:
        framer = client_framer(self.client.identity.max_message_size)
        framer.scan(data)
        self.client.park(RETRY, framer, 0)
        self.client.resume(ANSWERED)

    # --- what was not answered ---

    def rescue(self, server: Server) -> bytes:
        """Give up the server; what it has not answered, to be sent again."""
        data = self.take_unanswered(server)
        self.client.server = None
        self.replay.clear()
        self.leave_host()
        return data

    def take_unanswered(self, server: Server) -> bytes:
        """What the server has not answered, as if it had not been sent."""
        self.take_back(server)
        limit = self.client.identity.max_message_size
        data = self.batch.unanswered(server.loan.served, self.prepared.spell_faked(), limit)
        self.forget_parsed(data)
        self.client.inbound.pending.clear()
        self.prepared.end_request()
        self.series.executes = self.series.waits = False
        return data

    def take_back(self, server: Server) -> None:
        """The names in what was not answered mean what they did before."""
        pipeline = server.dialogue.pipeline
        for due in reversed(pipeline.notes[pipeline.head :]):
            if isinstance(due, Sent):
                due.take_back(self.client)

    def forget_parsed(self, data: bytes) -> None:
        """What is parsed again must not be there already."""
        framer = client_framer(self.client.identity.max_message_size)
        for mark in framer.feed(data):
            at = mark >> 8
            if mark & 255 == ord("P"):
                parts = parse_parts(data, at, at + length_at(data, at))
                if parts is not None and parts[0]:
                    self.prepared.forget(parts[0])

    # --- lost, or not to be had ---

    def survives(self, error: ProxyError, told: bool) -> bool:
        """Go on without the server that was lost, if nothing else is; False: the client is lost with it."""
        client = self.client
        server = client.server
        if server is None:
            return False
        if not told and self.is_done_with(server):
            client.server = None
            client.inbound.end_passage()
            self.misplaced()
            client.free(PARTNER_FULL)
            return True
        if not self.may_go_on(server, told):
            return False
        self.go_on(server, error)
        return True

    def go_on(self, server: Server, error: ProxyError) -> None:
        """A host that had not begun to answer is replaced by another."""
        host = self.host
        if host is not None and not self.detours:
            self.note_rescue(server, host, LOST)
        if server.dialogue.traces.unplaced:
            self.misplaced()
        self.reader.avoided = host
        self.detours += 1
        data = self.rescue(server)
        cluster = self.judge.router.cluster  # type: ignore[union-attr]  # the client was routed
        failed = host if host is not None else cluster.primary
        if failed is not None:
            cluster.report_failure(failed, error.message, monotonic())
        self.send_again(data)

    def may_go_on(self, server: Server, told: bool) -> bool:
        """Whether what a lost server has not begun to answer is sent again: a read that has not cost a primary, too."""
        traces = server.dialogue.traces
        if self.host is None and (traces.asked or traces.effects or traces.pins):
            return False  # what the session has become is not known
        if server.dialogue.in_transaction():
            return False  # part of a transaction that has begun
        spent = self.detours > 0 if self.host is None else self.detours > DETOURS
        begun = told or server.relay.answer.forwarded
        return self.client.routed and not (begun or self.client.closed or spent)

    def is_done_with(self, server: Server) -> bool:
        """Whether all that was still to be heard of the server is where its commit is."""
        traces = server.dialogue.traces
        if not traces.unplaced or traces.asked or traces.effects or traces.pins:
            return False
        inbound = self.client.inbound
        if self.client.is_parked() or inbound.leaving or inbound.framer.left:
            return False
        return server.dialogue.between_requests()

    def find_unreachable(self, error: ProxyError) -> Member | None:
        """The replica that is to be replaced, as no server of it can be had."""
        return self.host if isinstance(error, ServerUnavailable | ServerRefused) else None

    def replace(self, host: Member, error: ProxyError) -> None:
        """No server of the replica can be had: it is avoided, and tried by nobody for a while."""
        self.turn_away(host, UNREACHABLE)
        self.judge.router.cluster.report_failure(host, error.message, monotonic())  # type: ignore[union-attr]  # a router has chosen the host

    def turn_away(self, host: Member, reason: str) -> None:
        """A server of the replica is not waited for."""
        self.tell_rescue(host, reason, self.batch.reads[0], self.client.inbound.arrived)
        self.reader.avoided = host
        self.detours += 1
        self.leave_host()
