"""How far each member is, on the primary's timeline: a position on another one says nothing."""

from dbproxy.cluster.finding import Finding
from dbproxy.cluster.lag import History
from dbproxy.cluster.member import Member


class Positions:
    def __init__(self) -> None:
        self.known = True  # whether the primary tells positions at all
        self.timeline = 0
        self.history = History()

    def reset(self) -> None:
        self.timeline = 0
        self.history.reset()

    def lead(self, primary: Member, finding: Finding, now: float) -> None:
        """Note where the primary is."""
        self.timeline, self.known = finding.timeline, finding.positions
        primary.lag_bytes, primary.lag_seconds = 0, 0.0
        primary.late = primary.lagging = False
        primary.lsn = finding.lsn
        self.history.note(finding.lsn, now)

    def follow(self, replica: Member, finding: Finding, now: float) -> float:
        """Note where a replica is, and return how many seconds that is behind the primary."""
        follows = finding.timeline == self.timeline or 0 in (finding.timeline, self.timeline)
        replica.lsn = finding.lsn if follows else 0
        if not (self.known and finding.positions):
            replica.lag_bytes = 0
            return 0.0
        replica.lag_bytes = self.history.size(finding.lsn)
        return self.history.seconds(replica.lsn, now)
