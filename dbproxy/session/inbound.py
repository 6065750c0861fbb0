"""What a client has sent: cut into messages, or kept until it does not wait any more."""

from dbproxy.errors import ProxyError
from dbproxy.limits.allowance import Allowance
from dbproxy.net.direct import monotonic
from dbproxy.pool.pool import Pool
from dbproxy.routing.room import Room
from dbproxy.session.passage import Passage
from dbproxy.session.wait import NOT
from dbproxy.wire.framer import Framer

BACKLOG_LIMIT = 65536  # bytes read from a client that waits before it is no longer read


class Inbound:
    """Of one client. `room`: with whom the client stands while it waits (its `leave` takes the client out)."""

    def __init__(self, framer: Framer, room: Pool | Room | Passage) -> None:
        self.framer = framer
        self.room = room
        self.wait = NOT  # session.wait
        self.pending: list[tuple[int, Framer, int]] = []  # why, and where to go on; the last first
        self.chunks: list[bytes] = []  # what came while the client waits
        self.size = 0  # of the chunks, in bytes
        self.arrived = monotonic()  # when the last chunk that was looked at came
        self.passage: Passage | None = None  # the request's way through the gates, up to the end of the loan
        self.allowance: Allowance | None = None  # where clients are limited
        self.leaving = False  # the client sends no more
        # What is wrong with what the client sent last: the client is disconnected once what came before is answered.
        self.fault: ProxyError | None = None

    def end_passage(self) -> None:
        """The request that was to pass the gates is over, or given up."""
        passage, self.passage = self.passage, None
        if passage is not None:
            passage.close()
        if self.allowance is not None:
            self.allowance.give_up(monotonic())

    def keep(self, data: bytes) -> bool:
        """Keep what came for later; whether there is so much that no more is to be read."""
        self.chunks.append(data)
        self.size += len(data)
        return self.size > BACKLOG_LIMIT

    def end_wait(self) -> tuple[int, Framer, int] | None:
        """End the last wait: where to go on, if that is in the midst of a chunk. What waits behind that waits on."""
        place = self.pending.pop() if self.pending else None
        self.wait = self.pending[-1][0] if self.pending else NOT
        return place

    def put_back(self, data: bytes) -> None:
        """Keep what was looked at too early, as if it had not come yet."""
        self.chunks.insert(0, data)
        self.size += len(data)

    def take(self) -> bytes:
        """All that was kept."""
        data = b"".join(self.chunks)
        self.chunks.clear()
        self.size = 0
        return data

    def clear(self) -> None:
        self.pending.clear()
        self.chunks.clear()
