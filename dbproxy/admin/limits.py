"""SHOW LIMITS, LIMIT_TIERS and LIMIT_SOURCES, EXPLAIN, SET and RESET LIMIT; PgBouncer has no such limits.

A hundred thousand keys are looked at a few at a time, so that clients' queries are not held up.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, astuple
from heapq import nlargest
from itertools import islice
from time import monotonic

import structlog

from dbproxy.admin.command import LimitOrder
from dbproxy.admin.connections import show_time, wall_clock
from dbproxy.admin.house import House
from dbproxy.admin.limit_figures import count, find_share
from dbproxy.admin.table import Table, Value, columns
from dbproxy.config.limits import show_tier
from dbproxy.config.units import parse_duration, show_duration
from dbproxy.errors import CommandFailed
from dbproxy.limits.book import CONFIGURATION, CONSOLE, DEFAULT, OTHERS, RULE, SOURCE, Book, Rule
from dbproxy.limits.bucket import NEVER
from dbproxy.limits.courier import read_clock
from dbproxy.limits.standing import Standing, describe, measure
from dbproxy.limits.subject import Subject

log = structlog.get_logger(__name__)

MOST = 100  # keys that are shown, if no other number is asked for
TURN = 500  # keys that are looked at in one go
LONGEST = 366 * 86400.0  # seconds that an override may hold
Measured = tuple[tuple[float, int, int], Subject]
LIMITS = columns(
    "rule:s key:s tier:s origin:s limit:s used:q left:q next_free:N running:i waiting:i sessions:i transactions:q "
    "refused:q override:s override_until:s"
)
TIERS = columns("tier:s limit:s allowed:q burst:q delayed:q rejected:q observed:q exempt:q refused_percent:N")
SOURCES = columns("rule:s keys:q unreadable:q read_at:s seconds:N error:s")
EXPLANATION = columns("item:s value:s")


# --- SHOW ---


async def list_standings(house: House, most: int) -> list[Standing]:
    """Of those keys that use most of their limits, most first."""
    book = house.limits.limiter.book
    chosen: list[Measured] = []
    subjects = iter(list(book))
    while some := list(islice(subjects, TURN)):
        now = read_clock()
        chosen = nlargest(
            most, [*chosen, *((measure(subject, now), subject) for subject in some)], key=find_use
        )
        await asyncio.sleep(0)
    return [read_standing(book, rule, subject) for rule, subject in find_rules(book, chosen)]


def read_standing(book: Book, rule: Rule, subject: Subject) -> Standing:
    """Whoever has a new limit is held to it from here on."""
    now = read_clock()
    book.refresh(rule, subject, now)
    return describe(book, rule, subject, now)


def find_use(measured: Measured) -> tuple[float, int, int]:
    return measured[0]


def find_rules(book: Book, chosen: list[Measured]) -> Iterator[tuple[Rule, Subject]]:
    """With the rule of each; those whose rule has gone meanwhile are left out."""
    for _, subject in chosen:
        rule = book.find_rule(subject.rule)
        if rule is not None:
            yield rule, subject


async def show_limits(house: House, most: int) -> Table:
    return Table(LIMITS, [show_standing(standing) for standing in await list_standings(house, most)])


def show_standing(standing: Standing) -> tuple[Value, ...]:
    *told, wait, running, waiting, sessions, transactions, refused, override, _ = astuple(standing)
    counts = (running, waiting, sessions, transactions, refused)
    return *told, show_seconds(wait), *counts, override, show_until(standing)


def show_until(standing: Standing) -> str:
    """When an override ends; "" for never, or where there is none."""
    if standing.override_s is None:
        return ""
    return show_time(wall_clock(monotonic() + standing.override_s))


def show_seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.3f}"


def show_limit_tiers(house: House) -> Table:
    """What was decided since start, by tier; those that are in use."""
    book = house.limits.limiter.book
    rows: list[tuple[Value, ...]] = []
    for tally in list(book.tallies.values()):
        limits = book.settings.tiers.get(tally.tier)
        counts = count(tally)
        shown = show_tier(limits) if limits is not None else ""
        rows.append((tally.tier, shown, *counts.values(), f"{find_share(counts) * 100:.2f}"))
    return Table(TIERS, rows)


def show_limit_sources(house: House) -> Table:
    """How reading went; `seconds` since it last worked."""
    now = monotonic()
    rows = []
    for rule in house.limits.limiter.book.rules:
        if not rule.settings.source:
            continue
        reading = rule.reading
        read_at = show_time(wall_clock(reading.at)) if reading.at is not None else None
        since = show_seconds(now - reading.at) if reading.at is not None else None
        rows.append((rule.name, reading.keys, reading.unreadable, read_at, since, reading.error))
    return Table(SOURCES, rows)


# --- EXPLAIN LIMIT ---


def explain_limit(house: House, order: LimitOrder) -> Table:
    """What a key is held to, and why; of one that nobody has now, what it would be held to."""
    book = house.limits.limiter.book
    rule = find_rule(book, order.rule)
    key = find_key(rule, order.key)
    subject = rule.others if key == OTHERS else rule.subjects.get(key)
    known = subject is not None
    if subject is None:
        subject = Subject(rule.name, key)
    standing = read_standing(book, rule, subject)
    settings = book.settings
    told = asdict(standing)
    told["override_until"] = show_until(standing)
    del told["override_s"]
    told["next_free_s"] = show_seconds(standing.next_free_s) or "nobody can say"
    told["mode"] = (
        f"{settings.mode}, for {settings.percent} % of the sessions (SHOW FEATURES has those set apart)"
    )
    told["template"] = str(rule.settings.key)
    told["why"] = explain_origin(rule, standing)
    told["in use"] = "yes" if known else "no: nobody has this key now"
    return Table(EXPLANATION, [(name, "" if value is None else value) for name, value in told.items()])


def explain_origin(rule: Rule, standing: Standing) -> str:
    reading, where = rule.reading, f"limits.rules, {rule.name}"
    age = f"{monotonic() - reading.at:.0f} s ago" if reading.at is not None else "never"
    return {
        CONSOLE: "SET LIMIT on the console said so",
        SOURCE: f"the source of {where} says so, read {age}" + (f"; now: {reading.error}" if reading.error else ""),
        CONFIGURATION: f"the key is listed in {where}, tiers",
        RULE: f"it is the tier of {where}",
        DEFAULT: "it is limits.tier, as nothing says otherwise",
    }[standing.origin]  # fmt: skip


# --- orders ---


def set_limit(house: House, order: LimitOrder) -> str:
    """Hold a key to a limit or another tier, for a while or until it is reset; what to tell of it."""
    book = house.limits.limiter.book
    rule = find_rule(book, order.rule)
    key = find_key(rule, order.key)
    until, words = NEVER, "until RESET LIMIT or a restart"
    if order.duration:
        seconds = read_duration(order.duration)
        until, words = read_clock() + int(seconds * 1e6), f"for {show_duration(seconds)}"
    before = book.find_holding(rule, key)
    try:
        book.override(rule, key, order.text, until)
    except ValueError:
        raise CommandFailed(
            f"'{order.text}' is no limit and no tier",
            hint=f"A limit is '500/min' or '500/min burst 50' (s, min, h, d); tiers: {', '.join(book.settings.tiers)}.",
        ) from None
    shown = rule.show(key)
    log.info("limit set", rule=rule.name, key=shown, limit=order.text, holds=words)
    was = f"{before.tier} ({show_tier(before.limits)}, by {before.origin})"
    return f'{rule.name} "{shown}" is held to {show_tier(book.find_holding(rule, key).limits)} {words}; it was {was}'


def reset_limit(house: House, order: LimitOrder) -> str:
    book = house.limits.limiter.book
    rule = find_rule(book, order.rule)
    key = find_key(rule, order.key)
    shown = rule.show(key)
    if not book.reset(rule, key):
        return f'{rule.name} "{shown}" has no limit that was set on the console'
    found = book.find_holding(rule, key)
    log.info("limit reset", rule=rule.name, key=shown)
    return f'{rule.name} "{shown}" is held to {show_tier(found.limits)} again (tier {found.tier}, by {found.origin})'


def find_rule(book: Book, name: str) -> Rule:
    """CommandFailed if there is none."""
    rule = book.find_rule(name)
    if rule is None:
        names = ", ".join(rule.name for rule in book.rules)
        raise CommandFailed(f"there is no rule '{name}' in limits.rules", hint=f"There are: {names}.")
    return rule


def find_key(rule: Rule, word: str) -> str:
    """The key that is meant: a secret is also known by what SHOW LIMITS shows of it."""
    if not rule.is_secret or "…" not in word:
        return word
    return next((key for key in (*rule.subjects, *rule.overrides) if rule.show(key) == word), word)


def read_duration(text: str) -> float:
    """In seconds; CommandFailed if it is none."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise CommandFailed(
            f"'{text}' is no duration", hint="Such as FOR '30min', '1h', '7d'; a year at most."
        )
    return seconds
