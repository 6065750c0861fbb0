"""The SQL of a part of a table between two places in the order of its key.

Never by OFFSET from its start, never by arithmetic with its values. Places are parameters, each column's a text that
is cast; into a statement of the user's they are written, as it may return rows, and asyncpg keeps those that answer a
statement with parameters. Where all columns of the index go the same way, a row comparison says it, and the index may
be read backwards. Else it is spelled out, its first column bounded by itself, so that the index serves.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from dbproxy.jobs.batch.key import Column, Cursor, Key

PARAMETER = re.compile(r'"(?:[^"]|"")*"|\$(\d+)')  # or a name in quotes, which has none


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def spell_range(key: Key, qualifier: str, *, begins: bool) -> str:
    """The condition of `(after, upto]`: parameters are those of `upto`, then of `after`, which is none if it begins."""
    upto = spell_bound(key, qualifier, "<=", 1)
    return upto if begins else f"{spell_bound(key, qualifier, '>', 1 + len(key.columns))} AND {upto}"


def write(condition: str, *places: str) -> str:
    """One of these with its parameters written into it."""

    def fill(found: re.Match[str]) -> str:
        return _literal(places[int(found[1]) - 1]) if found[1] else found[0]

    return PARAMETER.sub(fill, condition)


def _literal(text: str) -> str:
    """Whatever standard_conforming_strings is."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def spell_bound(key: Key, qualifier: str, sign: str, first: int) -> str:
    """`>` or `<=` the place that parameters from number `first` on are."""
    columns = [spell_column(column, qualifier) for column in key.columns]
    values = [spell_value(column, number) for number, column in enumerate(key.columns, first)]
    if key.is_mixed:
        return _spell_out(key.columns, columns, values, sign)
    if len(columns) == 1:
        return f"{columns[0]} {sign} {values[0]}"
    return f"({', '.join(columns)}) {sign} ({', '.join(values)})"


def spell_one(key: Key, qualifier: str) -> str:
    """The condition of the row at a place."""
    return " AND ".join(
        f"{spell_column(column, qualifier)} = {spell_value(column, number)}"
        for number, column in enumerate(key.columns, 1)
    )


def _spell_out(parts: tuple[Column, ...], columns: list[str], values: list[str], sign: str) -> str:
    """From the last column to the first: beyond in this one, or equal and beyond in the next."""
    spelled = ""
    for part, column, value in reversed(list(zip(parts, columns, values, strict=True))):
        beyond = _turn(sign[0], part)
        if not spelled:
            spelled = f"{column} {beyond}{sign[1:]} {value}"
        else:
            spelled = f"({column} {beyond} {value} OR ({column} = {value} AND {spelled}))"
    return f"({columns[0]} {_turn(sign[0], parts[0])}= {values[0]} AND {spelled})"


def _turn(sign: str, column: Column) -> str:
    return {"<": ">", ">": "<"}[sign] if column.descending else sign


def spell_column(column: Column, qualifier: str) -> str:
    collate = f" COLLATE {column.collation}" if column.collation else ""
    return f"{qualifier}.{quote(column.name)}{collate}"


def spell_columns(key: Key, qualifier: str) -> str:
    return ", ".join(spell_column(column, qualifier) for column in key.columns)


def spell_without(key: Key, qualifier: str, left: Sequence[Cursor]) -> str:
    """To be added to a condition: none of these rows. They may be many: the planner can hash a table of them."""
    if not left:
        return ""
    cast = ", ".join(spell_value(column, number) for number, column in enumerate(key.columns, 1))
    rows = ", ".join(f"({write(cast, *one)})" for one in left)
    names = ", ".join(key.places)
    return (
        f" AND NOT EXISTS (SELECT FROM (VALUES {rows}) AS dbproxy_locked({names}) "
        f"WHERE ({spell_columns(key, qualifier)}) = ({names}))"
    )


def spell_value(column: Column, number: int) -> str:
    return f"CAST(${number}::pg_catalog.text AS {column.type})"


def spell_texts(key: Key, qualifier: str) -> str:
    """The columns as texts, to be a place."""
    return ", ".join(f"{qualifier}.{quote(column.name)}::pg_catalog.text" for column in key.columns)


def spell_order(key: Key, qualifier: str, *, backwards: bool = False) -> str:
    return ", ".join(
        spell_column(column, qualifier)
        + (" DESC" if backwards != (key.is_mixed and column.descending) else "")
        for column in key.columns
    )


def spell_next(key: Key, *, begins: bool) -> str:
    """The place so many rows on, the last parameter being that number less one; no row if there are not so many."""
    number = len(key.columns) * (1 if begins else 2) + 1
    return (
        f"SELECT {spell_texts(key, 't')} FROM {key.table} t WHERE {spell_range(key, 't', begins=begins)} "  # noqa: S608
        f"ORDER BY {spell_order(key, 't')} OFFSET ${number}::pg_catalog.int8 LIMIT 1"
    )


def spell_last(key: Key) -> str:
    return f"SELECT {spell_texts(key, 't')} FROM {key.table} t ORDER BY {spell_order(key, 't', backwards=True)} LIMIT 1"  # noqa: S608


def spell_place(key: Key) -> str:
    """The last place whose first column is up to a value."""
    first = replace(key, columns=key.columns[:1])
    return (
        f"SELECT {spell_texts(key, 't')} FROM {key.table} t WHERE {spell_bound(first, 't', '<=', 1)} "  # noqa: S608
        f"ORDER BY {spell_order(key, 't', backwards=True)} LIMIT 1"
    )


def spell_count(key: Key, *, begins: bool) -> str:
    """How many rows there are between two places."""
    return f"SELECT count(*) FROM {key.table} t WHERE {spell_range(key, 't', begins=begins)}"  # noqa: S608
