"""An answer that is on its way from a server to a client, and may be kept."""

import asyncio
from collections.abc import Callable

from dbproxy.cache.entry import Entry, Moment
from dbproxy.sql.identity import Shape

RACED = "raced"  # something was committed to its tables meanwhile
TOO_LARGE = "too large"
TOO_OLD = "from a replica that may be behind"


class Fill:
    """`done` is called once, when it is over or was given up. `expected`: what is kept already, and is to be verified.

    `limit`: bytes of an answer that is kept.
    """

    def __init__(
        self,
        key: bytes,
        shape: Shape,
        moment: Moment,
        limit: int,
        done: "Callable[[Fill], None]",
        expected: Entry | None = None,
    ) -> None:
        self.key = key
        self.shape = shape
        self.moment = moment
        self.limit = limit
        self.done = done
        self.expected = expected
        self.pieces: list[bytes] = []
        self.size = 0
        self.origin: object = None  # what others are told of it (cache.shelf), if it is kept for them
        self.landed: asyncio.Future[None] | None = None  # what others wait for
        self.over = False
        self.fresh = True  # who answers has all that was committed to its tables ahead of it
        self.cost = 0.0  # seconds that the server took
        self.ended_at = 0.0

    def begin(self, fresh: bool) -> None:
        """A server is asked, perhaps not the first."""
        self.pieces.clear()
        self.size = 0
        self.fresh = fresh

    def hear(self, data: bytes) -> None:
        """Part of the answer."""
        self.size += len(data)
        if self.size <= self.limit:
            self.pieces.append(data)
        else:
            self.pieces.clear()

    def end(self, cost: float, now: float) -> None:
        """The server has answered."""
        self.cost = cost
        self.ended_at = now
        self.close(answered=True)

    def close(self, answered: bool = False) -> None:
        """It is over; not `answered`: it was given up."""
        if self.over:
            return
        self.over = True
        if not answered:
            self.pieces.clear()
            self.size = 0
        self.done(self)

    def take(self) -> bytes:
        """What has come; b"" if that was too much, or it was given up."""
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def wait_for(first: Fill, patience: float) -> "asyncio.Future[None]":
    """It is done once the answer has come, or will not; but in `patience` seconds at the latest."""
    if first.landed is None:
        loop = asyncio.get_running_loop()
        first.landed = loop.create_future()
        loop.call_later(patience, end_wait, first.landed)
    return first.landed


def end_wait(landed: "asyncio.Future[None]") -> None:
    if not landed.done():
        landed.set_result(None)
