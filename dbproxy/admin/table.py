"""What the console answers with. PostgreSQL: "Simple Query", "Message Formats"; every value is text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbproxy.wire import build
from dbproxy.wire.messages import encode

Value = str | int | None
Columns = tuple[tuple[str, int, int], ...]

# PgBouncer's letters for column types: type oid and size.
TYPES = {"s": (25, -1), "i": (23, 4), "q": (20, 8), "N": (1700, -1)}


def columns(declaration: str) -> Columns:
    """`"database:s cl_active:i"` as what build.row_description takes."""
    pairs = (word.split(":") for word in declaration.split())
    return tuple((name, *TYPES[letter]) for name, letter in pairs)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a SHOW command."""

    columns: Columns
    rows: Sequence[Sequence[Value]]

    def encode(self) -> bytes:
        """RowDescription, each DataRow, CommandComplete."""
        rows = (build.data_row(list(map(_encode, row))) for row in self.rows)
        return b"".join([build.row_description(self.columns), *rows, build.command_complete("SHOW")])

    def records(self) -> list[dict[str, Value]]:
        """Each row by the names of the columns."""
        names = [name for name, _, _ in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def table(declaration: Columns, rows: Iterable[Sequence[Value]]) -> Table:
    return Table(declaration, list(rows))


def _encode(value: Value) -> bytes | None:
    return None if value is None else encode(str(value))
