"""The console's language, PgBouncer's: `WORD [ARGUMENT]`, `SET key = value`, each with or without a `;`.

Ours are `VERB HOST name`, `EXPLAIN ROUTE [FOR database] statement`, `SHOW QUERIES [WINDOW '5m'] [ORDER BY p95]
[LIMIT 20]`, and of limits `SHOW LIMITS [LIMIT 20]`, `EXPLAIN LIMIT rule 'key'`, `RESET LIMIT rule 'key'` and `SET LIMIT
rule 'key' = '500/min burst 50' [FOR '1h']`; `cache_command` has those about kept answers,
`batch_command` those about batches.
"""

import re
from dataclasses import dataclass

from dbproxy.admin.batch_command import BatchCommand, parse_batch
from dbproxy.admin.cache_command import CacheCommand, parse_cache
from dbproxy.admin.quotes import unquote
from dbproxy.errors import CommandFailed
from dbproxy.observe.masking import mask

_WORD = r'(?:"(?:[^"]|"")*"|[0-9a-z_]+)'
_STRING = r"'(?:[^']|'')*'"
_FRACTION = r"[0-9]*\.[0-9]+[a-z]*"  # 0.5, 1.5s
_COMMAND = re.compile(rf"\s*({_WORD})(?:\s+({_WORD}))?\s*", re.IGNORECASE | re.ASCII)
_ORDER = re.compile(rf"\s*(disable|drain|enable)\s+host\s+({_WORD}|{_STRING})\s*", re.IGNORECASE | re.ASCII)
_UNNAMED = re.compile(r"\s*(disable|enable)\s+host\s*", re.IGNORECASE | re.ASCII)  # no database of this name
_QUESTION = re.compile(rf"\s*explain\s+route\s+(?:for\s+({_WORD})\s+)?(\S.*)", re.IGNORECASE | re.DOTALL)
_REPORT = re.compile(
    r"\s*show\s+queries(?:\s+window\s+'?(\w+)'?)?(?:\s+order\s+by\s+(\w+)(?:\s+desc)?)?(?:\s+limit\s+(\d+))?\s*",
    re.IGNORECASE | re.ASCII,
)
_ENTRY = re.compile(r"\s*show\s+query\s+'?([^\s']+)'?\s*", re.IGNORECASE | re.ASCII)
_RULE = rf"({_WORD}|{_STRING}|[\w.+-]+)"  # such as app.tenant_id, database+user
_KEY = rf"({_WORD}|{_STRING}|[^\s='\"]+)"
_LIMITS = re.compile(r"\s*show\s+limits(?:\s+limit\s+(\d{1,6}))?\s*", re.IGNORECASE | re.ASCII)
_LIMIT = re.compile(rf"\s*(explain|reset)\s+limit\s+{_RULE}\s+{_KEY}\s*", re.IGNORECASE)
_SET_LIMIT = re.compile(
    rf"\s*set\s+limit\s+{_RULE}\s+{_KEY}\s*(?:=|\bto\b)\s*({_STRING}|[\w/]+)(?:\s*for\s+({_STRING}|[\w.]+))?\s*",
    re.IGNORECASE,
)
_NO_LIMIT = re.compile(r"\s*(?:explain|set|reset)\s+limit\b.*", re.IGNORECASE | re.DOTALL)
_SET = re.compile(
    rf"\s*set\s+({_WORD}(?:\.{_WORD})?)\s*(?:=|to\b)\s*({_WORD}|{_STRING}|{_FRACTION})\s*",
    re.IGNORECASE | re.ASCII,
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


@dataclass(frozen=True, slots=True)
class Limits:
    """SHOW LIMITS; 0: as many as are shown if nobody says."""

    most: int = 0


@dataclass(frozen=True, slots=True)
class LimitOrder:
    """EXPLAIN, SET or RESET LIMIT: `verb` in lower case; `text` and `duration` are SET's."""

    verb: str
    rule: str
    key: str
    text: str = ""
    duration: str = ""


Parsed = Command | Assignment | Question | Report | Limits | LimitOrder | CacheCommand | BatchCommand


def split(query: str) -> list[str]:
    """The statements of one Query message, the empty ones left out."""
    return [statement.strip() for statement in _STATEMENT.findall(query) if statement.strip()]


def parse(statement: str) -> Parsed:
    """CommandFailed if it is none of these."""
    if found := parse_ours(statement):
        return found
    if match := _ORDER.fullmatch(statement):
        return Command(f"{match[1].lower()} host", unquote(match[2]), statement)
    if match := _QUESTION.fullmatch(statement):
        return Question(unquote(match[1] or ""), match[2])
    if _UNNAMED.fullmatch(statement):
        raise invalid(statement)
    if match := _REPORT.fullmatch(statement):
        names = ("window", "sort", "limit")
        return Report({name: word.lower() for name, word in zip(names, match.groups(), strict=True) if word})
    if match := _ENTRY.fullmatch(statement):
        return Report({}, match[1].lower())
    if match := _COMMAND.fullmatch(statement):
        argument = unquote(match[2] or "")
        if len(argument) > MAX_ARGUMENT:
            raise CommandFailed("bad arguments")
        return Command(unquote(match[1]).lower(), argument, statement)
    if match := _SET.fullmatch(statement):
        return Assignment(unquote(match[1]).lower(), unquote(match[2]))
    raise invalid(statement)


def parse_ours(statement: str) -> Limits | LimitOrder | CacheCommand | BatchCommand | None:
    """What PgBouncer has nothing of."""
    return parse_limits(statement) or parse_cache(statement) or parse_batch(statement)


def parse_limits(statement: str) -> Limits | LimitOrder | None:
    """None if it is not about limits."""
    if match := _LIMITS.fullmatch(statement):
        return Limits(int(match[1] or 0))
    if match := _LIMIT.fullmatch(statement):
        return LimitOrder(match[1].lower(), unquote(match[2]), unquote(match[3]))
    if match := _SET_LIMIT.fullmatch(statement):
        rule, key, text, duration = (unquote(word or "") for word in match.groups())
        return LimitOrder("set", rule, key, text, duration)
    if _NO_LIMIT.fullmatch(statement):
        raise CommandFailed(
            "bad arguments",
            hint="SET LIMIT rule 'key' = '500/min burst 50' [FOR '1h']; RESET or EXPLAIN LIMIT rule 'key'.",
        )
    return None


def invalid(statement: str) -> CommandFailed:
    return CommandFailed(f"invalid command '{mask(statement)}', use SHOW HELP;")
