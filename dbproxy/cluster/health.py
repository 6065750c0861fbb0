"""Whether a host is fit, judged from its probes: hysteresis both ways, so that nothing flaps; and when to ask again.

A host is down after `failure_threshold` failures in a row, and up again after `success_threshold` successes. One that
was never heard is up at its first answer.
"""

from dbproxy.config import HealthSettings

RETRY = 0.15  # seconds between probes of a host that has begun to fail, and of all while there is no primary
LONGEST_RETRY = 1.0  # of a host that is down
REFUSED = 5.0  # of one that does not let us in: each attempt is a line in its log
WANTED = 0.025  # while somebody waits for a position


class Health:
    """What the probes of one host say. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.heard = False  # has ever answered
        self.heard_at = float("-inf")  # the last answer
        self.took = 0.0  # seconds until that was there
        self.down = False
        self.failures = 0  # in a row
        self.successes = 0  # in a row
        self.refused = False  # the last one was not let in
        self.suspect = False  # a query failed there: no reads until a probe succeeds
        self.last_error = ""
        self.started_at = float("-inf")  # when its slow start began

    def succeed(self, now: float, limits: HealthSettings) -> None:
        """A probe was answered."""
        self.failures = 0
        self.successes += 1
        self.suspect = self.refused = False
        if self.down and (not self.heard or self.successes >= limits.success_threshold):
            self.down, self.last_error = False, ""
            self.started_at = now
        self.heard = True

    def fail(self, reason: str, limits: HealthSettings) -> None:
        """A probe was not answered, or with an error."""
        self.successes = 0
        self.failures += 1
        self.refused = False
        self.last_error = reason
        self.down = self.down or self.failures >= limits.failure_threshold

    def refuse(self, reason: str) -> None:
        """A probe was not let in: the host is there, and what was known of it stays."""
        self.failures = 0
        self.refused, self.last_error = True, reason

    def pause(self, *, fit: bool, lost: bool, wanted: bool, limits: HealthSettings) -> float:
        """Seconds until the host is probed again; `lost`: there is no primary, or it has begun to fail."""
        usual = min(limits.lag_interval or limits.interval, limits.interval)
        if self.refused:
            return min(REFUSED, limits.interval)
        if wanted and fit:
            return min(WANTED, usual)
        if self.down and self.failures and not lost:
            return min(RETRY * 2.0 ** min(self.failures, 10), LONGEST_RETRY, limits.interval)
        return min(RETRY, usual) if lost or self.failures or self.down else usual
