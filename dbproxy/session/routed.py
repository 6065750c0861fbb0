"""Which host answers a client: the primary, or, if all that it asks for at once are reads, a replica.

What came in one chunk is judged as a whole: one write makes all of it a write. As long as a replica has not begun to
answer a request, that can be sent again elsewhere, with those behind it, and the client sees nothing of it (*rescue*).
What comes while a replica still answers, and is not a read, waits until that is done (*moving*); so does what follows
the end of a transaction there. One that wants more than a standby can is begun again on the primary (session.moving).
"""

from typing import TYPE_CHECKING, Any

from dbproxy.cluster.balancer import end
from dbproxy.cluster.lag import settle
from dbproxy.errors import ProxyError, ServerRefused, ServerUnavailable
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.commits import UNKNOWN
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.routing.rescue import LOST, SHUTDOWN, UNREACHABLE, why_rescue
from dbproxy.routing.router import AT_PRIMARY, MOVED, READ_ONLY, READS, WAIT
from dbproxy.session.judging import BATCH_LIMIT
from dbproxy.session.moving import Mover
from dbproxy.session.opening import Opening
from dbproxy.session.replay import Replay
from dbproxy.sql.statement import WRITES
from dbproxy.wire.extended import cut, length_at, parse_parts
from dbproxy.wire.framer import Framer, client_framer
from dbproxy.wire.pipeline import KIND, SKIP

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

DETOURS = 2  # a request is sent again so often: to another replica, to the primary


class Routed(Mover):
    """Between `Mover` and `Requester`: where a request goes, and goes again."""

    def __init__(self, login: "Login", pool: Pool) -> None:
        Mover.__init__(self, login, pool)
        self.replay = Replay()
        self.read_only: bool = login.read_only  # by its entry
        self.detours = 0
        self.waited = False  # for a replica to be fresh enough
        self.awaits = 0
        self.avoided: Any = None  # a host that a request was rescued from
        self.position = 0  # behind its own last commit, in `epoch`
        self.epoch = 0
        self.wrote = False  # perhaps, in the loan at hand
        self.wrote_at = 0.0
        self.writes = False  # what it is about to send to the primary may write

    # --- where to ---

    def choose(self, framer: Framer, index: int) -> Pool | None:
        """The pool whose server is to answer what begins at mark `index`; None: `resume` is called in its time."""
        router = self.router
        self.routed = False
        verdict = self.judge(framer, index) if self.repeats is None else MOVED
        host = router.choose(verdict, self) if self.detours < DETOURS else None  # type: ignore[union-attr]
        if host is WAIT:
            self.waited = True
            self.waits_in = router.room  # type: ignore[union-attr]
            router.room.enter(self, self.awaits, router.settings.consistency_wait, self.arrived)  # type: ignore[union-attr]
            return None
        self.wrote = host is None and verdict is not READS and verdict not in AT_PRIMARY
        self.writes = self.wrote and router.commits.asks  # type: ignore[union-attr]
        self.waits_in = self.pool
        if self.wrote:
            return self.pool
        self.answered = 0
        self.keep(framer, index)
        if host is None:
            return self.pool
        self.host = host
        if verdict is READ_ONLY:
            self.opening = Opening(0)
            self.note(framer, index)
        pool: Pool = router.pool_of(host)  # type: ignore[union-attr]
        self.waits_in = pool
        return pool

    def stays(self) -> int:
        """How many bytes of what has come while a server is held go there, too; the others wait until it is done."""
        server: Server = self.server  # type: ignore[assignment]  # it is held
        framer = self.framer
        if not framer.count:
            return framer.end
        if self.opening is not None and server.dialogue.status != ord("I"):
            return self.stays_open(server, self.opening)
        idle = server.dialogue.status == ord("I")
        reads = idle and self.judge(framer, 0) is READS and sum(map(len, self.batch)) <= BATCH_LIMIT
        if self.host is None and not reads:
            self.wrote = True
            self.routed = False
            if self.router.commits.asks:  # type: ignore[union-attr]
                server.dialogue.traces.effects |= WRITES
        elif (
            not self.routed and reads and server.dialogue.only_ours()
        ):  # all is answered but a question of ours
            self.answered = server.loan.served
            self.keep(framer, 0)
            return framer.end
        if self.host is None and not self.routed:
            return framer.end
        if not reads:  # a pinned replica that is done has to do
            return framer.end if server.dialogue.pipeline.empty() else framer.mark_at(0) >> 8
        if self.routed:
            self.reads += self.judged
            self.batch.append(cut(framer.chunk, framer.mark_at(0) >> 8, framer.end))
            if self.opening is not None:
                self.note(framer, 0)
        return framer.end

    def committed(self, position: int) -> None:
        router = self.router
        if router is not None:
            self.position = position
            self.epoch = router.commits.epoch
            router.cluster.note_primary_lsn(settle(position), monotonic())

    def misplaced(self) -> None:
        if self.router is not None:
            self.position, self.epoch = UNKNOWN, self.router.commits.epoch

    # --- a replica's answer ---

    def leave_host(self, seconds: float) -> None:
        """The loan of the server is over; `seconds`: what a replica's answer took, 0 if that says nothing."""
        host, self.host = self.host, None
        self.opening = None
        self.routed = False
        self.batch = []
        if host is None:
            return
        end(host, seconds, monotonic())

    def may_rescue(self, fields: dict[str, str]) -> bool:
        reason = why_rescue(fields)
        if not reason or (self.host is None and (reason != SHUTDOWN or fields.get("V") != "FATAL")):
            return False
        server: Server = self.server  # type: ignore[assignment]  # it is held
        if server.dialogue.status != ord("I") and not self.can_move(server, fields):
            return False
        if self.host is not None:
            self.note_rescue(reason)
            self.detours = DETOURS  # the primary is asked
        self.parked = True
        return True

    def note_rescue(self, reason: str) -> None:
        server: Server = self.server  # type: ignore[assignment]  # it is held
        failed = min(server.loan.served - self.answered, len(self.reads) - 1)
        self.router.note_rescue(self.host, reason, self.reads[failed])  # type: ignore[union-attr]

    def rescue(self) -> bytes:
        """The server is to be given up: what it has not answered, to be sent again."""
        data = self.take_unanswered()
        self.moving = False  # what waits comes behind that
        self.server = None
        self.replay.clear()
        self.leave_host(0.0)
        return data

    def take_unanswered(self) -> bytes:
        """What the server has not answered, as if it had not been sent."""
        server: Server = self.server  # type: ignore[assignment]  # it is held
        self.take_back(server)
        data = self.unanswered(server.loan.served - self.answered)
        self.forget_parsed(data)
        self.pending.clear()
        self.prepared.end_request()
        self.prepared.executes = self.prepared.asks = False
        return data

    def begin_again(self) -> None:
        """A replica has failed the first request of a transaction that was more than its beginning: on the primary."""
        server: Server = self.server  # type: ignore[assignment]  # it is held
        self.repeats = self.opening.to_repeat(server.loan.served) or []  # type: ignore[union-attr]  # it can move
        self.set_aside(self.take_unanswered())
        server.send_ours("ROLLBACK")

    def take_back(self, server: Server) -> None:
        """The names in what was not answered mean what they did before."""
        pipeline = server.dialogue.pipeline
        due = list(zip(pipeline.due[pipeline.head :], pipeline.notes[pipeline.head :], strict=True))
        for entry, note in reversed(due):
            if not entry & SKIP and entry & KIND in b"PC" and note is not None:
                self.prepared.restore(note[0], note[1])

    def forget_parsed(self, data: bytes) -> None:
        """What is parsed again must not be there already."""
        framer = client_framer(self.login.max_message_size)
        for mark in framer.feed(data):
            at = mark >> 8
            if mark & 255 == ord("P"):
                parts = parse_parts(data, at, at + length_at(data, at))
                if parts is not None and parts[0]:
                    self.prepared.forget(parts[0])

    def unanswered(self, served: int) -> bytes:
        """Of the batch, from the request behind the first `served`."""
        data = b"".join(self.batch)
        if not served:
            return self.prepared.spell_faked() + data
        framer = client_framer(self.login.max_message_size)
        for mark in framer.feed(data):
            if served <= 0:
                return data[mark >> 8 :]
            served -= mark & 255 in b"QS"
        return b""

    def send_again(self, data: bytes) -> None:
        raise NotImplementedError

    def server_lost(self, error: ProxyError, told: bool) -> None:
        """A replica that had not begun to answer is replaced by another, or the primary."""
        server = self.server
        if server is not None and not told and self.is_done_with(server):
            self.server = None
            self.misplaced()
            self.free(PARTNER_FULL)
            return
        host = self.host
        if server is None or not self.may_go_on(server, told):
            self.leave_host(0.0)
            Mover.server_lost(self, error, told)
            return
        if host is not None and not self.detours:
            self.note_rescue(LOST)
        if server.dialogue.traces.unplaced:
            self.misplaced()
        self.avoided = host
        self.detours += 1
        data = self.rescue()
        cluster = self.router.cluster  # type: ignore[union-attr]
        failed = host if host is not None else cluster.primary
        if failed is not None:
            cluster.report_failure(failed, error.message, monotonic())
        self.send_again(data)

    def may_go_on(self, server: Server, told: bool) -> bool:
        """Whether what a lost server has not begun to answer is sent again: a read that has not cost a primary, too."""
        traces = server.dialogue.traces
        if self.host is None and (traces.asked or traces.effects or traces.pins):
            return False  # what the session has become is not known
        if server.dialogue.status != ord("I"):
            return False  # part of a transaction that has begun
        spent = self.detours > 0 if self.host is None else self.detours > DETOURS
        return self.routed and not (told or server.relay.answer.forwarded or self.closed or spent)

    def is_done_with(self, server: Server) -> bool:
        """Whether all that was still to be heard of the server is where its commit is."""
        traces = server.dialogue.traces
        if (
            not traces.unplaced
            or traces.asked
            or traces.effects
            or traces.pins
            or self.parked
            or self.leaving
        ):
            return False
        return bool(
            server.dialogue.only_ours() and server.dialogue.status == ord("I") and not self.framer.left
        )

    def refused(self, error: ProxyError) -> bool:
        """True if no server of a replica can be had, and another host is asked."""
        if self.host is None or not isinstance(error, ServerUnavailable | ServerRefused):
            self.leave_host(0.0)
            return False
        self.router.note_rescue(self.host, UNREACHABLE, self.reads[0])  # type: ignore[union-attr]
        host = self.avoided = self.host
        self.detours += 1
        self.leave_host(0.0)
        self.router.cluster.report_failure(host, error.message, monotonic())  # type: ignore[union-attr]
        return True

    def disconnect(self, reason: str, error: ProxyError | None = None) -> None:
        if not self.closed:
            self.leave_host(0.0)
        Mover.disconnect(self, reason, error)
