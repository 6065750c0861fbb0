"""What is told of the statements' figures: by the console, HTTP, files and the command line alike.

A window of five minutes is the minute that runs and the five before it, so never shorter than it says; `window_s` says
how long it really is. All times are microseconds, in ints.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dbproxy.observe.histogram import find_deviation, find_quantiles
from dbproxy.observe.querystats import MINUTE, OTHER, ROLES, Entry, QueryStats
from dbproxy.observe.sums import Sums
from dbproxy.sql.access import KINDS

ALWAYS = "reset"  # the window that begins at the last reset
WINDOWS: dict[str, int | None] = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, ALWAYS: None}
LIMIT = 50
NO_LIMIT = 0
SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
SORTS = {
    "total_time": "total_us",
    "calls": "calls",
    "mean": "mean_us",
    "p50": "p50_us",
    "p90": "p90_us",
    "p95": "p95_us",
    "p99": "p99_us",
    "p999": "p999_us",
    "max": "max_us",
    "wait": "wait_us",
    "run": "run_us",
    "stall": "stall_us",
    "rows": "rows",
    "bytes": "bytes_sent",
    "errors": "errors",
}
CHOICES: dict[str, Collection[str]] = {"window": WINDOWS, "sort": SORTS, "role": ROLES, "kind": KINDS}
QUANTILES = ("p50_us", "p90_us", "p95_us", "p99_us", "p999_us")
PARTS = ("wait_us", "wait_p95_us", "run_us", "run_p95_us", "stall_us", "stall_p95_us")
COUNTS = ("calls", "rows", "bytes_sent", "errors", "lost")
NUMBERS = (*COUNTS, "total_us", "mean_us", "stddev_us", "min_us", "max_us", *QUANTILES, *PARTS)
WORDS = ("id", "database", "user", "role", "kind")
COLUMNS = (*WORDS, *NUMBERS, "states", "patterns", "text")
Row = dict[str, Any]  # by the names in COLUMNS


class BadQuestion(ValueError):
    """What is asked for cannot be told; the message says what can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which entries, of which time, in which order. An empty filter lets all pass; `limit` 0 is none."""

    window: str = ALWAYS
    sort: str = "total_time"
    limit: int = LIMIT
    database: str = ""
    user: str = ""
    role: str = ""
    kind: str = ""
    table: str = ""
    min_calls: int = 1

    @property
    def minutes(self) -> int | None:
        return WINDOWS[self.window]

    def takes(self, entry: Entry) -> bool:
        """Whether the entry is asked for."""
        account = entry.account
        return (
            self.database in ("", account.database)
            and self.user in ("", account.user)
            and self.role in ("", ROLES[entry.role])
            and self.kind in ("", entry.kind)
            and (not self.table or self.table in entry.tables)
        )

    def is_filtered(self) -> bool:
        return any((self.database, self.user, self.role, self.kind, self.table))


def ask(words: Mapping[str, str]) -> Question:
    """A question of words as they are written; BadQuestion if it is none."""
    values: dict[str, Any] = {name: value for name, value in words.items() if value}
    unknown = values.keys() - set(Question.__dataclass_fields__)
    if unknown:
        raise BadQuestion(
            f"no such option: {min(unknown)}; one of {', '.join(Question.__dataclass_fields__)}"
        )
    for name, known in CHOICES.items():
        if name in values and values[name] not in known:
            raise BadQuestion(f"{name} must be one of {', '.join(known)}")
    for name in ("limit", "min_calls"):
        if name in values:
            if not (values[name].isascii() and values[name].isdigit() and len(values[name]) < 10):
                raise BadQuestion(f"{name} must be a whole number")
            values[name] = int(values[name])
    return Question(**values)


# --- sums of a window ---


def current_minute(stats: QueryStats, now: float) -> int:
    return int((now - stats.origin) // MINUTE)


def measure_window(stats: QueryStats, minutes: int | None, now: float) -> float:
    """How many seconds the window has."""
    since_reset = now - stats.reset_at
    if minutes is None:
        return since_reset
    return min(since_reset, minutes * MINUTE + (now - stats.origin) % MINUTE)


def sum_entry(entry: Entry, minutes: int | None, current: int, *, whole: bool = False) -> Sums:
    """Of one entry in the last `minutes` (None: since reset); `whole`: without the minute that runs."""
    sums = Sums()
    if minutes is None:
        sums.merge(entry.since)
        sums.merge(entry.running)
        return sums
    oldest, newest = current - minutes, current - whole
    for minute, packed in entry.past:
        if oldest <= minute <= newest:
            sums.unpack(packed)
    if oldest <= entry.minute <= newest:
        sums.merge(entry.running)
    return sums


def sum_other(stats: QueryStats, minutes: int | None, current: int, *, whole: bool = False) -> Sums:
    """Of the entries that are no more."""
    sums = Sums()
    if minutes is None:
        sums.merge(stats.other.since)
        return sums
    for minute, found in stats.other.minutes.items():
        if current - minutes <= minute <= current - whole:
            sums.merge(found)
    return sums


# --- rows ---


def describe(entry: Entry | None, sums: Sums) -> Row:
    """All columns of one entry; None: of those that are no more."""
    row: Row = dict.fromkeys(COLUMNS, "")
    if entry is None:
        row["id"] = row["text"] = OTHER
    else:
        account = entry.account
        words = (entry.id, account.database, account.user, ROLES[entry.role], entry.kind)
        row |= dict(zip(WORDS, words, strict=True))
        row["patterns"] = " ".join(entry.habits.describe())
        row["text"] = entry.text
    row |= count(sums)
    row["states"] = " ".join(f"{state}:{number}" for state, number in sorted((sums.states or {}).items()))
    return row


def count(sums: Sums) -> dict[str, int]:
    """The columns that are numbers."""
    least = max(0, sums.min_us)
    pairs = sums.pairs("total")
    quantiles = find_quantiles(pairs, SHARES, least, sums.max_us)
    return {
        "calls": sums.calls,
        "rows": sums.rows,
        "bytes_sent": sums.bytes_sent,
        "errors": sums.errors,
        "lost": sums.lost,
        "total_us": sums.total_us,
        "mean_us": sums.total_us // sums.calls if sums.calls else 0,
        "stddev_us": round(find_deviation(pairs)),
        "min_us": least,
        "max_us": sums.max_us,
        **dict(zip(QUANTILES, map(round, quantiles), strict=True)),
        "wait_us": sums.wait_us,
        "wait_p95_us": find_p95(sums, "wait"),
        "run_us": sums.run_us,
        "run_p95_us": find_p95(sums, "run"),
        "stall_us": sums.stall_us,
        "stall_p95_us": find_p95(sums, "stall"),
    }


def find_p95(sums: Sums, part: str) -> int:
    """Of a part of the calls' time; those that have none of it count as 0."""
    pairs = sums.pairs(part)
    without = sums.calls - sum(number for _, number in pairs)
    if without > 0:
        pairs = [(0, without), *pairs]
    return round(find_quantiles(pairs, (0.95,), 0, sums.max_us)[0])


def arrange(rows: Iterable[Row], question: Question) -> list[Row]:
    """The rows that are wanted, the largest first."""
    column = SORTS[question.sort]
    wanted = [row for row in rows if row["calls"] >= question.min_calls]
    wanted.sort(key=lambda row: (-row[column], row["id"], row["database"], row["user"], row["role"]))
    return wanted[: question.limit] if question.limit else wanted
