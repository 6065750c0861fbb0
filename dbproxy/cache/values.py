"""The integers that a request has for places (sql.rows) of its statement, where PostgreSQL surely reads the same.

A literal or a text is one that is digits, perhaps signed. A parameter's type is its column's unless its Parse declares
another: then only integers count. A binary value that is too short or too long for its type is refused there.
"""

from dbproxy.sql.literals import cut_literal
from dbproxy.sql.rows import Place
from dbproxy.wire.extended import bind_parameters, find_zero, length_at

LONGEST = 18  # digits of a number that is surely an int8
_TYPES = frozenset({0, 20, 21, 23})  # not declared, int8, int2, int4
_SIZES = frozenset({2, 4, 8})  # bytes
_PLUS, _DASH, _ZERO, _QUOTE = 0x2B, 0x2D, 0x30, 0x27


def read_values(places: tuple[Place, ...], chunk: bytes, at: int, stop: int, body: bytes) -> list[int] | None:
    """Of the Query or Bind at `at`, of which what is there ends at `stop`; None: one is not known.

    `body`: of the Bind's Parse.
    """
    if stop - at < 6 or at + length_at(chunk, at) != stop:
        return None
    if chunk[at] == ord("Q"):
        text, values = chunk[at + 5 : stop - 1], []
    else:
        text, values = body[: max(0, find_zero(body, 0, len(body)))], bind_parameters(chunk, at, stop)
    found = []
    for place in places:
        if place.literal:
            value = read_literal(cut_literal(text, place.literal))
        elif place.parameter <= len(values) and find_type(body, place.parameter) in _TYPES:
            value = read_parameter(*values[place.parameter - 1])
        else:
            value = None
        if value is None:
            return None
        found.append(value)
    return found


def read_literal(literal: bytes) -> int | None:
    """Digits, or a plain string."""
    size = len(literal)
    quoted = size > 2 and literal[0] == _QUOTE and literal[size - 1] == _QUOTE
    return read_digits(literal, 1, size - 1) if quoted else read_digits(literal, 0, size)


def read_digits(text: bytes, start: int, stop: int) -> int | None:
    """Of `text[start:stop]`; they may have a sign."""
    source = text
    at = start
    if at < stop and (source[at] == _DASH or source[at] == _PLUS):
        at += 1
    if at == stop or stop - at > LONGEST:
        return None
    number = 0
    while at < stop:
        digit = source[at] - _ZERO
        if digit < 0 or digit > 9:
            return None
        number = 10 * number + digit
        at += 1
    return -number if source[start] == _DASH else number


def read_parameter(value: bytes | None, binary: bool) -> int | None:
    """None: it is NULL, or no integer."""
    if value is None:
        return None
    if not binary:
        return read_digits(value, 0, len(value))
    return int.from_bytes(value, "big", signed=True) if len(value) in _SIZES else None


def find_type(body: bytes, parameter: int) -> int:
    """The OID that a Parse declares of a parameter; 0 if it leaves that to PostgreSQL, some other without a Parse."""
    start = find_zero(body, 0, len(body)) + 1
    declared = int.from_bytes(body[start : start + 2], "big")
    at = start + 2 + 4 * (parameter - 1)
    return int.from_bytes(body[at : at + 4], "big") if parameter <= declared else 0 if start else -1
