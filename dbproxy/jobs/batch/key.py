"""The unique key by whose order a table is gone through: which index that is, and how its values are written.

Values are carried as texts, by PostgreSQL's own casts both ways: whatever the type, the text is exact.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbproxy.errors import JobRefused

Cursor = tuple[str, ...]  # a place in the order: the texts of a key's columns


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str  # as a cast has it
    nullable: bool = False
    descending: bool = False
    collation: str = ""  # the index's, if it is not the column's; as COLLATE has it
    collated: str = ""  # the index's with its version, "" of a type that has none: told, never sent

    def __str__(self) -> str:
        collated = f" COLLATE {self.collated}" if self.collated else ""
        return f"{self.name} {self.type}{collated}{' DESC' if self.descending else ''}"


@dataclass(frozen=True, slots=True)
class Index:
    """A unique btree index, as `INDEXES` tells; `columns` is empty where it is over expressions."""

    name: str
    columns: tuple[Column, ...]
    primary: bool = False
    usable: bool = True  # valid, of all rows, by the types' own order
    correlation: float | None = None  # of its first column with where the rows lie


@dataclass(frozen=True, slots=True)
class Key:
    table: str  # quoted, with its schema
    index: str
    columns: tuple[Column, ...]
    correlation: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def places(self) -> tuple[str, ...]:
        """Names for its columns that no table has."""
        return tuple(f"dbproxy_key_{number}" for number in range(len(self.columns)))

    @property
    def order(self) -> list[str]:
        """All that decides which row comes behind which, for people and for the ledger."""
        return [str(column) for column in self.columns]

    @property
    def is_mixed(self) -> bool:
        """Whether the index is ascending in one column and descending in another."""
        return len({column.descending for column in self.columns}) > 1

    @property
    def is_random(self) -> bool:
        """Whether new rows may come anywhere in the order, not at its end."""
        scattered = self.correlation is not None and abs(self.correlation) < 0.5
        return self.columns[0].type == "uuid" or scattered


# $1: the table's oid. A row for each unique index; columns as arrays.
INDEXES = """
SELECT quote_ident(c.relname) AS name, i.indisprimary AS primary,
    i.indisvalid AND i.indpred IS NULL AND NOT EXISTS (
        SELECT FROM unnest(i.indclass::oid[]) o JOIN pg_opclass p ON p.oid = o WHERE NOT p.opcdefault) AS usable,
    i.indexprs IS NULL AS plain,
    (SELECT s.correlation FROM pg_stats s WHERE s.schemaname = n.nspname AND s.tablename = t.relname
        AND s.attname = (SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum = i.indkey[0])
        LIMIT 1)::float8 AS correlation,
    k.names, k.types, k.nullables, k.descendings, k.collations, k.collated
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am m ON m.oid = c.relam,
    LATERAL (
        SELECT array_agg(a.attname::text ORDER BY at) AS names,
            array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY at) AS types,
            array_agg(NOT a.attnotnull OR EXISTS (  -- from PostgreSQL 18 on that may be NOT VALID: of new rows alone
                SELECT FROM pg_constraint v WHERE v.conrelid = a.attrelid AND v.contype = 'n' AND NOT v.convalidated
                    AND v.conkey = ARRAY[a.attnum]) ORDER BY at) AS nullables,
            array_agg(i.indoption[at - 1] & 1 = 1 ORDER BY at) AS descendings,
            array_agg(CASE WHEN l.oid IS NULL OR l.oid = a.attcollation THEN ''
                ELSE quote_ident(ln.nspname) || '.' || quote_ident(l.collname) END ORDER BY at) AS collations,
            array_agg(coalesce(quote_ident(l.collname) || coalesce(' ' || pg_collation_actual_version(l.oid), ''), '')
                ORDER BY at) AS collated
        FROM generate_series(1, i.indnkeyatts) at
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[at - 1]
            LEFT JOIN pg_collation l ON l.oid = i.indcollation[at - 1]
            LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace) k
WHERE i.indrelid = $1::oid AND i.indisunique AND m.amname = 'btree'
ORDER BY i.indisprimary DESC, c.relname"""


def read_index(row: Sequence[object]) -> Index:
    """Of a row of `INDEXES`."""
    name, primary, usable, plain, correlation, *lists = row
    columns = tuple(Column(*values) for values in zip(*lists, strict=True)) if plain else ()
    return Index(str(name), columns, bool(primary), bool(usable), correlation)  # type: ignore[arg-type]


def choose(table: str, indexes: Iterable[Index], wanted: Sequence[str]) -> Key:
    """The index over the columns that are wanted, the primary key's if none are. JobRefused if it does not serve."""
    found = [index for index in indexes if index.columns]
    named = [index for index in found if _fits(index, wanted)]
    if not named:
        raise _none(table, found, wanted)
    index = next((index for index in named if index.usable), None)
    if index is None:
        raise JobRefused(
            f"index {named[0].name} of {table} is partial, not valid, or in an order of its own: it does not serve"
        )
    if nullable := [column.name for column in index.columns if column.nullable]:
        raise JobRefused(
            f"{', '.join(nullable)} of {table} may be NULL, and rows where it is would be left out",
            hint="ALTER TABLE … ALTER COLUMN … SET NOT NULL, or another --key.",
        )
    return Key(table, index.name, index.columns, index.correlation)


def _none(table: str, found: Iterable[Index], wanted: Sequence[str]) -> JobRefused:
    listed = "; ".join(f"{index.name} ({_list(index)})" for index in found if index.usable)
    columns = ", ".join(wanted) or "a primary key"
    return JobRefused(
        f"{table} has no unique index over {columns}",
        hint=f"Its unique indexes: {listed}." if listed else "It needs one, by which it is gone through.",
    )


def _fits(index: Index, wanted: Sequence[str]) -> bool:
    if not wanted:
        return index.primary
    return sorted(column.name for column in index.columns) == sorted(wanted)


def _list(index: Index) -> str:
    return ", ".join(column.name for column in index.columns)


def write_cursor(cursor: Cursor | None) -> str | None:
    return None if cursor is None else spell_json(cursor)


def read_cursor(text: str | None) -> Cursor | None:
    return None if text is None else tuple(json.loads(text))


def spell_json(value: object) -> str:
    """Without escapes for what is not ASCII, which a database in SQL_ASCII refuses (22P05)."""
    return json.dumps(value, ensure_ascii=False)
