"""Where in the primary's WAL the last commit to one table is, or to all of a database: what its readers must have seen.

A commit is `pending` from when its client hears of it until its server has said where it is. One of which that will
never be known, as the connection broke or nobody asked, is known to be passed by what the primary is asked later.
"""

UNKNOWN = (1 << 63) - 1  # behind every real position, as in pool.commits: only the primary is sure to have it


class LastCommit:
    """`position`: in the WAL, 0 if there was none; `lost_at`: when one was lost that nothing has passed yet, or 0."""

    def __init__(self, lost_at: float = 0.0) -> None:
        self.position = 0
        self.pending = 0
        self.lost_at = lost_at
        self.awaited = 0  # so often a read had to wait for a replica, or to go to the primary, for it

    def begin(self) -> None:
        """A client hears of a commit."""
        self.pending += 1

    def end(self, position: int) -> None:
        """The server says that it is not behind this."""
        self.pending -= 1
        self.position = max(self.position, position)

    def lose(self, now: float) -> None:
        """Nobody will say where it is."""
        self.pending -= 1
        self.lost_at = now

    def follow(self, other: "LastCommit") -> None:
        """What was committed there was committed here."""
        self.position = max(self.position, other.position)
        self.lost_at = max(self.lost_at, other.lost_at)

    def turn(self, base: int) -> None:
        """Nothing that is still there is behind this: the timeline is another one."""
        self.position = min(self.position, base)

    def find(self, known: int, known_for: float) -> int:
        """Its position, or UNKNOWN. `known`: all that had been committed at `known_for` is not behind it; or 0."""
        if self.pending:
            return UNKNOWN
        if self.lost_at:
            if not known or known_for <= self.lost_at:
                return UNKNOWN
            self.position = max(self.position, known)
            self.lost_at = 0.0
        return self.position


class Unplaced:
    """Of one server: the commits that are pending there."""

    def __init__(self) -> None:
        self.commits: list[LastCommit] = []

    def add(self, commit: LastCommit) -> None:
        """A client hears of it."""
        if commit not in self.commits:
            commit.begin()
            self.commits.append(commit)

    def place(self, position: int) -> None:
        """The server says that they are not behind this."""
        for commit in self.commits:
            commit.end(position)
        self.commits = []

    def lose(self, now: float) -> None:
        """Nobody will say where they are."""
        for commit in self.commits:
            commit.lose(now)
        self.commits = []
