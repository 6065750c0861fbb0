"""Whether Redis is asked at all: after some failures in a row not for a while, then one more is enough."""

FAILURES = 3
PAUSE = 1.0  # seconds


class Breaker:
    """`now`: monotonic seconds."""

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.until = 0.0

    def is_open(self, now: float) -> bool:
        return now < self.until

    def fail(self, now: float) -> None:
        self.failures += 1
        if self.failures >= FAILURES:
            self.until = now + PAUSE

    def succeed(self) -> None:
        self.failures, self.until = 0, 0.0
