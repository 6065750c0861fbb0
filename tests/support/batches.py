"""Batches on a real database: in this process, or by the command line in one that may be killed."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from dbproxy.config.batch import BatchSettings
from dbproxy.config.url import parse_url
from dbproxy.jobs.batch import Batch, Primary, Rows, read_statement
from dbproxy.jobs.batch.ledger import Job
from dbproxy.jobs.throttle import Throttle
from tests.support import forkserver
from tests.support.forkserver import Forked
from tests.support.postgres import Database

ONCE = "UPDATE t SET n = n + 1 WHERE {chunk}"  # n counts how often a row was changed
COUNTS = "SELECT n, count(*) FROM t GROUP BY n ORDER BY n"


def make(
    dsn: str,
    statement: str = ONCE,
    key: str = "",
    *,
    table: str = "t",
    name: str = "",
    throttle: Throttle | None = None,
    **settings: Any,
) -> Batch:
    """Of one or several URLs, divided by blanks."""
    hosts = [parse_url(one) for one in dsn.split()]
    columns = tuple(filter(None, key.split(",")))
    chosen = BatchSettings(**settings)
    source = Rows(table, columns, read_statement(statement), chosen.sweep)
    return Batch(Primary([host for host in hosts if host]), source, chosen, name=name, throttle=throttle)


async def run(dsn: str, statement: str = ONCE, key: str = "", **settings: Any) -> Job:
    async with make(dsn, statement, key, **settings) as batch:
        return await batch.run()


def start(dsn: str, *words: str) -> Forked:
    """`dbproxy batch …`, as a process."""
    return forkserver.open_process(["batch", *words], {**os.environ, "DATABASE_URL": dsn})


def execute(dsn: str, *words: str) -> subprocess.Popen[str]:
    """The same, of what it takes alone: with nothing imported but by itself. What it compiles is kept for the next."""
    return subprocess.Popen(
        [sys.executable, "-m", "dbproxy", "batch", *words],
        env={**os.environ, "DATABASE_URL": dsn, "PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(dsn: str, *words: str) -> tuple[int, str, str]:
    """Its exit code, and what it has written to standard output and to standard error."""
    process = start(dsn, *words)
    out, err = process.communicate(timeout=60)
    return process.wait(), out, err


def ask(database: Database | str, sql: str) -> list[tuple[Any, ...]]:
    """As the database's owner."""
    dsn = database if isinstance(database, str) else database.dsn
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def create(database: Database, rows: int, columns: str = "id int PRIMARY KEY", values: str = "g") -> None:
    """A table `t` with its key, a counter `n` and a text `c`."""
    ask(database, f"DROP TABLE IF EXISTS t; CREATE TABLE t ({columns}, n int NOT NULL DEFAULT 0, c text)")
    ask(database, f"INSERT INTO t SELECT {values}, 0, 'Row ' || g FROM generate_series(1, {rows}) g")
    ask(database, "ANALYZE t")


async def until(condition: Callable[[], Any]) -> Any:
    """What it says once that is true; asked in a thread, as it blocks."""
    return await asyncio.to_thread(wait_until, condition)


def wait_until(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)  # another process: asked, not awaited
    return found


def errors(database: Database, name: str) -> Sequence[tuple[Any, ...]]:
    return ask(
        database,
        f"SELECT key->>0, sqlstate FROM dbproxy.batch_errors WHERE batch = '{name}' ORDER BY (key->>0)::int",
    )
