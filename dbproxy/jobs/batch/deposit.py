"""How a chunk of lines comes into its table: by COPY, or by COPY into a table of the connection's own, and INSERT.

The second is for what COPY cannot: rows that may be there already, and JSON that is no plain values. Of lines with the
same key in one chunk the last counts, as PostgreSQL refuses to change a row twice in a statement (21000).
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

from dbproxy.jobs.batch.bounds import quote
from dbproxy.jobs.batch.formats import Format, trim
from dbproxy.jobs.batch.objects import OPTIONS, Unsure, convert
from dbproxy.jobs.batch.source import Afresh, Fault
from dbproxy.jobs.batch.target import Column, Target, spell_conflict, spell_list, spell_override
from dbproxy.jobs.primary import Connection, read_count

STAGE, OBJECTS = "dbproxy_lines", "dbproxy_objects"  # in pg_temp
LONGEST = 64  # chunks
PIECE = 256 << 10  # bytes of a message
Content = bytes | AsyncIterator[bytes]


class Deposit(Protocol):
    async def put(self, connection: Connection, content: Content) -> int:
        """In the chunk's transaction: how many rows were changed. Fault if a line cannot be taken."""


async def check_format(connection: Connection, form: Format) -> None:
    """Raises PostgreSQL's error if COPY does not take its options: by a COPY of nothing."""
    await connection.copy_from_query("SELECT 1 WHERE false", output=BytesIO(), **form.options)


@dataclass(frozen=True)
class Copied:
    target: Target
    columns: Sequence[Column]
    options: dict[str, Any]

    async def put(self, connection: Connection, content: Content) -> int:
        return await copy(
            connection, self.target.schema, self.target.relation, content,
            columns=[column.name for column in self.columns], **self.options,
        )  # fmt: skip


@dataclass(frozen=True)
class Staged:
    """`create` makes the stage, `insert` empties it into the table; `check` asks what is wrong with a line.

    `trim`: what is done to lines before.
    """

    stage: str
    create: str
    options: dict[str, Any]
    insert: str
    check: str = ""
    trim: Callable[[bytes], bytes] = bytes

    async def put(self, connection: Connection, content: Content) -> int:
        if await connection.fetchval(f"SELECT to_regclass('pg_temp.{self.stage}') IS NULL"):
            await connection.execute(self.create)
        lines = self.trim(content) if isinstance(content, bytes) else content
        await copy(connection, "pg_temp", self.stage, lines, **self.options)
        if self.check and (reason := await connection.fetchval(self.check)):
            raise Fault("22023", reason)
        return read_count(await connection.execute(self.insert))


@dataclass
class Plain:
    """JSON objects as COPY's text, as long as they are plain; a chunk that is not, and some behind it, by `staged`."""

    target: Target
    columns: dict[str, Column]
    key: Sequence[str]
    staged: Staged
    turns: int = 0  # chunks that are staged before the others' way is tried again
    lost: int = 0  # chunks that it was tried with in vain, one after another

    async def put(self, connection: Connection, content: Content) -> int:
        assert isinstance(content, bytes)
        blocks = convert(content, self.columns, whole=bool(self.key))
        try:
            first = None if self.turns else next(blocks, None)
        except Unsure:
            first = None
        if first is None:
            self.turns = max(0, self.turns - 1)
            return await self.staged.put(connection, content)
        columns, block = first
        try:
            changed = await self._choose(columns).put(connection, chain(block, blocks))
        except Unsure:
            self.turns, self.lost = min(1 << self.lost, LONGEST), self.lost + 1
            raise Afresh from None
        self.lost = 0
        return changed

    def _choose(self, columns: Sequence[Column]) -> Deposit:
        if self.key:
            return stage_rows(self.target, columns, self.key, OPTIONS)
        return Copied(self.target, columns, OPTIONS)


def stage_rows(
    target: Target, columns: Sequence[Column], key: Sequence[str], options: dict[str, Any]
) -> Staged:
    """For an upsert of lines as COPY reads them."""
    names, order = spell_list(columns), ", ".join(map(quote, key))
    return Staged(
        STAGE,
        f"CREATE TEMP TABLE {STAGE} ON COMMIT DELETE ROWS AS SELECT {names} FROM {target.name} WITH NO DATA",  # noqa: S608
        options,
        f"INSERT INTO {target.name} ({names}){spell_override(columns)} SELECT DISTINCT ON ({order}) {names}"  # noqa: S608
        f" FROM pg_temp.{STAGE} ORDER BY {order}, ctid DESC{spell_conflict(key, columns)}",
    )


def stage_objects(target: Target, columns: Sequence[Column], key: Sequence[str], form: Format) -> Staged:
    """For JSON: a key that a line has not is its column's default, and one that is no column is an error.

    An upsert must not reset what a line says nothing of: so there each line has all columns.
    """
    names = spell_list(columns)
    listed = "ARRAY[" + ", ".join(_literal(column.name) for column in columns) + "]::text[]"
    values = ", ".join(_value(column) + f" AS {quote(column.name)}" for column in columns)
    rows = f"pg_temp.{OBJECTS} s, LATERAL jsonb_populate_record(NULL::{target.name}, s.line) r WHERE s.line IS NOT NULL"
    if key:
        order = ", ".join(map(quote, key))
        taken = (
            f"SELECT DISTINCT ON ({order}) {names} FROM (SELECT {values}, s.ctid AS at FROM {rows}) o"  # noqa: S608
            f" ORDER BY {order}, o.at DESC{spell_conflict(key, columns)}"
        )
    else:
        taken = f"SELECT {values} FROM {rows}"  # noqa: S608
    lacks = f" WHEN NOT line ?& {listed} THEN 'the line has not all of the columns'" if key else ""
    return Staged(
        OBJECTS,
        f"CREATE TEMP TABLE {OBJECTS} (line jsonb) ON COMMIT DELETE ROWS",
        form.options,
        f"INSERT INTO {target.name} ({names}){spell_override(columns)} {taken}",
        "SELECT reason FROM (SELECT CASE WHEN jsonb_typeof(line) <> 'object' THEN 'the line is no JSON object'"  # noqa: S608
        f" WHEN line - {listed} <> '{{}}' THEN 'no column is called '"
        f" || (SELECT string_agg(k, ', ') FROM jsonb_object_keys(line - {listed}) k){lacks} END AS reason"
        f" FROM pg_temp.{OBJECTS} WHERE line IS NOT NULL) l WHERE reason IS NOT NULL LIMIT 1",
        trim,
    )


def choose_deposit(target: Target, columns: Sequence[Column], key: Sequence[str], form: Format) -> Deposit:
    if form.kind == "ndjson":
        staged = stage_objects(target, columns, key, form)
        plain = {column.name: column for column in columns if column.plain}
        sure = target.plain and form.is_utf8 and (len(plain) == len(columns) or not key)
        return Plain(target, plain, key, staged) if sure else staged
    return stage_rows(target, columns, key, form.options) if key else Copied(target, columns, form.options)


async def copy(connection: Connection, schema: str, relation: str, content: Content, **options: Any) -> int:
    source = cut(content) if isinstance(content, bytes) else content
    status = await connection.copy_to_table(relation, schema_name=schema, source=source, **options)
    return read_count(status)


async def cut(content: bytes) -> AsyncIterator[bytes]:
    """Into messages, so that no more than one waits to be sent."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


async def chain(block: bytes, blocks: Iterator[tuple[object, bytes]]) -> AsyncIterator[bytes]:
    yield block
    for _, more in blocks:
        yield more


def _value(column: Column) -> str:
    name = f"r.{quote(column.name)}"
    return (
        f"CASE WHEN s.line ? {_literal(column.name)} THEN {name} ELSE {column.default} END"
        if column.default
        else name
    )


def _literal(text: str) -> str:
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f"E{quoted}" if "\\" in text else quoted
