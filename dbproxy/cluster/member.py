"""A host of the cluster, and all that is known of it.

Its state is a word, worked out from facts that others note here: the operator's orders, the election, the probes.

    unknown    never probed                       down      failures in a row: no reads until it answers again
    up         takes its share of reads           lagging   too far behind the primary: no reads until it caught up
    starting   back for less than slow_start:     fenced    writable, but not the primary: nothing may go there
               takes a growing share              disabled, draining   by order of an operator
"""

import asyncio
from collections.abc import Iterator
from typing import Literal

from dbproxy.config import Host, Settings

Role = Literal["primary", "replica", "unknown"]
State = Literal["unknown", "up", "starting", "lagging", "down", "fenced", "disabled", "draining"]
Order = Literal["", "disabled", "draining"]

PRIMARY = "primary"  # the name of DATABASE_URL's host, whatever its role
LEAST_SHARE = (
    0.05  # of its weight, for one that has just come back: more than nothing, or it would never be warm
)


class Member:
    """Written by the cluster alone; everybody may read. Times are monotonic seconds, positions are LSNs as ints."""

    def __init__(self, name: str, url: Host, weight: int = 1) -> None:
        self.name = name
        self.url = url
        self.weight = weight
        self.role: Role = (
            "unknown"  # as last probed; the primary is `Cluster.primary`, not whoever is writable
        )
        self.state: State = "unknown"
        self.since = 0.0  # in this state
        # What the probes say.
        self.heard = False  # has ever answered
        self.down = False
        self.failures = 0  # in a row
        self.successes = 0  # in a row
        self.refused = False  # the last one was not let in
        self.last_error = ""
        self.started_at = float("-inf")  # when its slow start began
        self.heard_at = float("-inf")  # the last answer
        self.server = 0  # which server that was; 0: not told
        self.servers: set[int] = set()  # all that have answered: a name may lead to several in turn
        self.moved_at = float(
            "-inf"
        )  # connections opened up to then lead to the server that had its address before
        self.suspect = False  # a query failed there: no reads until a probe succeeds
        # Where it is.
        self.positions = True  # whether it tells positions at all
        self.lsn = 0  # replayed by a replica, written by the primary, on the primary's timeline; 0: not known
        self.timeline = 0  # 0: not known
        self.ceiling = 0  # after a promotion: what it may have received on the old timeline
        self.followed = 0  # the timeline that it must be on, having got beyond that
        self.lag_bytes = 0
        self.lag_seconds = 0.0
        self.late = False  # lags over health.lag_warn
        self.lagging = False  # lags over health.lag_limit, and has not caught up since
        # What was decided about it.
        self.fenced = False
        self.alarmed = False  # that was told
        self.order: Order = ""
        self.due = asyncio.Event()  # to be probed at once
        # How it is configured.
        self.loaded = ""  # when its configuration was read last
        self.differing: set[str] = set()  # settings that are not the primary's, and cannot be evened out
        # What it does for us.
        self.active = 0  # reads running there
        self.reads = 0  # picked for, ever
        self.latency = 0.0  # peak-EWMA seconds, as of `latency_at`; 0: not known
        self.latency_at = 0.0
        self.share = 0.0  # of reads, against the others' shares; 0: takes none
        self.turn = 0.0  # round robin's account

    def __repr__(self) -> str:
        return f"<Member {self.name} {self.url.address} {self.role} {self.state}>"

    def recognise(self, server: int, now: float) -> bool:
        """Note which server has answered; True if it is a new one: restarted, or the name leads elsewhere."""
        moved = server != 0 and len(self.servers) > 0 and server not in self.servers
        if moved:
            self.moved_at = self.heard_at
        self.heard_at = now
        if server:
            self.server = server
            self.servers.add(server)
        return moved

    def is_one_with(self, other: "Member | None") -> bool:
        """Whether both are names of one server."""
        return other is not None and self.server != 0 and self.server == other.server

    def judge(self, now: float, slow_start: float) -> State:
        """The word for what is known."""
        if self.order:
            return self.order
        if self.fenced:
            return "fenced"
        if self.down:
            return "down"
        if not self.heard:
            return "unknown"
        if self.lagging and self.role != "primary":
            return "lagging"
        return "starting" if now - self.started_at < slow_start else "up"

    @property
    def fit(self) -> bool:
        """Whether it may be given queries."""
        return self.state in ("up", "starting")

    def weigh(self, now: float, slow_start: float) -> float:
        """Its share of reads: its weight, growing from nearly nothing through its slow start."""
        age = now - self.started_at
        return self.weight * (max(age / slow_start, LEAST_SHARE) if age < slow_start else 1.0)


def list_members(settings: Settings) -> Iterator[Member]:
    """The hosts that are configured."""
    if settings.primary.url:
        yield Member(PRIMARY, settings.primary.url)
    for replica in settings.replicas:
        assert replica.url is not None  # ReplicaSettings checks that
        yield Member(replica.name, replica.url, replica.weight)
