"""What the console is asked about kept answers.

SHOW CACHE TABLES | QUERIES | BYPASS [LIMIT number]
EXPLAIN CACHE [FOR database] statement
INVALIDATE CACHE [ALL | TABLE name | QUERY id | TAG tag] [database]
"""

import re
from dataclasses import dataclass

from dbproxy.admin.quotes import unquote
from dbproxy.errors import CommandFailed

_WORD = r'(?:"(?:[^"]|"")*"|[\w$]+)'
_NAME = rf"({_WORD}(?:\.{_WORD})?|'(?:[^']|'')*')"
_SHOW = re.compile(
    r"\s*show\s+cache\s+(tables|queries|bypass)(?:\s+limit\s+(\d{1,6}))?\s*", re.IGNORECASE | re.ASCII
)
_EXPLAIN = re.compile(rf"\s*explain\s+cache\s+(?:for\s+({_WORD})\s+)?(\S.*)", re.IGNORECASE | re.DOTALL)
_INVALIDATE = re.compile(
    rf"\s*invalidate\s+cache(?:\s+(?:(all)|(table|query)\s+{_NAME}|(tag)\s+([\w:-]+|'[\w:-]+')))?(?:\s+(?!(?:table|query|tag)\b)({_WORD}))?\s*",
    re.IGNORECASE,
)
_MEANT = re.compile(r"\s*(?:explain|invalidate)\s+cache\b.*", re.IGNORECASE | re.DOTALL)
HINT = "INVALIDATE CACHE [ALL | TABLE name | QUERY id | TAG tag] [database]; EXPLAIN CACHE [FOR database] statement."


@dataclass(frozen=True, slots=True)
class CacheReport:
    """`what`: tables, queries or bypass; `most` of them, 0: as many as are shown if nobody says."""

    what: str
    most: int = 0


@dataclass(frozen=True, slots=True)
class CacheQuestion:
    """EXPLAIN CACHE; `database` is "" for all."""

    database: str
    statement: str


@dataclass(frozen=True, slots=True)
class CacheOrder:
    """INVALIDATE CACHE: `what` is all, table, query or tag; `database` is "" for all."""

    what: str
    name: str
    database: str


CacheCommand = CacheReport | CacheQuestion | CacheOrder


def parse_cache(statement: str) -> CacheCommand | None:
    """None if it is not about kept answers, or is SHOW CACHE."""
    if match := _SHOW.fullmatch(statement):
        return CacheReport(match[1].lower(), int(match[2] or 0))
    if match := _EXPLAIN.fullmatch(statement):
        text = match[2].strip()
        quoted = text[:1] == text[-1:] == '"' and len(text) > 1
        return CacheQuestion(unquote(match[1] or ""), unquote(text) if quoted else text)
    if match := _INVALIDATE.fullmatch(statement):
        what = (match[1] or match[2] or match[4] or "all").lower()
        name = _read_name(match[3]) if match[3] else unquote(match[5] or "")
        return CacheOrder(what, name, unquote(match[6] or ""))
    if _MEANT.fullmatch(statement):
        raise CommandFailed("bad arguments", hint=HINT)
    return None


def _read_name(text: str) -> str:
    """As the catalog has it: a quoted part as it is, others in small letters."""
    if text[:1] == "'":
        return unquote(text)
    return ".".join(unquote(part) if part[:1] == '"' else part.lower() for part in re.findall(_WORD, text))
