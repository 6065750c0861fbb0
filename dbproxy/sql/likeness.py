# cython: boundscheck=False, wraparound=False
"""Texts that differ in nothing but numbers and plain strings are of one shape: that is seen without a look at the rest.

A program that writes its values into its statements sends a new text each time, and finding its shape takes longer than
all else that we do to a query. A *pattern* is a text with marks for such values (`sql.shape.find_pattern`); whatever
fits it has the same shape. Why: the lexer reads from left to right, and what it makes of a byte depends on those before
it and the next few. A number is marked only if it is all digits and nothing behind it could belong to it, a string only
if it has no prefix, no quote and no backslash: what follows is read the same, whatever the value. So it is in a comment
that tells who asks (sql.comments), if the value has no `*` that could end it.
"""

import re

from dbproxy.sql.identity import Shape
from dbproxy.sql.shape import NUMBER, STRING, TAG, find_pattern

LIMIT = 1024  # longer texts are not remembered
SLOTS = 4096  # a power of two
_UNFIT = re.compile(
    rb"[\\\1\2\3]"
)  # what a backslash means is not the same for all clients; the others are marks
_MARK = re.compile(rb"[\1\2\3]")
_ZERO, _NINE, _QUOTE, _STAR, _BACKSLASH = 0x30, 0x39, 0x27, 0x2A, 0x5C


class Likeness:
    """A pattern, and the shape of every text that fits it. `head`: what comes before its first mark; `tail`."""

    def __init__(self, pattern: bytes, shape: Shape) -> None:
        mark = _MARK.search(pattern)
        end = mark.start() if mark else len(pattern)
        self.head = pattern[:end]
        self.tail = pattern[end:]
        self.shape = shape

    def covers(self, chunk: bytes, start: int, stop: int) -> bool:
        """Whether `chunk[start:stop]` fits."""
        text = chunk
        end = start + len(self.head)
        return end <= stop and text[start:end] == self.head and fits(self.tail, chunk, end, stop)


class Likenesses:
    """One pattern for each of `SLOTS` hashes, the last one seen."""

    def __init__(self) -> None:
        self.slots: list[Likeness | None] = [None] * SLOTS
        self.last: Likeness | None = None

    def find(self, chunk: bytes, start: int, stop: int) -> Shape | None:
        """The shape of `chunk[start:stop]`, if it fits a pattern."""
        likeness = self.last
        if likeness is not None and likeness.covers(chunk, start, stop):
            return likeness.shape
        if stop - start > LIMIT:
            return None
        likeness = self.slots[place(chunk, start, stop)]
        if likeness is not None and likeness.covers(chunk, start, stop):
            self.last = likeness
            return likeness.shape
        return None

    def add(self, text: bytes, shape: Shape) -> None:
        """`shape` is the text's, and no literal decides what its texts do."""
        if len(text) <= LIMIT and not _UNFIT.search(text):
            self.slots[place(text, 0, len(text))] = Likeness(find_pattern(text), shape)


def fits(pattern: bytes, chunk: bytes, start: int, stop: int) -> bool:
    """Whether `chunk[start:stop]` differs from the pattern's text only in the values that are marked."""
    wanted = pattern
    text = chunk
    at = start
    i = 0
    size = len(pattern)
    while at < stop and i < size:
        byte = wanted[i]
        if byte == text[at] and byte > TAG:
            at += 1
        elif byte == NUMBER and _ZERO <= text[at] <= _NINE:
            while at < stop and _ZERO <= text[at] <= _NINE:
                at += 1
        elif byte == STRING:
            while at < stop and text[at] != _QUOTE:
                if text[at] == _BACKSLASH:
                    return False
                at += 1
        elif byte == TAG:
            while at < stop and text[at] != _QUOTE:
                if text[at] == _STAR or text[at] == _BACKSLASH:
                    return False
                at += 1
        else:
            return False
        i += 1
    return at == stop and i == size


def place(chunk: bytes, start: int, stop: int) -> int:
    """A slot: the hash of what is neither a digit nor between quotes."""
    text = chunk
    hashed = 0
    quoted = False
    for at in range(start, stop):
        byte = text[at]
        if byte == _QUOTE:
            quoted = not quoted
        elif not quoted and not _ZERO <= byte <= _NINE:
            hashed = (hashed * 31 + byte) & 0xFFFFFF
    return (hashed ^ hashed >> 12) & SLOTS - 1
