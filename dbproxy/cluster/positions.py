"""How far each member is, on the primary's timeline: a position on another one says nothing.

A replica tells the timeline that it receives to members of pg_monitor alone. To others it seems to be on the old one
for minutes after a promotion. But nothing more is written on the old timeline once its primary is gone: a replica that
then gets beyond all that it had received can have that from the new primary only.
"""

from collections.abc import Iterable

from dbproxy.cluster.finding import Finding
from dbproxy.cluster.lag import History
from dbproxy.cluster.member import Member


class Positions:
    def __init__(self) -> None:
        self.known = True  # whether the primary tells positions at all
        self.timeline = 0
        self.history = History()

    def reset(self, members: Iterable[Member]) -> None:
        """There is another primary, or another timeline: what was known is worth nothing."""
        self.timeline = 0
        self.history.reset()
        for member in members:
            member.lsn = member.ceiling = 0

    def lead(self, primary: Member, finding: Finding, now: float) -> None:
        """Note where the primary is."""
        self.timeline, self.known = finding.timeline, finding.positions
        primary.lag_bytes, primary.lag_seconds = 0, 0.0
        primary.late = primary.lagging = False
        primary.lsn = finding.lsn
        self.history.note(finding.lsn, now)

    def follow(self, replica: Member, finding: Finding, now: float, *, rival: bool) -> float:
        """Note where a replica is, and return how many seconds that is behind the primary.

        `rival`: another host may still write, on an old timeline.
        """
        replica.lsn = finding.lsn if self._follows(replica, finding, rival=rival) else 0
        if not (self.known and finding.positions):
            replica.lag_bytes = 0
            return 0.0
        replica.lag_bytes = self.history.size(finding.lsn)
        return self.history.seconds(replica.lsn, now)

    def _follows(self, replica: Member, finding: Finding, *, rival: bool) -> bool:
        """Whether it is on the primary's timeline, as far as that can be known."""
        if finding.timeline == self.timeline or 0 in (finding.timeline, self.timeline):
            return True
        if finding.exact:
            return False
        if rival or not replica.ceiling:
            replica.ceiling = max(replica.ceiling, finding.received, finding.lsn)
        elif finding.lsn > replica.ceiling:
            replica.followed = self.timeline
        return replica.followed == self.timeline
