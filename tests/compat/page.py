"""The differences that docs/compatibility.md accepts: the table under one heading, a test and a reason in each row."""

import re
from collections.abc import Iterator

HEADING = "asyncpg's own tests"
ROW = re.compile(r"\|\s*`(?P<test>[^`|]+)`\s*\|\s*(?P<reason>[^|]*?)\s*\|")
FRAME = re.compile(r"\|(\s*test\s*\|\s*reason\s*|[\s:-]+\|[\s:-]+)\|")


class PageError(Exception):
    """The page cannot be read as meant; says which line."""


def parse(text: str) -> dict[str, str]:
    """The reason for each test listed."""
    listed: dict[str, str] = {}
    for line in _table(text):
        row = ROW.fullmatch(line)
        if not row or not row["reason"]:
            raise PageError(f"not a row of | `test` | reason |: {line}")
        if row["test"] in listed:
            raise PageError(f"listed twice: {row['test']}")
        listed[row["test"]] = row["reason"]
    return listed


def _table(text: str) -> Iterator[str]:
    """The section's rows without its frame."""
    sections = re.split(r"^#+ +(.*?) *$", text, flags=re.MULTILINE)
    titles = sections[1::2]
    if titles.count(HEADING) != 1:
        raise PageError(f"there must be one heading '{HEADING}', and not {titles.count(HEADING)}")
    lines = map(str.strip, sections[2::2][titles.index(HEADING)].splitlines())
    return (line for line in lines if line.startswith("|") and not FRAME.fullmatch(line))
