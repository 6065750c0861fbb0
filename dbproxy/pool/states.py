"""The states of a server connection. The state *is* the list of its pool that it is in; `Pool.move` is the only mover.

      LOGIN ──▶ IDLE ◀─▶ ACTIVE ──▶ BEING_CANCELED ──▶ IDLE, ACTIVE (the next who waits)
                 ▲ │       │
                 │ ▼       ▼
                 TESTED ◀──┘      from every state ──▶ CLOSED

LOGIN           connecting and authenticating
IDLE            clean and ready; lent last in, first out
ACTIVE          lent to one client
TESTED          nobody's: we roll back, reset or check it
BEING_CANCELED  clean, but a cancel request sent for its last client may still hit it
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

from dbproxy.errors import ProxyError
from dbproxy.net.link import Link
from dbproxy.pool.audit import Audit
from dbproxy.pool.backend import Backend
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.loan import Loan
from dbproxy.pool.trail import Trail

ids = count(1)

LOGIN, IDLE, ACTIVE, TESTED, BEING_CANCELED, CLOSED = range(6)
NAMES = ("new", "idle", "active", "tested", "being_canceled", "closed")

YIELDS = "its place goes to another pool"  # a reason to be condemned that may be taken back (pool.sharing)

MOVES: dict[int, frozenset[int]] = {
    LOGIN: frozenset({IDLE, ACTIVE, CLOSED}),
    IDLE: frozenset({ACTIVE, TESTED, CLOSED}),
    ACTIVE: frozenset({IDLE, ACTIVE, TESTED, BEING_CANCELED, CLOSED}),
    TESTED: frozenset({IDLE, ACTIVE, BEING_CANCELED, CLOSED}),
    BEING_CANCELED: frozenset({IDLE, ACTIVE, CLOSED}),
    CLOSED: frozenset(),
}


class Upkeep:
    """Whether a connection may be lent (again). Times are monotonic seconds."""

    def __init__(self, generation: int) -> None:
        self.generation = generation  # of the pool's settings under which it was opened
        self.condemned = ""  # why it is closed once it is free, and not lent again
        self.cancels = 0  # cancel requests on their way to it
        self.expires_at = 0.0
        self.used_at = 0.0
        self.checked_at = 0.0


class Member(Link):
    """A server connection as its pool knows it: what `Server` promises."""

    def __init__(self, generation: int, dialogue: Dialogue) -> None:
        Link.__init__(self)
        self.id = next(ids)
        self.state = LOGIN
        self.members: Members | None = None  # the list that it is in, and its neighbours there
        self.before: Member | None = None
        self.after: Member | None = None
        self.upkeep = Upkeep(generation)
        self.backend = Backend()
        self.dialogue = dialogue
        self.loan = Loan()
        self.trail = Trail()

    def condemn(self, reason: str) -> None:
        """Have it closed once it is free; the log says the first reason that is not taken back."""
        if not self.upkeep.condemned or self.upkeep.condemned == YIELDS:
            self.upkeep.condemned = reason

    def pardon(self) -> None:
        """It need not yield its place any more."""
        if self.upkeep.condemned == YIELDS:
            self.upkeep.condemned = ""

    def lend(self, client: Borrower, now: float) -> None:
        raise NotImplementedError

    def run_ours(self, *statements: str) -> None:
        """Between loans: run SQL whose replies nobody sees; the pool gets the server back when it is done."""
        raise NotImplementedError

    def conclude(self, audit: Audit) -> None:
        """Take over what the server has answered to a question of ours."""
        raise NotImplementedError

    def close(self, reason: str, error: ProxyError | None = None) -> None:
        raise NotImplementedError


class Members:
    """The servers in one state, in the order in which they came to it.

    Linked one to the next: every query moves its server from one list to another and back, and a dict takes four times
    as long.
    """

    def __init__(self) -> None:
        self.first: Member | None = None
        self.last: Member | None = None
        self.size = 0

    def add(self, server: Member) -> None:
        """Put the server at the end."""
        last = self.last
        if last is None:
            self.first = server
        else:
            last.after = server
            server.before = last
        self.last = server
        server.members = self
        self.size += 1

    def remove(self, server: Member) -> None:
        """Take the server out, if it is here."""
        if server.members is not self:
            return
        before, after = server.before, server.after
        if before is None:
            self.first = after
        else:
            before.after = after
        if after is None:
            self.last = before
        else:
            after.before = before
        server.before = server.after = server.members = None
        self.size -= 1

    def __len__(self) -> int:
        return self.size

    def __contains__(self, server: Member) -> bool:
        return server.members is self

    def __iter__(self) -> Iterator[Any]:
        server = self.first
        while server is not None:
            yield server
            server = server.after

    def __reversed__(self) -> Iterator[Any]:
        server = self.last
        while server is not None:
            yield server
            server = server.before
