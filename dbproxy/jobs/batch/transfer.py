"""The source of `copy`: the rows of a table, into another of the same database or of another host.

Within a database each chunk is an INSERT … SELECT. From another host it is read by COPY … TO STDOUT and written by
COPY … FROM STDIN as it comes, in the transaction in which the ledger moves, which lies where it is written to.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.bounds import quote
from dbproxy.jobs.batch.deposit import Copied, Deposit, stage_rows
from dbproxy.jobs.batch.key import Cursor
from dbproxy.jobs.batch.ledger import Job, Part
from dbproxy.jobs.batch.origins import Origins
from dbproxy.jobs.batch.rows import Rows
from dbproxy.jobs.batch.source import Chunk
from dbproxy.jobs.batch.statement import read_statement
from dbproxy.jobs.batch.survey import survey
from dbproxy.jobs.batch.target import (
    Column,
    Target,
    check_same,
    check_upsert,
    read_target,
    spell_conflict,
    spell_list,
    spell_override,
)  # fmt: skip
from dbproxy.jobs.primary import Connection, Primary

TEXT = {"format": "text"}
DRAINED = 5.0  # seconds for the rest of a chunk that failed, until the line to there is closed instead
AHEAD = 4  # pieces that are read of another host and not yet written


@dataclass(frozen=True, slots=True)
class Wish:
    """What is copied where, as it was asked for: the ledger keeps it.

    `columns`: none are all; `key`: the unique one by which `table` is gone through, none is its primary key's;
    `upsert`: one of `into`, by which rows are replaced.
    """

    table: str
    into: str
    columns: tuple[str, ...] = ()
    where: str = ""
    key: tuple[str, ...] = ()
    upsert: tuple[str, ...] = ()


def read_wish(options: Mapping[str, Any]) -> Wish:
    """Of the ledger."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    return Wish(**{name: value for name, value in given.items() if name not in ("order", "origin")})


def choose_origin(job: Job, given: Primary | None) -> Primary | None:
    """None if it copies within a database. JobRefused if it copies from another one than `given`."""
    known = job.options.get("origin", "")
    if known and (given is None or given.name != known):
        other = f", not from {given.name}" if given is not None else ""
        raise JobRefused(
            f"batch {job.id} copies from {known}{other}",
            hint="--from says the URL of that, with its password, which is not kept.",
        )
    return given if known else None


@dataclass
class Transfer:
    """`origin`: where the table is, if that is another database than the one that is written to."""

    wish: Wish
    origin: Primary | None = None
    rows: Rows = field(init=False)
    table: Target = field(init=False)
    into: Target = field(init=False)
    columns: tuple[Column, ...] = field(init=False, default=())
    deposit: Deposit = field(init=False)
    origins: Origins | None = field(init=False, default=None)
    kind = "copy"

    def __post_init__(self) -> None:
        if self.origin is not None:
            self.origins = Origins(self.origin)

    @property
    def statement(self) -> str:
        place = f" at {self.origin.name}" if self.origin is not None else ""
        return f"{self.rows.statement}{place}"

    @property
    def target(self) -> str:
        return self.into.name

    @property
    def key(self) -> tuple[str, ...]:
        return self.rows.key

    @property
    def options(self) -> Mapping[str, Any]:
        origin = {"origin": self.origin.name} if self.origin is not None else {}
        return {**asdict(self.wish), **origin, "order": self.rows.found.order}

    @property
    def litters(self) -> bool:
        return bool(self.wish.upsert)

    async def prepare(self, connection: Connection) -> None:
        wish = self.wish
        at_origin = await self._at_origin(connection)
        self.table = await read_target(at_origin, wish.table)
        self.into = await read_target(connection, wish.into)
        if self.origin is None and self.table.oid == self.into.oid:
            raise JobRefused(f"{self.into.name} is to be copied into itself")
        self.columns = self._choose_columns()
        if wish.upsert:
            await check_upsert(connection, self.into, wish.upsert, self.columns)
        self.deposit = (
            stage_rows(self.into, self.columns, wish.upsert, TEXT)
            if wish.upsert
            else Copied(self.into, self.columns, TEXT)
        )
        statement = await asyncio.to_thread(read_statement, self._spell())
        self.rows = Rows(wish.table, wish.key, statement, sweeps="off")
        await self.rows.prepare(at_origin)

    async def close(self) -> None:
        if self.origins is not None:
            self.origins.close()

    async def plan(self, connection: Connection, rows: int) -> list[str]:
        kind = "UPSERT" if self.wish.upsert else "LOAD"
        found = await survey(connection, self.into.oid, kind, [column.name for column in self.columns])
        return [
            f"columns: {', '.join(column.name for column in self.columns)}",
            *found.lines(),
            *await self.rows.plan(await self._at_origin(connection), rows),
        ]

    async def rehearse(self, connection: Connection) -> None:
        await self.rows.rehearse(await self._at_origin(connection))

    async def check(self, connection: Connection) -> None:
        await check_same(connection, self.into)
        await self.rows.check(await self._at_origin(connection))

    async def divide(self, connection: Connection, workers: int) -> list[tuple[Cursor | None, Cursor | None]]:
        return await self.rows.divide(await self._at_origin(connection), workers)

    async def estimate(self, connection: Connection) -> int:
        return await self.rows.estimate(await self._at_origin(connection))

    async def ready(self, part: Part, rows: int) -> bool:
        return True

    async def find(self, connection: Connection, part: Part, rows: int) -> Chunk | None:
        return await self.rows.find(await self._at_origin(connection), part, rows)

    async def take(self, connection: Connection, chunk: Chunk) -> list[Cursor]:
        return []

    async def carry_out(self, connection: Connection, chunk: Chunk) -> int:
        if self.origins is None:
            changed = await self.rows.carry_out(connection, chunk)
        else:
            changed = await self._carry_over(connection, self.rows.spell(chunk))
            await self.rows.check_table(await self.origins.get(connection))
        await check_same(connection, self.into)  # that has its locks now, and cannot become another
        return changed

    async def carry_out_one(self, connection: Connection, key: Cursor) -> int:
        if self.origins is None:
            return await self.rows.carry_out_one(connection, key)
        return await self._carry_over(connection, self.rows.spell_one(key))

    async def halve(self, connection: Connection, chunk: Chunk) -> tuple[Chunk, Chunk] | None:
        return await self.rows.halve(await self._at_origin(connection), chunk)

    async def name(self, connection: Connection, chunk: Chunk) -> Cursor | None:
        return await self.rows.name(await self._at_origin(connection), chunk)

    async def sweep(self, connection: Connection) -> Cursor | None:
        return None

    async def finish(self, connection: Connection, batch: str) -> None:
        return

    async def verify(self, connection: Connection) -> int | None:
        return None

    async def _at_origin(self, connection: Connection) -> Connection:
        return connection if self.origins is None else await self.origins.get(connection)

    def _choose_columns(self) -> tuple[Column, ...]:
        """Of the target; generated ones are left to it."""
        generated = {column.name for column in self.into.columns if column.generated}
        if self.wish.columns:
            self.table.check(self.wish.columns)
            return self.into.choose(self.wish.columns)
        known = {column.name for column in self.into.columns}
        wanted = [
            column.name
            for column in self.table.columns
            if column.name not in generated and (column.name in known or not column.generated)
        ]
        return self.into.choose(wanted)

    def _spell(self) -> str:
        wish, names = self.wish, spell_list(self.columns)
        where = f" AND ({wish.where})" if wish.where else ""
        select = f"SELECT {names} FROM {self.table.name} WHERE {{chunk}}{where}"  # noqa: S608
        if self.origin is not None:
            return select
        order = f" ORDER BY {', '.join(map(quote, wish.upsert))}" if wish.upsert else ""
        conflict = spell_conflict(wish.upsert, self.columns) if wish.upsert else ""
        return (
            f"INSERT INTO {self.into.name} ({names}){spell_override(self.columns)} {select}{order}{conflict}"
        )

    async def _carry_over(self, connection: Connection, condition: str) -> int:
        """From the one connection to the other, as fast as the slower one."""
        origin = await self._at_origin(connection)
        pipe = Pipe()
        query = self.rows.template.fill(condition)

        async def read() -> None:
            try:
                await origin.copy_from_query(query, output=pipe.put, **TEXT)
            finally:
                await pipe.put(None)

        async def hand_over() -> AsyncIterator[bytes]:
            while (piece := await pipe.pieces.get()) is not None:
                yield piece
            await reading  # what it failed by

        reading = asyncio.create_task(read())
        try:
            return await self.deposit.put(connection, hand_over())
        finally:
            pipe.close()
            done, _ = await asyncio.wait((reading,), timeout=DRAINED)
            if not done:
                origin.terminate()
                reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class Pipe:
    """What was read and is not yet written; once it is closed, nothing more is kept."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        self.closed = False

    async def put(self, piece: bytes | None) -> None:
        if not self.closed:
            await self.pieces.put(piece)

    def close(self) -> None:
        self.closed = True
        while not self.pieces.empty():
            self.pieces.get_nowait()
