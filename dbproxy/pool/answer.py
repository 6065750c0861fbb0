"""The answer that a server is giving: how far it is, and what its client gets of the message at hand."""

from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.loan import Loan
from dbproxy.pool.states import Member
from dbproxy.pool.tenant import Tenant

# How far it is, behind a chunk.
UNDER_WAY = 0  # replies are due, or part of one
ANSWERED = 1  # what was asked is answered, but no Sync has been sent behind it
OVER = 2  # nothing is due
KEPT = 3  # nothing is due, but the client is not told yet that it is ready


class Answer:
    """Of one server, up to ReadyForQuery."""

    def __init__(self, server: Member, tenant: Tenant) -> None:
        self.server = server
        self.tenant = tenant
        self.dialogue: Dialogue = server.dialogue
        self.loan: Loan = server.loan
        self.ahead: bytes | None = None  # what the client gets before the message at hand
        self.instead: bytes | None = None  # and instead of that
        # A ParameterDescription: its Describe may fail yet, and be sent again.
        self.withheld: bytes | None = None
        self.forwarded = False  # part of the answer
        self.sent = False  # and has left, with an earlier chunk
        self.flushing = False  # the client sent Flush behind messages whose replies are faked
        self.retrying = False  # the client's request is sent again once this is over

    def begin_loan(self) -> None:
        self.forwarded = self.sent = self.flushing = False
