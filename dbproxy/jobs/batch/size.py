"""How many rows the next chunk has: so many as take `chunk_time`, by an exponential moving average of the speed.

GitLab's optimizer: a factor of 0.4 for the newest, grown by at most a fifth at a time.
"""

from dataclasses import dataclass, replace

NEWEST = 0.4
UP = 1.2
DOWN = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    least: int
    most: int
    goal: float  # seconds
    adaptive: bool = True


@dataclass(frozen=True, slots=True)
class Size:
    """`speed`: rows a second, 0 while it is not known."""

    rows: int
    speed: float = 0.0

    def after(self, rows: int, seconds: float, limits: Limits) -> "Size":
        """A chunk of so many rows has taken so long. One that is far too long counts alone, not in an average."""
        if not limits.adaptive or rows < 1:
            return self
        newest = rows / max(seconds, 1e-6)
        slow = seconds > 2 * limits.goal
        speed = newest if slow or not self.speed else NEWEST * newest + (1 - NEWEST) * self.speed
        most = self.rows * (UP if seconds > limits.goal / 4 else 2)  # far from the goal in long steps
        wanted = max(min(speed * limits.goal, most), min(limits.least, self.rows))
        return Size(max(1, min(limits.most, int(wanted))), speed)

    def after_bad(self, good: int, limits: Limits) -> "Size":
        """There was a bad row behind so many good ones: a chunk with fewer of them is sooner searched."""
        if not limits.adaptive:
            return self
        return replace(self, rows=min(self.rows, max(good, limits.least)))

    def halved(self, limits: Limits) -> "Size":
        """It was not done in time, however small that makes it."""
        return Size(max(1, min(self.rows, limits.most) // 2), self.speed * DOWN)
