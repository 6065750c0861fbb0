"""What is noted of a request that becomes a span, on the data path: enough to make the span of it elsewhere."""

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


class Facts(NamedTuple):
    """How a request was answered. `wait`: seconds for a server; `rows`: returned, -1: not known."""

    sqlstate: str = ""
    rows: int = -1
    affected: int = -1
    batch: int = 0  # statements
    wait: float = 0.0
    address: str = ""  # of the server
    port: int = 0
    host: str = ""  # its name
    role: str = ""
    lag: float = 0.0  # seconds
    reason: str = ""  # why that host
    rescue: Rescue | None = None
    pins: frozenset[str] = frozenset()
    prepared: bool = False
    executes: bool = True  # it is more than the preparation of statements
    aged: bool = False  # its text was sent with an earlier request, too long ago to tell of this one


class Record(NamedTuple):
    """One request that is over. `chosen`: SAMPLED, KEPT, TAGGED."""

    chosen: int
    text: bytes  # where tags are, b"" if there are none
    context: Context | None  # of the session
    shape: Shape | None
    database: str
    user: str
    client: int
    arrived: float  # monotonic seconds
    microseconds: int
    failed: bool
    facts: Facts


class HttpRecord(NamedTuple):
    """One request to our own endpoints."""

    method: str
    route: str
    status: int
    context: Context | None
    arrived: float
    microseconds: int
