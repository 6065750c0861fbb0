"""The table that is loaded or copied into, and what an upsert needs of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch.bounds import quote
from dbproxy.jobs.batch.key import INDEXES, choose, read_index
from dbproxy.jobs.batch.source import NO_TABLE
from dbproxy.jobs.primary import Connection

TABLE = """
SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, c.relkind::text, n.nspname::text,
    c.relname::text, NOT c.relhasrules AND NOT row_security_active(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)::oid"""
# Of identity columns the default is that of their sequence; where a column has none, it is its type's. A domain has its
# base type's category, which of JSON and of some others is U.
COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '', a.attidentity = 'a',
    CASE WHEN a.attidentity <> '' THEN format(
            'nextval(%L::regclass)', pg_get_serial_sequence(a.attrelid::regclass::text, a.attname))
        WHEN a.attgenerated = '' THEN coalesce(
            pg_get_expr(d.adbin, d.adrelid), pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault), '')
        ELSE '' END,
    t.typcategory NOT IN ('A', 'C', 'P') AND (t.typtype <> 'd' OR t.typcategory <> 'U')
        AND t.oid NOT IN ('json'::regtype, 'jsonb'::regtype)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""


@dataclass(frozen=True, slots=True)
class Column:
    """`default`: an expression, "" if there is none; `always`: an identity that no UPDATE sets.

    `plain`: its values are neither arrays nor composite, nor JSON.
    """

    name: str
    type: str
    generated: bool = False
    always: bool = False
    default: str = ""
    plain: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """`plain`: COPY and INSERT are the same to it, as it has neither rules nor row security."""

    oid: int
    name: str  # quoted, with its schema
    schema: str
    relation: str
    columns: tuple[Column, ...]
    plain: bool = True

    def choose(self, wanted: Sequence[str]) -> tuple[Column, ...]:
        """Those columns, all that are not generated if none are wanted. JobRefused if they cannot be set."""
        if not wanted:
            return tuple(column for column in self.columns if not column.generated)
        self.check(wanted)
        known = {column.name: column for column in self.columns}
        if generated := [name for name in wanted if known[name].generated]:
            raise JobRefused(f"{', '.join(generated)} of {self.name} is generated: it cannot be given")
        if len(set(wanted)) < len(wanted):
            raise JobRefused(f"a column is named twice: {', '.join(wanted)}")
        return tuple(known[name] for name in wanted)

    def check(self, names: Sequence[str]) -> None:
        """JobRefused if it has not all of these columns."""
        known = [column.name for column in self.columns]
        if missing := [name for name in names if name not in known]:
            raise JobRefused(
                f"{self.name} has no column {', '.join(missing)}", hint=f"It has {', '.join(known)}."
            )


async def read_target(connection: Connection, table: str) -> Target:
    """JobRefused if there is no such table, or none that takes rows."""
    row = await connection.fetchrow(TABLE, table)
    if row is None:
        raise JobRefused(f"there is no table {table}", hint=NO_TABLE)
    oid, name, kind, schema, relation, plain = row
    if kind not in ("r", "p", "f"):
        raise JobRefused(f"{name} is no table")
    columns = tuple(Column(*row) for row in await connection.fetch(COLUMNS, oid))
    return Target(oid, name, schema, relation, columns, plain)


async def check_same(connection: Connection, target: Target) -> None:
    """JobFailed if its name is another table's by now."""
    if await connection.fetchval("SELECT to_regclass($1)::oid", target.name) != target.oid:
        raise JobFailed(f"table {target.name} is not there any more, or is another one of that name")


async def check_upsert(
    connection: Connection, target: Target, key: Sequence[str], columns: Sequence[Column]
) -> None:
    """JobRefused if no unique index is over just these columns, or rows without them may come."""
    indexes = [read_index(row) for row in await connection.fetch(INDEXES, target.oid)]
    choose(target.name, indexes, key)
    if missing := sorted(set(key) - {column.name for column in columns}):
        raise JobRefused(f"the upsert is by {', '.join(missing)}, which is not loaded")


def spell_override(columns: Sequence[Column]) -> str:
    """As COPY does: what is given for an identity is taken."""
    return " OVERRIDING SYSTEM VALUE" if any(column.always for column in columns) else ""


def spell_list(columns: Sequence[Column]) -> str:
    return ", ".join(quote(column.name) for column in columns)


def spell_conflict(key: Sequence[str], columns: Sequence[Column]) -> str:
    """The end of an INSERT whose rows may be there: they become as they are given."""
    changed = [column for column in columns if column.name not in key and not column.always]
    sets = ", ".join(f"{quote(column.name)} = EXCLUDED.{quote(column.name)}" for column in changed)
    names = ", ".join(map(quote, key))
    return f" ON CONFLICT ({names}) DO " + (f"UPDATE SET {sets}" if sets else "NOTHING")
