"""Rows of a batch that were passed over: those that cannot be changed, and those that others had, to be revisited.

Each is a row of `dbproxy.batch_errors`, made in the transaction that moves past it (ledger).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dbproxy.jobs.batch import ledger
from dbproxy.jobs.batch.key import Cursor, read_cursor, write_cursor
from dbproxy.jobs.batch.ledger import Part
from dbproxy.jobs.primary import Connection

SKIPPED = "55P03"  # of a row that somebody else had: no row that was left out has that, as it is tried again
BAD = 'SELECT key, sqlstate, message, detail, "constraint", part FROM dbproxy.batch_errors'
# A key whose texts are numbers where they are: as texts "10" comes before "9".
NUMBERED = """(SELECT jsonb_agg(CASE WHEN text ~ '^-?[0-9]{1,99}([.][0-9]{1,99})?$' THEN to_jsonb(text::numeric)
    ELSE to_jsonb(text) END ORDER BY at) FROM jsonb_array_elements_text(key) WITH ORDINALITY k(text, at))"""


@dataclass(frozen=True, slots=True)
class BadRow:
    key: Cursor
    sqlstate: str
    message: str
    detail: str = ""
    constraint: str = ""
    part: int = 0
    content: bytes | None = None  # of a line; it is not listed


async def record(connection: Connection, batch: str, bad: BadRow) -> None:
    """In the transaction that moves past it."""
    await connection.execute(
        'INSERT INTO dbproxy.batch_errors (batch, key, part, sqlstate, message, detail, "constraint", content)'
        " VALUES ($1, $2::text::jsonb, $3, $4, $5, $6, $7, $8) ON CONFLICT (batch, key) DO UPDATE"
        " SET part = excluded.part, sqlstate = excluded.sqlstate, message = excluded.message, detail = excluded.detail,"
        ' "constraint" = excluded."constraint", at = now()',
        batch, write_cursor(bad.key), bad.part, bad.sqlstate, bad.message, bad.detail, bad.constraint, bad.content,
    )  # fmt: skip


async def skip(connection: Connection, part: Part, keys: Sequence[Cursor]) -> None:
    """In the transaction that moves past these rows without having changed them."""
    if keys:
        await connection.execute(
            "INSERT INTO dbproxy.batch_errors (batch, key, part, sqlstate, message)"
            " SELECT $1, key::jsonb, $2, $3, $4 FROM unnest($5::text[]) key ON CONFLICT DO NOTHING",
            part.batch, part.number, SKIPPED, "others had it: it is revisited at the end",
            list(map(write_cursor, keys)),
        )  # fmt: skip


async def find_skipped(connection: Connection, batch: str, after: Cursor | None = None) -> Cursor | None:
    """The first behind `after`, in the order of keys as jsonb."""
    key = await connection.fetchval(
        "SELECT key FROM dbproxy.batch_errors WHERE batch = $1 AND sqlstate = $2"
        " AND ($3::text IS NULL OR key > $3::text::jsonb) ORDER BY key LIMIT 1",
        batch, SKIPPED, write_cursor(after),
    )  # fmt: skip
    return read_cursor(key)


async def revisit(connection: Connection, batch: str) -> Part:
    """The part that goes through what was skipped: where it was, or from the start once more."""
    await ledger.create_parts(connection, [Part(batch, ledger.REVISIT)])
    part = await ledger.read_part(connection, batch, ledger.REVISIT)
    assert part is not None
    if part.done:
        await ledger.reopen(connection, part, None)
        part = await ledger.read_part(connection, batch, ledger.REVISIT)
        assert part is not None
    return part


async def settle(connection: Connection, batch: str, key: Cursor) -> None:
    """In the transaction in which a row that was skipped is changed."""
    await connection.execute(
        "DELETE FROM dbproxy.batch_errors WHERE batch = $1 AND key = $2::text::jsonb AND sqlstate = $3",
        batch, write_cursor(key), SKIPPED,
    )  # fmt: skip


async def list_errors(connection: Connection, batch: str, limit: int = 1000) -> list[BadRow]:
    """The first in the order of their keys, numbers as such."""
    rows = await connection.fetch(f"{BAD} WHERE batch = $1 ORDER BY {NUMBERED}, key LIMIT $2", batch, limit)
    return [_read_bad(row) for row in rows]


async def page_errors(connection: Connection, batch: str, limit: int, after: Cursor | None) -> list[BadRow]:
    """From behind `after` on, in the order of keys as jsonb, for which there is an index."""
    rows = await connection.fetch(
        f"{BAD} WHERE batch = $1 AND ($2::text IS NULL OR key > $2::text::jsonb) ORDER BY key LIMIT $3",
        batch, write_cursor(after), limit,
    )  # fmt: skip
    return [_read_bad(row) for row in rows]


async def forgive(connection: Connection, batch: str, bad: BadRow, rows: int) -> None:
    """In the transaction in which it went well."""
    await connection.execute(
        "DELETE FROM dbproxy.batch_errors WHERE batch = $1 AND key = $2::text::jsonb",
        batch,
        write_cursor(bad.key),
    )
    await connection.execute(
        "UPDATE dbproxy.batch_progress SET errors = errors - 1, rows = rows + $3, updated = clock_timestamp()"
        " WHERE batch = $1 AND part = $2",
        batch, bad.part, rows,
    )  # fmt: skip


def _read_bad(row: Any) -> BadRow:
    return BadRow(tuple(json.loads(row[0])), *row[1:])
