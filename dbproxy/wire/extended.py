"""The names in extended-query messages: reading them, and writing the message again under another name.

A client's statement names are its own; on a server a statement has the name that all clients share (pool.prepared).
PostgreSQL: "Message Formats", Parse, Bind, Describe, Close. Each function takes a chunk and the offset `at` of the
message's kind byte, and returns None or -1 where the message has no such names: PostgreSQL says what is wrong with it.
"""

# mypy: disable-error-code="name-defined, no-any-return"
# ruff: noqa: F821  # both: allocate, copy, differ and bytes_of exist in the compiled module alone

from struct import Struct

COMPILED = not __file__.endswith(".py")
pack_header = Struct("!ci").pack
OWN = b"dbproxy_own"  # a statement and a portal of our own, for a moment
BIND_HEADERS = [pack_header(b"B", length) for length in range(1024)]


def cut(chunk: bytes, start: int, stop: int) -> bytes:
    """`chunk[start:stop]` at a fifth of the price, for bounds that are known to be in it.

    Empty if `stop` lies ahead: a message may be too short for what it must have.
    """
    if stop <= start:
        return b""
    buffer = chunk
    return buffer[start:stop]


def stands_at(chunk: bytes, start: int, name: bytes) -> bool:
    """Whether `name` stands there, for bounds that are known to be in the chunk."""
    if not COMPILED:
        return chunk.startswith(name, start)
    return differ(bytes_of(chunk) + start, bytes_of(name), len(name)) == 0


def find_zero(chunk: bytes, start: int, end: int) -> int:
    """Where the first zero byte is; -1 if there is none. Names are short: a loop beats a call of `find`."""
    buffer = chunk
    while start < end:
        if not buffer[start]:
            return start
        start += 1
    return -1


def parse_parts(chunk: bytes, at: int, end: int, like: bytes | None = None) -> tuple[bytes, bytes] | None:
    """Of a Parse: its statement name, and the body (text and parameter types) that makes it equal to others.

    The body is `like` itself where it is equal.
    """
    stop = find_zero(chunk, at + 5, end)
    if stop < 0:
        return None
    name = cut(chunk, at + 5, stop)
    if like is not None and len(like) == end - stop - 1 and stands_at(chunk, stop + 1, like):
        return name, like
    return name, cut(chunk, stop + 1, end)


def bind_name(chunk: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Of a Bind: where its statement name begins and ends; `end` is where the bytes that are there end."""
    start = find_zero(chunk, at + 5, end) + 1
    stop = find_zero(chunk, start, end) if start else -1
    return (start, stop) if stop >= 0 else None


def bind_parameters(chunk: bytes, at: int, end: int) -> list[tuple[bytes | None, bool]]:
    """Of a Bind: each parameter's value as far as it is there (None: NULL), and whether it is binary."""
    where = bind_name(chunk, at, end)
    if where is None or end < where[1] + 5:
        return []
    position = where[1] + 1
    count = int.from_bytes(chunk[position : position + 2], "big")
    formats = chunk[position + 3 : position + 2 + 2 * count : 2]
    position += 2 + 2 * count
    count = int.from_bytes(chunk[position : position + 2], "big")
    formats = formats * count if len(formats) == 1 else formats.ljust(count, b"\0")
    position += 2
    values: list[tuple[bytes | None, bool]] = []
    for number in range(count):
        length = int.from_bytes(chunk[position : position + 4], "big", signed=True)
        position += 4
        if position + length > end:
            break
        values.append((chunk[position : position + length] if length >= 0 else None, formats[number] == 1))
        position += max(0, length)
    return values


def bind_values(chunk: bytes, at: int, end: int) -> list[bytes]:
    """Of a Bind: its parameters' values, as far as they are there; NULLs are left out."""
    return [value for value, _ in bind_parameters(chunk, at, end) if value is not None]


def target_name(chunk: bytes, at: int, end: int) -> bytes | None:
    """Of a Describe or Close: the name of the statement it is about; None if it is about a portal."""
    if end - at < 7 or chunk[at + 5] != ord("S"):
        return None
    stop = find_zero(chunk, at + 6, end)
    return cut(chunk, at + 6, stop) if stop >= 0 else None


def is_described(chunk: bytes, stop: int) -> bool:
    """Whether a portal's Describe follows the Bind that ends at `stop`, in the same breath."""
    return len(chunk) > stop + 5 and chunk[stop] == ord("D") and chunk[stop + 5] == ord("P")


def statement_text(chunk: bytes, at: int) -> bytes:
    """The SQL of the Query or Parse at `at`, as far as it is there; of a Parse's body where `at` is negative."""
    start = 0
    if at >= 0:
        start = at + 5 if chunk[at] == ord("Q") else find_zero(chunk, at + 5, len(chunk)) + 1
    stop = chunk.find(b"\0", start)
    return cut(chunk, start, stop if stop >= 0 else len(chunk))


def length_at(chunk: bytes, at: int) -> int:
    """The size of a message in bytes, kind byte included."""
    buffer = chunk
    return (buffer[at + 1] << 24 | buffer[at + 2] << 16 | buffer[at + 3] << 8 | buffer[at + 4]) + 1


def write_parse(name: bytes, body: bytes) -> bytes:
    return b"P" + (5 + len(name) + len(body)).to_bytes(4, "big") + name + b"\0" + body


def write_bind(chunk: bytes, at: int, start: int, stop: int, end: int, name: bytes) -> bytes:
    """The Bind at `at` with its statement name (`start:stop`) replaced; `end`: where the bytes that are there end."""
    length = length_at(chunk, at) - 1 + len(name) - (stop - start)
    header = BIND_HEADERS[length] if length < 1024 else pack_header(b"B", length)
    if not COMPILED:
        return header + chunk[at + 5 : start] + name + chunk[stop:end]
    whole = allocate(start - at + len(name) + end - stop)
    place = bytes_of(whole)
    copy(place, bytes_of(header), 5)
    copy(place + 5, bytes_of(chunk) + at + 5, start - at - 5)
    copy(place + start - at, bytes_of(name), len(name))
    copy(place + start - at + len(name), bytes_of(chunk) + stop, end - stop)
    return whole


def join(pieces: list[bytes]) -> bytes:
    """`b"".join(pieces)` at a third of the price."""
    if not COMPILED:
        return b"".join(pieces)
    size = 0
    for piece in pieces:
        size += len(piece)
    whole = allocate(size)
    place = bytes_of(whole)
    for piece in pieces:
        copy(place, bytes_of(piece), len(piece))
        place += len(piece)
    return whole


def write_describe(name: bytes) -> bytes:
    return b"D" + (6 + len(name)).to_bytes(4, "big") + b"S" + name + b"\0"


def write_close(name: bytes) -> bytes:
    return b"C" + (6 + len(name)).to_bytes(4, "big") + b"S" + name + b"\0"


def write_run(sql: bytes) -> bytes:
    """Parse, Bind, Execute and Close: run one statement under names that are no client's.

    One that failed has left its name behind.
    """
    return b"".join(
        (
            write_close(OWN),
            write_parse(OWN, sql + b"\0\0\0"),
            pack_header(b"B", 4 + 2 * len(OWN) + 2 + 6),
            OWN + b"\0" + OWN + b"\0\0\0\0\0\0\0",
            pack_header(b"E", 4 + len(OWN) + 1 + 4),
            OWN + b"\0\0\0\0\0",
            pack_header(b"C", 4 + 1 + len(OWN) + 1),
            b"P" + OWN + b"\0",
            write_close(OWN),
        )
    )
