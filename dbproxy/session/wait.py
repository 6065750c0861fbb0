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

# What ends a wait, a bit each.
SERVED, REFUSED, REPLAYED, ANSWERED, HEARD, DONE = (1 << number for number in range(6))

# The waits: a number each, over the bits of what may end it. Any other event is about something that is over.
NOT = 0
SERVER = 1 << 6 | SERVED | REFUSED
REPLICA = 2 << 6 | REPLAYED | REFUSED
ANSWER = 3 << 6 | ANSWERED
HUB = 4 << 6 | HEARD
MOVE = 5 << 6 | ANSWERED
RETRY = 6 << 6 | ANSWERED
TASK = 7 << 6 | DONE | REFUSED
# As operators are shown them.
NAMES = {
    NOT: "",
    SERVER: "server",
    REPLICA: "replica",
    ANSWER: "answer",
    HUB: "hub",
    MOVE: "move",
    RETRY: "retry",
    TASK: "task",
}

WAITS = (NOT, SERVER, REPLICA, ANSWER, HUB, MOVE, RETRY, TASK)
EVENTS = (SERVED, REFUSED, REPLAYED, ANSWERED, HEARD, DONE)
