"""What was sent to a server and can be sent again elsewhere, as long as none of its answer has been forwarded."""

from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.framer import client_framer

BATCH_LIMIT = 65536  # bytes that are kept


class Batch:
    """Reads of one loan: `data` as they were sent, `reads` what was asked; `answered`: requests of the loan before."""

    def __init__(self) -> None:
        self.data = b""
        self.reads: tuple[Shape, ...] = ()
        self.answered = 0

    def begin(self, reads: tuple[Shape, ...], data: bytes, answered: int) -> None:
        self.data = data
        self.reads = reads
        self.answered = answered

    def add(self, reads: tuple[Shape, ...], data: bytes) -> None:
        self.reads += reads
        self.data += data

    def cut(self, size: int) -> None:
        """The last so many bytes have not been sent."""
        self.data = self.data[: len(self.data) - size]

    def clear(self) -> None:
        self.data = b""

    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def failing(self, served: int) -> Shape:
        """The read that is not answered, of a loan in which `served` requests were; NO_SHAPE if there is none."""
        if not self.reads:
            return NO_SHAPE
        return self.reads[min(served - self.answered, len(self.reads) - 1)]

    def unanswered(self, served: int, ahead: bytes, max_message_size: int) -> bytes:
        """What was sent from the request on that is not answered; `ahead` went before the first of the batch."""
        left = served - self.answered
        data = self.data
        if not left:
            return ahead + data
        framer = client_framer(max_message_size)
        for mark in framer.feed(data):
            if left <= 0:
                return data[mark >> 8 :]
            left -= mark & 255 in b"QS"
        return b""
