"""What a batch would do, told before it does anything."""

import asyncpg

from dbproxy.config.batch import BatchSettings
from dbproxy.config.units import show_count, show_duration
from dbproxy.jobs.batch import ledger
from dbproxy.jobs.batch.likeness import check_key, check_name, find_unfinished, is_same, refuse
from dbproxy.jobs.batch.session import DEADLOCK, choose_timeouts
from dbproxy.jobs.batch.source import Source
from dbproxy.jobs.batch.status import line
from dbproxy.jobs.primary import Connection

UNMEASURED = 20_000  # rows a second


async def make_plan(
    connection: Connection, source: Source, settings: BatchSettings, name: str = ""
) -> list[str]:
    rows = await source.estimate(connection)
    deadlock = await connection.fetchval(DEADLOCK)
    return [
        f"{source.kind} {source.target} by ({', '.join(source.key)}): {source.statement}",
        *await source.plan(connection, settings.chunk_size),
        *tell_size(rows, settings, 1 if source.kind == "load" else settings.workers),
        *tell_time(rows, await find_speed(connection, source)),
        *tell_timeouts(deadlock, settings),
        *await tell_earlier(connection, source, name),
    ]


def tell_size(rows: int, settings: BatchSettings, workers: int) -> list[str]:
    chunks = -(-rows // settings.chunk_size)
    if not rows:
        return ["how many rows there are is not known"]
    then = f", then as many as take {show_duration(settings.chunk_time)}" if settings.adaptive else ""
    size = f"{show_count(chunks, 'chunk')} of {settings.chunk_size}"
    return [f"about {show_count(rows, 'row')}; {size}{then}; workers: {workers}"]


def tell_time(rows: int, speed: float) -> list[str]:
    measured = "as the last batch on this table had" if speed else "which is a guess"
    seconds = rows / (speed or UNMEASURED)
    if not rows:
        return []
    return [
        f"about {show_duration(max(1, round(seconds)))} at {speed or UNMEASURED:.0f} rows a second, {measured}"
    ]


def tell_timeouts(deadlock: float, settings: BatchSettings) -> list[str]:
    timeouts = choose_timeouts(deadlock, settings.lock_timeout, adaptive=settings.adaptive)
    chunk, lock = show_duration(round(timeouts.statement, 3)), show_duration(round(timeouts.lock, 3))
    found = [
        f"a chunk may take {chunk} and wait {lock} for a row; deadlock_timeout is {show_duration(deadlock)}"
    ]
    if timeouts.statement >= deadlock:
        found.append(
            "WITHOUT adaptive sizes the application may lose a deadlock: a chunk may take longer than that"
        )
    elif settings.chunk_time + settings.lock_timeout >= deadlock:
        found.append(
            "WARNING: chunk_time and lock_timeout together are more than deadlock_timeout: chunks will be halved"
        )
    return found


async def tell_earlier(connection: Connection, source: Source, name: str) -> list[str]:
    """The batch of that id, or the unfinished one of the same words."""
    found = None
    try:
        if await ledger.exists(connection):
            found = await (ledger.find(connection, name) if name else find_unfinished(connection, source))
    except asyncpg.InsufficientPrivilegeError:
        return []
    if found is None:
        if name:
            check_name(name)
        return []
    if not is_same(found, source):
        raise refuse(found)
    done = found.state.startswith("done")
    if not done:
        check_key(found, source)
    return [f"{'ANOTHER --id is needed, as there is' if done else 'It goes on with'} batch {line(found)}"]


async def find_speed(connection: Connection, source: Source) -> float:
    """Rows a second of the last batch on the table; 0: there was none, or who asks may not know."""
    try:
        listed = await ledger.list_jobs(connection)
    except asyncpg.InsufficientPrivilegeError:
        return 0.0
    jobs = [job for job in listed if job.target == source.target and job.totals.worked > 1]
    return jobs[0].totals.seen / jobs[0].totals.worked if jobs else 0.0
