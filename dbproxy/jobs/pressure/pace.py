"""How fast a job goes beside the application, by the slowest hundredth of its queries: quickly slower, slowly faster.

Who needs a row of the chunk at work waits for its end, so chunks become shorter; who commits waits for the WAL before
it, so those that cannot become shorter rest after each.
"""

from dataclasses import dataclass, replace

from dbproxy.config.throttle import ThrottleSettings

SHORT = 0.05  # seconds: shorter chunks would be slower, and hold up others as long
LEAST = SHORT / 2  # to rest longer than that would help the slowest hundredth little, and cost much
MOST = 1.0  # of `time`: from what is longer it would take long to come down
DOWN, UP = 0.7, 1.2
EVERY = 2.0  # seconds until what a change has done is seen
NOTICEABLE = 0.0005  # seconds by which durations must differ to be others


@dataclass(frozen=True, slots=True)
class Pace:
    """`usual`: the application's p99 before the start, None where it is not known, and nothing is slower then.

    `time`: what a chunk should take, in seconds; of less than SHORT a chunk takes SHORT, and rests as much longer.
    """

    usual: float | None = None
    time: float = LEAST
    since: float = float("-inf")

    def after(self, p99: float | None, settings: ThrottleSettings, now: float) -> "Pace":
        """So many seconds are the application's p99 now."""
        if self.usual is None or not settings.p99_ratio or now - self.since < EVERY:
            return self
        slow = p99 is not None and p99 > find_limit(settings.p99_ratio, self.usual)
        time = max(self.time * DOWN, LEAST) if slow else min(self.time * UP, MOST)
        return replace(self, time=time, since=now)

    def goal(self, settings: ThrottleSettings, chunk_time: float) -> float:
        """Seconds that a chunk should take: `chunk_time` at most."""
        return min(chunk_time, max(self.time, SHORT)) if self._holds(settings) else chunk_time

    def rest(self, settings: ThrottleSettings) -> float:
        """After a chunk, as a multiple of its time."""
        return max(0.0, SHORT / self.time - 1) if self._holds(settings) else 0.0

    def _holds(self, settings: ThrottleSettings) -> bool:
        return settings.enabled and settings.p99_ratio > 0 and self.usual is not None


def find_limit(ratio: float, usual: float) -> float:
    return max(ratio * usual, usual + NOTICEABLE)
