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
        self.since = 0.0  # when we learned of this timeline
        self.fresh = True  # nothing is known of it yet
        self.history = History()

    def turn(self, members: Iterable[Member]) -> None:
        """There is another primary, or another timeline: nobody is known to be anywhere on it."""
        self.timeline, self.fresh = 0, True
        for member in members:
            member.lsn = member.ceiling = 0

    def lead(self, primary: Member, finding: Finding, now: float) -> None:
        """Note where the primary is. The way up to where a timeline begins is the same as on the one before."""
        if self.fresh:
            self.history.cut(finding.lsn)
            self.since, self.fresh = now, False
        self.timeline, self.known = finding.timeline, finding.positions
        primary.lag_bytes, primary.lag_seconds = 0, 0.0
        primary.late = primary.lagging = False
        primary.lsn = finding.lsn
        self.history.note(finding.lsn, now)

    def follow(self, replica: Member, finding: Finding, now: float, *, rival: bool) -> float:
        """Note where a replica is, and return how many seconds that is behind the primary.

        `rival`: another host may still write, on an old timeline.
        """
        follows = self._follows(replica, finding, rival=rival)
        replica.lsn = finding.lsn if follows else 0
        if not (self.known and finding.positions):
            replica.lag_bytes = 0
            return 0.0
        replica.lag_bytes = self.history.size(finding.lsn)
        seconds = self.history.seconds(finding.lsn, now)
        return seconds if follows else max(seconds, now - self.since)

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
