# cython: boundscheck=False, wraparound=False
"""What a client's statements on one server cost, for observe.querystats: there is one where statements are counted.

A statement is counted at its own end, once: an Execute at its CommandComplete or ErrorResponse, a Query (however many
statements it has) at its ReadyForQuery, a portal that was suspended at the end of its last Execute or its transaction.
It begins when it came, or when the one ahead of it in its pipeline ended: what PostgreSQL sends together ends together,
and the time until then is the first one's. Bytes are the server's, from the end of the statement before.
"""

from typing import cast

from dbproxy.observe.habits import LARGE, LOOP, SAMPLED
from dbproxy.observe.querystats import PRIMARY, READS, READS_ONLY, REPLICA, WRITES, Account, Entry, QueryStats
from dbproxy.observe.sums import LOST
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.dues import Mention
from dbproxy.pool.execution import Execution
from dbproxy.pool.loan import Loan
from dbproxy.pool.request import Request
from dbproxy.pool.tenant import Tenant
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.due import Due
from dbproxy.wire.extended import cut, length_at
from dbproxy.wire.pipeline import KIND, SKIP
from dbproxy.wire.reply import read_rows, read_sqlstate

FOLLOWED = 100  # different reads of one transaction that are looked at for loops
GAP = 1e-6  # seconds
UNNOTED = Due()  # a message that is no statement's end: a Bind, say, that nothing executes


class Meter:
    """Of one server. Times are monotonic seconds; `total`, `wait`, `stall` what `measure` found, in microseconds."""

    def __init__(
        self, table: QueryStats, account: Account, dialogue: Dialogue, loan: Loan, *, replica: bool
    ) -> None:
        self.table = table
        self.account = account
        self.role = REPLICA if replica else PRIMARY
        self.dialogue = dialogue
        self.loan = loan
        self.passed = 0  # bytes of the chunks ahead of the one at hand
        self.counted = 0  # those up to the end of the last statement
        self.ended_at = 0.0  # when that ended
        self.rows = 0  # of the Query at hand
        self.state: str | None = None  # the SQLSTATE with which it has failed
        self.suspended: list[Execution] = []
        # Of the transaction at hand; None: none is open.
        self.reads: dict[Entry, int] | None = None
        self.writes = False
        self.last: Entry | None = None  # its last statement
        self.total = self.wait = self.stall = 0

    def pass_chunk(self, size: int) -> None:
        self.passed += size

    def skip(self, end: int) -> None:
        """An answer to a Query of ours ends there in the chunk."""
        self.counted = self.passed + end

    def disown(self, end: int) -> None:
        """An answer to an errand of ours ends there: neither its bytes nor its rows are a client's."""
        self.counted = self.passed + end
        self.rows = 0

    # --- ends ---

    def end(self, kind: int, chunk: bytes, at: int, now: float) -> None:
        """CommandComplete, EmptyQueryResponse or PortalSuspended: of an Execute that is over by that, or in a Query."""
        rows = max(read_rows(chunk, at), 0) if kind == ord("C") else 0
        self.loan.use.rows += rows
        due = self.dialogue.pipeline.ended
        if not isinstance(due, Execution) or not due.arrived:
            self.rows += rows
            return
        execution = due
        portal = execution if execution.first is None else execution.first
        self.measure(execution.arrived, now)
        end = self.passed + at + length_at(chunk, at)
        portal.bytes_sent += end - self.counted
        self.counted = end
        portal.total += self.total
        portal.wait += self.wait
        portal.stall += self.stall
        portal.rows += rows if kind != ord("s") else execution.limit
        if kind != ord("s"):
            self.end_execution(portal, execution.arrived, now)
        elif portal.shape is not None and portal not in self.suspended:
            self.suspended.append(portal)
        execution.arrived = 0.0
        self.ended_at = now

    def end_execution(self, portal: Execution, arrived: float, now: float) -> None:
        """The portal has given all that it has, and is counted if it was not."""
        shape = portal.shape
        if shape is None:
            return
        portal.shape = None
        self.total = portal.total
        self.wait = portal.wait
        self.stall = portal.stall
        if self.suspended and portal in self.suspended:
            self.suspended.remove(portal)
        entry = self.record(shape, arrived, now, portal.rows, portal.bytes_sent, None)
        if entry is not None and portal.text is not None and entry.running.calls % SAMPLED == 0:
            entry.habits.note_text(hash(portal.text))

    def ready(self, request: Request, end: int, now: float) -> None:
        """ReadyForQuery of a client's request, which ends there in the chunk."""
        shape = request.shape
        if shape is not None:
            request.shape = None
            self.measure(request.arrived, now)
            position = self.passed + end
            entry = self.record(shape, request.arrived, now, self.rows, position - self.counted, self.state)
            if entry is not None and entry.running.calls % SAMPLED == 0:
                text = text_of(request)
                if text[:7].upper() != b"EXECUTE":  # whose values are parameters
                    entry.habits.note_text(hash(text))
            self.state = None
            self.ended_at = now
        self.rows = 0
        self.counted = self.passed + end
        if self.dialogue.status == ord("I"):
            if self.reads is not None or self.suspended:
                self.end_transaction(now)
        elif self.reads is None:
            self.reads = {}
            self.writes = self.last is not None and self.last.access == READS_ONLY

    def end_transaction(self, now: float) -> None:
        for portal in self.suspended[:]:
            self.end_execution(portal, self.ended_at, now)
        self.suspended.clear()
        if self.reads and not self.writes and self.role == PRIMARY:
            next(iter(self.reads)).habits.note_lone_read()
        self.reads = self.last = None

    # --- counted ---

    def measure(self, arrived: float, now: float) -> None:
        """How long a statement took that came then, or when the one ahead of it ended."""
        loan = self.loan
        begun = arrived
        if self.ended_at > arrived and self.ended_at > loan.since:
            begun = self.ended_at
        self.total = self.wait = self.stall = 0
        if now > begun:
            self.total = int((now - begun) * 1e6)
        if loan.since > begun:
            self.wait = min(self.total, int((loan.since - begun) * 1e6))
        if loan.stalled:
            self.stall = min(self.total - self.wait, int(loan.stalled * 1e6))
            loan.stalled = 0.0

    def record(
        self, shape: Shape, arrived: float, now: float, rows: int, bytes_sent: int, state: str | None
    ) -> Entry | None:
        entry = self.table.find(shape, self.account, self.role, now)
        if entry is None:
            return None
        self.table.record(entry, now, self.total, self.wait, self.stall, rows, bytes_sent, state)
        if rows > LARGE and entry.unlimited:
            entry.habits.note_large(rows)
        if self.reads is not None:
            self.follow(entry, arrived)
        self.last = entry
        return entry

    def follow(self, entry: Entry, arrived: float) -> None:
        """In a transaction: what the application did with it (observe.habits)."""
        gap = arrived - self.ended_at
        if entry.access == WRITES:
            self.writes = True
        if gap <= GAP:
            return  # it came together with the one ahead of it
        if self.last is not None:
            self.last.habits.note_idle(int(gap * 1e6))
        reads = cast("dict[Entry, int]", self.reads)
        if entry.access == READS and (entry in reads or len(reads) < FOLLOWED):
            times = reads.get(entry, 0) + 1
            reads[entry] = times
            if times >= LOOP:
                entry.habits.note_loop(times)

    # --- failures ---

    def find_failing(self) -> Due | None:
        """What an ErrorResponse is about: a Query, or an Execute of the batch at hand, which may not be reached."""
        pipeline = self.dialogue.pipeline
        first: Due | None = None
        for place in range(pipeline.head, len(pipeline.due)):
            entry, note = pipeline.due[place], pipeline.notes[place]
            if entry & SKIP:
                continue
            if entry & KIND in b"QSF":
                return first or note
            if isinstance(note, Execution):
                return note
            first = first or note or UNNOTED
        return first

    def fail(self, due: Due, payload: bytes, end: int, now: float) -> None:
        """The client gets an ErrorResponse for it, which ends there in the chunk."""
        state = read_sqlstate(payload)
        if not isinstance(due, Request):
            self.count_failed(due, state, self.passed + end, now)
        elif due.shape is not None:
            self.state = state  # counted at its ReadyForQuery
        elif self.last is not None and self.ended_at > self.loan.since:
            self.table.fail(self.last, state)  # at the Sync: what was done could not be committed

    def lose(self, now: float) -> None:
        """The server or its client has gone: what was asked and is not answered has failed."""
        due = self.find_failing()
        if self.last is not None and self.reads is not None and due is None:
            self.last.habits.note_idle(int((now - self.ended_at) * 1e6))
        if due is not None and (isinstance(due, Execution | Request) and due.shape is not None):
            self.count_failed(due, self.state or LOST, self.passed, now)
        self.end_transaction(now)
        self.state = None

    def count_failed(self, due: Due, state: str, end: int, now: float) -> None:
        shape: Shape | None = NO_SHAPE
        arrived, rows = self.loan.since, 0
        if isinstance(due, Execution):
            portal = due.first or due
            shape, portal.shape = portal.shape, None
            arrived, rows = due.arrived, portal.rows
            if portal in self.suspended:
                self.suspended.remove(portal)
        elif isinstance(due, Request):
            shape, due.shape = due.shape or NO_SHAPE, None
            arrived = due.arrived
        elif isinstance(due, Mention) and due.statement is not None:
            shape = due.statement.shape
        self.measure(arrived, now)
        if shape is not None:
            self.record(shape, arrived, now, rows, max(0, end - self.counted), state)
        self.counted = max(end, self.counted)
        self.ended_at = now


def make_meter(tenant: Tenant, dialogue: Dialogue, loan: Loan, *, replica: bool) -> Meter | None:
    """None where statements are not counted."""
    table = tenant.query_stats
    if table is None:
        return None
    return Meter(table, table.find_account(tenant.database, tenant.user), dialogue, loan, replica=replica)


def text_of(request: Request) -> bytes:
    """The text of a Query, as far as it came with its first bytes; empty if the request has none."""
    if request.at < 0:
        return b""
    return cut(
        request.chunk,
        request.at + 5,
        min(request.at + length_at(request.chunk, request.at), len(request.chunk)),
    )
