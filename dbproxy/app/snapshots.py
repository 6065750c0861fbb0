"""When snapshots of the statements' figures are written: every `query_stats.snapshot`, by a thread."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic, time

import structlog

from dbproxy.config.monitoring import QueryStatsSettings
from dbproxy.observe.queries import Row, current_minute, describe, sum_entry, sum_other
from dbproxy.observe.querystats import MINUTE, Entry, QueryStats
from dbproxy.observe.snapshots import Snapshot, forget, write

TURN = 25  # entries that are added up in one go

log = structlog.get_logger()


async def keep_snapshots(stats: QueryStats, read_settings: Callable[[], QueryStatsSettings]) -> None:
    """For as long as the proxy runs; a folder that cannot be written to is logged, and tried again."""
    while True:
        settings = read_settings()
        minutes = count_minutes(settings)
        await asyncio.sleep(seconds_left(stats, minutes, monotonic()))
        snapshot = await take(stats, minutes, monotonic(), time())
        before = snapshot.at - settings.keep if settings.keep else 0.0
        try:
            await asyncio.to_thread(write, Path(settings.state_dir), snapshot)
            await asyncio.to_thread(forget, Path(settings.state_dir), before)
        except OSError as error:
            log.warning(
                "snapshot of queries not written",
                folder=settings.state_dir,
                error=error.strerror or str(error),
                hint="query_stats.state_dir must be a folder that the proxy can write to",
            )


async def take(stats: QueryStats, minutes: int, now: float, at: float) -> Snapshot:
    """Of the last whole minutes; a few entries at a time."""
    current = current_minute(stats, now)
    rows: list[Row] = []
    other = sum_other(stats, minutes, current, whole=True)
    entries: list[Entry] = list(stats.ring)
    for number, entry in enumerate(entries):
        sums = sum_entry(entry, minutes, current, whole=True)
        if sums.calls:
            rows.append(describe(entry, sums))
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)
    if other.calls:
        rows.append(describe(None, other))
    return Snapshot(at, min(current, minutes) * MINUTE, rows)


def count_minutes(settings: QueryStatsSettings) -> int:
    """Whole ones between two snapshots."""
    return int(settings.snapshot // MINUTE)


def seconds_left(stats: QueryStats, minutes: int, now: float) -> float:
    """Until so many minutes are over, counted from the last reset."""
    period = minutes * MINUTE
    return period - (now - stats.origin) % period + 0.01
