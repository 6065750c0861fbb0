"""How far a job is, how fast, and how long it will take."""

from dataclasses import dataclass, field, replace

APART = 0.5  # seconds between two samples
WINDOW = 30.0  # seconds over which the speed is an average, those of waiting left out


@dataclass(frozen=True, slots=True)
class Progress:
    """`samples`: working seconds and rows seen by then, of the last moments."""

    total: int = 0  # rows, about
    seen: int = 0
    working: float = 0.0  # seconds, without what it has waited
    samples: tuple[tuple[float, int], ...] = field(default=())

    def at(self, seen: int, working: float) -> "Progress":
        """Some moments later."""
        before = self.samples
        if len(before) > 1 and working - before[-2][0] < APART:
            before = before[:-1]
        while len(before) > 1 and working - before[1][0] > WINDOW:
            before = before[1:]
        return replace(self, seen=seen, working=working, samples=(*before, (working, seen)))

    @property
    def ratio(self) -> float:
        """From 0 to 1; the number of rows is a guess, and more may have been seen than that."""
        return min(1.0, self.seen / self.total) if self.total else 0.0

    @property
    def speed(self) -> float:
        """Rows a second, while it works; 0: not known yet."""
        if len(self.samples) < 2:
            return 0.0
        (began, before), (ended, after) = self.samples[0], self.samples[-1]
        return (after - before) / (ended - began) if ended > began else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds, if nothing has to be waited for; None: not known."""
        return max(0, self.total - self.seen) / self.speed if self.speed and self.total else None
