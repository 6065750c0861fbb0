"""What a server's session knows of sequences: what `currval` and `lastval` would say there, and of whose doing."""


class Sequences:
    """`advanced`: its client may have used one, in this loan, since the last audit."""

    def __init__(self) -> None:
        self.advanced = False
        self.known = False  # the session may know what sequences gave out
        self.foreign = False  # or to others, or it is not what its client used last: nobody has recalled yet

    def begin_loan(self) -> None:
        self.advanced = self.foreign = False

    def advance(self) -> None:
        """A sequence may have been used."""
        self.advanced = self.known = True

    def forget(self) -> None:
        """DISCARD SEQUENCES is on its way."""
        self.known = self.foreign = False
