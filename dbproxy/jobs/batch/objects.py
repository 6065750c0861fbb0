r"""Lines of JSON objects as COPY's text, many at once.

What `jsonb_populate_record` makes of a string, a number, true, false or null is what its type's input function makes
of the same text, and so is what COPY does, in a quarter of the time. What is not so plain is left to PostgreSQL:
arrays, objects and columns for them, numbers with an exponent, a zero with a sign, a column that has a default and is
not on each line, and whatever is wrong.

Lines become one array by a comma at their ends. A string that is not closed swallows none, as a newline within it is no
JSON; an object that is not closed swallows none, as each begins with a brace, which is no key; what else is not closed
is no plain value; two objects on a line are one too many.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from dbproxy.jobs.batch.target import Column

FIRST, BLOCK = 8 << 10, 32 << 10  # bytes
FIELD, NULL, RECORD = "\x1f", "\x1d", "\x1e"
CONTROL = ("\\u000", "\\u001")  # as JSON spells these, and all other characters that would be in the way
OPTIONS = {"format": "text", "delimiter": FIELD, "null": NULL}  # of COPY
SIGNED = (f"-0{FIELD}", f"-0{RECORD}")
SIGNED_ZERO = re.compile(f"(?:^|[{FIELD}{RECORD}])-0[{FIELD}{RECORD}]")  # jsonb knows none
WORDS: dict[Any, str] = {None: NULL, True: "true", False: "false"}

Record = dict[str, Any]
Columns = tuple[Column, ...]


class Unsure(Exception):
    """How PostgreSQL reads one of the lines, or whether it does."""


def convert(
    content: bytes, columns: Mapping[str, Column], *, whole: bool = False
) -> Iterator[tuple[Columns, bytes]]:
    """Block by block: the columns, which are those of the first, and lines for COPY. Raises Unsure.

    `whole`: all columns have to be on each line.
    """
    chosen: Columns = tuple(columns.values()) if whole else ()
    for block in divide(content):
        try:
            text = block.decode()
            records = read(text)
            chosen = chosen or choose(columns, records)
            lines = spell(records, chosen, whole=whole)
            if any(zero in lines for zero in SIGNED) and SIGNED_ZERO.search(lines):
                raise ValueError("it may be a zero with a sign")
            yield chosen, (escape(lines) if "\\" in text else lines).replace(RECORD, "\n").encode()
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise Unsure from error


def divide(content: bytes) -> Iterator[bytes]:
    """Into blocks of whole lines, without the last newline of each; small ones first, for a server that waits."""
    start, size = 0, len(content) - content.endswith(b"\n")
    while start < size:
        found = content.find(b"\n", start + min(BLOCK, start + FIRST), size)
        end = size if found < 0 else found
        yield content[start:end]
        start = end + 1


def read(lines: str) -> list[Record]:
    """Numbers are texts. ValueError if a line is not one JSON object, or has a control character."""
    if "\\" in lines and any(spelling in lines for spelling in CONTROL):
        raise ValueError("a control character")
    newlines = lines.count("\n")
    if not lines.startswith("{") or lines.count("\n{") != newlines:
        raise ValueError("a line that does not begin as an object")
    records: list[Record] = DECODER.decode("[" + lines.replace("\n", ",\n") + "]")
    if len(records) != newlines + 1:
        raise ValueError("more than one on a line")
    return records


def read_number(text: str) -> str:
    """ValueError if it has an exponent, which jsonb writes out, or is a zero with a sign, which that leaves out."""
    if "e" in text or "E" in text or (text[0] == "-" and not text.strip("-0.")):
        raise ValueError(text)
    return text


def refuse(text: str) -> str:
    """`NaN` and the like, which are no JSON."""
    raise ValueError(text)


DECODER = json.JSONDecoder(parse_float=read_number, parse_int=str, parse_constant=refuse)


def spell(records: Sequence[Record], columns: Columns, *, whole: bool) -> str:
    """TypeError, AttributeError or LookupError if there is more, or less, than plain values of these columns."""
    names = [column.name for column in columns]
    if not names or set().union(*records).difference(names):
        raise LookupError("no column, or another one")
    try:
        return RECORD.join(map(FIELD.join, map(picking(names), records))) + RECORD
    except (TypeError, LookupError):
        needed = [column.name for column in columns if whole or column.default]
        return RECORD.join(FIELD.join(complete(record, names, needed)) for record in records) + RECORD


def escape(lines: str) -> str:
    return lines.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")


def choose(columns: Mapping[str, Column], records: Sequence[Record]) -> Columns:
    """In their own order, by which PostgreSQL finds the first that is wrong."""
    found = set().union(*records)
    return tuple(column for name, column in columns.items() if name in found)


def picking(names: Sequence[str]) -> Callable[[Record], Sequence[Any]]:
    return itemgetter(*names) if len(names) > 1 else lambda record: (record[names[0]],)


def complete(record: Record, names: Sequence[str], needed: Sequence[str]) -> list[str]:
    """With words for what is no text, and NULL where there is nothing."""
    if len(record) < len(names) and any(name not in record for name in needed):
        raise LookupError("a column is needed")
    values: list[Any] = [record.get(name) for name in names]
    return [WORDS.get(value, value) for value in values]
