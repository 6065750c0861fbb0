"""What PostgreSQL sends us, and where it goes.

Replies are forwarded in the chunks in which they came. A chunk is cut only where a reply is skipped or faked
(wire.pipeline). ReadyForQuery with nothing more due ends the loan: `feed` says so, and the server acts upon it.
"""

from dbproxy.cache.commit import Unplaced
from dbproxy.cache.writes import Writes
from dbproxy.net.direct import monotonic
from dbproxy.pool.answer import ANSWERED, KEPT, OVER, UNDER_WAY, Answer
from dbproxy.pool.backend import Backend
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.dues import Ours, Portal, Sent
from dbproxy.pool.failure import ends_unlent, fail, rescue
from dbproxy.pool.inquiry import Inquiry
from dbproxy.pool.insertions import STANDBY, hides
from dbproxy.pool.loan import Loan
from dbproxy.pool.meter import Meter, make_meter
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.pool import Pool
from dbproxy.pool.preparation import forget_all
from dbproxy.pool.request import Request
from dbproxy.pool.states import Member
from dbproxy.sql.statement import DISCARDED, FORGOT, RESETS, WRITES
from dbproxy.wire.extended import cut, length_at
from dbproxy.wire.framer import server_framer
from dbproxy.wire.pipeline import SKIP
from dbproxy.wire.reply import check_reply, columns_key
from dbproxy.wire.splice import Splice
from dbproxy.wire.startup import parse_parameter_status

ENDS = frozenset({b"COMMIT\0", b"ROLLBACK\0", b"DISCARD ALL\0"})


def may_advance(first: int, second: int, third: int) -> bool:
    """Whether a command whose tag begins so may have used a sequence: by a default, an identity or a trigger."""
    if first == ord("C"):  # COPY, CALL, CREATE TABLE AS; not COMMIT, CLOSE
        return third != ord("M") and second != ord("L")
    if first == ord("D"):  # DELETE, DO
        return third == ord("L") or second == ord("O")
    return first == ord("I") or first == ord("U") or first == ord("M")  # INSERT, UPDATE, MERGE


class Relay:
    """Of one server: `dialogue` is what the replies are about, `loan` who gets them."""

    def __init__(self, server: Member, pool: Pool) -> None:
        self.server = server
        self.pool = pool
        self.stats = pool.stats
        self.backend: Backend = server.backend
        self.dialogue: Dialogue = server.dialogue
        self.loan: Loan = server.loan
        self.framer = server_framer()
        self.splice = Splice()
        self.now = 0.0  # when the chunk at hand came; 0: not asked yet
        self.failed = False  # the answer at hand has an error that its client sees
        self.error = b""  # the last one, without its head
        self.ready_at = 0  # where in the chunk at hand the last ReadyForQuery is
        self.answer = Answer(server, pool.tenant)
        self.meter: Meter | None = make_meter(
            pool.tenant, self.dialogue, self.loan, replica=pool.host is not None
        )

    def stop_retrying(self) -> None:
        """The answer is over; what comes next is that to the request sent again."""
        self.answer.retrying = self.splice.dropping = False

    # --- a chunk ---

    def feed(self, data: bytes) -> int:
        """Forward what came: UNDER_WAY, ANSWERED or OVER."""
        framer = self.framer
        count = framer.scan(data)
        chunk = framer.chunk
        self.splice.begin(chunk)
        self.now = 0.0
        state = UNDER_WAY
        for number in range(count):
            mark = framer.mark_at(number)
            kind = mark & 255
            at = mark >> 8
            if kind == ord("Z"):
                state = self.ready(chunk, at)
            elif kind == ord("E"):
                self.fail(chunk, at, state != UNDER_WAY)
                if self.server.closed:
                    return UNDER_WAY
            elif kind == ord("D"):
                if self.dialogue.pipeline.peek() & SKIP:
                    self.read_row(chunk, at)
            elif kind == ord("A"):
                self.notify(chunk, at)
            elif kind == ord("t"):
                self.answer.withheld = cut(chunk, at, at + length_at(chunk, at))
                self.splice.drop(at)
            else:
                self.receive(kind, chunk, at)
        self.forward(framer.end)
        if self.meter is not None:
            self.meter.pass_chunk(framer.end)
        if state == KEPT:
            self.loan.keeps_ready = self.answer.forwarded = False
            self.loan.client.owe_ready()  # type: ignore[union-attr]  # who it is kept from
        if self.answer.flushing:
            self.flush()
        self.answer.sent = self.answer.forwarded
        if framer.left:
            return UNDER_WAY
        if state != UNDER_WAY:
            return OVER
        if not self.dialogue.pipeline.empty():
            return UNDER_WAY
        self.loan.heard_at = monotonic()
        return ANSWERED

    def forward(self, end: int) -> None:
        """Give the client what is for it of the chunk up to `end`."""
        data = self.splice.take(end)
        if data:
            client = self.loan.client
            if client is not None:
                self.stats.bytes_sent += len(data)
                if self.loan.fill is not None:
                    self.loan.fill.hear(data)
                client.reply(data)

    def place(self, at: int, skip: bool, ahead: bytes | None) -> None:
        """The reply at `at` is skipped or forwarded, `ahead` before it."""
        if ahead:
            self.splice.insert(at, ahead)
        if skip:
            self.splice.drop(at)
        else:
            self.splice.keep(at)

    def flush(self) -> None:
        """Give the client the faked replies, unless there are others to come: they go ahead of those or follow them."""
        pipeline = self.dialogue.pipeline
        replies = b"" if self.framer.left or len(pipeline) > pipeline.fakes else pipeline.take_fakes()
        self.answer.flushing = pipeline.fakes > 0
        if replies and self.loan.client is not None:
            self.answer.forwarded = self.answer.sent = True
            self.loan.client.reply(replies)

    # --- one message ---

    def receive(self, kind: int, chunk: bytes, at: int) -> None:
        """Any reply that has no function of its own."""
        dialogue = self.dialogue
        pipeline = dialogue.pipeline
        ahead = pipeline.take_fakes() if pipeline.fakes else None
        skip = pipeline.receive(kind)
        if kind == ord("C"):
            check_reply(chunk, at)
            self.watch(chunk, at, skip)
        elif kind == ord("T") or kind == ord("n"):
            if self.answer.withheld is not None:
                ahead = self.describe(chunk, at, skip, ahead)
            elif isinstance(pipeline.ended, Portal):
                pipeline.ended.told(self.answer, chunk, at)
        elif kind == ord("1"):
            if isinstance(pipeline.ended, Sent):
                sent = pipeline.ended
                sent.done(self.answer)
        elif kind == ord("S"):
            skip = self.report(chunk, at, skip)
        elif kind == ord("G"):
            pipeline.copy_in()
            self.loan.heard_at = monotonic()
        self.place(at, skip, ahead)
        if not skip:
            self.answer.forwarded = True
            if self.meter is not None:
                self.count(kind, chunk, at)

    def ready(self, chunk: bytes, at: int) -> int:
        """ReadyForQuery: the answer at hand is over. OVER or KEPT if nothing more is due."""
        dialogue = self.dialogue
        pipeline = dialogue.pipeline
        client = self.loan.client
        self.ready_at = at
        check_reply(chunk, at)
        status = chunk[at + 5]
        ahead = pipeline.take_fakes() if pipeline.fakes else None
        skip = pipeline.receive(ord("Z"))
        kept = False
        if not skip and client is not None:
            if status == ord("I"):
                if self.loan.keeps_ready:
                    kept = pipeline.empty()
                    client.listen_early(dialogue.failed)
                dialogue.failed = False
            if not kept and client.news.any():
                news = client.news.take(self.pool.welcome, idle=status == ord("I"))
                ahead = news if ahead is None else ahead + news
        self.place(at, skip or kept, ahead)
        if not dialogue.ready(status):
            self.server.condemn("a Sync has ended a Query's transaction")
        if not self.now:
            self.now = monotonic()
        if skip:
            self.end_ours(at)
        else:
            self.answer.forwarded = False
            self.conclude(at)
            if client is not None and client.routed and not pipeline.empty():
                self.forward(at + 6)
                self.answer.sent = False
        if pipeline.empty():
            return KEPT if kept else OVER
        return UNDER_WAY

    def end_ours(self, at: int) -> None:
        """A Query of our own is over. What comes next may begin with a row, which has no mark."""
        pipeline = self.dialogue.pipeline
        if self.loan.writes is not None:
            self.end_writes()
        if self.meter is not None:
            self.meter.skip(at + 6)
        self.splice.skip(at, at + 6)
        self.splice.dropping = pipeline.is_ours()
        if not self.splice.dropping:
            self.answer.forwarded = False
        if self.loan.cancels_later and not pipeline.peek() & SKIP:
            self.loan.cancels_later = False
            self.pool.cancel(self.server)
        if isinstance(pipeline.ended, Ours):
            pipeline.ended.done(self.answer)

    def fail(self, chunk: bytes, at: int, over: bool) -> None:
        """ErrorResponse; `over`: the loan has ended ahead of it."""
        self.dialogue.failed = True
        payload = self.payload(chunk, at)
        client = self.loan.client
        failing = None if self.meter is None else self.meter.find_failing()
        if (
            client is not None
            and client.routed
            and not self.answer.sent
            and rescue(self.answer, client, payload)
        ):
            self.splice.forget(at)  # nothing of this answer has left
            self.splice.dropping = True
            self.answer.forwarded = False
            return
        skip = (over and ends_unlent(self.answer, payload)) or fail(self.answer, payload)
        if self.dialogue.pipeline.unsure:
            self.server.condemn(
                "a COPY with a Sync in its data has failed"
            )  # another reply may be on its way
        if failing is not None and client is not None and not skip:
            self.meter.fail(failing, self.answer.instead or payload, at + length_at(chunk, at), monotonic())  # type: ignore[union-attr]
        ahead, self.answer.ahead = self.answer.ahead, None
        self.place(at, skip, ahead)
        self.error = payload
        if self.answer.instead is not None:
            self.splice.replace(at, at + length_at(chunk, at), self.answer.instead)
            self.error = self.answer.instead[5:]
            self.answer.instead = None
        if not skip:
            self.answer.forwarded = True
            self.failed = client is not None

    def notify(self, chunk: bytes, at: int) -> None:
        """NotificationResponse: the hub tells it, or else it is for the client."""
        pipeline = self.dialogue.pipeline
        if self.loan.client is not None and self.loan.client.hears_by_hub():
            self.splice.skip(at, at + length_at(chunk, at))
        else:
            ahead = pipeline.take_fakes() if pipeline.fakes else None
            self.place(at, pipeline.is_ours(), ahead)

    def conclude(self, at: int) -> None:
        """The ReadyForQuery at `at` ends a client's request, or what an errand has asked."""
        if self.loan.writes is not None:
            self.acknowledge(self.loan.writes)
            self.end_writes()
        ended = self.dialogue.pipeline.ended
        if isinstance(ended, Request):
            self.answered(ended, at, self.now)
        elif self.meter is not None:
            self.meter.disown(at + 6)

    def answered(self, request: Request, at: int, now: float) -> None:
        """A client's request is over, by the ReadyForQuery at `at`: count and time it."""
        if self.meter is not None:
            self.meter.ready(request, at + 6, now)
        loan = self.loan
        client = loan.client
        loan.served += 1
        arrived = request.arrived
        total = now - arrived
        microseconds = int(total * 1e6)
        self.stats.query(microseconds)
        if total >= self.pool.tenant.slow_after:
            wait = max(0.0, loan.answered_at - arrived)
            self.stats.slow_query_count += 1
            if client is not None:
                client.slow(request, wait, total - wait)
        if loan.fill is not None:
            self.end_fill(at, now)
        loan.answered_at = now
        idle = self.dialogue.status == ord("I")
        if request.executes:
            loan.use.end_request(idle)
        if idle:
            self.stats.xact(int((now - loan.xact_start) * 1e6))
            loan.xact_start = now
        tenant = self.pool.tenant
        if client is not None and (tenant.gates or tenant.listeners):
            client.request_over(request, microseconds, self.failed)
        self.failed = False

    # --- what is known of each table ---

    def acknowledge(self, writes: Writes) -> None:
        """The client hears that a request is over, and so of what it has committed; where that is may be asked."""
        idle = self.dialogue.status == ord("I")
        if idle and not self.answer.retrying:
            writes.acknowledge()
        if writes.unplaced.commits and not (idle and self.dialogue.pipeline.empty() and self.will_ask()):
            self.lose_place(writes.unplaced)

    def will_ask(self) -> bool:
        """Whether the server is asked where its WAL ends once nothing is due (pool.audit)."""
        return (self.dialogue.traces.effects & WRITES) != 0

    def lose_place(self, unplaced: Unplaced) -> None:
        """Nobody will be told where these commits are, or not soon."""
        now = monotonic()
        unplaced.lose(now)
        if self.will_ask():
            self.pool.tenant.commits.lost_at = now

    def end_writes(self) -> None:
        """What was written is over, if no transaction is open, and nothing is due that could write more."""
        over = self.dialogue.status == ord("I") and self.dialogue.pipeline.empty()
        if over and not self.answer.retrying:
            self.loan.writes.end()  # type: ignore[union-attr]  # there are some

    def end_fill(self, at: int, now: float) -> None:
        """The answer that is listened to ends with the ReadyForQuery at `at`."""
        self.forward(at + 6)
        fill, self.loan.fill = self.loan.fill, None
        fill.end(now - self.loan.answered_at, now)  # type: ignore[union-attr]  # there is one

    # --- what statements cost ---

    def count(self, kind: int, chunk: bytes, at: int) -> None:
        """A reply that the client gets, a statement's last perhaps."""
        if kind != ord("C") and kind != ord("s") and kind != ord("I"):
            return
        if not self.now:
            self.now = monotonic()
        self.meter.end(kind, chunk, at, self.now)  # type: ignore[union-attr]  # there is one

    def lose(self) -> None:
        """What the client has asked will not be answered."""
        if self.meter is not None:
            self.meter.lose(monotonic())

    # --- what only few replies need ---

    def describe(self, chunk: bytes, at: int, skip: bool, ahead: bytes | None) -> bytes | None:
        """A statement's Describe is answered: what goes ahead of the second message."""
        parameters, self.answer.withheld = self.answer.withheld, None
        assert parameters is not None
        columns, full = columns_key(b"", chunk, at), columns_key(parameters, chunk, at)
        due = self.dialogue.pipeline.ended
        if isinstance(due, Sent):
            due.described(self.answer, columns, full)
        if skip:
            return ahead
        return parameters if ahead is None else ahead + parameters

    def report(self, chunk: bytes, at: int, skip: bool) -> bool:
        """ParameterStatus; whether the client is not told (now)."""
        pipeline = self.dialogue.pipeline
        payload = self.payload(chunk, at)
        if pipeline.halves or self.pool.host is not None:
            skip = skip or hides(self.dialogue, payload)
        name, value = parse_parameter_status(payload)
        self.backend.note(name, value)
        client = self.loan.client
        if name == STANDBY:
            return skip
        if client is None:
            if self.dialogue.settings is NOTHING:
                self.pool.welcome = {**self.pool.welcome, name: value}  # as it is replaced: pool.greeting
            return skip
        client.news.note(name, value, told=not skip)
        if not self.dialogue.traces.local and not pipeline.is_ours():
            # By a function, perhaps: which settings are the session's own now?
            self.dialogue.traces.effects |= RESETS
        return skip

    def watch(self, chunk: bytes, at: int, skip: bool) -> None:
        """CommandComplete: some commands change what we hold to be true of the server."""
        self.dialogue.ran = True
        first, second, third = chunk[at + 5], chunk[at + 6], chunk[at + 7]
        if not skip:
            self.loan.use.done += 1
        if first == ord("S") and second != ord("T"):
            return  # SELECT; not START TRANSACTION
        if not skip:
            self.loan.use.read_tag(first, second, third, length_at(chunk, at))
            if may_advance(first, second, third):
                self.dialogue.traces.sequences.advance()
        if first == ord("R") and second == ord("O"):
            self.dialogue.failed = True  # ROLLBACK, or what comes near it
            self.end_transaction(chunk, at)
        elif first == ord("C") and second == ord("O") and third == ord("M"):
            if self.loan.writes is not None and not skip:
                self.loan.writes.acknowledge()
            self.end_transaction(chunk, at)
        elif first == ord("D"):
            self.watch_discard(chunk, at, skip)

    def watch_discard(self, chunk: bytes, at: int, skip: bool) -> None:
        """DISCARD and DEALLOCATE, among others."""
        dialogue = self.dialogue
        tag = self.payload(chunk, at)
        if tag == b"DISCARD SEQUENCES\0" and not skip:
            dialogue.traces.effects |= FORGOT
        elif tag == b"DISCARD ALL\0":
            dialogue.traces.effects |= DISCARDED
            dialogue.traces.has_unlisted_settings = False
            self.end_transaction(chunk, at)
            if self.loan.client is None:
                dialogue.settings = NOTHING
                dialogue.traces.effects = 0
        if tag == b"DEALLOCATE ALL\0" or tag == b"DISCARD ALL\0":
            forget_all(dialogue, self.loan.client)

    def end_transaction(self, chunk: bytes, at: int) -> None:
        """A command that ends a transaction at its Execute, not at the Sync; that of a savepoint does no harm."""
        dialogue = self.dialogue
        client = self.loan.client
        if dialogue.pipeline.empty() and client is not None and self.payload(chunk, at) in ENDS:
            client.transaction_ended()
            if dialogue.status == ord("E"):
                dialogue.status = ord("T")  # it is over, or back in a savepoint: the next ReadyForQuery says

    def read_row(self, chunk: bytes, at: int) -> None:
        due = self.dialogue.pipeline.oldest_note()
        if isinstance(due, Inquiry):
            due.audit.read(self.payload(chunk, at))

    def payload(self, chunk: bytes, at: int) -> bytes:
        return chunk[at + 5 : at + 1 + int.from_bytes(chunk[at + 1 : at + 5], "big")]

    def inside_message(self) -> bool:
        """Whether the client has part of a message: what is sent now would be taken for the rest of it."""
        return self.framer.left > 0 and not self.splice.dropping
