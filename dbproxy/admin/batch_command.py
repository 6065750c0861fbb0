"""What the console is asked about batches.

SHOW BATCHES
PAUSE | RESUME | CANCEL BATCH id [database]
SET BATCH id [database] key = value
"""

import re
from dataclasses import dataclass

from dbproxy.admin.quotes import unquote
from dbproxy.errors import CommandFailed

_ID = r"""("(?:[^"]|"")*"|'(?:[^']|'')*'|[\w.$+-]+)"""
_SHOW = re.compile(r"\s*show\s+batches\s*", re.IGNORECASE | re.ASCII)
_ORDER = re.compile(rf"\s*(pause|resume|cancel)\s+batch\s+{_ID}(?:\s+{_ID})?\s*", re.IGNORECASE)
_SET = re.compile(
    rf"\s*set\s+batch\s+{_ID}(?:\s+(?!to\b){_ID})?\s+([a-z_][\w.]*)\s*(?:=|\bto\b)\s*('(?:[^']|'')*'|[\w.:/-]+)\s*",
    re.IGNORECASE,
)
_MEANT = re.compile(
    r"\s*(?:(?:pause|resume|cancel)\s+batch(?:\s.*)?|set\s+batch\s+(?!=|to\b).*)", re.IGNORECASE | re.DOTALL
)
HINT = "PAUSE, RESUME or CANCEL BATCH id [database]; SET BATCH id [database] chunk_size = 500. SHOW BATCHES lists them."


@dataclass(frozen=True, slots=True)
class BatchReport:
    """SHOW BATCHES."""


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """`verb`: pause, resume, cancel or set, which has `key` and `value`; `database` is "" if the id says enough."""

    verb: str
    name: str
    database: str = ""
    key: str = ""
    value: str = ""


BatchCommand = BatchReport | BatchOrder


def parse_batch(statement: str) -> BatchCommand | None:
    """None if it is not about batches; `PAUSE "batch"` is about a database of that name."""
    if _SHOW.fullmatch(statement):
        return BatchReport()
    if match := _ORDER.fullmatch(statement):
        return BatchOrder(match[1].lower(), unquote(match[2]), unquote(match[3] or ""))
    if match := _SET.fullmatch(statement):
        return BatchOrder(
            "set", unquote(match[1]), unquote(match[2] or ""), match[3].lower(), unquote(match[4])
        )
    if _MEANT.fullmatch(statement):
        raise CommandFailed("bad arguments", hint=HINT)
    return None
