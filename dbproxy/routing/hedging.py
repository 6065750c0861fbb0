"""When a read is *hedged*: its replica has not begun to answer, and another host is asked instead.

Dean and Barroso, "The Tail at Scale" (2013): past the time that nearly all answers take, asking again costs little, as
it is rare, and cuts off what is slowest. Ours moves: the slow replica is given up and cancelled as the other is asked,
so a session has one server at a time. What is lost against a race of the two is the rest of the first one's way where
that was nearly done; a read that takes long by itself would lose most, so its statement is remembered (`SlowReads`).
"""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from dbproxy.cluster.member import Member
from dbproxy.config import AUTO, HedgeAfter
from dbproxy.sql.identity import NO_SHAPE, Shape

LEAST = 0.05  # seconds, of `auto`
FACTOR = 3.0  # times the host's p99, of `auto`
SHARE = 0.05  # of all reads may be hedged
SAVED = 100.0  # hedges that may be saved up, for when a host stops under many clients
LISTED = 1000  # statements that are remembered
TIMES = 2
REMEMBERED = 60.0  # seconds


def patience(hedge_after: HedgeAfter, p99: float) -> float:
    """Seconds that a host is given for the first byte, whose answers take `p99`."""
    if hedge_after == AUTO:
        return max(LEAST, FACTOR * p99)
    return hedge_after or inf


class Budget:
    """Of all reads: so that hedges stay few when everything is slow, and asking again would only make it slower."""

    def __init__(self) -> None:
        self.left = 0.0
        self.reads = 0

    def earn(self, reads: int) -> None:
        """There have been so many reads until now."""
        self.left = min(SAVED, self.left + SHARE * max(0, reads - self.reads))
        self.reads = reads

    def spend(self) -> bool:
        """Whether one more may be hedged, which is counted."""
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class SlowReads:
    """Statements that took as long on the other host, too: to ask again would only double the work.

    Once is chance, `TIMES` in a row is the statement.
    """

    def __init__(self) -> None:
        self.noted: dict[Shape, tuple[int, float]] = {}  # how often in a row, and when last

    def note(self, shape: Shape, now: float) -> None:
        """It took as long."""
        shape = shape.identity()
        if shape is NO_SHAPE:
            return
        if shape not in self.noted and len(self.noted) >= LISTED:
            self.noted.clear()
        times, _ = self.noted.get(shape, (0, 0.0))
        self.noted[shape] = times + 1, now

    def clear(self, shape: Shape) -> None:
        """The other host was faster."""
        self.noted.pop(shape.identity(), None)

    def has(self, shape: Shape, now: float) -> bool:
        times, noted_at = self.noted.get(shape.identity(), (0, 0.0))
        return times >= TIMES and now - noted_at < REMEMBERED


class Doubt(NamedTuple):
    """Of a host that may be silent for `limit` seconds; `asked_at`: when a probe was sent for, 0 before that."""

    began_at: float
    limit: float
    asked_at: float = 0.0


class Doubts:
    """Hosts that owe a read and have said nothing since: are they there at all? A probe is to say.

    A host that answers neither the read nor the probe is lost (`settle`): no reads go there, until it answers.
    """

    def __init__(self) -> None:
        self.open: dict[Member, Doubt] = {}

    def begin(self, host: Member, limit: float, now: float) -> None:
        """A read there has been owed its answer for `limit` seconds."""
        health = host.health
        known = health.suspect or health.down or health.refused  # who refuses probes is not judged by them
        if not known and host not in self.open:
            self.open[host] = Doubt(now, limit)

    def settle(self, now: float) -> list[Member]:
        """Those that are lost; who has been silent for long enough is probed, who has said something is in no doubt."""
        lost = []
        for host, doubt in list(self.open.items()):
            heard = heard_at(host)
            if heard >= doubt.began_at:
                del self.open[host]
            elif not doubt.asked_at and now - heard >= doubt.limit:
                host.due.set()
                self.open[host] = doubt._replace(asked_at=now)
            elif doubt.asked_at and now - doubt.asked_at >= max(doubt.limit, FACTOR * host.health.took):
                del self.open[host]
                lost.append(host)
        return lost


def heard_at(host: Member) -> float:
    """When it last answered a read or a probe."""
    return max(host.health.heard_at, host.load.answered_at)


def count_reads(members: Iterable[Member]) -> int:
    """Ever."""
    return sum(member.load.reads for member in members)
