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
