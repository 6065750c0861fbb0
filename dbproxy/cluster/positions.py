"""How far each member is, on the primary's timeline: a position on another one says nothing.

A replica tells the timeline that it receives to members of pg_monitor alone. To others it seems to be on the old one
for minutes after a promotion. But nothing more is written on the old timeline once its primary is gone: a replica that
then gets beyond all that it had received can have that from the new primary only.
"""

from collections.abc import Iterable

from dbproxy.cluster.finding import Finding
from dbproxy.cluster.lag import PAGE, History
from dbproxy.cluster.member import Member


class Positions:
    def __init__(self) -> None:
        self.known = True  # whether the primary tells positions at all
        self.timeline = 0
        self.since = 0.0  # when we learned of this timeline
        self.fresh = True  # nothing is known of it yet
        self.history = History()
        self.written = self.before = 0  # the primary's last position, and the one before that was another

    def turn(self, members: Iterable[Member]) -> None:
        """There is another primary, or another timeline: nobody is known to be anywhere on it."""
        self.timeline, self.fresh = 0, True
        for member in members:
            member.position.lsn = member.position.ceiling = 0

    def lead(self, primary: Member, finding: Finding, now: float) -> None:
        """Note where the primary is. The way up to where a timeline begins is the same as on the one before."""
        if self.fresh:
            self.history.cut(finding.lsn)
            self.written = self.before = 0
            self.since, self.fresh = now, False
        self.timeline, self.known = finding.timeline, finding.positions
        primary.lag.clear()
        primary.position.lsn = finding.lsn
        self.history.note(self._find_whole(finding.lsn), now)

    def _find_whole(self, written: int) -> int:
        """Up to where a replica can replay what is written.

        PostgreSQL writes whole pages while a transaction is open. The last record may go on behind the page: as long as
        the rest is not written, which takes until somebody commits, no replica can replay it, and none is behind.
        """
        if written != self.written:
            self.before, self.written = self.written, written
        return written if written % PAGE else min(self.before, written)

    def follow(self, replica: Member, finding: Finding, now: float, *, rival: bool) -> float:
        """Note where a replica is, and return how many seconds that is behind the primary.

        `rival`: another host may still write, on an old timeline.
        """
        follows = self._follows(replica, finding, rival=rival)
        replica.position.lsn = finding.lsn if follows else 0
        if not (self.known and finding.positions):
            replica.lag.bytes = 0
            return 0.0
        replica.lag.bytes = self.history.size(finding.lsn)
        seconds = self.history.seconds(finding.lsn, now)
        return seconds if follows else max(seconds, now - self.since)

    def _follows(self, replica: Member, finding: Finding, *, rival: bool) -> bool:
        """Whether it is on the primary's timeline, as far as that can be known."""
        if finding.timeline == self.timeline or 0 in (finding.timeline, self.timeline):
            return True
        if finding.exact:
            return False
        if rival or not replica.position.ceiling:
            replica.position.ceiling = max(replica.position.ceiling, finding.received, finding.lsn)
        elif finding.lsn > replica.position.ceiling:
            replica.position.followed = self.timeline
        return replica.position.followed == self.timeline
