"""What PostgreSQL sends us, and where it goes.

Replies are forwarded in the chunks in which they came. A chunk is cut only where a reply is skipped or faked
(wire.pipeline). ReadyForQuery with nothing more due ends the loan (`finish`).
"""

from typing import TYPE_CHECKING, Any

from dbproxy.net.direct import monotonic
from dbproxy.pool.audit import Audit
from dbproxy.pool.connection import Connection
from dbproxy.pool.failure import ends_unlent, fail, rescue
from dbproxy.pool.insertions import STANDBY, hides
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.statements import ServerStatements
from dbproxy.pool.traces import Traces
from dbproxy.sql.statement import DISCARDED, FORGOT, RESETS
from dbproxy.wire.extended import columns_key, cut, length_at
from dbproxy.wire.pipeline import SKIP
from dbproxy.wire.startup import parse_parameter_status

if TYPE_CHECKING:
    from dbproxy.pool.pool import Pool


ENDS = frozenset({b"COMMIT\0", b"ROLLBACK\0", b"DISCARD ALL\0"})


class Relay(Connection):
    """Base of `Server`: a connection whose replies go to the client that it is lent to."""

    def __init__(self, pool: "Pool") -> None:
        Connection.__init__(self, pool)
        self.statements = ServerStatements(pool, self.pipeline)
        self.traces = Traces()
        self.settings = NOTHING
        self.status = ord("I")
        # A command, since the last ReadyForQuery: nothing else ends a transaction block. After a Sync that ended an
        # implicit one behind a Query, PostgreSQL 18 fails the next command, whoever sends it.
        self.ran = False
        self.failed = False  # or rolled back: something, since no transaction was open last
        self.retrying = False
        self.served = 0  # requests that were answered in this loan
        self.forwarded = False  # part of the answer at hand
        self.flushing = False  # the client sent Flush behind messages whose replies are faked
        # The client is told that its transaction has ended when more than that is done.
        self.keeps_ready = False
        self.ahead: bytes | None = None  # what goes before the reply at hand
        self.renamed = False  # and instead of it
        # A ParameterDescription: its Describe may fail yet, and be sent again.
        self.withheld: bytes | None = None
        self.busy_since = 0.0
        self.xact_start = 0.0

    def finish(self, now: float) -> None:
        """Nothing is due."""
        raise NotImplementedError

    def conclude(self, note: Any) -> None:
        """A Query of our own is over."""
        raise NotImplementedError

    # --- relaying ---

    def relay(self, data: bytes) -> None:
        framer = self.framer
        pipeline = self.pipeline
        sent = self.forwarded
        count = framer.scan(data)
        chunk = framer.chunk
        position = 0
        done = kept = False
        pieces: list[bytes] | None = None
        now = 0.0
        for number in range(count):
            mark = framer.mark_at(number)
            kind = mark & 255
            at = mark >> 8
            ahead = None
            if kind == ord("D"):
                if pipeline.peek() & SKIP:
                    self.read_row(chunk, at)
                continue
            if kind == ord("A") and self.client is not None and self.client.by_hub:
                if not self.skipping and at > position:
                    pieces = pieces if pieces is not None else []
                    pieces.append(cut(chunk, position, at))
                position = at + length_at(chunk, at)
                continue
            if kind == ord("E"):
                self.failed = True
                payload = self.payload(chunk, at)
                if self.client is not None and self.client.routed and not sent and rescue(self, payload):
                    pieces = None  # nothing of this answer has been forwarded
                    position = at
                    self.skipping = True
                    self.forwarded = False
                    if self.closed:
                        return
                    continue
                skip = (done and ends_unlent(self, payload)) or fail(self, payload)
                ahead = self.ahead
                self.ahead = None
                if pipeline.unsure:
                    self.condemn(
                        "a COPY with a Sync in its data has failed"
                    )  # another reply may be on its way
            elif kind == ord("t"):
                self.withheld = cut(chunk, at, at + length_at(chunk, at))
                skip = True
            else:
                if pipeline.fakes:
                    ahead = pipeline.take_fakes()
                skip = pipeline.receive(kind)
                if kind == ord("S") and (pipeline.halves or self.pool.primary is not None):
                    skip = skip or hides(self, self.payload(chunk, at))
                if kind == ord("Z") and not skip and self.client is not None:
                    if self.keeps_ready and chunk[at + 5] == ord("I"):
                        skip = kept = pipeline.head == len(pipeline.due)
                        self.client.listen_early(self.failed)
                    if chunk[at + 5] == ord("I"):
                        self.failed = False
                    if not kept and (self.client.news or self.client.unreported):
                        ahead = self.take_news(chunk[at + 5], ahead)
                if self.withheld is not None and (kind == ord("T") or kind == ord("n")):
                    if not skip:
                        ahead = self.withheld if ahead is None else ahead + self.withheld
                    columns = columns_key(self.withheld, chunk, at)
                    self.withheld = None
                    self.statements.learn(columns, pipeline.ended, self.client)
            if ahead or skip != self.skipping:
                if pieces is None:
                    pieces = []
                if not self.skipping and at > position:
                    pieces.append(cut(chunk, position, at))
                if ahead:
                    pieces.append(ahead)
                position = at
                self.skipping = skip
                if self.renamed:
                    position = at + length_at(chunk, at)
                    self.renamed = False
            if kind == ord("Z"):
                if self.status == ord("T") and chunk[at + 5] == ord("I") and not self.ran:
                    self.condemn("a Sync has ended a Query's transaction")  # see `ran`
                self.ran = False
                self.status = chunk[at + 5]
                if not now:
                    now = monotonic()
                if not skip or kept:
                    self.answered(pipeline.ended, now)
                    if self.client is not None and self.client.routed and pipeline.head < len(pipeline.due):
                        self.forward(chunk, position, at + 6, pieces)
                        pieces = None
                        position = at + 6
                        sent = False
                else:
                    # What comes next may begin with a row, which has no mark.
                    position = at + 6
                    self.skipping = skip = pipeline.head < len(pipeline.due) and pipeline.peek() & SKIP != 0
                    if pipeline.ended is not None:
                        self.conclude(pipeline.ended)
                done = pipeline.head == len(pipeline.due)
            elif kind == ord("S"):
                self.report(chunk, at)
            elif kind == ord("C"):
                self.watch(chunk, at)
            elif kind == ord("1"):
                self.statements.accepted(pipeline.ended)
            elif kind == ord("G"):
                pipeline.copy_in()
            if not skip and kind != ord("A"):
                self.forwarded = kind != ord("Z")
        self.forward(chunk, position, framer.end, pieces)
        if kept:
            self.keeps_ready = self.forwarded = False
            self.client.owe_ready()
        if self.flushing:
            self.flush()
        if framer.left:
            return
        if done:
            self.finish(now)
        elif self.client is not None and pipeline.head == len(pipeline.due):
            self.client.caught_up()

    def forward(self, chunk: bytes, position: int, end: int, pieces: list[bytes] | None) -> None:
        """Hand on what is not skipped: `pieces`, then the chunk from `position` to `end`."""
        if not self.skipping and end > position:
            if pieces is None:
                if position or end < len(chunk):
                    chunk = chunk[position:end]
                if self.client is not None:
                    self.stats.bytes_sent += len(chunk)
                    self.client.reply(chunk)
                return
            pieces.append(cut(chunk, position, end))
        if pieces and self.client is not None:
            chunk = b"".join(pieces)
            self.stats.bytes_sent += len(chunk)
            self.client.reply(chunk)

    def take_news(self, status: int, ahead: bytes | None) -> bytes | None:
        """What goes ahead of a ReadyForQuery, with the client's notifications if no transaction is open."""
        news: bytes = self.client.take_reports(self.pool.welcome)
        if status == ord("I"):
            news = b"".join([*self.client.news, news])
            self.client.news.clear()
        return news if ahead is None else ahead + news

    def flush(self) -> None:
        """Give the client the faked replies, unless there are others to come: they go ahead of those or follow them."""
        pipeline = self.pipeline
        replies = b"" if self.framer.left or len(pipeline) > pipeline.fakes else pipeline.take_fakes()
        self.flushing = pipeline.fakes > 0
        if replies and self.client is not None:
            self.forwarded = True
            self.client.reply(replies)

    def answered(self, request: Any, now: float) -> None:
        """A client's request is over: count and time it."""
        self.served += 1
        arrived = request[2]
        total = now - arrived
        microseconds = int(total * 1e6)
        self.stats.query(microseconds)
        if total >= self.pool.slow_after:
            wait = max(0.0, self.busy_since - arrived)
            self.stats.slow_query_count += 1
            self.client.slow(request, wait, total - wait)
        self.busy_since = now
        if self.status == ord("I"):
            self.stats.xact(int((now - self.xact_start) * 1e6))
            self.xact_start = now

    # --- what only few replies need ---

    def report(self, chunk: bytes, at: int) -> None:
        name, value = parse_parameter_status(self.payload(chunk, at))
        self.parameters[name] = value
        if name == STANDBY:
            return
        if self.client is None:
            if self.settings is NOTHING:
                self.pool.welcome[name] = value
            return
        if self.skipping:
            self.client.unreported[name] = value
        else:
            self.client.reported[name.lower()] = value
            self.client.unreported.pop(name, None)
        if not self.traces.local and not self.pipeline.is_ours():
            # By a function, perhaps: which settings are the session's own now?
            self.traces.effects |= RESETS

    def watch(self, chunk: bytes, at: int) -> None:
        """Some commands change what we hold to be true of the server."""
        self.ran = True
        if chunk[at + 5] == ord("R") and chunk[at + 6] == ord("O"):
            self.failed = True  # ROLLBACK, or what comes near it
            self.end_transaction(chunk, at)
        elif chunk[at + 5] == ord("C") and chunk[at + 7] == ord("M"):
            self.end_transaction(chunk, at)
        elif chunk[at + 5] == ord("D"):
            tag = self.payload(chunk, at)
            if tag == b"DISCARD SEQUENCES\0" and not self.skipping:
                self.traces.effects |= FORGOT
            elif tag == b"DISCARD ALL\0":
                self.traces.effects |= DISCARDED
                self.traces.murky = False
                self.end_transaction(chunk, at)
                if self.client is None:
                    self.settings = NOTHING
                    self.traces.effects = 0
            if tag == b"DEALLOCATE ALL\0" or tag == b"DISCARD ALL\0":
                self.statements.forget(self.client)

    def end_transaction(self, chunk: bytes, at: int) -> None:
        """What ends a transaction at its Execute, not at the Sync; a savepoint's does no harm in its block."""
        answered = self.pipeline.head == len(self.pipeline.due)
        if answered and self.client is not None and self.payload(chunk, at) in ENDS:
            self.client.transaction_ended()
            if self.status == ord("E"):
                self.status = ord("T")  # it is over, or back in a savepoint: the next ReadyForQuery says

    def read_row(self, chunk: bytes, at: int) -> None:
        note = self.pipeline.oldest_note()
        if isinstance(note, Audit):
            note.read(self.payload(chunk, at))

    def payload(self, chunk: bytes, at: int) -> bytes:
        return chunk[at + 5 : at + 1 + int.from_bytes(chunk[at + 1 : at + 5], "big")]
