"""Whether Redis answers, and what is told of that: once a minute while it does not, and once that it does."""

from time import monotonic

import structlog

log = structlog.get_logger(__name__)

QUIET = 60.0  # seconds between two lines of the log


class Contact:
    """`since`: when Redis did not answer any more (monotonic seconds), and `error` why; None: it does."""

    def __init__(self) -> None:
        self.since: float | None = monotonic()
        self.error = "Redis has not been asked yet"
        self.warned_at = -QUIET
        self.told = False  # that it answers, since it was told that it does not

    def succeed(self) -> None:
        self.since, self.error = None, ""
        if not self.told:
            self.told = True
            log.info("kept answers are shared by Redis")

    def fail(self, error: str) -> None:
        now = monotonic()
        self.error = error
        if self.since is None:
            self.since = now
        if now - self.warned_at >= QUIET:
            self.warned_at, self.told = now, False
            log.warning(
                "kept answers are not shared",
                error=error,
                hint="What is not kept in this process is asked of the servers until Redis answers in time again.",
            )
