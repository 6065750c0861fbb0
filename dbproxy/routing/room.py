"""Where reads wait until a replica has replayed what they must see, for as long as `routing.consistency_wait`.

Whoever waits makes the hosts be asked more often, and goes on when one has got there, or when its time is over.
"""

import asyncio
from typing import Protocol

from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member


class Guest(Protocol):
    """Who waits: `replayed` is called once, unless it has left."""

    def replayed(self) -> None: ...


class Room:
    """Of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.waiting: dict[Guest, float] = {}  # since when
        self.wanted: dict[Guest, tuple[int, asyncio.TimerHandle]] = {}  # for which position, and how long

    def enter(self, guest: Guest, lsn: int, patience: float, now: float) -> None:
        """Wait for `lsn`, `patience` seconds at most."""
        timer = asyncio.get_running_loop().call_later(patience, self.call, guest)
        self.waiting[guest] = now
        self.wanted[guest] = lsn, timer
        self.cluster.want(lsn, now)

    def leave(self, guest: Guest) -> None:
        self.waiting.pop(guest, None)
        entry = self.wanted.pop(guest, None)
        if entry is not None:
            entry[1].cancel()

    def moved(self, member: Member) -> None:
        """A replica is further than it was; who can be served is called when that is settled."""
        loop = asyncio.get_running_loop()
        for guest, (lsn, _) in self.wanted.items():
            if member.position.lsn >= lsn:
                loop.call_soon(self.call, guest)

    def call(self, guest: Guest) -> None:
        if guest in self.waiting:
            self.leave(guest)
            guest.replayed()
