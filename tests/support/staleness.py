"""Writers and readers at once, and what no reader may see: less than was acknowledged before it has asked.

Each row has a version that only grows, as it is written by `version = version + 1` alone: PostgreSQL's row locks see to
the order. Once a commit was acknowledged, its versions are *known*; a read must not show an older one than was known
when it was sent, nor an older one than its reader has seen before, whoever answers.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import asyncpg
import psycopg

ROWS = 4  # of each table
TOTAL = 1000 * ROWS  # what both accounts have together

SCHEMA = f"""
    CREATE TABLE plain (id int PRIMARY KEY, version bigint);
    CREATE TABLE parents (id int PRIMARY KEY, version bigint UNIQUE);
    CREATE TABLE children (id int PRIMARY KEY, version bigint REFERENCES parents (version) ON UPDATE CASCADE);
    CREATE TABLE parts (id int, version bigint) PARTITION BY LIST (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1, 2);
    CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
    CREATE TABLE sources (id int PRIMARY KEY, version bigint);
    CREATE TABLE copies (id int PRIMARY KEY, version bigint);
    CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN UPDATE copies SET version = NEW.version WHERE id = NEW.id; RETURN NULL; END';
    CREATE TRIGGER copy AFTER UPDATE ON sources FOR EACH ROW EXECUTE FUNCTION copy();
    CREATE TABLE debts (id int PRIMARY KEY, version bigint, amount int);
    CREATE TABLE savings (id int PRIMARY KEY, version bigint, amount int);
    CREATE VIEW accounts AS SELECT d.id, d.version AS debt, s.version AS saving, d.amount + s.amount AS amount
        FROM debts AS d JOIN savings AS s USING (id);
    INSERT INTO plain SELECT n, 0 FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO parents SELECT n, n * 1000000000::bigint FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO children SELECT * FROM parents;
    INSERT INTO parts SELECT * FROM plain;
    INSERT INTO sources SELECT * FROM plain;
    INSERT INTO copies SELECT * FROM plain;
    INSERT INTO debts SELECT n, 0, 500 FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO savings SELECT n, 0, 500 FROM generate_series(1, {ROWS}) AS n;
"""

Versions = dict[tuple[str, int], int]


class Client(Protocol):
    """`ask` runs one statement; "%s" stands for its only parameter, if it has one."""

    async def ask(self, sql: str, parameter: int | None = None) -> list[tuple[int, ...]]: ...


class Extended:
    """asyncpg: statements with names, bound long after their Parse."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.connection = connection

    async def ask(self, sql: str, parameter: int | None = None) -> list[tuple[int, ...]]:
        if parameter is None:
            return [tuple(row) for row in await self.connection.fetch(sql)]
        return [tuple(row) for row in await self.connection.fetch(sql.replace("%s", "$1::int"), parameter)]


class Psycopg:
    """psycopg: Query, or Parse and Bind in one go, as its cursors do."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self.connection = connection

    async def ask(self, sql: str, parameter: int | None = None) -> list[tuple[int, ...]]:
        cursor = await self.connection.execute(sql, None if parameter is None else [parameter])
        return await cursor.fetchall() if cursor.description is not None else []


DEADLOCKS = (psycopg.errors.DeadlockDetected, asyncpg.DeadlockDetectedError)


class RolledBack(Exception):
    """On purpose, or as far as its client knows."""


class Steadfast:
    """psycopg, and another connection where one is lost."""

    def __init__(self, dsn: str, number: int) -> None:
        self.dsn = dsn
        self.factory = psycopg.AsyncClientCursor if number % 2 else psycopg.AsyncCursor
        self.connection: psycopg.AsyncConnection | None = None

    async def ask(self, sql: str, parameter: int | None = None) -> list[tuple[int, ...]]:
        """RolledBack where nobody knows, but that no more of the transaction will be carried out."""
        try:
            if self.connection is None:
                self.connection = await psycopg.AsyncConnection.connect(
                    self.dsn, autocommit=True, cursor_factory=self.factory
                )
            return await Psycopg(self.connection).ask(sql, parameter)
        except psycopg.OperationalError as error:
            await self.close()
            raise RolledBack from error

    async def close(self) -> None:
        if self.connection is not None:
            await self.connection.close()
        self.connection = None


@dataclass
class Report:
    """What was seen that nobody may see, in words."""

    reads: int = 0
    commits: int = 0
    rolled_back: int = 0
    lost: int = 0  # reads
    stale: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    uneven: list[str] = field(default_factory=list)


async def run_together(
    readers: Iterable[Coroutine[Any, Any, None]], writers: Iterable[Coroutine[Any, Any, None]]
) -> None:
    """Until all readers are done; the writers go on until then."""
    tasks = [asyncio.create_task(writer) for writer in writers]
    try:
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader)
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if not isinstance(end, asyncio.CancelledError):
            raise end  # type: ignore[misc]  # a writer ends by no return


@dataclass
class Storm:
    """Until `wanted` reads were made; one write for each `reads_per_write` of them."""

    wanted: int
    reads_per_write: int = 10
    seed: int = 0
    report: Report = field(default_factory=Report)
    known: Versions = field(default_factory=dict)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))

    async def run(self, readers: list[Client], writers: list[Client]) -> Report:
        await run_together(map(self.read, readers, count()), map(self.write, writers, count()))
        return self.report

    # --- reading ---

    async def read(self, client: Client, number: int) -> None:
        chance, seen, report = random.Random(f"{self.seed} reader {number}"), Versions(), self.report
        while report.reads < self.wanted:
            known = dict(self.known)
            try:
                found = await chance.choice(READS)(client, chance.randint(1, ROWS), report)
            except RolledBack:
                report.lost += 1
                continue
            report.reads += 1
            if report.reads % self.reads_per_write == 0:
                self.turns.release()
            for fact, version in found.items():
                if version < known.get(fact, 0):
                    report.stale.append(f"reader {number}: {fact} is {version}, {known[fact]} was committed")
                if version < seen.get(fact, 0):
                    report.backwards.append(f"reader {number}: {fact} is {version}, after {seen[fact]}")
                seen[fact] = max(version, seen.get(fact, 0))

    # --- writing ---

    async def write(self, client: Client, number: int) -> None:
        chance = random.Random(f"{self.seed} writer {number}")
        while True:
            await self.turns.acquire()
            written: Versions = defaultdict(int)
            row = chance.randint(1, ROWS)
            try:
                await chance.choice(WRITES)(client, row, written, chance)
            except RolledBack:
                self.report.rolled_back += 1
                continue
            except DEADLOCKS:  # they lock rows in any order
                await client.ask("ROLLBACK")  # of one that had begun
                self.report.rolled_back += 1
                continue
            self.report.commits += 1
            for fact, version in written.items():
                self.known[fact] = max(version, self.known.get(fact, 0))


# --- what is read ---

Read = Callable[[Client, int, Report], Awaitable[Versions]]
Write = Callable[[Client, int, Versions, random.Random], Awaitable[None]]


def one_of(table: str) -> Read:
    async def read(client: Client, row: int, _: Report) -> Versions:
        ((version,),) = await client.ask(f"SELECT version FROM {table} WHERE id = %s", row)
        return {(fact_of(table), row): version}

    return read


def all_of(table: str) -> Read:
    async def read(client: Client, _: int, __: Report) -> Versions:
        rows = await client.ask(f"SELECT id, version FROM {table} ORDER BY id")
        return {(fact_of(table), row): version for row, version in rows}

    return read


def fact_of(table: str) -> str:
    """A partition's rows are its table's."""
    return "parts" if table.startswith("parts") else table


async def read_accounts(client: Client, _: int, report: Report) -> Versions:
    rows = await client.ask("SELECT id, debt, saving, amount FROM accounts ORDER BY id")
    if sum(row[3] for row in rows) != TOTAL:
        report.uneven.append(f"{rows}")
    debts = {("debts", row[0]): row[1] for row in rows}
    return debts | {("savings", row[0]): row[2] for row in rows}


async def read_copies(client: Client, _: int, report: Report) -> Versions:
    rows = await client.ask("SELECT s.id, s.version, c.version FROM sources AS s JOIN copies AS c USING (id)")
    report.uneven += [f"{row}" for row in rows if row[1] != row[2]]
    return {("copies", row): version for row, _, version in rows}


READS: list[Read] = [
    one_of("plain"),
    all_of("plain"),
    one_of("parents"),
    one_of("children"),
    all_of("children"),
    one_of("parts"),
    all_of("parts"),
    all_of("parts_1"),
    one_of("copies"),
    all_of("copies"),
    read_copies,
    read_accounts,
]


# --- what is written ---


def update(table: str, *facts: str) -> Write:
    """One statement that commits by itself."""

    async def write(client: Client, row: int, written: Versions, _: random.Random) -> None:
        for fact in facts or (fact_of(table),):
            written[fact, row] = 0
        version = await raise_version(client, table, row)
        for fact, at in list(written):
            written[fact, at] = version

    return write


async def raise_version(client: Client, table: str, row: int) -> int:
    sql = f"UPDATE {table} SET version = version + 1 WHERE id = %s RETURNING version"
    ((version,),) = await client.ask(sql, row)
    return version


async def update_by_merge(client: Client, row: int, written: Versions, _: random.Random) -> None:
    """Its version is what is there afterwards, at least."""
    ((before,),) = await client.ask("SELECT version FROM plain WHERE id = %s", row)
    await client.ask(
        "MERGE INTO plain AS p USING (SELECT %s AS id) AS s ON p.id = s.id"
        " WHEN MATCHED THEN UPDATE SET version = p.version + 1",
        row,
    )
    written["plain", row] = before + 1


async def update_by_with(client: Client, row: int, written: Versions, _: random.Random) -> None:
    sql = "WITH new AS (UPDATE parts SET version = version + 1 WHERE id = %s RETURNING version) SELECT * FROM new"
    ((written["parts", row],),) = await client.ask(sql, row)


async def transfer(client: Client, row: int, written: Versions, chance: random.Random) -> None:
    """Two tables that have the same sum before and after; some are rolled back, some have a savepoint."""
    amount, fate = chance.randint(1, 9), chance.random()
    await client.ask("BEGIN")
    if fate < 0.3:
        await client.ask("SAVEPOINT a")
        await raise_version(client, "debts", row)
        await client.ask("ROLLBACK TO a")
    sql = f"UPDATE %s SET version = version + 1, amount = amount + ({{}}) WHERE id = {row} RETURNING version"
    ((debt,),) = await client.ask(sql.format(amount) % "debts")
    ((saving,),) = await client.ask(sql.format(-amount) % "savings")
    if fate > 0.7:
        await client.ask("ROLLBACK")
        raise RolledBack
    await client.ask("COMMIT")
    written["debts", row], written["savings", row] = debt, saving


WRITES: list[Write] = [
    update("plain"),
    update("parents", "parents", "children"),
    update("parts"),
    update("sources", "sources", "copies"),
    update_by_merge,
    update_by_with,
    transfer,
    transfer,
]
