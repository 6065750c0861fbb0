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

from typing import Any

from dbproxy.errors import ProxyError
from dbproxy.net.link import Link

LOGIN, IDLE, ACTIVE, TESTED, BEING_CANCELED, CLOSED = range(6)
NAMES = ("new", "idle", "active", "tested", "being_canceled", "closed")

MOVES: dict[int, frozenset[int]] = {
    LOGIN: frozenset({IDLE, ACTIVE, CLOSED}),
    IDLE: frozenset({ACTIVE, TESTED, CLOSED}),
    ACTIVE: frozenset({IDLE, ACTIVE, TESTED, BEING_CANCELED, CLOSED}),
    TESTED: frozenset({IDLE, ACTIVE, BEING_CANCELED, CLOSED}),
    BEING_CANCELED: frozenset({IDLE, ACTIVE, CLOSED}),
    CLOSED: frozenset(),
}


class Member(Link):
    """What a pool has to know of one of its server connections. Times are monotonic seconds."""

    def __init__(self, generation: int) -> None:
        Link.__init__(self)
        self.state = LOGIN
        self.generation = generation  # of the pool's settings under which it was opened
        self.cancels = 0  # cancel requests on their way to it
        self.doubtful = False  # one of them was never confirmed: it may still come
        self.expires_at = 0.0
        self.used_at = 0.0
        self.checked_at = 0.0
        self.settings: Any = None  # that its session has
        self.claimed_by: Any = (
            None  # a borrower whose sequence values it remembers: lent to others only if it must be
        )

    def lend(self, client: Any, now: float) -> None:
        raise NotImplementedError

    def close(self, reason: str, error: ProxyError | None = None) -> None:
        raise NotImplementedError
