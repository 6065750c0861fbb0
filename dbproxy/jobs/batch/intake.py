"""What was read of a stream and is not yet known to be in the database.

Its front is where the ledger is, or before. A place is a number of bytes and of lines, unpacked, and a sum (CRC-32) of
all bytes before it; whoever resumes gives the same bytes again, and they are summed up as they are skipped.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from zlib import crc32

from dbproxy.errors import JobFailed
from dbproxy.jobs.batch.key import Cursor
from dbproxy.jobs.batch.records import Cut, Splitter
from dbproxy.jobs.batch.stream import Stream

CHUNK = 1 << 20  # bytes: no chunk is larger unless by one record
LONGEST = 16 << 20  # bytes: of a record
PATIENCE = 1.0  # seconds that are waited for a pipe before what there is of it is taken


@dataclass(frozen=True, slots=True)
class Place:
    offset: int = 0
    line: int = 0
    sum: int = 0

    def behind(self, content: bytes | bytearray) -> "Place":
        return Place(self.offset + len(content), self.line + content.count(b"\n"), crc32(content, self.sum))

    @property
    def cursor(self) -> Cursor:
        return (str(self.offset), str(self.line), f"{self.sum:08x}")


def read_place(cursor: Cursor) -> Place:
    offset, line, checksum = cursor
    return Place(int(offset), int(line), int(checksum, 16))


class Intake:
    """`taken` lies between `front`, where the ledger is as far as is known, and `data`, which is read on meanwhile."""

    def __init__(self, stream: Stream, splitter: Splitter) -> None:
        self.stream = stream
        self.splitter = splitter
        self.front = Place()
        self.taken = b""
        self.end = Place()  # of `taken`
        self.data = bytearray()
        self.cut = Cut()  # of `data`, as far as was looked at
        self.ended = False
        self.until = 0.0  # when a pipe has been waited for long enough
        self.ahead: asyncio.Task[bool] | None = None

    @property
    def read(self) -> int:
        """Bytes of the stream, so far."""
        return self.front.offset + len(self.taken) + len(self.data)

    async def fill(self, patience: float) -> bool:
        """Whether something came, or the end did."""
        block = await self.stream.read(patience)
        if block is None:
            return False
        self.ended = not block
        self.data += block
        return True

    async def go_to(self, place: Place) -> bool:
        """Skip to it; False if the stream is slow: call again. JobFailed if it is not the same stream."""
        if self.taken and place == self.end:  # as those bytes were summed up already
            self.front, self.taken = place, b""
            return True
        await self._stand_still()
        self._put_back()
        if place.offset < self.front.offset:
            await self._start_again()
        while self.front.offset < place.offset:
            if not self.data:
                if self.ended:
                    raise self._another("it ends before that")
                if not await self.fill(PATIENCE):
                    return False
            self._drop(place.offset - self.front.offset)
        if self.front != place:
            raise self._another("what comes before it has changed")
        return True

    def read_on(self, records: int) -> None:
        """Gather so many behind what was taken, while that is carried out."""
        if self.ahead is None:
            self.until = monotonic() + PATIENCE
            self.ahead = asyncio.create_task(self._gather(records))

    async def gather(self, records: int) -> bool:
        """Have so many in `data`, or those that there are; False if the stream is slow and has none yet."""
        if self.ahead is None:
            self.until = monotonic() + PATIENCE
            return await self._gather(records)
        ahead, self.ahead = self.ahead, None
        return await ahead and await self._gather(records)

    async def _gather(self, records: int) -> bool:
        while True:
            self.cut = self.splitter.extend(self.cut, self.data, records, CHUNK)
            if self.cut.records >= records or self.ended or self._is_full():
                return True
            if not await self.fill(max(0.0, self.until - monotonic())):
                return self.cut.records > 0

    def take(self, records: int) -> tuple[bytes, int, Place]:
        """So many records at the front, how many they are, and where they end; they are kept until `go_to`."""
        self._put_back()
        known = self.cut if self.cut.records <= records else Cut()
        cut = self.splitter.extend(known, self.data, records, CHUNK)
        rest = len(self.data) - cut.size
        if self.ended and rest and cut.records < records and (not cut.records or len(self.data) <= CHUNK):
            cut = Cut(len(self.data), cut.records + 1)  # the last one has no newline
        self.taken = bytes(memoryview(self.data)[: cut.size])
        self.end = self.front.behind(self.taken)
        del self.data[: cut.size]
        self.cut = Cut()
        return self.taken, cut.records, self.end

    async def close(self) -> None:
        await self._stand_still()
        await self.stream.close()

    async def _stand_still(self) -> None:
        """What was read on stays; what was wrong with it comes again."""
        if self.ahead is not None:
            self.ahead.cancel()
            await asyncio.gather(self.ahead, return_exceptions=True)
            self.ahead = None

    def _put_back(self) -> None:
        if self.taken:
            self.data[:0] = self.taken
            self.taken, self.cut = b"", Cut()

    def _is_full(self) -> bool:
        if not self.cut.records and len(self.data) > LONGEST:
            line = (self.end if self.taken else self.front).line + 1
            raise JobFailed(
                f"{self.stream.name} has a record of more than {LONGEST >> 20} MiB at line {line}",
                hint="Is a quote not closed there? Or is --quote another character?",
            )
        return self.cut.records > 0 and len(self.data) >= CHUNK

    def _drop(self, size: int) -> None:
        self.front = self.front.behind(self.data[:size])
        del self.data[:size]
        self.cut = Cut()

    async def _start_again(self) -> None:
        if not self.stream.can_reopen:
            raise JobFailed(
                f"the database is behind what was read of {self.stream.name}",
                hint="Resume, with the same input from its beginning.",
            )
        await self.stream.reopen()
        self.front, self.cut, self.ended = Place(), Cut(), False
        self.data.clear()

    def _another(self, why: str) -> JobFailed:
        return JobFailed(
            f"{self.stream.name} is not what was loaded up to line {self.front.line}: {why}",
            hint="Resume with the same input, from its beginning; or load the other one with another --id.",
        )
