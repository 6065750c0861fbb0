"""Where the primary's WAL ended after commits that were acknowledged (PostgreSQL: pg_current_wal_insert_lsn).

One object for a cluster. A transaction that may have written is `pending` from its ReadyForQuery until its server has
said where it is. A position that will never be known, as the connection broke, is known to be passed by the
next that is read from the primary itself.
"""

UNKNOWN = (1 << 63) - 1  # behind every real position


class Commits:
    """`newest`: of all commits; `lost_at`: when one was lost that nothing has passed yet (monotonic seconds).

    After a change of the timeline nothing that is still there is behind `base`; `epoch` counts such changes.
    """

    def __init__(self) -> None:
        self.asks = False  # whether anybody wants to know
        self.since = 0.0  # and since when
        self.newest = 0
        self.pending = 0
        self.lost_at = 0.0
        self.sampled_at = 0.0
        self.known = 0  # all that had been committed at `known_for` is at or ahead of it; 0: not known
        self.known_for = 0.0
        self.epoch = 0
        self.base = 0

    def want(self, now: float) -> None:
        """Somebody asks for the first time: what was committed until now is not known."""
        self.asks = True
        self.since = self.lost_at = now

    def begin(self) -> None:
        """A server is asked."""
        self.pending += 1

    def end(self, position: int) -> None:
        """The server has answered."""
        self.pending -= 1
        self.newest = max(self.newest, position)

    def lose(self, now: float) -> None:
        """The server will not answer."""
        self.pending -= 1
        self.lost_at = now

    def sample(self, position: int, now: float) -> None:
        """What a probe of the primary was answered now: it was sent after the one before had been answered."""
        if self.lost_at and self.sampled_at > self.lost_at:
            self.lost_at = 0.0
            self.newest = max(self.newest, position)
        self.known, self.known_for = position, self.sampled_at
        self.sampled_at = now

    def reset(self, position: int) -> None:
        """Another timeline, on which the primary is at `position`."""
        self.epoch += 1
        self.known = 0
        self.base = position
        self.newest = min(self.newest, position)
