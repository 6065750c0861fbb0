"""What the console answers with. PostgreSQL: "Simple Query", "Message Formats"; every value is text."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from dbproxy.wire import build
from dbproxy.wire.messages import encode

Value = str | int | None
Columns = tuple[tuple[str, int, int], ...]

BATCH = 50  # rows that are made in one go: more would hold up the clients' queries

# PgBouncer's letters for column types: type oid and size.
TYPES = {"s": (25, -1), "i": (23, 4), "q": (20, 8), "N": (1700, -1)}


def columns(declaration: str) -> Columns:
    """`"database:s cl_active:i"` as what build.row_description takes."""
    pairs = (word.split(":") for word in declaration.split())
    return tuple((name, *TYPES[letter]) for name, letter in pairs)


def int4(pid: int) -> int:
    """A process id that a server has told: 32 bits, which PostgreSQL's columns and libpq take for signed.

    PostgreSQL's are never negative; those that poolers make up may be.
    """
    return pid - 2**32 if pid >= 2**31 else pid


@dataclass(frozen=True, slots=True)
class Table:
    """What a SHOW command answers with. The rows are made while they are sent."""

    columns: Columns
    rows: Iterable[Sequence[Value]]

    def pieces(self, tag: str = "SHOW") -> Iterator[bytes]:
        """RowDescription, DataRows and CommandComplete, a few rows at a time."""
        yield build.row_description(self.columns)
        rows = iter(self.rows)
        while some := b"".join(map(_encode_row, islice(rows, BATCH))):
            yield some
        yield build.command_complete(tag)


def _encode_row(row: Sequence[Value]) -> bytes:
    return build.data_row([None if value is None else encode(str(value)) for value in row])
