"""A request kept as the client sent it, for sending it again (docs/architecture.md, promise 5).

Only a request in autocommit is kept, as long as it is short and nothing of its answer has been forwarded, and only if
it is alone: what was sent behind it has been carried out by now.
"""

LIMIT = 65536  # bytes
NOTHING_YET, SPOILED = -1, -2  # at: no request since the last answer; one that cannot be sent again


class Replay:
    """`at`: where in its first chunk the request begins, or one of the above. `sealed`: its Sync has been sent."""

    def __init__(self) -> None:
        self.parts: list[bytes] | None = None
        self.at = NOTHING_YET
        self.sealed = False
        self.used = False

    def keep(self, chunk: bytes, end: int) -> None:
        """Add what a chunk holds of the request."""
        if self.parts is None:
            self.parts = [chunk[self.at : end] if self.at or end < len(chunk) else chunk]
        elif sum(map(len, self.parts)) < LIMIT:
            self.parts.append(chunk[:end])
        else:
            self.at = SPOILED

    def possible(self, executes: bool) -> bool:
        """Once it is whole; without a Sync that is, if it only prepares: a Flush ended it."""
        return self.at >= 0 and (self.sealed or not executes) and not self.used

    def use(self) -> bytes:
        """The request; it is not sent a third time."""
        data = b"".join(self.parts or [])
        self.clear()
        self.used = True
        return data

    def clear(self) -> None:
        """What was sent has been answered."""
        self.at = NOTHING_YET
        self.parts = None
        self.sealed = self.used = False
