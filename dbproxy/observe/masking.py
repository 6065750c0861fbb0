"""Hides secrets in whatever is about to be logged. When in doubt it hides too much, never too little.

What was looked at lately is kept: events say much the same again and again.

By form: passwords, tokens and keys, e-mail addresses, card numbers. By place: what PostgreSQL's messages quote as a
value (`invalid value for parameter "TimeZone": "…"`), and all that is under a key that names a secret.

Who is not let in yet says what his name is, which is looked at, too: no rule may take more than a time in proportion to
the text's length, whatever that is. So none has alternatives in a repetition that could match the same text.
"""

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any

MASK = "***"
_DEPTH = 6  # of nested values that are looked into
_KEPT = 1024  # texts of each kind, up to SHORT characters
_SHORT = 100

_RULES = [
    # postgresql://user:secret@host: up to the last @ of this URL, as a careless secret may hold one itself
    (re.compile(r"(://[^\s:/@]*:)(?:(?!://)\S)*@"), rf"\1{MASK}@"),
    # password=secret in a connection string or URL, password = "secret" in TOML, "password": "secret" in JSON
    (
        re.compile(
            r"""((?:password|passwd|passphrase|pwd|secret|token|credentials?|(?:api|access|private)[-_]?key)["']?\s*[=:]\s*)"""
            r"""(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.|'')*(?:'|$)|(?:\\.|[^\s"'\\])(?:\\.|\S)*)""",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1{MASK}",
    ),
    # CREATE ROLE … PASSWORD '…', perhaps behind a comment: all that follows, as the session says where the string ends
    (
        re.compile(r"(\bPASSWORD\s*)(?:(?:E|N|U&)?'|\$|/\*|--).*", re.IGNORECASE | re.DOTALL),
        rf"\1{MASK}",
    ),
    # the same without quotes, or in those of a name: a mistake, and a secret all the same
    (
        re.compile(
            r"(\b(?:ALTER|CREATE)\s+(?:ROLE|USER|GROUP)\s"
            r"""(?:[^;]{0,200}?|(?:"[^"]*"|[^;"]){0,200}?)"""  # the statement: a quoted name may have a semicolon
            r"\sPASSWORD(?:\s+|(?=\")))(?!\s|NULL\b|\$\?|\*\*\*).+",
            re.IGNORECASE | re.DOTALL,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(SCRAM-SHA-\d+(?:-PLUS)?\$)[^\s'\"]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\bmd5[0-9a-f]{32}", re.IGNORECASE), f"md5{MASK}"),
    (
        re.compile(
            r"""(\bauthorization["']?\s*[=:]\s*["']?)(?:(?:basic|bearer|digest)\s+)?[\w.~+/=-]+""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),
    # Tokens that say what they are: JSON Web Tokens, Stripe's, GitHub's, GitLab's, Slack's, AWS's, Google's
    (
        re.compile(
            r"\b(?:eyJ[\w-]{8,1000}\.[\w-]+\.[\w-]*|[spr]k_(?:live|test)_\w{8,}|gh[pousr]_\w{16,}|github_pat_\w{16,}"
            r"|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,})"
        ),
        MASK,
    ),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*", re.DOTALL), rf"\1{MASK}"),
]
_EMAIL = re.compile(
    r"(?<![\w.+%-])(?<!://)[\w.+%-]{1,64}?(?:@|%40)(?:[\w-]{1,63}\.)+[^\W\d_]{2,}", re.IGNORECASE
)
_DIGITS = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,}(?!\w)")  # a card's, and perhaps its date behind them
_GROUPS = re.compile(r"\d+")
_CARD = range(13, 20)  # digits
_SECRET_KEY = re.compile(
    r"password|passwd|passphrase|secret|token|verifier|credential|api_?key", re.IGNORECASE
)
_OURS = frozenset({"timestamp", "level", "area", "address"})  # what nobody else has a word in
_NAMES = frozenset({"user", "database"})  # under these an e-mail address is a name
_TRACE = frozenset({"traceparent", "trace_id"})  # hexadecimal digits, as sql.tags has seen to
_WORDS = frozenset({"error", "reason", "message", "detail"})  # of PostgreSQL's, perhaps
_QUOTED_VALUE = re.compile(r"(:\s?)(?:\"[^\"]*\"?|«[^»]*»?|„[^“]*“?)")


def mask(text: str) -> str:
    """`text` without the secrets that can be told by their form."""
    return _mask_again(text) if len(text) <= _SHORT else _mask(text)


def mask_words(text: str) -> str:
    """The same of PostgreSQL's words, which quote values."""
    return _mask_words_again(text) if len(text) <= _SHORT else _mask_words(text)


def mask_name(text: str) -> str:
    """The same of somebody's name, which may be an e-mail address."""
    return _mask_name_again(text) if len(text) <= _SHORT else _mask_name(text)


def _mask_words(text: str) -> str:
    return _QUOTED_VALUE.sub(rf"\1{MASK}", mask(text))


def _mask(text: str) -> str:
    return _EMAIL.sub(MASK, mask_name(text))


def _mask_name(text: str) -> str:
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _DIGITS.sub(_mask_cards, text)


_mask_again = lru_cache(_KEPT)(_mask)
_mask_words_again = lru_cache(_KEPT)(_mask_words)
_mask_name_again = lru_cache(_KEPT)(_mask_name)


def is_card(digits: str) -> bool:
    """Whether it may be a payment card's number: its length, its issuer and its check digit (ISO/IEC 7812) fit."""
    if len(digits) not in _CARD or digits[0] not in "23456":
        return False
    numbers = [int(digit) for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(sum(divmod(2 * number, 10)) for number in numbers[1::2])) % 10 == 0


def _mask_cards(found: re.Match[str]) -> str:
    """A card's number may be written in groups, with others ahead of it and behind."""
    text = found[0]
    groups = list(_GROUPS.finditer(text))
    parts, kept, first = [], 0, 0
    while first < len(groups):
        after = _find_card(groups, first)
        if after > first:
            parts += [text[kept : groups[first].start()], MASK]
            kept = groups[after - 1].end()
        first = max(after, first + 1)
    return "".join(parts) + text[kept:]


def _find_card(groups: list[re.Match[str]], first: int) -> int:
    """Behind the last group of the longest card's number that begins with the `first`; 0 if none does."""
    digits, after = "", 0
    for place in range(first, len(groups)):
        digits += groups[place][0]
        if len(digits) >= _CARD.stop:
            break
        if is_card(digits):
            after = place + 1
    return after


def mask_value(value: Any, depth: int = _DEPTH) -> Any:
    """`value` as plain strings, numbers, lists and dicts without secrets; never raises."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return mask(bytes(value).decode("utf-8", "replace"))
    if depth and isinstance(value, Mapping):
        return {str(key): _mask_item(str(key), item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [mask_value(item, depth - 1) for item in value]
    return mask(_describe(value))


def mask_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor: every value masked, secret keys hidden whole."""
    return {key: _mask_item(key, value, _DEPTH) for key, value in event.items()}


@lru_cache(_KEPT)
def _names_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def _mask_item(key: str, value: Any, depth: int) -> Any:
    if key in _OURS and isinstance(value, str):
        return value
    if _names_secret(key) and value and not isinstance(value, bool):
        return MASK
    if isinstance(value, str) and key in _NAMES:
        return mask_name(value)
    if key in _TRACE:
        return value
    if isinstance(value, str) and key in _WORDS:
        return mask_words(value)
    return mask_value(value, depth)


def _describe(value: Any) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # a __repr__ of anyone's may fail in any way, and the log line must still be written
        return f"<{type(value).__name__} that cannot be shown>"
