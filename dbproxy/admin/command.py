"""The console's language, PgBouncer's: `WORD [ARGUMENT]`, `SET key = value`, each with or without a `;`.

Ours are `VERB HOST name`, `EXPLAIN ROUTE [FOR database] statement` and `SHOW QUERIES [WINDOW '5m'] [ORDER BY p95]
[LIMIT 20]`.
"""

import re
from dataclasses import dataclass

from dbproxy.errors import CommandFailed
from dbproxy.observe.masking import mask

_WORD = r'(?:"(?:[^"]|"")*"|[0-9a-z_]+)'
_STRING = r"'(?:[^']|'')*'"
_COMMAND = re.compile(rf"\s*({_WORD})(?:\s+({_WORD}))?\s*", re.IGNORECASE | re.ASCII)
_ORDER = re.compile(rf"\s*(disable|drain|enable)\s+host\s+({_WORD}|{_STRING})\s*", re.IGNORECASE | re.ASCII)
_UNNAMED = re.compile(r"\s*(disable|enable)\s+host\s*", re.IGNORECASE | re.ASCII)  # no database of this name
_QUESTION = re.compile(rf"\s*explain\s+route\s+(?:for\s+({_WORD})\s+)?(\S.*)", re.IGNORECASE | re.DOTALL)
_REPORT = re.compile(
    r"\s*show\s+queries(?:\s+window\s+'?(\w+)'?)?(?:\s+order\s+by\s+(\w+)(?:\s+desc)?)?(?:\s+limit\s+(\d+))?\s*",
    re.IGNORECASE | re.ASCII,
)
_ENTRY = re.compile(r"\s*show\s+query\s+'?([0-9a-f]{16})'?\s*", re.IGNORECASE | re.ASCII)
_SET = re.compile(
    rf"\s*set\s+({_WORD}(?:\.{_WORD})?)\s*(?:=|to\b)\s*({_WORD}|{_STRING})\s*", re.IGNORECASE | re.ASCII
)
_STATEMENT = re.compile(r"""(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^;"'])+""")
MAX_ARGUMENT = 63  # PostgreSQL's NAMEDATALEN - 1


@dataclass(frozen=True, slots=True)
class Command:
    """`verb` is in lower case; `text` is what was typed."""

    verb: str
    argument: str
    text: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """SET: `key` is in lower case."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Question:
    """EXPLAIN ROUTE; `database` is "" for all."""

    database: str
    statement: str


@dataclass(frozen=True, slots=True)
class Report:
    """SHOW QUERIES, with what observe.queries.ask takes; or SHOW QUERY `entry`."""

    words: dict[str, str]
    entry: str = ""


def split(query: str) -> list[str]:
    """The statements of one Query message, the empty ones left out."""
    return [statement.strip() for statement in _STATEMENT.findall(query) if statement.strip()]


def parse(statement: str) -> Command | Assignment | Question | Report:
    """CommandFailed if it is none of these."""
    if match := _ORDER.fullmatch(statement):
        return Command(f"{match[1].lower()} host", _unquote(match[2]), statement)
    if match := _QUESTION.fullmatch(statement):
        return Question(_unquote(match[1] or ""), match[2])
    if _UNNAMED.fullmatch(statement):
        raise invalid(statement)
    if match := _REPORT.fullmatch(statement):
        names = ("window", "sort", "limit")
        return Report({name: word.lower() for name, word in zip(names, match.groups(), strict=True) if word})
    if match := _ENTRY.fullmatch(statement):
        return Report({}, match[1].lower())
    if match := _COMMAND.fullmatch(statement):
        argument = _unquote(match[2] or "")
        if len(argument) > MAX_ARGUMENT:
            raise CommandFailed("bad arguments")
        return Command(_unquote(match[1]).lower(), argument, statement)
    if match := _SET.fullmatch(statement):
        return Assignment(_unquote(match[1]).lower(), _unquote(match[2]))
    raise invalid(statement)


def invalid(statement: str) -> CommandFailed:
    return CommandFailed(f"invalid command '{mask(statement)}', use SHOW HELP;")


def _unquote(word: str) -> str:
    quote = word[:1]
    return word[1:-1].replace(quote * 2, quote) if quote in ('"', "'") and quote else word
