"""What is known of batches, in the database that they change: the schema `dbproxy`.

It is the truth; a process that works on a batch keeps nothing that is not here.

`batch_jobs` has a row for each batch, `batch_progress` one for each of its parts, `batch_errors` one for each row that
was left out or skipped (omissions). The row of `batch_progress` moves in the chunk's own transaction, and only from
where it was: so a chunk is done once, whoever believed what of a lost COMMIT. Versions to come add columns, and take
none away.

That a batch runs is a session's advisory lock: one that is `running` without it was interrupted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dbproxy.jobs.batch.key import Cursor, read_cursor, spell_json, write_cursor
from dbproxy.jobs.primary import Connection

State = Literal["running", "paused", "interrupted", "failed", "cancelled", "done", "done with errors"]
Wanted = Literal["", "pause", "cancel"]
CLASS = 0x64627078  # 'dbpx': of advisory locks
CHANNEL = "dbproxy_batch"
REVISIT = -1  # the number of the part that goes through rows which were skipped
# Asked of the catalog: who may not use a schema of that name is told so only where a ledger is in it.
FOUND = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'dbproxy' AND c.relname = 'batch_errors')"""
TABLES = """
CREATE SCHEMA IF NOT EXISTS dbproxy;
CREATE TABLE IF NOT EXISTS dbproxy.batch_jobs (
    id text PRIMARY KEY,
    kind text NOT NULL, statement text NOT NULL, target text NOT NULL, key text[] NOT NULL,
    options jsonb NOT NULL DEFAULT '{}', settings jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'interrupted', wanted text NOT NULL DEFAULT '',
    waits_for text NOT NULL DEFAULT '', reason text NOT NULL DEFAULT '', estimate bigint NOT NULL DEFAULT 0,
    retries jsonb NOT NULL DEFAULT '{}', throttled jsonb NOT NULL DEFAULT '{}',
    host text NOT NULL DEFAULT '', pid int NOT NULL DEFAULT 0, version text NOT NULL DEFAULT '',
    created timestamptz NOT NULL DEFAULT now(), started timestamptz, ended timestamptz);
CREATE TABLE IF NOT EXISTS dbproxy.batch_progress (
    batch text NOT NULL REFERENCES dbproxy.batch_jobs ON DELETE CASCADE, part int NOT NULL,
    round int NOT NULL DEFAULT 1, cursor jsonb, upper jsonb, done boolean NOT NULL DEFAULT false,
    rows bigint NOT NULL DEFAULT 0, seen bigint NOT NULL DEFAULT 0, chunks bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0, chunk_size int NOT NULL DEFAULT 0, worked float8 NOT NULL DEFAULT 0,
    updated timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (batch, part));
CREATE TABLE IF NOT EXISTS dbproxy.batch_errors (
    batch text NOT NULL REFERENCES dbproxy.batch_jobs ON DELETE CASCADE, key jsonb NOT NULL,
    part int NOT NULL DEFAULT 0, sqlstate text NOT NULL, message text NOT NULL, detail text NOT NULL DEFAULT '',
    "constraint" text NOT NULL DEFAULT '', content bytea,
    at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (batch, key))"""


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all parts."""

    rows: int = 0
    seen: int = 0
    chunks: int = 0
    errors: int = 0
    worked: float = 0.0  # seconds
    chunk_size: int = 0  # the largest
    open: int = 0  # parts that are not done
    revisits: bool = False  # of these REVISIT: all rows were seen, and those that others had are left


@dataclass(frozen=True, slots=True)
class Job:
    """A row of batch_jobs, with the sums over its parts.

    `options`: what its source is made of; `settings`: what differs from the configuration ([batch]); `retries`: how
    many by SQLSTATE; `throttled`: seconds by reason; `started`, `ended`: seconds since 1970.
    """

    id: str
    kind: str
    statement: str
    target: str
    key: tuple[str, ...]
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    state: State = "interrupted"
    wanted: Wanted = ""
    waits_for: str = ""
    reason: str = ""
    estimate: int = 0
    retries: Mapping[str, int] = field(default_factory=dict)
    throttled: Mapping[str, float] = field(default_factory=dict)
    host: str = ""
    pid: int = 0
    started: float | None = None
    ended: float | None = None
    totals: Totals = field(default_factory=Totals)


@dataclass(frozen=True, slots=True)
class Part:
    """A row of batch_progress: what one worker goes through. `cursor`: all up to there is done; None: nothing is.

    `seen`: how many rows (lines) were gone through; `rows`: how many of them were changed.
    """

    batch: str
    number: int
    cursor: Cursor | None = None
    upper: Cursor | None = None  # the last place; None: to the end of what there is
    rows: int = 0
    seen: int = 0
    chunks: int = 0
    errors: int = 0
    chunk_size: int = 0
    worked: float = 0.0
    done: bool = False
    round: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """By how much a part moves with one chunk."""

    upto: Cursor
    rows: int = 0
    seen: int = 0
    errors: int = 0
    chunk_size: int = 0
    worked: float = 0.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What was said to a batch while it runs."""

    wanted: Wanted = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


JOB = f"""
SELECT j.id, j.kind, j.statement, j.target, j.key, j.options, j.settings, j.state, j.wanted, j.waits_for, j.reason,
    j.estimate, j.retries, j.throttled, j.host, j.pid, extract(epoch FROM j.started)::float8,
    extract(epoch FROM j.ended)::float8, coalesce(p.rows, 0), coalesce(p.seen, 0), coalesce(p.chunks, 0),
    coalesce(p.errors, 0), coalesce(p.worked, 0), coalesce(p.chunk_size, 0), coalesce(p.open, 0),
    coalesce(p.revisits, false)
FROM dbproxy.batch_jobs j LEFT JOIN (
    SELECT batch, sum(rows)::int8 AS rows, sum(seen)::int8 AS seen, sum(chunks)::int8 AS chunks,
        sum(errors)::int8 AS errors, sum(worked) AS worked, max(chunk_size) AS chunk_size,
        (count(*) FILTER (WHERE NOT done))::int AS open, bool_or(part = {REVISIT} AND NOT done) AS revisits
    FROM dbproxy.batch_progress GROUP BY batch) p ON p.batch = j.id"""  # noqa: S608
PART = """
SELECT batch, part, cursor, upper, rows, seen, chunks, errors, chunk_size, worked, done, round
FROM dbproxy.batch_progress"""
HELD = f"""
SELECT j.id, l.pid FROM dbproxy.batch_jobs j JOIN pg_catalog.pg_locks l ON l.locktype = 'advisory' AND l.granted
    AND l.classid = {CLASS} AND l.objid = (hashtext(j.id)::int8 & 4294967295)::oid AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"""  # noqa: S608


# --- jobs ---


async def install(connection: Connection) -> None:
    """Make the tables where they are not; who may not use those that are is refused now, and not by the first chunk."""
    if await exists(connection):
        await connection.execute("SELECT FROM dbproxy.batch_jobs LIMIT 0")
        return
    async with connection.transaction():  # another may be at it
        await connection.execute("SELECT pg_advisory_xact_lock($1, 0)", CLASS)
        await connection.execute(TABLES)


async def exists(connection: Connection) -> bool:
    return bool(await connection.fetchval(FOUND))


async def create(connection: Connection, job: Job, version: str) -> bool:
    """Whether it is new: its id is its own."""
    made = await connection.fetchval(
        "INSERT INTO dbproxy.batch_jobs (id, kind, statement, target, key, options, settings, estimate, version)"
        " VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb, $8, $9) ON CONFLICT DO NOTHING RETURNING id",
        job.id, job.kind, job.statement, job.target, list(job.key), spell_json(dict(job.options)),
        spell_json(dict(job.settings)), job.estimate, version,
    )  # fmt: skip
    return made is not None


async def name(connection: Connection, base: str) -> str:
    """An id that no batch has: `base` with a number."""
    number = await connection.fetchval(
        "SELECT coalesce(max(substring(id FROM length($1) + 2)::int8), 0) + 1 FROM dbproxy.batch_jobs"
        " WHERE starts_with(id, $1 || '-') AND substring(id FROM length($1) + 2) ~ '^[0-9]{1,9}$'",
        base,
    )
    return f"{base}-{number}"


async def find(connection: Connection, batch: str) -> Job | None:
    row = await connection.fetchrow(f"{JOB} WHERE j.id = $1", batch)
    return None if row is None else await _settle(connection, _read_job(row))


async def list_unfinished(connection: Connection, kind: str, target: str) -> list[Job]:
    """Those that are neither done nor cancelled, the latest first."""
    rows = await connection.fetch(
        f"{JOB} WHERE j.kind = $1 AND j.target = $2"
        " AND j.state NOT IN ('done', 'done with errors', 'cancelled') ORDER BY j.created DESC",
        kind, target,
    )  # fmt: skip
    held = {row[0] for row in await connection.fetch(HELD)} if rows else set()
    return [_interrupted(_read_job(row), held) for row in rows]


async def list_jobs(connection: Connection, limit: int = 100) -> list[Job]:
    """The latest first; those that do not run any more are `interrupted`."""
    if not await exists(connection):
        return []
    held = {row[0] for row in await connection.fetch(HELD)}
    rows = await connection.fetch(f"{JOB} ORDER BY j.created DESC LIMIT $1", limit)
    return [_interrupted(_read_job(row), held) for row in rows]


async def _settle(connection: Connection, job: Job) -> Job:
    return _interrupted(job, {row[0] for row in await connection.fetch(HELD)})


def _interrupted(job: Job, held: set[str]) -> Job:
    if job.id in held or job.state not in ("running", "paused"):
        return job
    return replace(job, state="interrupted", waits_for="")


async def lock(connection: Connection, batch: str) -> bool:
    """Whether it is ours to run, for as long as this connection lasts."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1, hashtext($2))", CLASS, batch))


async def find_holder(connection: Connection, batch: str) -> int:
    """The process id of the server that has its lock; 0: none has."""
    rows = await connection.fetch(f"{HELD} WHERE j.id = $1", batch)
    return int(rows[0][1]) if rows else 0


async def start(connection: Connection, batch: str, host: str, pid: int) -> None:
    await connection.execute(
        "UPDATE dbproxy.batch_jobs SET state = 'running', wanted = '', waits_for = '', reason = '', host = $2,"
        " pid = $3, started = coalesce(started, now()), ended = NULL WHERE id = $1",
        batch, host, pid,
    )  # fmt: skip


async def finish(connection: Connection, batch: str, state: State, reason: str = "") -> None:
    await connection.execute(
        "UPDATE dbproxy.batch_jobs SET state = $2, reason = $3, waits_for = '', wanted = '', ended = now()"
        " WHERE id = $1",
        batch, state, reason,
    )  # fmt: skip


async def give_up(connection: Connection, batch: str) -> bool:
    """Have one that was interrupted or failed be cancelled; whether it was that, and nobody has resumed it."""
    left = await connection.fetchval(
        "UPDATE dbproxy.batch_jobs SET state = 'cancelled', waits_for = '', ended = coalesce(ended, now())"
        " WHERE id = $1 AND state NOT IN ('done', 'done with errors', 'cancelled')"
        " AND pg_try_advisory_xact_lock($2, hashtext(id)) RETURNING id",
        batch, CLASS,
    )  # fmt: skip
    return left is not None


async def note(connection: Connection, batch: str, state: State, waits_for: str) -> None:
    """What it waits for, "" if it goes on."""
    await connection.execute(
        "UPDATE dbproxy.batch_jobs SET state = $2, waits_for = $3 WHERE id = $1", batch, state, waits_for
    )


async def count(
    connection: Connection, batch: str, what: Literal["retries", "throttled"], by: str, number: float
) -> None:
    """One more retry of a SQLSTATE, or so many seconds more of a reason."""
    await connection.execute(
        f"UPDATE dbproxy.batch_jobs SET {what} = {what} || jsonb_build_object($2::text,"  # noqa: S608
        f" coalesce(({what} ->> $2)::numeric, 0) + $3::float8::numeric) WHERE id = $1",
        batch, by, number,
    )  # fmt: skip


# --- what is said to a batch that runs ---


async def order(connection: Connection, batch: str, wanted: Wanted) -> bool:
    """Whether there is such a batch."""
    return await _tell(connection, batch, "wanted = $2", wanted)


async def change(connection: Connection, batch: str, settings: Mapping[str, Any]) -> bool:
    """Settings of it alone, over those that it has; whether there is such a batch."""
    return await _tell(
        connection, batch, "settings = settings || $2::text::jsonb", spell_json(dict(settings))
    )


async def _tell(connection: Connection, batch: str, assignment: str, value: str) -> bool:
    found = await connection.fetchval(
        f"UPDATE dbproxy.batch_jobs SET {assignment} WHERE id = $1 RETURNING id",  # noqa: S608
        batch,
        value,
    )
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, batch)
    return found is not None


async def look(connection: Connection, batch: str) -> Orders:
    row = await connection.fetchrow("SELECT wanted, settings FROM dbproxy.batch_jobs WHERE id = $1", batch)
    return Orders("cancel") if row is None else Orders(row[0], json.loads(row[1]))


# --- parts ---


async def create_parts(connection: Connection, parts: list[Part]) -> None:
    """In one transaction: there are all of them, or none."""
    async with connection.transaction():
        for part in parts:
            await connection.execute(
                "INSERT INTO dbproxy.batch_progress (batch, part, cursor, upper, chunk_size, done)"
                " VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb, $5, $6) ON CONFLICT DO NOTHING",
                part.batch, part.number, write_cursor(part.cursor), write_cursor(part.upper), part.chunk_size,
                part.done,
            )  # fmt: skip


async def list_parts(connection: Connection, batch: str) -> list[Part]:
    return [
        _read_part(row) for row in await connection.fetch(f"{PART} WHERE batch = $1 ORDER BY part", batch)
    ]


async def read_part(connection: Connection, batch: str, number: int) -> Part | None:
    row = await connection.fetchrow(f"{PART} WHERE batch = $1 AND part = $2", batch, number)
    return None if row is None else _read_part(row)


async def advance(connection: Connection, part: Part, step: Step) -> bool:
    """In the chunk's transaction: whether the part was where we think. If not, the transaction must be rolled back."""
    return await _move(
        connection,
        part,
        "cursor = $5::text::jsonb, rows = rows + $6, seen = seen + $7, chunks = chunks + 1, errors = errors + $8,"
        " chunk_size = $9, worked = worked + $10",
        write_cursor(step.upto), step.rows, step.seen, step.errors, step.chunk_size, step.worked,
    )  # fmt: skip


async def close(connection: Connection, part: Part) -> bool:
    """The part is done."""
    return await _move(connection, part, "done = true")


async def reopen(connection: Connection, part: Part, upper: Cursor | None) -> bool:
    """Begin once more from the start, to this end."""
    return await _move(
        connection,
        part,
        "cursor = NULL, upper = $5::text::jsonb, done = false, round = round + 1",
        write_cursor(upper),
    )


async def sweep(connection: Connection, batch: str, number: int, upper: Cursor) -> Part | None:
    """Begin a part's second round; what was left out in the first is forgotten, as it is met again."""
    async with connection.transaction():
        part = await read_part(connection, batch, number)
        if part is not None and part.round == 1 and await reopen(connection, part, upper):
            await connection.execute("DELETE FROM dbproxy.batch_errors WHERE batch = $1", batch)
            await connection.execute("UPDATE dbproxy.batch_progress SET errors = 0 WHERE batch = $1", batch)
    return await read_part(connection, batch, number)


async def _move(connection: Connection, part: Part, changes: str, *values: object) -> bool:
    moved = await connection.fetchval(
        f"UPDATE dbproxy.batch_progress SET {changes}, updated = clock_timestamp()"  # noqa: S608
        " WHERE batch = $1 AND part = $2 AND cursor IS NOT DISTINCT FROM $3::text::jsonb AND round = $4 RETURNING part",
        part.batch, part.number, write_cursor(part.cursor), part.round, *values,
    )  # fmt: skip
    return moved is not None


def _read_job(row: Any) -> Job:
    values = list(row)
    values[4] = tuple(values[4])
    for at in (5, 6, 12, 13):
        values[at] = json.loads(values[at])
    job, totals = Job(*values[:18]), Totals(*values[18:])
    return replace(job, totals=totals, estimate=totals.seen if totals.revisits else job.estimate)


def _read_part(row: Any) -> Part:
    values = list(row)
    values[2], values[3] = read_cursor(values[2]), read_cursor(values[3])
    return Part(*values)
