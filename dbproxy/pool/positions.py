"""Where the primary's WAL ended after commits that were acknowledged (PostgreSQL: pg_current_wal_insert_lsn).

One object for a cluster. A transaction that may have written is `pending` from its ReadyForQuery until its server has
said where it is. A position that will never be known, as the connection broke, is known to be passed by the
next that is read from the primary itself.
"""

UNKNOWN = 1 << 63  # behind every real position


class Positions:
    """`newest`: of all commits; `lost_at`: when one was lost that nothing has passed yet (monotonic seconds)."""

    def __init__(self) -> None:
        self.newest = 0
        self.pending = 0
        self.lost_at = 0.0
        self.asks = False  # whether anybody wants to know

    def begin(self) -> None:
        """A server is asked."""
        self.pending += 1

    def end(self, position: int) -> None:
        """It has answered."""
        self.pending -= 1
        self.newest = max(self.newest, position)

    def lose(self, now: float) -> None:
        """It will not answer."""
        self.pending -= 1
        self.lost_at = now

    def sample(self, position: int, asked_at: float) -> None:
        """What the primary said to a probe that was sent at `asked_at`."""
        if self.lost_at and asked_at > self.lost_at:
            self.lost_at = 0.0
            self.newest = max(self.newest, position)

    def reset(self, position: int) -> None:
        """Another timeline: nothing that is still there is behind `position`."""
        self.newest = min(self.newest, position)
