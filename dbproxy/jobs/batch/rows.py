"""The source of `run`: the rows of a table in the order of a unique key, and a statement for each chunk of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch import bounds
from dbproxy.jobs.batch.histogram import BOUNDS, choose_places, list_parts
from dbproxy.jobs.batch.key import INDEXES, Cursor, Key, choose, read_index
from dbproxy.jobs.batch.ledger import Part
from dbproxy.jobs.batch.order import explain, is_ordered
from dbproxy.jobs.batch.source import NO_TABLE, Chunk
from dbproxy.jobs.batch.statement import Statement
from dbproxy.jobs.batch.survey import survey
from dbproxy.jobs.primary import Connection, read_count

TABLE = """
SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, c.relkind::text, n.nspname::text,
    c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)::oid"""
SAME = "SELECT to_regclass($1)::oid WHERE to_regclass($1) = to_regclass($2)"
# $3: columns. What decides their order, but for the index's own collations.
TYPES = """
SELECT ARRAY(SELECT (a.atttypid, a.atttypmod, a.attcollation)::text
    FROM unnest($3::text[]) WITH ORDINALITY k(name, at)
        JOIN pg_attribute a ON a.attrelid = to_regclass($2) AND a.attname = k.name ORDER BY at)
WHERE to_regclass($1) = to_regclass($2) AND to_regclass($2)::oid = $4::oid"""


@dataclass
class Rows:
    """`table` and `wanted` as they were given; the rest is known once it is prepared."""

    table: str
    wanted: tuple[str, ...]
    template: Statement
    sweeps: str = "auto"
    found: Key = field(init=False)
    oid: int = field(init=False, default=0)
    ordered: int = field(init=False, default=0)  # rows of a chunk that its plan alone takes in order
    schema: str = field(init=False, default="")
    relation: str = field(init=False, default="")
    alias: str = field(init=False, default="")  # what the statement calls its columns by
    said: str = field(init=False, default="")  # what it calls the table
    types: list[str] | None = field(init=False, default=None)  # of the key's columns
    kind = "run"

    @property
    def statement(self) -> str:
        return self.template.text

    @property
    def target(self) -> str:
        return self.found.table

    @property
    def key(self) -> tuple[str, ...]:
        return self.found.names

    @property
    def options(self) -> Mapping[str, Any]:
        return {"sweep": self.sweeps, "order": self.found.order}

    async def prepare(self, connection: Connection) -> None:
        row = await connection.fetchrow(TABLE, self.table)
        if row is None:
            raise JobRefused(f"there is no table {self.table}", hint=NO_TABLE)
        self.oid, name, kind, self.schema, self.relation = row
        if kind not in ("r", "p", "m"):
            raise JobRefused(f"{name} is no table")
        indexes = [read_index(row) for row in await connection.fetch(INDEXES, self.oid)]
        self.found = choose(name, indexes, self.wanted)
        relation = self.template.find_relation(self.schema, self.relation, self.found)
        self.alias = bounds.quote(relation.alias)
        self.said = ".".join(map(bounds.quote, filter(None, (relation.schema, relation.name))))
        if await connection.fetchval(SAME, self.said, name) != self.oid:
            raise JobRefused(
                f"what the statement calls {self.said} is not {name}",
                hint="With its schema in both, or by another search_path.",
            )
        self.types = await self._find_types(connection)

    @property
    def litters(self) -> bool:
        return bool(self.template.lock)

    async def close(self) -> None:
        return

    async def plan(self, connection: Connection, rows: int) -> list[str]:
        parsed = self.template.parsed
        found = await survey(connection, self.oid, parsed.kind, sorted(parsed.changed))
        if found.blocking:  # that would have to be waited for
            return found.lines()
        last = await self._last(connection)
        if last is None:
            return [f"index {self.found.index}; the table is empty"]
        chunk = await self.find(connection, Part("", 0, upper=last), rows)
        first = await self.name(connection, Chunk(None, last, rows))
        assert chunk is not None
        condition = self.spell(chunk)
        plain = self.template.fill(condition)
        ordered = not self.template.lock or is_ordered(await explain(connection, plain), self.found.index)
        sql = plain if ordered else self.fill_locked(condition)
        sweeps = await self.sweep(connection) is not None
        return [
            f"index {self.found.index}; keys from ({', '.join(first or ())}) to ({', '.join(last)})",
            f"rows come {'in the order of the index' if ordered else 'in any order: they are locked in order first'}",
            f"what comes in the meantime {'is gone for in a sweep' if sweeps else 'is left as it is'}",
            *found.lines(),
            "plan of the first chunk:",
            *(f"  {row[0]}" for row in await connection.fetch(f"EXPLAIN {sql}")),
        ]

    async def rehearse(self, connection: Connection) -> None:
        await connection.execute(f"EXPLAIN {self.template.fill('false')}")

    async def check(self, connection: Connection) -> None:
        self.ordered = 0
        await self.check_table(connection)
        indexes = [read_index(row) for row in await connection.fetch(INDEXES, self.oid)]
        try:
            now_found = choose(self.found.table, indexes, self.found.names)
        except JobRefused as error:
            raise JobFailed(
                f"the key of {self.found.table} was changed: {error.message}", hint=error.hint
            ) from None
        if now_found.order != self.found.order:
            raise JobFailed(
                f"the key of {self.found.table} was changed: it was ({', '.join(self.found.order)}), "
                f"and is ({', '.join(now_found.order)}) now"
            )

    async def check_table(self, connection: Connection) -> None:
        types = await self._find_types(connection)
        if types is None:
            raise JobFailed(f"table {self.found.table} is not there any more, or is another one of that name")
        if types != self.types:
            raise JobFailed(f"the key of {self.found.table} was changed: its order or types are others now")

    async def divide(self, connection: Connection, workers: int) -> list[tuple[Cursor | None, Cursor | None]]:
        last = await self._last(connection)
        if last is None:
            return []
        bounds_of = await connection.fetchval(BOUNDS, self.schema, self.relation, self.found.names[0])
        places = [
            await connection.fetchrow(bounds.spell_place(self.found), place)
            for place in choose_places(bounds_of or (), workers)
        ]
        return list_parts([tuple(row) for row in places if row is not None], last)

    async def estimate(self, connection: Connection) -> int:
        """PostgreSQL's own, which goes by the table's size now."""
        plan = await explain(connection, f"SELECT FROM {self.found.table}")
        return int(plan["Plan Rows"])

    async def ready(self, part: Part, rows: int) -> bool:
        return True

    async def find(self, connection: Connection, part: Part, rows: int) -> Chunk | None:
        if part.upper is None or part.cursor == part.upper:
            return None
        place = await self._find_place(connection, part.cursor, part.upper, rows)
        if place is not None:
            return Chunk(part.cursor, place, rows)
        return Chunk(part.cursor, part.upper, await self._count(connection, part.cursor, part.upper))

    async def take(self, connection: Connection, chunk: Chunk) -> list[Cursor]:
        """Of those alone that it is for, if that can be said of the table alone."""
        if not self.template.lock:
            return []
        condition, names = self.spell(chunk), ", ".join(self.found.places)
        columns = bounds.spell_columns(self.found, self.alias)
        free = f"NOT EXISTS (SELECT FROM dbproxy_free AS f({names}) WHERE ({columns}) = ({names}))"
        sql = (
            f"WITH dbproxy_free AS MATERIALIZED ({self.fill_taking(condition)} SKIP LOCKED) "
            f"{self.fill_matching(bounds.spell_texts(self.found, self.alias), f'{condition} AND {free}')}"
        )
        return [tuple(row) for row in await connection.fetch(sql)]

    async def carry_out(self, connection: Connection, chunk: Chunk) -> int:
        condition = self.spell(chunk) + bounds.spell_without(self.found, self.alias, chunk.without or ())
        sql = self.template.fill(condition)
        if (
            self.template.lock
            and chunk.without is None
            and not await self.comes_in_order(connection, chunk, sql)
        ):
            sql = self.fill_locked(condition)
        changed = read_count(await connection.execute(sql))
        await self.check_table(connection)  # that has its locks now, and cannot become another
        return changed

    async def comes_in_order(self, connection: Connection, chunk: Chunk, plain: str) -> bool:
        """By its plan; one of fewer rows than one that did lately does so, too."""
        if chunk.rows <= self.ordered:
            return True
        plan = await explain(connection, plain)
        ordered = is_ordered(plan, self.found.index)
        self.ordered = chunk.rows if ordered else 0
        return ordered

    async def carry_out_one(self, connection: Connection, key: Cursor) -> int:
        return read_count(await connection.execute(self.template.fill(self.spell_one(key))))

    def spell(self, chunk: Chunk) -> str:
        """Its condition, of what the statement calls the table."""
        if chunk.after == chunk.upto:
            return self.spell_one(chunk.upto)
        condition = bounds.spell_range(self.found, self.alias, begins=chunk.after is None)
        return bounds.write(condition, *chunk.upto, *(chunk.after or ()))

    def spell_one(self, key: Cursor) -> str:
        return bounds.write(bounds.spell_one(self.found, self.alias), *key)

    def fill_locked(self, condition: str) -> str:
        """With the rows taken in order first, those alone that it is for, if that can be said of the table alone."""
        columns = bounds.spell_columns(self.found, self.alias)
        return self.template.fill(f"{condition} AND ({columns}) IN ({self.fill_taking(condition)})")

    def fill_taking(self, condition: str) -> str:
        matching = self.fill_matching(bounds.spell_columns(self.found, self.alias), condition)
        order = bounds.spell_order(self.found, self.alias)
        return f"{matching} ORDER BY {order} FOR {self.template.lock} OF {self.alias}"

    def fill_matching(self, columns: str, condition: str) -> str:
        matching = self.template.fill_matching(columns, condition)
        return matching or f"SELECT {columns} FROM {self.found.table} {self.alias} WHERE {condition}"  # noqa: S608

    async def halve(self, connection: Connection, chunk: Chunk) -> tuple[Chunk, Chunk] | None:
        rows = chunk.rows
        middle = await self._find_middle(connection, chunk, rows)
        if middle in (None, chunk.upto):  # one row, or others have gone or come in the meantime
            rows = await self._count(connection, chunk.after, chunk.upto)
            middle = await self._find_middle(connection, chunk, rows)
        half = rows // 2
        if middle in (None, chunk.upto):
            # It is one, or others have gone again; or its last key is there twice, as children of a table may have it.
            middle, half = await self.name(connection, chunk), 1
        if middle in (None, chunk.upto):
            return None
        return Chunk(chunk.after, middle, half), Chunk(middle, chunk.upto, rows - half)

    async def name(self, connection: Connection, chunk: Chunk) -> Cursor | None:
        return await self._find_place(connection, chunk.after, chunk.upto, 1)

    async def sweep(self, connection: Connection) -> Cursor | None:
        wanted = self.sweeps == "on" or (
            self.sweeps == "auto" and self.found.is_random and self.template.settles
        )
        return await self._last(connection) if wanted else None

    async def finish(self, connection: Connection, batch: str) -> None:
        return

    async def verify(self, connection: Connection) -> int | None:
        sql = self.template.fill_matching("count(*)", "true")
        return await connection.fetchval(sql) if sql and self.template.settles else None

    async def _find_types(self, connection: Connection) -> list[str] | None:
        """None if the table is not what it was."""
        found: list[str] | None = await connection.fetchval(
            TYPES, self.said, self.found.table, self.found.names, self.oid
        )
        return found

    async def _find_middle(self, connection: Connection, chunk: Chunk, rows: int) -> Cursor | None:
        if rows < 2:
            return None
        return await self._find_place(connection, chunk.after, chunk.upto, rows // 2)

    async def _find_place(
        self, connection: Connection, after: Cursor | None, upto: Cursor, rows: int
    ) -> Cursor | None:
        """Of the row that is so many on from behind `after`; None if there are not so many up to `upto`."""
        sql = bounds.spell_next(self.found, begins=after is None)
        row = await connection.fetchrow(sql, *upto, *(after or ()), rows - 1)
        return None if row is None else tuple(row)

    async def _last(self, connection: Connection) -> Cursor | None:
        row = await connection.fetchrow(bounds.spell_last(self.found))
        return None if row is None else tuple(row)

    async def _count(self, connection: Connection, after: Cursor | None, upto: Cursor) -> int:
        sql = bounds.spell_count(self.found, begins=after is None)
        return int(await connection.fetchval(sql, *upto, *(after or ())))
