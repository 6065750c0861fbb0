"""On which terms an answer is kept: for how long, with which tags, or not at all. A hint counts more than a rule.

Tags are words that answers are invalidated by. What a rule takes on trust of functions is `cache.vouching`'s.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dbproxy.config.cache import TAG, CacheRuleSettings
from dbproxy.config.units import LONGEST, parse_duration
from dbproxy.sql.identity import Shape

BAD_HINT, FORBIDDEN, BY_RULE = "its hint cannot be read", "its hint says no-cache", "a rule says never"
_HINT = re.compile(r"(no[-_])?cache\s*(?:\(([^()]*)\))?", re.IGNORECASE)
_ITEM = re.compile(r"(ttl|tags)\s*=\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Terms:
    """`ttl`: seconds, None: as usual. `refusal`: why it is not kept, "" if it is."""

    ttl: float | None = None
    tags: frozenset[str] = frozenset()
    refusal: str = ""


USUAL = Terms()


def read_terms(hint: str) -> Terms:
    """Of a hint (sql.hint); ValueError says what is wrong with it."""
    found = _HINT.fullmatch(hint)
    if found is None:
        raise ValueError("it is cache, cache(ttl=30s, tags=a b) or no-cache, nothing else")
    if found[1]:
        if found[2] is not None:
            raise ValueError("no-cache takes nothing in parentheses")
        return Terms(refusal=FORBIDDEN)
    return _read_items((found[2] or "").split(","))


def _read_items(items: list[str]) -> Terms:
    ttl, tags = None, frozenset[str]()
    for item in filter(None, map(str.strip, items)):
        found = _ITEM.fullmatch(item)
        if found is None:
            raise ValueError(f"{item.partition('=')[0].strip()} is neither ttl nor tags")
        if found[1].lower() == "ttl":
            ttl = parse_duration(found[2].strip("'\" "))
        else:
            tags = frozenset(found[2].split())
    if ttl is not None and not 0 < ttl <= LONGEST:
        raise ValueError("its ttl is no time")
    if not all(map(TAG.fullmatch, tags)):
        raise ValueError("a tag is at most 64 letters, digits, _, - and :")
    return Terms(ttl, tags)


def find_terms(shape: Shape, rules: Iterable[CacheRuleSettings], database: str, user: str) -> Terms:
    """Of rules the first that fits counts. ValueError if it has a hint that is none."""
    if shape.effects.cache_hint:
        return read_terms(shape.effects.cache_hint)
    rule = next((rule for rule in rules if fits(rule, shape, database, user)), None)
    if rule is None:
        return USUAL
    if rule.never:
        return Terms(refusal=BY_RULE)
    return Terms(rule.ttl or None, frozenset(rule.tags))


def fits(rule: CacheRuleSettings, shape: Shape, database: str, user: str) -> bool:
    """Whether all that the rule names is so."""
    access, effects = shape.access, shape.effects
    return (
        _is_among((database,), rule.database)
        and _is_among((user,), rule.user)
        and _is_among((shape.name(),), rule.query)
        and _is_among(_with_plain(access.relations | effects.relations), rule.relation)
        and (not rule.functions or is_called(rule, access.functions | effects.functions | effects.calls))
    )


def is_called(rule: CacheRuleSettings, names: Iterable[str]) -> bool:
    found = _with_plain(names)
    return any(_is_among(found, pattern) for pattern in rule.functions)


def _with_plain(names: Iterable[str]) -> set[str]:
    """And without their schemas."""
    return {form for name in names for form in (name, name.rpartition(".")[2])}


def _is_among(names: Iterable[str], pattern: str) -> bool:
    return not pattern or any(fnmatchcase(name, pattern) for name in names)
