"""A server lent to a borrower: what is known of that from checkout to checkin.

Each server has one such object, begun anew at each checkout. How a loan went is known until the next begins.
"""

from dbproxy.pool.borrower import Borrower
from dbproxy.pool.request import Request


class Loan:
    """`client` is None while the server is nobody's. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.client: Borrower | None = None
        self.since = 0.0
        self.served = 0  # requests that were answered
        self.answered_at = 0.0  # when the last of them was; `since` before the first
        self.heard_at = 0.0  # when the client had got all that it gets without sending more
        self.xact_start = 0.0
        self.request: Request | None = None  # the last one behind which it was asked what was left
        self.stalled = 0.0  # seconds for which the client did not take its answer, and nobody has counted yet
        self.changed = False  # lent to another than the last time
        self.told = False  # the client has PostgreSQL's own last words
        # The client is told only later that its transaction has ended (session.ear).
        self.keeps_ready = False
        # The client wants its request cancelled, but a Query of ours is ahead of that.
        self.cancels_later = False

    def begin(self, client: Borrower, changed: bool, now: float) -> None:
        self.client = client
        self.changed = changed
        self.since = self.answered_at = self.heard_at = self.xact_start = now
        self.served = 0
        self.stalled = 0.0
        self.told = self.keeps_ready = self.cancels_later = False

    def end(self) -> Borrower | None:
        """The server is nobody's; whose it was."""
        client, self.client = self.client, None
        return client
