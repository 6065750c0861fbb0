"""What the console has answered to one command. PostgreSQL: "Message Formats", RowDescription and DataRow."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dbproxy.wire.messages import decode

INT4, INT8, NUMERIC = 23, 20, 1700
NUMBERS = frozenset({INT4, INT8, NUMERIC})

Cell = str | int | float | None
Record = dict[str, Cell]


@dataclass(slots=True)
class Result:
    """`columns`: name and type (its OID); `rows`: as text; `tag`: the command's; `notices`: their fields by letter."""

    columns: list[tuple[str, int]] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    tag: str = ""
    notices: list[dict[str, str]] = field(default_factory=list)

    def records(self) -> list[Record]:
        """The rows by column, numbers as numbers."""
        read = [(name, _reader(oid)) for name, oid in self.columns]
        return [
            {
                name: None if value is None else convert(value)
                for (name, convert), value in zip(read, row, strict=True)
            }
            for row in self.rows
        ]


def _reader(oid: int) -> Callable[[str], Cell]:
    return _number if oid in NUMBERS else str


def _number(text: str) -> Cell:
    """Text that is no number stays what it is."""
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d*\.\d+", text) else text


def read_columns(payload: bytes) -> list[tuple[str, int]]:
    """Of a RowDescription."""
    columns = []
    at = 2
    for _ in range(int.from_bytes(payload[:2], "big")):
        stop = payload.index(b"\0", at)
        columns.append((decode(payload[at:stop]), int.from_bytes(payload[stop + 7 : stop + 11], "big")))
        at = stop + 19
    return columns


def read_row(payload: bytes) -> list[str | None]:
    """Of a DataRow."""
    values: list[str | None] = []
    at = 2
    for _ in range(int.from_bytes(payload[:2], "big")):
        length = int.from_bytes(payload[at : at + 4], "big", signed=True)
        at += 4
        values.append(decode(payload[at : at + length]) if length >= 0 else None)
        at += max(0, length)
    return values
