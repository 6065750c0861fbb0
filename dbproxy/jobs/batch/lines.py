"""The source of `load`: the lines of a file or a pipe."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg
import structlog

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.deposit import Deposit, check_format, choose_deposit
from dbproxy.jobs.batch.formats import BOM
from dbproxy.jobs.batch.intake import PATIENCE, Intake, Place, read_place
from dbproxy.jobs.batch.key import INDEXES, Cursor, read_index
from dbproxy.jobs.batch.ledger import Part
from dbproxy.jobs.batch.load import FIELDS, Order, refuse_retry, spell_load
from dbproxy.jobs.batch.records import Cut
from dbproxy.jobs.batch.rejects import find_obstacle, write_rejects
from dbproxy.jobs.batch.source import Chunk, Fault
from dbproxy.jobs.batch.stream import Stream
from dbproxy.jobs.batch.survey import survey
from dbproxy.jobs.batch.target import Column, Target, check_same, check_upsert, read_target
from dbproxy.jobs.primary import Connection

log = structlog.get_logger(__name__)

SAMPLE = 512 << 10  # bytes by which lines are estimated
LITERAL_END = re.compile(
    rb"(?:\A|\n)\\\.\r?(?:\n|\Z)"
)  # until PostgreSQL 18, the end of the data even in CSV
LITERAL_END_UNTIL = 18
AT_LINE = re.compile(r"^COPY .*?, \D*(\d+)", re.MULTILINE)  # in any language; at worst it is not there


@dataclass
class Lines:
    order: Order
    intake: Intake = field(init=False)
    into: Target = field(init=False)
    columns: tuple[Column, ...] = field(init=False, default=())
    fields: list[str] = field(init=False, default_factory=list)  # of CSV; of JSON those alone that are chosen
    deposit: Deposit = field(init=False)
    begin: Place = field(init=False, default=Place())  # behind the header
    header: bytes = field(init=False, default=b"")
    version: int = field(init=False, default=0)
    suspect: int = field(init=False, default=-1)
    kind = "load"
    key = ("line",)

    def __post_init__(self) -> None:
        self.intake = Intake(Stream(self.order.path), self.order.format.splitter)

    @property
    def statement(self) -> str:
        return spell_load(self.options)

    @property
    def target(self) -> str:
        return self.into.name

    @property
    def options(self) -> Mapping[str, Any]:
        return {**asdict(self.order), FIELDS: self.fields}

    @property
    def litters(self) -> bool:
        return bool(self.order.upsert)

    async def prepare(self, connection: Connection) -> None:
        order = self.order
        if order.is_its_own_bad():
            raise JobRefused(
                f"{order.path} is to be loaded: its bad lines cannot go there", hint="Another --bad."
            )
        bad = order.find_bad("ID")
        if obstacle := find_obstacle(bad):
            raise JobRefused(f"bad lines cannot go to {bad}: {obstacle}", hint="--bad says where they go.")
        await check_format(connection, order.format)
        self.version = connection.get_server_version().major
        self.into = await read_target(connection, order.table)
        await self.intake.stream.open()
        chosen = await self._choose_columns()
        self.columns = self.into.choose(chosen)
        self.fields = [column.name for column in self.columns] if order.format.kind == "csv" else list(chosen)
        if order.upsert:
            await check_upsert(connection, self.into, order.upsert, self.columns)
        self.deposit = choose_deposit(self.into, self.columns, order.upsert, order.format)

    async def close(self) -> None:
        await self.intake.close()

    async def plan(self, connection: Connection, rows: int) -> list[str]:
        order, stream = self.order, self.intake.stream
        packed = ", packed" if stream.packed else ""
        size = f"{stream.size} bytes{packed}" if stream.size else f"a pipe{packed}"
        header = f", {tell_header(order, self.header)}" if order.format.kind == "csv" else ""
        changes = ", ".join(f"{column.name} {column.type}" for column in self.columns)
        kind = "UPSERT" if order.upsert else "LOAD"
        found = await survey(connection, self.into.oid, kind, [column.name for column in self.columns])
        upsert = f"rows with the same ({', '.join(order.upsert)}) are replaced" if order.upsert else ""
        return [
            f"{stream.name}: {size}, {order.format.kind}{header}",
            f"columns: {changes}",
            *([upsert] if upsert else [await self._tell_unique(connection)]),
            *found.lines(),
        ]

    async def rehearse(self, connection: Connection) -> None:
        return  # it has no statement

    async def check(self, connection: Connection) -> None:
        await check_same(connection, self.into)

    async def divide(self, connection: Connection, workers: int) -> list[tuple[Cursor | None, Cursor | None]]:
        return [(None, None)]

    async def estimate(self, connection: Connection) -> int:
        """By the length of the first lines; 0 of a pipe."""
        stream = self.intake.stream
        if not stream.size:
            return 0
        while self.intake.read < SAMPLE and not self.intake.ended and await self.intake.fill(PATIENCE):
            pass
        content, records, _ = self.intake.take(SAMPLE)
        if self.intake.ended or not records or stream.raw is None:
            return records
        size = stream.size * self.intake.read / max(1, stream.raw.taken) if stream.packed else stream.size
        return int(size * records / len(content))

    async def ready(self, part: Part, rows: int) -> bool:
        return await self.intake.go_to(self._read(part.cursor)) and await self.intake.gather(rows)

    async def find(self, connection: Connection, part: Part, rows: int) -> Chunk | None:
        content, records, end = self.intake.take(rows)
        if not records:
            return None
        return Chunk(part.cursor, end.cursor, records, content)

    async def take(self, connection: Connection, chunk: Chunk) -> list[Cursor]:
        return []

    async def carry_out(self, connection: Connection, chunk: Chunk) -> int:
        content = chunk.content
        if self.version < LITERAL_END_UNTIL and b"\\." in content and LITERAL_END.search(content):
            raise Fault("22P04", f"to PostgreSQL {self.version} a line of \\. is the end of all lines")
        self.intake.read_on(chunk.rows)
        try:
            changed = await self.deposit.put(connection, content)
        except asyncpg.PostgresError as error:
            self.suspect = self._find_suspect(chunk, str(error.context or ""))
            raise
        await check_same(connection, self.into)  # that has its locks now, and cannot become another
        return changed

    async def carry_out_one(self, connection: Connection, key: Cursor) -> int:
        raise refuse_retry(self.order, "ID")

    async def halve(self, connection: Connection, chunk: Chunk) -> tuple[Chunk, Chunk] | None:
        if chunk.rows < 2:
            return None
        cut = self._choose_cut(chunk)
        first, second = chunk.content[: cut.size], chunk.content[cut.size :]
        middle = self._read(chunk.after).behind(first).cursor
        return (
            Chunk(chunk.after, middle, cut.records, first),
            Chunk(middle, chunk.upto, chunk.rows - cut.records, second),
        )

    async def name(self, connection: Connection, chunk: Chunk) -> Cursor | None:
        return (str(self._read(chunk.after).line + 1),)

    async def sweep(self, connection: Connection) -> Cursor | None:
        return None

    async def verify(self, connection: Connection) -> int | None:
        return None

    async def finish(self, connection: Connection, batch: str) -> None:
        """Have the bad lines in their file, beside why they are."""
        try:
            await write_rejects(connection, batch, self.order.find_bad(batch), self.header)
        except OSError as error:
            log.warning("the file of bad lines cannot be written", batch=batch, reason=str(error))

    async def _tell_unique(self, connection: Connection) -> str:
        indexes = [read_index(row) for row in await connection.fetch(INDEXES, self.into.oid)]
        listed = [f"{one.name} ({', '.join(column.name for column in one.columns)})" for one in indexes]
        return (
            f"a line whose row is there already, by {', '.join(listed)}, is left out"
            if listed
            else "no unique key: nothing is left out as there already"
        )

    async def _choose_columns(self) -> tuple[str, ...]:
        """By the header or the first line, where they say it. JobRefused if they cannot be."""
        order, intake = self.order, self.intake
        while len(intake.data) < len(BOM) and not intake.ended:
            await intake.fill(PATIENCE)
        if intake.data.startswith(BOM):
            self.begin = Place().behind(BOM)
            await intake.go_to(self.begin)
        if order.header == "none" or (order.columns and order.format.kind == "ndjson"):
            return order.columns
        while not await intake.gather(1):
            pass
        first, _, end = intake.take(1)
        if not first:
            return order.columns
        if order.format.kind == "ndjson":
            return read_keys(first) if order.upsert else ()
        order.format.check_ends(first)
        self.header, self.begin = first, end
        return order.columns if order.header == "skip" else self._match(order.format.read_header(first))

    def _match(self, names: list[str]) -> tuple[str, ...]:
        known = {column.name for column in self.into.columns}
        if missing := [name for name in names if name not in known]:
            raise JobRefused(
                f"the first line is no header: {self.target} has no column {', '.join(missing[:5])}",
                hint="--header none if it has none; --header skip and --columns if its names are others.",
            )
        if self.order.columns and list(self.order.columns) != names:
            raise JobRefused(
                f"the header has {', '.join(names)}, not {', '.join(self.order.columns)}",
                hint="--header skip passes over it.",
            )
        return tuple(names)

    def _find_suspect(self, chunk: Chunk, context: str) -> int:
        """Where the record begins that COPY was at, as a number of bytes of the stream; -1 if it does not say."""
        found = AT_LINE.search(context)
        if found is None:
            return -1
        lines = int(found[1]) - 1  # that are before the last line of the record
        before = chunk.content.split(b"\n", lines)
        size = len(chunk.content) - len(before[lines]) if len(before) > lines else 0
        cut = self.intake.splitter.extend(Cut(), bytearray(chunk.content[:size]), chunk.rows, size)
        return self._read(chunk.after).offset + cut.size

    def _choose_cut(self, chunk: Chunk) -> Cut:
        """Before the record that COPY was at, or behind it if it is the first; else in the middle."""
        data, begin = bytearray(chunk.content), self._read(chunk.after).offset
        splitter = self.intake.splitter
        if begin < self.suspect < begin + len(data):
            return splitter.extend(Cut(), data[: self.suspect - begin], chunk.rows, len(data))
        return splitter.extend(Cut(), data, 1 if self.suspect == begin else chunk.rows // 2, len(data))

    def _read(self, cursor: Cursor | None) -> Place:
        return self.begin if cursor is None else read_place(cursor)


def tell_header(order: Order, found: bytes) -> str:
    if order.header == "none":
        return "no header"
    return "with header" if found else "empty, without even a header"


def read_keys(line: bytes) -> tuple[str, ...]:
    """Of a JSON object. JobRefused if it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise JobRefused("the first line is no JSON object", hint="--columns says what an upsert sets.")
    return tuple(found)
