"""SHOW QUERIES, SHOW QUERY, RESET QUERIES: what statements cost; PgBouncer does not know them.

Thousands of entries are added up a few at a time, so that clients' queries are not held up.
"""

import asyncio
from time import monotonic

from dbproxy.admin.house import House
from dbproxy.admin.table import Table, columns
from dbproxy.errors import CommandFailed
from dbproxy.observe.queries import (
    COLUMNS,
    NUMBERS,
    WINDOWS,
    BadQuestion,
    Question,
    Row,
    arrange,
    ask,
    current_minute,
    describe,
    measure_window,
    sum_entry,
    sum_other,
)
from dbproxy.observe.querystats import Entry, QueryStats
from dbproxy.sql.parser import find_fingerprint

TURN = 25  # entries that are added up in one go
OFF = "statements are not counted"
OFF_HINT = "Set query_stats.enabled (QUERY_MONITORING_ENABLED) and restart."


def declare(*names: str) -> str:
    return " ".join(f"{name}:{'q' if name in NUMBERS else 's'}" for name in names)


QUERIES = columns(f"{declare(*COLUMNS)} window:s window_s:q")
QUERY = columns(f"window:s window_s:q {declare(*COLUMNS)} pg_fingerprint:s")


def find_stats(house: House) -> QueryStats:
    """CommandFailed if statements are not counted."""
    if house.query_stats is None:
        raise CommandFailed(OFF, hint=OFF_HINT)
    return house.query_stats


async def list_rows(stats: QueryStats, question: Question) -> tuple[list[Row], float]:
    """The rows that are asked for, and how many seconds they are about. Those that are no more come with all others."""
    now = monotonic()
    minutes, current = question.minutes, current_minute(stats, now)
    rows = [] if question.is_filtered() else [describe(None, sum_other(stats, minutes, current))]
    wanted = [entry for entry in list(stats.ring) if question.takes(entry)]
    for number, entry in enumerate(wanted):
        sums = sum_entry(entry, minutes, current)
        if sums.calls >= question.min_calls:
            rows.append(describe(entry, sums))
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)
    return arrange(rows, question), measure_window(stats, minutes, now)


async def show_queries(house: House, words: dict[str, str]) -> Table:
    """`words` as observe.queries.ask takes them."""
    try:
        question = ask(words)
    except BadQuestion as error:
        raise CommandFailed(str(error)) from None
    rows, seconds = await list_rows(find_stats(house), question)
    tail = (question.window, int(seconds))
    return Table(QUERIES, [(*(row[name] for name in COLUMNS), *tail) for row in rows])


def find_entries(stats: QueryStats, identifier: str) -> list[Entry]:
    """A statement's, one for each account and role."""
    return [entry for entry in list(stats.ring) if entry.id == identifier]


def show_query(house: House, identifier: str) -> Table:
    """One statement in all windows."""
    stats, now = find_stats(house), monotonic()
    entries = find_entries(stats, identifier)
    if not entries:
        raise CommandFailed(f"no such query: {identifier}", hint="SHOW QUERIES lists them by id.")
    rows = []
    fingerprint = find_fingerprint(entries[0].text)
    for entry in entries:
        for name, minutes in WINDOWS.items():
            row = describe(entry, sum_entry(entry, minutes, current_minute(stats, now)))
            seconds = int(measure_window(stats, minutes, now))
            rows.append((name, seconds, *(row[column] for column in COLUMNS), fingerprint))
    return Table(QUERY, rows)


async def reset_queries(house: House, what: str) -> None:
    """Count from nothing."""
    if what.lower() != "queries":
        raise CommandFailed("bad arguments", hint="RESET QUERIES begins to count statements anew.")
    find_stats(house).reset(monotonic())
