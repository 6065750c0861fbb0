"""The statement of a batch: `UPDATE t SET … WHERE {chunk} AND …`, and what cannot be done so."""

from dataclasses import dataclass

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.grammar import read
from dbproxy.jobs.batch.key import Key
from dbproxy.sql.chunked import Chunked, Relation, Unreadable

# How the rows of a chunk are taken before they are changed. Of an INSERT or a SELECT they are only read.
_LOCKS = {"UPDATE": "NO KEY UPDATE", "DELETE": "UPDATE"}


@dataclass(frozen=True)
class Statement:
    text: str
    parsed: Chunked

    @property
    def lock(self) -> str:
        return _LOCKS.get(self.parsed.kind, "")

    @property
    def settles(self) -> bool:
        """Whether what it has changed once is none of what it is for any more, as far as can be seen."""
        kind, condition = self.parsed.kind, self.parsed.condition
        return bool(condition if kind == "DELETE" else self.parsed.changed & condition)

    def fill(self, condition: str) -> str:
        return self.parsed.fill(condition)

    def fill_matching(self, columns: str, condition: str) -> str:
        return self.parsed.fill_matching(columns, condition)

    def find_relation(self, schema: str, table: str, key: Key) -> Relation:
        """The table as the statement has it. JobRefused if it cannot go through that by that key."""
        found = [one for one in self.parsed.relations if one.name == table and one.schema in ("", schema)]
        if len(found) != 1:
            raise JobRefused(
                f"the statement has {table} {'twice' if found else 'nowhere'} where {{chunk}} stands",
                hint="--table names the table whose rows are gone through.",
            )
        if found[0].alias in self.parsed.loose:
            raise JobRefused(
                f"{self.parsed.kind} reads {found[0].alias}, and no condition joins that with the rows "
                "that it changes: each chunk would change all of them",
                hint="--table names the table that is changed, or one that a condition joins with it.",
            )
        if moved := self.parsed.changed & set(key.names):
            raise JobRefused(
                f"the statement changes {', '.join(sorted(moved))}, by which the table is gone through: rows would be "
                "met twice, or never",
                hint="Another --key.",
            )
        return found[0]


def read_statement(text: str) -> Statement:
    """Raises JobRefused."""
    try:
        return Statement(text.strip(), read(text))
    except Unreadable as error:
        raise JobRefused(f"the statement cannot be run in chunks: {error}") from None
