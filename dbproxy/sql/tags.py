r"""What a statement's tags say of who asks (sql.comments): the ids by which a request is found again elsewhere.

Read where a line is written or somebody listens, never for each query. Follows sqlcommenter's specification: a value is
unescaped (`\\'`), then URL-decoded; of several comments the last one that says something counts. Anything may stand
there: only keys that are known are read, so many of them, of each so many bytes, and nothing that is not printable.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from dbproxy.sql.comments import find_tags

# What is read, the most important first: W3C's trace context, sqlcommenter's and Rails's keys, Datadog's.
KEYS = (
    "traceparent", "request_id", "correlation_id", "route", "controller", "action", "job", "framework", "application",
    "app_name", "db_driver", "ddps", "dde", "ddpv", "dddbs",
)  # fmt: skip
MOST = 8  # keys of one statement
LONGEST = 128  # bytes of a value
_PAIR = re.compile(rb"(\w+)\s*=\s*'((?:[^'\\]|\\.)*)'", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read_tags(text: bytes) -> dict[str, str]:
    """The known keys of the tags ahead of a statement and behind it."""
    found = {
        name: shown
        for name, shown in read_pairs(text)
        if name in KEYS and shown and (name != "traceparent" or _TRACEPARENT.fullmatch(shown))
    }
    return {key: found[key] for key in KEYS if key in found and _is_among_first(key, found)}


def read_pairs(text: bytes) -> Iterator[tuple[str, str]]:
    """All that the tags of a statement say: keys in lower case, and their values."""
    for comment in find_tags(text):
        for key, value in _PAIR.findall(comment):
            yield key.decode().lower(), decode(value)


def trace_id(traceparent: str) -> str:
    """Of a traceparent that `read_tags` has found."""
    return traceparent[3:35]


def decode(value: bytes) -> str:
    """A tag's value as it was meant."""
    meant = unquote_to_bytes(value.replace(b"\\'", b"'"))[:LONGEST].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in meant)


def _is_among_first(key: str, found: dict[str, str]) -> bool:
    return sum(other in found for other in KEYS[: KEYS.index(key)]) < MOST
