"""What was sent to a server and can be sent again elsewhere, as long as none of its answer has been forwarded."""

from dbproxy.sql.identity import Shape
from dbproxy.wire.framer import client_framer

BATCH_LIMIT = 65536  # bytes that are kept


class Batch:
    """Reads of one loan: `parts` as they were sent, `reads` what was asked; `answered`: requests of the loan before."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.reads: list[Shape] = []
        self.answered = 0

    def begin(self, reads: list[Shape], data: bytes, answered: int) -> None:
        self.parts = [data]
        self.reads = reads
        self.answered = answered

    def add(self, reads: list[Shape], data: bytes) -> None:
        self.reads += reads
        self.parts.append(data)

    def clear(self) -> None:
        self.parts = []

    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.parts))

    def failing(self, served: int) -> Shape:
        """The read that is not answered, of a loan in which `served` requests were."""
        return self.reads[min(served - self.answered, len(self.reads) - 1)]

    def unanswered(self, served: int, ahead: bytes, max_message_size: int) -> bytes:
        """What was sent from the request on that is not answered; `ahead` went before the first of the batch."""
        left = served - self.answered
        data = b"".join(self.parts)
        if not left:
            return ahead + data
        framer = client_framer(max_message_size)
        for mark in framer.feed(data):
            if left <= 0:
                return data[mark >> 8 :]
            left -= mark & 255 in b"QS"
        return b""
