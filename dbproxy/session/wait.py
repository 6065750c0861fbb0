"""For what a client may wait, and which event may end each wait. A client that waits for nothing is read and served.

      NOT       nothing
      SERVER    that a server of its pool is free (Pool.waiting)
      REPLICA   that a replica has replayed what it must see (routing.room)
      ANSWER    that its server has answered what was sent: a name's meaning, a statement's columns
      HUB       that the hub hears a channel, or has told what was notified (session.hub)
      MOVE      that its replica is done with what was sent there: what waits goes elsewhere
      RETRY     that the rest of an answer is over, which is skipped: its request is sent again
      TASK      that work beside the data path is done

PostgreSQL would not have read on either: it carries out one message after the other.
"""

NOT, SERVER, REPLICA, ANSWER, HUB, MOVE, RETRY, TASK = range(8)

# What ends a wait.
SERVED, REFUSED, REPLAYED, ANSWERED, HEARD, DONE = range(6)
ENDS: dict[int, frozenset[int]] = {
    NOT: frozenset(),
    SERVER: frozenset({SERVED, REFUSED}),
    REPLICA: frozenset({REPLAYED, REFUSED}),
    ANSWER: frozenset({ANSWERED}),
    HUB: frozenset({HEARD}),
    MOVE: frozenset({ANSWERED}),
    RETRY: frozenset({ANSWERED}),
    TASK: frozenset({DONE, REFUSED}),
}


def may_end(wait: int, event: int) -> bool:
    """Whether this event ends that wait; any other is about something that is over."""
    return event in ENDS[wait]
