"""Records of TLS that are changed on their way, by a script.

Of each ORDER bytes the first says what is done, the second to which record, the rest where, and with what.
RFC 8446, section 5.1: a type, a version that nobody looks at, a length, and so many bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from dbproxy.wire import build
from tests.support.speech import error, query

ORDER = 5
HEAD = 5
MOST = 12  # orders in a script
FIRST = 8  # records that are changed by most of them
HANDSHAKE, CLIENT_HELLO, SERVER_HELLO = 22, 1, 2
KINDS = (0, 20, 21, 22, 23, 24, 25, 0x80, 255)
LENGTHS = (0, 1, 2, 4, 255, 16384, 16385, 18432, 65535)
PLAIN = "said in plain"  # what must never be taken for something encrypted
PIECES: Sequence[bytes] = (
    build.startup_message({"user": "app", "database": "shop"}),
    query(f"SELECT '{PLAIN}'"),
    error("57P01", PLAIN),
    build.ssl_request(),
    build.cancel_request(1, b"kkkk"),
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x15\x03\x03\0\2\1\0",  # a goodbye
    b"\x15\x03\x03\0\2\1\x64",  # no renegotiation
    b"\x15\x03\x03\0\2\2\x28",  # handshake failure
    b"\x15\x03\x03\0\1\1",
    b"\x14\x03\x03\0\1\1",  # change the cipher
    b"\x17\x03\x03\0\0",
    b"\x17\x03\x03\0\x20" + b"x" * 32,
    b"\x16\x03\x03\0\4\0\0\0\0",  # begin again
    b"\x16\x03\x03\0\0",
    b"\x16\x03\x03\0\5\x18\0\0\1\1",  # a new key
    b"\x18\x03\x03\0\3\1\xff\xff",  # a heartbeat that asks for more than it has
    b"\x80\x2e\1\3\1\0\x15\0\0\0\x10",  # of SSL 2
    b"\x16\3\1\x40\1" + b"\0" * 16385,
    b"\0",
    b"\xff" * 9,
)


def split_records(data: bytes) -> Iterator[bytes]:
    """What is none is one."""
    while data:
        size = HEAD + int.from_bytes(data[3:HEAD], "big")
        if not 20 <= data[0] <= 23:
            size = len(data)
        yield data[:size]
        data = data[size:]


def frame(record: bytes, body: bytes) -> bytes:
    return record[:3] + (len(body) & 0xFFFF).to_bytes(2, "big") + body


# --- one change each: what goes out instead of the record. `place` is in it, or its end ---


def flip(record: bytes, place: int, value: int) -> bytes:
    return (
        record[:place]
        + bytes(byte ^ (value or 1) for byte in record[place : place + 1])
        + record[place + 1 :]
    )


def overwrite(record: bytes, place: int, value: int) -> bytes:
    return record[:place] + bytes([value]) * min(1 + value % 4, len(record) - place) + record[place + 4 :]


def break_off(record: bytes, place: int, value: int) -> bytes:
    return record[:place]


def shorten(record: bytes, place: int, value: int) -> bytes:
    return frame(record, record[HEAD : max(HEAD, place)])


def split(record: bytes, place: int, value: int) -> bytes:
    place = max(HEAD, place)
    return frame(record, record[HEAD:place]) + frame(record, record[place:])


def crumble(record: bytes, place: int, value: int) -> bytes:
    body = record[HEAD:]
    most = 1 + value % 16
    return b"".join(frame(record, body[at : at + most]) for at in range(0, len(body), most))


def drop(record: bytes, place: int, value: int) -> bytes:
    return b""


def repeat(record: bytes, place: int, value: int) -> bytes:
    return record * (2 + value % 4)


def retype(record: bytes, place: int, value: int) -> bytes:
    return bytes([KINDS[value % len(KINDS)]]) + record[1:]


def revise(record: bytes, place: int, value: int) -> bytes:
    """Another version."""
    return record[:1] + bytes([3, value % 6] if value < 200 else [value, value]) + record[3:]


def lie_about_length(record: bytes, place: int, value: int) -> bytes:
    return record[:3] + LENGTHS[value % len(LENGTHS)].to_bytes(2, "big") + record[HEAD:]


def put_ahead(record: bytes, place: int, value: int) -> bytes:
    return PIECES[value % len(PIECES)] + record


def put_behind(record: bytes, place: int, value: int) -> bytes:
    return record + PIECES[value % len(PIECES)]


def put_in(record: bytes, place: int, value: int) -> bytes:
    place = max(HEAD, place)
    return frame(record, record[HEAD:place] + PIECES[value % len(PIECES)] + record[place:])


def change_hello(record: bytes, place: int, value: int) -> bytes:
    """One extension of a hello is dropped, repeated, emptied, renamed, cut, or filled with something else."""
    body = record[HEAD:]
    start = find_extensions(body)
    if not start or len(record) < 10:
        return flip(record, place, value)
    extensions = list_extensions(body[start + 2 :])
    at = place % len(extensions) if extensions else 0
    if extensions:
        kind, content = extensions[at]
        extensions[at : at + 1] = [
            [],
            [(kind, content)] * 2,
            [(kind, b"")],
            [(value * 257 & 0xFFFF, content)],
            [(kind, content[: place % (len(content) + 1)])],
            [(kind, bytes([value]) * len(content))],
            [(kind, content * 40)],
            [(kind, flip(content, place % (len(content) + 1), value))],
            [(16, b"\0\x0b\x0apostgresql"), (0, b"\0\4\0\0\1" + bytes([value]))],
        ][value % 9]
    told = b"".join(
        kind.to_bytes(2, "big") + len(said).to_bytes(2, "big") + said for kind, said in extensions
    )
    hello = body[4:start] + len(told).to_bytes(2, "big") + told
    return frame(record, body[:1] + len(hello).to_bytes(3, "big") + hello)


def find_extensions(body: bytes) -> int:
    """Where a hello's are; 0 if it is none."""
    if len(body) < 40 or body[0] not in (CLIENT_HELLO, SERVER_HELLO):
        return 0
    at = 38 + 1 + body[38]  # behind the session's number
    if body[0] == SERVER_HELLO:
        return at + 3
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    return at + 1 + body[at] if at < len(body) else 0


def list_extensions(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(data) >= 4:
        size = int.from_bytes(data[2:4], "big")
        found.append((int.from_bytes(data[:2], "big"), data[4 : 4 + size]))
        data = data[4 + size :]
    return found


CHANGES: Sequence[Callable[[bytes, int, int], bytes]] = (
    flip, overwrite, break_off, shorten, split, crumble, drop, repeat, retype, revise, lie_about_length, put_ahead,
    put_behind, put_in, change_hello, change_hello, change_hello,
)  # fmt: skip
JOIN, HOLD, END = (
    len(CHANGES),
    len(CHANGES) + 1,
    len(CHANGES) + 2,
)  # with the next one; behind it; nothing more


class Tampering:
    """Of what one side sends. `ended`: it says nothing more."""

    def __init__(self, script: bytes) -> None:
        self.orders = [script[at : at + ORDER] for at in range(0, len(script) - ORDER + 1, ORDER)][:MOST]
        self.number = 0
        self.ended = False

    def change(self, data: bytes) -> bytes:
        """Of these records, and no part of another."""
        sent, joined, held = b"", b"", b""
        for record in split_records(data):
            if self.ended:
                break
            orders = [order for order in self.orders if order[1] == self.number]
            self.number += 1
            if joined and record[:1] == joined[:1]:
                record, joined = frame(joined, joined[HEAD:] + record[HEAD:]), b""
            kept = joined
            joined = b""
            for order in orders:
                what, place, value = order[0] % (END + 1), int.from_bytes(order[2:4], "big"), order[4]
                if what < len(CHANGES):
                    record = CHANGES[what](record, place % (len(record) + 1), value)
                elif what == END:
                    self.ended = True
            told = [order[0] % (END + 1) for order in orders]
            sent += kept
            if JOIN in told:
                joined = record
            elif HOLD in told:
                held += record
            else:
                sent, held = sent + record + held, b""
        return sent + joined + held


def write_order(random: Random) -> bytes:
    number = random.randrange(FIRST) if random.random() < 0.9 else random.randrange(256)
    return bytes([random.randrange(END + 1), number]) + random.randbytes(3)


def change_script(script: bytes, random: Random) -> bytes:
    orders = [script[at : at + ORDER] for at in range(0, len(script), ORDER)]
    for _ in range(random.choice([1, 1, 2, 4])):
        way = random.random()
        if way < 0.5 or not orders:
            orders.insert(random.randrange(len(orders) + 1), write_order(random))
        elif way < 0.65:
            del orders[random.randrange(len(orders))]
        else:
            at = random.randrange(len(orders))
            changed = bytearray(orders[at])
            if changed:
                changed[random.randrange(len(changed))] = random.randrange(256)
            orders[at] = bytes(changed)
    return b"".join(orders[:MOST])
