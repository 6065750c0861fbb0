"""Whether Redis answers, and when that is to be told: once a minute while it does not, and once that it does."""

QUIET = 60.0  # seconds between two lines of the log


class Contact:
    """`since`: when Redis did not answer any more (monotonic seconds), and `error` why; None: it does."""

    def __init__(self, now: float) -> None:
        self.since: float | None = now
        self.error = "Redis has not been asked yet"
        self.warned_at = -QUIET
        self.told = False  # that it answers, since it was told that it does not

    def succeed(self) -> bool:
        """It answers; whether that is to be told, by who asks."""
        news = not self.told
        self.since, self.error, self.told = None, "", True
        return news

    def fail(self, error: str, now: float) -> bool:
        """It does not; whether that is to be told, by who asks."""
        self.error = error
        if self.since is None:
            self.since = now
        if now - self.warned_at < QUIET:
            return False
        self.warned_at, self.told = now, False
        return True
