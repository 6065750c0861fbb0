"""The members that reads may go to, kept ready: choosing one is part of every read."""

from collections.abc import Collection

from dbproxy.cluster.balancer import PICKS, chance, peak_ewma
from dbproxy.cluster.member import Member
from dbproxy.config import RoutingSettings


class Readers:
    def __init__(self) -> None:
        self.members: tuple[Member, ...] = ()
        self.primary: Member | None = None
        self.positions = True  # whether LSNs can be had at all
        self.replicas = 0  # of the members
        self.slowest = 0  # no replica here has replayed less
        self.warmth = 1.0  # of the replica that has come furthest in its slow start
        self.balance = PICKS["peak_ewma"]
        self.weighs_cost = True  # so that `balance` is peak_ewma, which is called without a detour

    def prepare(
        self,
        members: tuple[Member, ...],
        primary: Member | None,
        routing: RoutingSettings,
        now: float,
        *,
        positions: bool = True,
    ) -> None:
        """Choose from `members` from now on, those that are fit; the primary where it takes reads, too."""
        self.primary = primary
        self.positions = positions
        self.balance = PICKS[routing.balancing]
        self.weighs_cost = routing.balancing == "peak_ewma"
        for member in members:
            member.load.share = _share(member, primary, routing, now)
        self.members = tuple(member for member in members if member.load.share > 0.0)
        replicas = [member for member in self.members if member is not primary]
        self.replicas = len(replicas)
        self.slowest = min((member.position.lsn for member in replicas), default=0)
        self.warmth = max((member.load.share / member.weight for member in replicas), default=1.0)

    def list_replicas(self) -> list[Member]:
        """Those that take reads, as fresh as they are."""
        return [member for member in self.members if member is not self.primary]

    def pick(self, now: float, lsn: int = 0, avoid: Member | None = None) -> Member | None:
        """A replica that has replayed `lsn`, by load and weight; None if the primary is to answer."""
        members = self.members
        if lsn > self.slowest or (avoid is not None and avoid.load.share > 0.0):  # else it is none of them
            members = self._fresh(lsn, (avoid,))
        return self._pick_from(members, now, avoid is not self.primary)

    def pick_other(self, now: float, lsn: int, avoided: Collection[Member]) -> Member | None:
        """The same, but none of those."""
        return self._pick_from(self._fresh(lsn, avoided), now, self.primary not in avoided)

    def _pick_from(self, members: tuple[Member, ...], now: float, shares: bool) -> Member | None:
        """`shares`: the primary takes what replicas cannot take yet."""
        if not members:
            return None
        if self.warmth < 1.0 and shares and self.primary is not None and chance() >= self.warmth:
            return None  # all replicas are still starting: the primary goes on with what they cannot take yet
        if len(members) == 1:
            picked = members[0]
        elif self.weighs_cost:
            picked = peak_ewma(members, now)
        else:
            picked = self.balance(members, now)
        picked.load.reads += 1
        return picked if picked is not self.primary else None

    def _fresh(self, lsn: int, avoided: Collection[Member | None]) -> tuple[Member, ...]:
        """Those that have replayed `lsn`, which the primary always has; none of `avoided`."""
        found = [member for member in self.members if member.position.lsn >= lsn or member is self.primary]
        return tuple([member for member in found if member not in avoided])


def _share(member: Member, primary: Member | None, routing: RoutingSettings, now: float) -> float:
    if not member.fit or member.health.suspect:
        return 0.0
    if member is primary:
        return float(routing.primary_reads_weight)
    return member.weigh(now, routing.slow_start) if member.role == "replica" else 0.0
