"""Rows that others had when their chunk came, gone through when all others are done: each is a chunk of its own.

In a first round those that somebody still has are passed over again, in the second one they are waited for.
"""

from dbproxy.jobs.batch import omissions
from dbproxy.jobs.batch.key import Cursor
from dbproxy.jobs.batch.ledger import Part
from dbproxy.jobs.batch.source import Chunk, Chunks
from dbproxy.jobs.primary import Connection


class Skipped:
    """Of one round of a batch, which `part` is; `source`: that of the batch."""

    def __init__(self, source: Chunks, part: Part) -> None:
        self.source = source
        self.batch = part.batch
        self.patient = part.round % 2 == 0

    async def check(self, connection: Connection) -> None:
        await self.source.check(connection)

    async def ready(self, part: Part, rows: int) -> bool:
        return True

    async def find(self, connection: Connection, part: Part, rows: int) -> Chunk | None:
        key = await omissions.find_skipped(connection, self.batch, part.cursor)
        return None if key is None else Chunk(key, key, 0)  # it was seen before

    async def take(self, connection: Connection, chunk: Chunk) -> list[Cursor]:
        return [] if self.patient else await self.source.take(connection, chunk)

    async def carry_out(self, connection: Connection, chunk: Chunk) -> int:
        if chunk.without:
            return 0
        rows = await self.source.carry_out(connection, chunk)
        await omissions.settle(connection, self.batch, chunk.upto)
        return rows

    async def halve(self, connection: Connection, chunk: Chunk) -> tuple[Chunk, Chunk] | None:
        return None

    async def name(self, connection: Connection, chunk: Chunk) -> Cursor | None:
        return chunk.upto
