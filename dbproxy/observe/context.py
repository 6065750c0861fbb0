"""Which trace a request belongs to: W3C's `traceparent`, wherever its client has put it.

    00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01        version, trace id, span id, flags

Lower-case digits only; neither id is all zeros; version ff is none. Of version 00 there is nothing behind the flags, of
a later one there may be more, behind another `-`. The lowest bit of the flags: the trace is sampled.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from dbproxy.sql.tags import read_tags

SETTING, NAME = "dbproxy.traceparent", "application_name"
_TRACEPARENT = r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})"
_WHOLE = re.compile(_TRACEPARENT + r"(-.*)?", re.DOTALL)
_WITHIN = re.compile(rf"(?<![0-9A-Za-z-]){_TRACEPARENT}(?![0-9A-Za-z-])")


class Context(NamedTuple):
    """The span that a request is a child of."""

    trace_id: str
    span_id: str
    sampled: bool


class Found(NamedTuple):
    """What settings say: a context, where it is from, and whether it is one (`context` is None if not)."""

    context: Context | None
    source: str


NOT_FOUND = Found(None, "")


def parse_traceparent(text: str) -> Context | None:
    found = _WHOLE.fullmatch(text)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return _make(found)


def read_settings(values: Mapping[str, str]) -> Found:
    """Of a session: `dbproxy.traceparent`, or an application_name that holds one."""
    if given := values.get(SETTING, "").strip():
        return Found(parse_traceparent(given), "setting")
    found = _WITHIN.search(values.get(NAME, ""))
    return Found(_make(found), "application_name") if found is not None else NOT_FOUND


def read_text(text: bytes) -> tuple[Context | None, dict[str, str]]:
    """Of a statement's tags: the last context that is one, and what else they say of who asks."""
    tags = read_tags(text)
    return parse_traceparent(tags.pop("traceparent", "")), tags


def _make(found: re.Match[str]) -> Context:
    return Context(found[2], found[3], bool(int(found[4], 16) & 1))
