"""What an answer depends on besides the tables: who asks, with which settings, and what, byte for byte.

Keys begin with 16 bytes for the database, the user and every setting of the session but a few that change no answer: so
what another role, tenant or search path is told is another answer. Behind them is a statement as a Parse and a Bind
have it; a Query is a statement without parameters whose results are text.
"""

from collections.abc import Mapping
from hashlib import blake2b

from dbproxy.sql.settings import changes_answers
from dbproxy.wire.extended import cut, find_zero, length_at

_NO_PARAMETERS = b"\0\0\0"  # behind a text: its end, and no types
_TEXT_RESULTS = b"\0\0\0\0\0\0"  # of a Bind: no formats, no values, no formats of results
_ALONE = _NO_PARAMETERS + _TEXT_RESULTS
_TEXT_RESULTS_TOO = b"\0\0\0\0\0\1\0\0"  # the same: one format, which is for all
_BIND, _PARSE = ord("B"), ord("P")
# What follows a Bind: all of its statement's answer is asked for, once, and with or without its columns.
_EXECUTE = b"E\0\0\0\x09\0\0\0\0\0"
_ENDS = (b"S\0\0\0\4", b"H\0\0\0\4S\0\0\0\4")
_REST = frozenset(head + _EXECUTE + end for head in (b"", b"D\0\0\0\6P\0") for end in _ENDS)
PREFIX = 16  # bytes


def digest(place: str, user: str, settings: Mapping[str, str]) -> bytes:
    """Of whoever is told the same; `place` names the database."""
    counts = sorted(item for item in settings.items() if changes_answers(item[0]))
    return blake2b(repr((place, user, counts)).encode(errors="surrogateescape"), digest_size=PREFIX).digest()


def key_of_query(prefix: bytes, text: bytes) -> bytes:
    return prefix + text + _ALONE


def key_of_bind(prefix: bytes, body: bytes, values: bytes) -> bytes:
    """`body`: of the Parse; `values`: of the Bind, behind its names."""
    return prefix + body + values


def read_text(messages: bytes) -> bytes | None:
    """Of a Query; None if it is malformed."""
    last = len(messages) - 1
    return cut(messages, 5, last) if find_zero(messages, 5, last + 1) == last else None


def read_values(kinds: bytes, messages: bytes) -> bytes | None:
    """What a Bind binds, of messages that bind and execute one statement and ask for all of it; else None."""
    at = number = 0
    parsed: bytes | None = None
    if kinds[0] == _PARSE:
        at = length_at(messages, 0)
        number = 1
        parsed = messages[5 : find_zero(messages, 5, at)]
    if number == len(kinds) or kinds[number] != _BIND or messages[at + 5]:
        return None
    stop = at + length_at(messages, at)
    end = find_zero(messages, at + 6, stop)
    if end < 0 or messages[stop:] not in _REST or (parsed is not None and messages[at + 6 : end] != parsed):
        return None
    values = messages[end + 1 : stop]
    return _TEXT_RESULTS if values == _TEXT_RESULTS_TOO else values
