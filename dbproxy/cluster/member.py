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

from dbproxy.cluster.health import Health
from dbproxy.cluster.lag import Lag
from dbproxy.config import Host, Settings
from dbproxy.config.sections import name_host

Role = Literal["primary", "replica", "unknown"]
State = Literal["unknown", "up", "starting", "lagging", "down", "fenced", "disabled", "draining"]
Order = Literal["", "disabled", "draining"]

PRIMARY = "primary"  # the name of DATABASE_URL's host, whatever its role
LEAST_SHARE = (
    0.05  # of its weight, for one that has just come back: more than nothing, or it would never be warm
)


class Position:
    """Of one host, on the primary's timeline, as an LSN."""

    def __init__(self) -> None:
        self.told = True  # whether the host tells positions at all
        self.lsn = 0  # replayed by a replica, written by the primary; 0: not known
        self.timeline = 0  # the host's own; 0: not known
        self.ceiling = 0  # after a promotion: what it may have received on the old timeline
        self.followed = 0  # the timeline that it must be on, having got beyond that


class Load:
    """What one host does for us."""

    def __init__(self) -> None:
        self.active = 0  # reads running there
        self.reads = 0  # picked for, ever
        self.latency = 0.0  # peak-EWMA seconds, as of `latency_at`; 0: not known
        self.latency_at = 0.0
        self.share = 0.0  # of reads, against the others' shares; 0: takes none
        self.turn = 0.0  # round robin's account
        self.p99 = 0.0  # of what reads took, in seconds, about (cluster.balancer.learn)
        self.answered_at = 0.0  # when the last read was over


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
        self.due = asyncio.Event()  # to be probed at once
        self.health = Health()
        self.position = Position()
        self.lag = Lag()
        self.load = Load()
        # Which server answers at its address.
        self.server = 0  # the last one; 0: not told
        self.servers: set[int] = set()  # all that have answered: a name may lead to several in turn
        self.moved_at = float(
            "-inf"
        )  # connections opened up to then lead to the server that had its address before
        # What was decided about it.
        self.fenced = False
        self.alarmed = False  # that was told
        self.order: Order = ""
        # How it is configured.
        self.loaded = ""  # when its configuration was read last
        self.differing: set[str] = set()  # settings that are not the primary's, and cannot be evened out

    def __repr__(self) -> str:
        return f"<Member {self.name} {self.url.address} {self.role} {self.state}>"

    def recognise(self, server: int, now: float) -> bool:
        """Note which server has answered; True if it is a new one: restarted, or the name leads elsewhere."""
        moved = server != 0 and len(self.servers) > 0 and server not in self.servers
        if moved:
            self.moved_at = self.health.heard_at
        self.health.heard_at = now
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
        if self.health.down:
            return "down"
        if not self.health.heard:
            return "unknown"
        if self.lag.over and self.role != "primary":
            return "lagging"
        return "starting" if now - self.health.started_at < slow_start else "up"

    @property
    def fit(self) -> bool:
        """Whether it may be given queries."""
        return self.state in ("up", "starting")

    def weigh(self, now: float, slow_start: float) -> float:
        """Its share of reads: its weight, growing from nearly nothing through its slow start."""
        age = now - self.health.started_at
        return self.weight * (max(age / slow_start, LEAST_SHARE) if age < slow_start else 1.0)


def list_members(settings: Settings) -> Iterator[Member]:
    """The hosts that are configured."""
    candidates = settings.candidates()
    for number, host in enumerate(
        candidates, 1
    ):  # of several, those that are no primary are for failover alone
        yield Member(name_host(PRIMARY, number), host, weight=1 if len(candidates) == 1 else 0)
    for replica in settings.replicas:
        for name, host in zip(replica.names(), replica.hosts(), strict=True):
            yield Member(name, host, replica.weight)
