"""What a statement on a table will meet: asked once, for the plan."""

from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.jobs.primary import Connection

_EVENTS = {"DELETE": 8, "UPDATE": 16, "LOAD": 4, "UPSERT": 4 | 16}  # bits of pg_trigger.tgtype
OLD = 60.0  # seconds from which on a transaction is told of

TRIGGERS = """
SELECT tgname::text, tgtype & 1 = 1 FROM pg_trigger
WHERE tgrelid = $1::oid AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & $2::int <> 0 ORDER BY tgname"""
# Foreign keys of the table's own that an UPDATE of these columns has checked.
CHECKED = """
SELECT conname::text || ' (' || confrelid::regclass::text || ')' FROM pg_constraint
WHERE conrelid = $1::oid AND contype = 'f' AND EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY(conkey) AND attname = ANY($2::text[]))
ORDER BY 1"""
# Tables that refer to this one, and whether an index of theirs begins with the columns that do.
REFERRING = """
SELECT conrelid::regclass::text, EXISTS (
    SELECT FROM pg_index WHERE indrelid = conrelid AND indisvalid AND indpred IS NULL
        AND (indkey::int2[])[0:array_length(conkey, 1) - 1] @> conkey)
FROM pg_constraint WHERE confrelid = $1::oid AND contype = 'f' ORDER BY 1"""
# Indexes that hold one of these columns: an UPDATE of it makes a new entry in each of all indexes.
INDEXED = """
SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::oid
    AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attname = ANY($2::text[])
        AND (a.attnum = ANY(i.indkey) OR pg_get_indexdef(i.indexrelid) ~ ('\\m' || a.attname || '\\M')))
ORDER BY 1"""
BLOCKING = """
SELECT l.pid, l.mode, coalesce(a.application_name, ''), coalesce(extract(epoch FROM now() - a.xact_start), 0)::float8
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = $1::oid AND l.granted AND l.pid <> pg_backend_pid() AND l.mode IN (
    'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
OLDEST = """
SELECT pid, extract(epoch FROM now() - xact_start)::float8 FROM pg_stat_activity
WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Survey:
    """`triggers`: with whether they fire for each row; `referring`: tables, with whether they have an index for it."""

    triggers: Sequence[tuple[str, bool]] = ()
    checked: Sequence[str] = ()
    referring: Sequence[tuple[str, bool]] = ()
    indexed: Sequence[str] = ()
    blocking: Sequence[tuple[int, str, str, float]] = ()
    oldest: tuple[int, float] | None = None

    def lines(self) -> list[str]:
        found = [f"trigger {name} fires for each {'row' if row else 'chunk'}" for name, row in self.triggers]
        found += [f"foreign key {name} is checked for each row" for name in self.checked]
        found += [
            f"{table} refers to it, {'by an index' if indexed else 'WITHOUT AN INDEX: it is read whole for each row'}"
            for table, indexed in self.referring
        ]
        if self.indexed:
            found.append(
                f"no HOT update, as {', '.join(self.indexed)} holds what is changed: every index grows"
            )
        found += [
            f"BLOCKED by process {pid} ({name or 'no name'}), which holds {mode} for {age:.0f} s"
            for pid, mode, name, age in self.blocking
        ]
        if self.oldest is not None and self.oldest[1] > OLD:
            pid, age = self.oldest
            found.append(
                f"process {pid} has had its transaction open for {age:.0f} s: dead rows stay until it ends"
            )
        return found


async def survey(connection: Connection, table: int, kind: str, columns: Sequence[str]) -> Survey:
    """`table`: its oid; `kind`: of the statement, or LOAD, UPSERT; `columns`: those that are changed."""
    updates, deletes, loads = kind == "UPDATE", kind == "DELETE", kind in ("LOAD", "UPSERT")
    listed = list(columns)
    oldest = await connection.fetchrow(OLDEST)
    return Survey(
        [tuple(row) for row in await connection.fetch(TRIGGERS, table, _EVENTS[kind])]
        if kind in _EVENTS
        else (),
        [row[0] for row in await connection.fetch(CHECKED, table, listed)] if updates or loads else (),
        [tuple(row) for row in await connection.fetch(REFERRING, table)] if deletes else (),
        [row[0] for row in await connection.fetch(INDEXED, table, listed)] if updates else (),
        [tuple(row) for row in await connection.fetch(BLOCKING, table)],
        None if oldest is None else tuple(oldest),
    )
