"""What is noted of a request that becomes a span, on the data path: enough to make the span of it elsewhere.

Compiled: plain fields, so that noting them costs that path little.
"""

from typing import NamedTuple

from dbproxy.observe.context import Context
from dbproxy.sql.identity import Shape

# What is said of a request (observe.sampling): bits, but for the first.
NOT_ASKED = -1
PASSED = 0
SAMPLED = 1  # its parent, or the share, has picked it
KEPT = 2  # it was slow, or has failed
TAGGED = 4  # a comment in its text has decided


class Rescue(NamedTuple):
    """A host that did not answer what another then did; times in monotonic seconds."""

    host: str
    reason: str
    since: float
    until: float


class Facts:
    """How a request was answered. `wait`: seconds for a server; `rows`: returned, -1: not known."""

    def __init__(self) -> None:
        self.sqlstate = ""
        self.rows = -1
        self.affected = -1
        self.batch = 0  # statements
        self.wait = 0.0
        self.address = ""  # of the server
        self.port = 0
        self.host = ""  # its name
        self.role = ""
        self.lag = 0.0  # seconds
        self.reason = ""  # why that host
        self.rescue: Rescue | None = None
        self.pins: frozenset[str] = frozenset()
        self.prepared = False
        self.executes = True  # it is more than the preparation of statements
        self.aged = False  # its text was sent with an earlier request, too long ago to tell of this one


class Record:
    """One request that is over. `chosen`: SAMPLED, KEPT, TAGGED."""

    def __init__(self, chosen: int, facts: Facts) -> None:
        self.chosen = chosen
        self.facts = facts
        self.text = b""  # where tags are
        self.context: Context | None = None  # of the session
        self.shape: Shape | None = None
        self.database = ""
        self.user = ""
        self.client = 0
        self.arrived = 0.0  # monotonic seconds
        self.microseconds = 0
        self.failed = False


class HttpRecord(NamedTuple):
    """One request to our own endpoints."""

    method: str
    route: str
    status: int
    context: Context | None
    arrived: float
    microseconds: int
