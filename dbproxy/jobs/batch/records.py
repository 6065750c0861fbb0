r"""Where the records of a text end.

A newline ends a record of CSV unless it is within quotes, which it is if an odd number of them comes before it: that is
how COPY divides its lines (RFC 4180). So of a block only quotes and newlines are looked at, and pairs of quotes on one
line say nothing; all of this is done by `bytes` itself. An escape that is no quote (`\"`) has to be read as it comes.
"""

import re
from dataclasses import dataclass

BLOCK = 128 << 10  # bytes that are looked at together


@dataclass(frozen=True, slots=True)
class Cut:
    """So many bytes from the beginning are so many whole records."""

    size: int = 0
    records: int = 0


class Splitter:
    """`quote`: "" if a newline ends a record wherever it is; both are one byte."""

    def __init__(self, quote: str = "", escape: str = "") -> None:
        self.quote = quote.encode()
        self.others = bytes(byte for byte in range(256) if byte not in self.quote + b"\n")
        self.pattern = None
        if quote and escape and escape != quote:
            q, e = re.escape(self.quote), re.escape(escape.encode())
            plain, within = rb"[^\n" + q + rb"]*+", rb"(?:[^" + q + e + rb"]++|" + e + rb".?)*+"
            self.pattern = re.compile(plain + rb"(?:" + q + within + q + plain + rb")*+\n", re.DOTALL)

    def extend(self, cut: Cut, data: bytearray, records: int, size: int) -> Cut:
        """As many whole records of `data` as there are, but not more than these, or than fit into `size` bytes.

        The first may be longer than `size`.
        """
        block = BLOCK
        while cut.records < records and cut.size < min(size, len(data)):
            end = min(cut.size + block, size)
            more = self._cut(bytes(memoryview(data)[cut.size : end]), records - cut.records)
            if more.size:
                cut = Cut(cut.size + more.size, cut.records + more.records)
            elif end >= len(data):
                break  # it is not whole yet
            elif end < size:
                block *= 2
            elif cut.size:
                break  # it does not fit
            else:
                records, size, block = 1, size * 2, block * 2
        return cut

    def _cut(self, block: bytes, records: int) -> Cut:
        if self.pattern is not None:
            return self._read(block, records)
        found, lines = self._count(block, records)
        if not found:
            return Cut()
        if lines == block.count(b"\n"):  # as it is of all blocks but the last one
            return Cut(block.rindex(b"\n") + 1, found)
        return Cut(len(block) - len(block.split(b"\n", lines)[lines]), found)

    def _count(self, block: bytes, records: int) -> tuple[int, int]:
        """How many records of those wanted are whole, and how many newlines they have."""
        marks = block.translate(None, self.others)
        if self.quote:
            marks = marks.replace(self.quote * 2, b"")
        pieces = marks.split(self.quote) if self.quote else [marks]
        found = lines = passed = 0
        for number, piece in enumerate(pieces):
            if number % 2 == 0 and piece:  # outside of quotes
                taken = min(len(piece), records - found)
                found += taken
                lines = passed + taken
                if found == records:
                    break
            passed += len(piece)
        return found, lines

    def _read(self, block: bytes, records: int) -> Cut:
        assert self.pattern is not None
        size = found = 0
        while found < records and (match := self.pattern.match(block, size)):
            size, found = match.end(), found + 1
        return Cut(size, found)
