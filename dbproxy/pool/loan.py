"""A server lent to a borrower: what is known of that from checkout to checkin.

Each server has one such object, begun anew at each checkout. How a loan went is known until the next begins.
"""

from dbproxy.cache.fill import Fill
from dbproxy.cache.writes import Writes
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.request import Request

COMMIT, ROLLBACK = 12, 14  # bytes of the CommandComplete with that tag


class Overdue:
    """Of a query over `query_timeout`: when a cancel request was sent, and what its client gets when it is canceled."""

    def __init__(self, since: float, error: bytes) -> None:
        self.since = since
        self.error = error


class Use:
    """What its client has had of the server, and was not held against its limits yet (session.loan).

    How many transactions there were is told by PostgreSQL's command tags. ROLLBACK is also what it says to ROLLBACK TO
    SAVEPOINT: it has ended a transaction if one begins behind it, if none is open at the end of its request, or if so
    many were sent that begin another (AND CHAIN).
    """

    def __init__(self) -> None:
        self.since = 0.0
        self.transactions = 0
        self.statements = 0
        self.rows = 0
        self.chains = 0  # statements that end a transaction and begin another, sent and not answered
        # Of the request at hand: its statements that are done, and the transactions that they have ended, the last of
        # them with that statement. `rolled_back`: the statement that may have ended one, too; 0: none.
        self.done = 0
        self.ended = 0
        self.ended_at = 0
        self.rolled_back = 0
        self.last = 0  # statements that the last request is known to have had

    def begin(self, now: float) -> None:
        self.since = now
        self.transactions = self.statements = self.rows = 0

    def forget(self) -> None:
        """The server is lent anew."""
        self.chains = self.done = self.ended = self.ended_at = self.rolled_back = 0

    def read_tag(self, first: int, second: int, third: int, length: int) -> None:
        """A statement that is `done`: the first letters of its tag, and the length of its CommandComplete."""
        if first == ord("B") or (first == ord("S") and second == ord("T")):
            self.start()
        elif first == ord("C") and third == ord("M") and length == COMMIT:
            self.commit()
        elif first == ord("R") and length == ROLLBACK:
            self.roll_back()

    def commit(self) -> None:
        if self.chains:
            self.chains -= 1
        self.end_transaction(self.done)

    def roll_back(self) -> None:
        if self.chains:
            self.chains -= 1
            self.end_transaction(self.done)
        else:
            self.rolled_back = self.done

    def start(self) -> None:
        """BEGIN, or START TRANSACTION."""
        if self.rolled_back:
            self.end_transaction(self.rolled_back)

    def end_transaction(self, place: int) -> None:
        self.ended += 1
        self.ended_at = place
        self.rolled_back = 0

    def end_request(self, idle: bool) -> None:
        """The request at hand is answered, or will not be: what it was is counted; `idle`: no transaction is open."""
        self.statements += self.done if self.done else 1
        if idle and self.rolled_back:
            self.end_transaction(self.rolled_back)
        if idle and (self.done > self.ended_at or not self.ended):
            self.ended += 1
        self.transactions += self.ended
        self.last = self.done
        self.done = self.ended = self.ended_at = self.rolled_back = 0


class Loan:
    """`client` is None while the server is nobody's. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.client: Borrower | None = None
        self.use = Use()
        # Where answers are kept: what may have been written, and what hears the answer at hand.
        self.writes: Writes | None = None
        self.fill: Fill | None = None
        self.since = 0.0
        self.served = 0  # requests that were answered
        self.answered_at = 0.0  # when the last of them was; `since` before the first
        self.heard_at = 0.0  # when the client had got all that it gets without sending more
        self.xact_start = 0.0
        self.request: Request | None = None  # the last one behind which it was asked what was left
        self.stalled = 0.0  # seconds for which the client did not take its answer, and nobody has counted yet
        self.changed = False  # lent to another than the last time
        self.told = False  # the client has PostgreSQL's own last words
        self.overdue: Overdue | None = None  # if that was later than the last answer: the query at hand
        # The client is told only later that its transaction has ended (session.ear).
        self.keeps_ready = False
        # The client wants its request cancelled, but a Query of ours is ahead of that.
        self.cancels_later = False

    def begin(self, client: Borrower, changed: bool, now: float) -> None:
        self.client = client
        self.changed = changed
        self.since = self.answered_at = self.heard_at = self.xact_start = now
        self.served = 0
        self.use.begin(now)
        self.use.forget()
        self.stalled = 0.0
        self.told = self.keeps_ready = self.cancels_later = False

    def find_overdue(self) -> Overdue | None:
        """Of the query at hand."""
        overdue = self.overdue
        return overdue if overdue is not None and overdue.since >= self.answered_at else None

    def end(self) -> Borrower | None:
        """The server is nobody's; whose it was."""
        client, self.client = self.client, None
        self.fill = None
        return client
