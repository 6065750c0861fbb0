"""Cuts a byte stream into messages without copying it.

A *chunk* is what one read returned; it moves on whole. A message is a *mark* on a chunk: `start << 8 | kind`, one int
for each message that decides something. Messages that decide nothing (DataRow, CopyData) get no mark: they are bytes
between marks. So a 600-row answer costs 600 header look-ups and two or three marks, and a row of 1 GB streams through
in the pieces in which it arrived.

What must be seen of a message before it decides is a number of bytes per kind, the *need*: the header for most, the
first names for Bind, everything for Parse. Until they are there the bytes are held back; what follows them is not
waited for. PostgreSQL: "Message Flow" and "Message Formats"; every message after the start-up is a kind byte and an
int32 length that counts itself.
"""

from functools import cache

from dbproxy.errors import MessageTooLarge, ProtocolViolation
from dbproxy.wire.codes import HEADER

COMPILED = not __file__.endswith(".py")
FEW = 16  # marks that cost no memory
NO_MARKS = [0] * FEW
UNKNOWN = -1  # need: this kind is not allowed here
PASS = 0  # need: no mark, whatever its length


class Rules:
    """`needs[kind]` bytes of a message must be there for its mark; `limits[kind]` bytes is the longest allowed.

    A message whose need is its limit and that is longer raises `MessageTooLarge`.
    """

    def __init__(self, needs: list[int], limits: list[int]) -> None:
        self.needs = needs
        self.limits = limits


class Framer:
    """Marks one direction of one connection.

    After `scan`: `count` messages are marked, `mark_at` tells each; `chunk` is what the marks point into, `start` where
    its first message begins (bytes before it continue the message before), `end` where the bytes held back begin,
    `left` how many bytes of the last message are still to come.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.chunk = b""
        self.count = 0
        if (
            not COMPILED
        ):  # there they are C numbers, which are 0 at first: the data path makes no objects for them
            self.first = NO_MARKS.copy()  # the first marks
        self.more: list[int] = []  # the others
        self.start = 0
        self.end = 0
        self.left = 0
        self.held = bytearray()
        self.held_size = 0
        self.wanted = 0

    def cut(self, at: int) -> bytes:
        """Forget what came from `at` on, where a marked message begins: those bytes, to be scanned later."""
        rest = self.chunk[at:]
        while self.count and self.mark_at(self.count - 1) >> 8 >= at:
            self.count -= 1
        del self.more[max(0, self.count - FEW) :]
        self.chunk = self.chunk[:at]
        self.end = at
        self.left = self.held_size = 0
        self.held.clear()
        return rest

    def look_at_rows(self) -> None:
        """A server's DataRows are marked, and whole: it answers a question of ours."""
        self.rules = _LOOKING_RULES

    def pass_rows(self) -> None:
        """They are bytes between marks again."""
        self.rules = _SERVER_RULES

    def feed(self, data: bytes) -> list[int]:
        """`scan`, for those who can afford a list: all marks."""
        return [self.mark_at(number) for number in range(self.scan(data))]

    def bytes_from(self, number: int) -> bytes:
        """What is there from a mark on."""
        start = self.mark_at(number) >> 8
        if not start and self.end == len(self.chunk):
            return self.chunk
        return self.chunk[start : self.end]

    def mark_at(self, number: int) -> int:
        """One of the `count` marks."""
        if number < FEW:
            return self.first[number]
        return self.more[number - FEW]

    def scan(self, data: bytes) -> int:
        """Mark the messages in `data` (and what was held back before it); how many marks there are.

        Raises what is wrong with a header; the messages ahead of it are marked.
        """
        self.count = 0
        if self.more:
            self.more.clear()
        if self.held_size:
            self.held += data
            self.held_size += len(data)
            if self.held_size < self.wanted:
                self.chunk = b""
                self.start = self.end = 0
                return 0
            data = bytes(self.held)
            self.held.clear()
            self.held_size = 0
        self.walk(data)
        return self.count

    def walk(self, data: bytes) -> None:
        buffer = data
        rules = self.rules
        size = len(data)
        self.chunk = data
        position = self.left
        if position > size:
            self.left = position - size
            self.start = self.end = size
            return
        self.left = 0
        self.start = position
        while position < size:
            available = size - position
            if available < HEADER:
                self.wanted = HEADER
                break
            kind = buffer[position]
            length = buffer[position + 1]
            length = length << 8 | buffer[position + 2]
            length = length << 8 | buffer[position + 3]
            length = (length << 8 | buffer[position + 4]) + 1
            need = rules.needs[kind]
            if need < 0 or length < HEADER or length > rules.limits[kind]:
                self.end = position  # what came before it stands
                self.refuse(kind, length)
            if need:  # it is not to PASS
                whole = length if length < need else need
                if available < whole:
                    self.wanted = whole
                    break
                if self.count < FEW:
                    self.first[self.count] = position << 8 | kind
                else:
                    self.more.append(position << 8 | kind)
                self.count += 1
            position += length
            if position > size:
                self.left = position - size
                position = size
        self.end = position
        if position < size:
            self.held += data[position:]
            self.held_size = size - position

    def refuse(self, kind: int, length: int) -> None:
        """Raise what is wrong with a header."""
        need, limit = self.rules.needs[kind], self.rules.limits[kind]
        if need == UNKNOWN:
            raise ProtocolViolation(f"invalid message type {kind} ({chr(kind)!r})")
        if length < HEADER:
            raise ProtocolViolation(f"invalid length of message {chr(kind)!r}: shorter than its header")
        if need == limit and length <= GIGABYTE:
            raise MessageTooLarge(
                f"message {chr(kind)!r} of {length} bytes is over the limit of {limit} bytes",
                hint="Raise listen.max_message_size.",
            )
        raise ProtocolViolation(
            f"invalid length of message {chr(kind)!r}: {length} bytes; at most {limit} are taken"
        )


WHOLE = 1 << 30  # need: everything, however long
GIGABYTE = 0x40000000  # PostgreSQL's own limit on a message (MaxAllocSize)
SMALL = 10001  # PostgreSQL's limit on messages that hold no data (PQ_SMALL_MESSAGE_LIMIT), and the kind byte
STATEMENT_NEED = 65536  # of a Query: what its identity is told by
BIND_NEED = 4096  # of a Bind: both names
TOLD = (
    1 << 24
) + 1  # of what a server says that must be whole, such as an error: a statement decides how long that is

_CLIENT = {
    "Q": (STATEMENT_NEED, GIGABYTE),
    "B": (BIND_NEED, GIGABYTE),
    "F": (HEADER, GIGABYTE),
    "d": (PASS, GIGABYTE),
    **dict.fromkeys("DEC", (WHOLE, SMALL)),
    **dict.fromkeys("HSXcf", (HEADER, SMALL)),
}
_SERVER = {
    **dict.fromkeys("Ddc", (PASS, WHOLE)),
    **dict.fromkeys("GHWIns123V", (HEADER, WHOLE)),
    **dict.fromkeys(
        "ZESCRKvNAtT", (WHOLE, TOLD)
    ),  # N and A also come unasked: never half of one to half a loan
}


def _rules(kinds: dict[str, tuple[int, int]]) -> Rules:
    needs, limits = [UNKNOWN] * 256, [WHOLE] * 256
    for kind, (need, limit) in kinds.items():
        needs[ord(kind)], limits[ord(kind)] = need, limit
    return Rules(needs, limits)


_SERVER_RULES = _rules(_SERVER)
_LOOKING_RULES = _rules({**_SERVER, "D": (WHOLE, WHOLE)})
STREAM_NEED = 8192  # of a CopyData in a replication stream, and its header: what wire.pgoutput looks at
_STREAM_RULES = _rules({**_SERVER, "D": (WHOLE, TOLD), "d": (STREAM_NEED, WHOLE), "c": (HEADER, WHOLE)})


@cache
def _client_rules(max_message_size: int) -> Rules:
    return _rules({**_CLIENT, "P": (max_message_size, max_message_size)})


def client_framer(max_message_size: int) -> Framer:
    """For what a logged-in client sends; a Parse may have `max_message_size` bytes."""
    return Framer(_client_rules(max_message_size))


def server_framer() -> Framer:
    """For what a server sends, from its first byte."""
    return Framer(_SERVER_RULES)


def stream_framer() -> Framer:
    """For what a server sends to us by replication: of each CopyData, the beginning."""
    return Framer(_STREAM_RULES)
