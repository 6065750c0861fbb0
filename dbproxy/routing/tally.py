"""How often something was decided, by reason: the usual one is a plain number."""

from collections.abc import Iterator


class Tally:
    """`usual`: the reason that nearly all are for."""

    def __init__(self, usual: str) -> None:
        self.usual = usual
        self.times = 0  # for the usual reason
        self.others: dict[str, int] = {}

    def count(self, reason: str) -> None:
        if reason is self.usual:
            self.times += 1
        else:
            self.others[reason] = self.others.get(reason, 0) + 1

    def items(self) -> Iterator[tuple[str, int]]:
        """The reasons that there were, and how often."""
        times = self.times + self.others.get(self.usual, 0)  # which may also come as another object
        if times:
            yield self.usual, times
        yield from [(reason, times) for reason, times in self.others.items() if reason != self.usual]
