"""The proxies that share limits by Redis, as one of them knows them: how many there are, and whether Redis answers.

*Degraded*: it does not, and each proxy holds its clients to its share of every limit. One failure is enough for that;
it is over after several answers in a row, during which what was used meanwhile is charged (limits.store).
"""

TRIALS = 3


class Fleet:
    """As of the last answer. `graceful`: whether there are shares; else nobody is let through while degraded."""

    def __init__(self, *, graceful: bool) -> None:
        self.graceful = graceful
        self.proxies = 1
        self.degraded = True  # up to the first answer
        self.lacking = 1  # answers, until it is over

    def fail(self) -> None:
        """Redis has not answered."""
        self.degraded = True
        self.lacking = TRIALS

    def succeed(self) -> bool:
        """Redis has answered; whether it counts as there again."""
        self.lacking = max(0, self.lacking - 1)
        news = self.degraded and not self.lacking
        self.degraded = self.lacking > 0
        return news

    def see(self, proxies: int) -> None:
        """So many are there. One that was away is not forgotten before all have had the time to be back."""
        self.proxies = max(proxies, self.proxies) if self.degraded else proxies

    def leave(self) -> None:
        """Limits are shared no more: each is whole again."""
        self.fail()
        self.graceful, self.proxies = True, 1
