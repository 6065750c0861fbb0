"""A statement's answer as it is kept: what simple and extended queries are told of it has one form.

PostgreSQL: "Message Flow". RowDescription is kept apart, since some ask for it and some do not; a Query always does.
"""

from dbproxy.wire.extended import length_at

HEAD, COLUMNS, ROWS, DONE, OVER = range(5)  # how far an answer has come: 1 2, T, D, C, Z
_REASONS = ((b"E", "an error"), (b"N", "a notice"), (b"S", "a setting is reported"), (b"A", "a notification"))
_PARSED, _BOUND = b"1\0\0\0\4", b"2\0\0\0\4"


class Value:
    """`columns`: RowDescription, b"" if nobody has asked for it; `rows`: the DataRows and CommandComplete."""

    def __init__(self, columns: bytes, rows: bytes) -> None:
        self.columns = columns
        self.rows = rows

    def size(self) -> int:
        return len(self.columns) + len(self.rows)

    def spell(self, kinds: bytes) -> bytes | None:
        """The answer to a Query, or to what `cache.key.read_values` lets pass; None: its columns are not known."""
        if kinds == b"Q":
            return self.columns + self.rows if self.columns else None
        pieces: list[bytes] = []
        for kind in kinds:
            if kind == ord("E"):
                pieces.append(self.rows)
            elif kind == ord("B"):
                pieces.append(_BOUND)
            elif kind == ord("D"):
                if not self.columns:
                    return None
                pieces.append(self.columns)
            elif kind == ord("P"):
                pieces.append(_PARSED)
        return b"".join(pieces)


def read_answer(data: bytes) -> "Value | str":
    """What was sent to a client up to and with ReadyForQuery; or why it cannot be kept."""
    size = len(data)
    at = told = rows = end = 0
    stage = HEAD
    while at + 5 <= size and stage <= DONE:
        kind = data[at]
        stop = at + length_at(data, at)
        if kind == ord("D") and stage < DONE:
            rows = rows if stage == ROWS else at
            stage = ROWS
        elif kind == ord("T") and stage == HEAD:
            stage = COLUMNS
            told, end = at, stop
        elif kind == ord("C") and stage < DONE:
            rows = rows if stage == ROWS else at
            columns = data[told:end]
            stage, end = DONE, stop
        elif kind == ord("Z") and stage == DONE:
            stage = OVER
        elif stage != HEAD or kind not in b"12":
            break
        at = stop
    if stage != OVER or at != size:
        return explain(list_kinds(data))
    if data[size - 1] == ord("E"):
        return "a transaction has failed"
    return Value(columns, data[rows:end])


def list_kinds(data: bytes) -> bytes:
    """Of its messages."""
    kinds = bytearray()
    at = 0
    while at + 5 <= len(data):
        kinds.append(data[at])
        at += length_at(data, at)
    return bytes(kinds)


def explain(kinds: bytes) -> str:
    """Why an answer of such messages is not kept."""
    for kind, reason in _REASONS:
        if kind in kinds:
            return reason
    return "several statements" if kinds.count(b"C") > 1 else "another form"


def is_same_set(one: bytes, other: bytes) -> bool:
    """Whether these are the same rows, in another order perhaps."""
    return sorted(split(one)) == sorted(split(other))


def split(messages: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(messages):
        stop = at + length_at(messages, at)
        found.append(messages[at:stop])
        at = stop
    return found
