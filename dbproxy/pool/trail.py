"""Who has left something on a server that others are lent now."""

from dbproxy.pool.borrower import Borrower


class Trail:
    """`claimed_by`: whose sequence values the server remembers, lent to others only if it must be."""

    def __init__(self) -> None:
        self.last: Borrower | None = None  # who was lent the server last
        self.left_at = 0.0  # when the one before was last answered
        self.notifier: Borrower | None = None  # whose NOTIFY ran here last
        self.claimed_by: Borrower | None = None

    def follow(self, client: Borrower, left_at: float) -> bool:
        """The server is lent to this one; whether that is another than before, who was last answered at `left_at`."""
        if client is self.last:
            return False
        if self.last is not self.notifier:
            self.notifier = None
        if self.last is not None:
            self.left_at = left_at
        self.last = client
        return True
