"""Writers and readers of single rows at once, and what no reader may see of a row: another state than it is in.

Who writes a row has its lock, so that its state is known: a version, or that it is not there. A read during which
nobody wrote the row must show that state. Any other must not show an older version than was known when it was sent.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from tests.support.staleness import Client, Psycopg, RolledBack, run_together

KEYS = 2
AWAY = 100  # from a key to the one that its row may have instead
MANY = 70  # more rows than are told apart in one transaction
TABLES = {"narrow": "smallint", "middle": "int", "wide": "bigint"}
SCHEMA = "".join(
    f"CREATE TABLE {table} (id {kind} PRIMARY KEY, version bigint, note text DEFAULT 'it''s 5');"
    for table, kind in TABLES.items()
)

Row = tuple[str, int]


class Statements:
    """asyncpg: parameters are binary, and of the type that PostgreSQL finds."""

    def __init__(self, connection: object) -> None:
        self.connection = connection

    async def ask(self, sql: str, parameter: int | None = None) -> list[tuple[int, ...]]:
        given = [] if parameter is None else [parameter]
        return [tuple(row) for row in await self.connection.fetch(sql.replace("%s", "$1"), *given)]  # type: ignore[attr-defined]


@dataclass
class Rows:
    """Until `wanted` reads were made; one write for each `reads_per_write` of them."""

    wanted: int
    reads_per_write: int = 30
    seed: int = 0
    reads: int = 0
    quiet: int = 0  # reads of which the row's state was known
    commits: int = 0
    wrong: list[str] = field(default_factory=list)
    state: dict[Row, int | None] = field(default_factory=dict)
    begun: Counter[Row] = field(default_factory=Counter)
    ended: Counter[Row] = field(default_factory=Counter)
    locks: dict[Row, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    versions: "count[int]" = field(default_factory=lambda: count(1))
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))

    async def run(self, readers: list[Client], writers: list[Client]) -> None:
        await run_together(map(self.read, readers, count()), map(self.write, writers, count()))

    async def read(self, client: Client, number: int) -> None:
        chance = random.Random(f"{self.seed} reader {number}")
        while self.reads < self.wanted:
            key = chance.randint(1, KEYS) + AWAY * (chance.random() < 0.3)
            row = chance.choice(list(TABLES)), key
            known, begun, ended = self.state.get(row), self.begun[row], self.ended[row]
            form = chance.choice(READS)
            found = await form(client, *row)
            self.reads += 1
            if self.reads % self.reads_per_write == 0:
                self.turns.release()
            if begun == ended and begun == self.begun[row]:
                self.quiet += 1
                if found != known:
                    self.wrong.append(f"{form.__name__} of {row} is {found}, not {known}")
            elif found is not None and known is not None and found < known:
                self.wrong.append(f"{form.__name__} of {row} is {found}, {known} was committed")

    async def write(self, client: Client, number: int) -> None:
        chance = random.Random(f"{self.seed} writer {number}")
        while True:
            await self.turns.acquire()
            row = chance.choice(list(TABLES)), chance.randint(1, KEYS)
            async with self.alone(row, (row[0], row[1] + AWAY)):
                write = Write(self, client, *row, chance)
                try:
                    await write.run()
                except RolledBack:
                    continue
                self.state |= write.changed
                self.commits += 1

    @asynccontextmanager
    async def alone(self, *rows: Row) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for row in rows:
                await stack.enter_async_context(self.locks[row])
            self.begun.update(rows)
            yield
            self.ended.update(rows)


@dataclass
class Write:
    """One or several statements about one row; `changed`: what is so once they are committed."""

    rows: Rows
    client: Client
    table: str
    key: int
    chance: random.Random
    changed: dict[Row, int | None] = field(default_factory=dict)

    async def run(self) -> None:
        fate = self.chance.random()
        if fate < 0.5:
            await self.step()
            return
        await self.client.ask("BEGIN")
        if fate < 0.7:
            before = dict(self.changed)
            await self.client.ask("SAVEPOINT a")
            await self.step()
            await self.client.ask("ROLLBACK TO a")
            self.changed = before
        if fate < 0.53:
            for number in range(MANY):
                await self.client.ask(f"UPDATE {self.table} SET note = '' WHERE id = %s", 1000 + number)
        for _ in range(self.chance.randint(1, 3)):
            await self.step()
        if fate > 0.85:
            await self.client.ask("ROLLBACK")
            raise RolledBack
        await self.client.ask("COMMIT")

    def find(self, key: int) -> int | None:
        row = self.table, key
        return self.changed[row] if row in self.changed else self.rows.state.get(row)

    async def step(self) -> None:
        here, away = self.find(self.key), self.find(self.key + AWAY)
        if here is None and away is None:
            await self.chance.choice(INSERTS)(self, self.key, next(self.rows.versions))
        elif here is None:
            await self.move(self.key + AWAY, self.key)
        elif self.chance.random() < 0.15 and away is None:
            await self.move(self.key, self.key + AWAY)
        elif self.chance.random() < 0.2:
            await self.delete()
        else:
            await self.chance.choice(UPDATES)(self, self.key, next(self.rows.versions))

    async def ask(self, sql: str, key: int) -> None:
        """`%s` is a parameter, or is written down."""
        how = self.chance.randint(0, 2)
        if how == 0:
            await self.client.ask(sql.format(t=self.table), key)
        else:
            text = sql.format(t=self.table).replace("%s", str(key) if how == 1 else f"'{key}'")
            await self.client.ask(text)

    async def move(self, key: int, to: int) -> None:
        version = next(self.rows.versions)
        await self.ask(f"UPDATE {{t}} SET version = {version}, id = {to} WHERE id = %s", key)
        self.changed |= {(self.table, key): None, (self.table, to): version}

    async def delete(self) -> None:
        await self.ask(self.chance.choice(DELETES), self.key)
        self.changed[self.table, self.key] = None


Form = Callable[[Write, int, int], Awaitable[None]]
Read = Callable[[Client, str, int], Awaitable[int | None]]
DELETES = (
    "DELETE FROM {t} WHERE id = %s",
    "DELETE FROM {t} AS x WHERE x.id = %s AND x.version > 0",
    "DELETE FROM {t} USING (SELECT 1) AS one WHERE id = %s",
    "WITH gone AS (DELETE FROM {t} WHERE id = %s RETURNING id) SELECT id FROM gone",
)


def form(sql: str) -> Form:
    """`{t}`, `{v}` and `%s`: the table, the version, the key."""

    async def write(step: Write, key: int, version: int) -> None:
        await step.ask(sql.replace("{v}", str(version)), key)
        step.changed[step.table, key] = version

    return write


async def run_two(step: Write, key: int, version: int) -> None:
    """In one text, where a client can."""
    sql = f"UPDATE {step.table} SET version = {version} WHERE id = {key}"
    await step.client.ask(f"SELECT 1; {sql}; SELECT 2" if isinstance(step.client, Psycopg) else sql)
    step.changed[step.table, key] = version


INSERTS = (
    form("INSERT INTO {t} (id, version) VALUES (%s, {v})"),
    form("INSERT INTO {t} (version, id) VALUES ({v}, %s) ON CONFLICT DO NOTHING"),
    form("INSERT INTO {t} VALUES (%s, {v}, lower('X')), (5000 + {v}, {v}, '') ON CONFLICT DO NOTHING"),
    form("INSERT INTO {t} VALUES (%s, {v}) ON CONFLICT (id) DO UPDATE SET version = excluded.version"),
    form("INSERT INTO {t} (id, version) SELECT id, {v} FROM generate_series(1, 200) AS id WHERE id = %s"),
)
UPDATES = (
    form("UPDATE {t} SET version = {v} WHERE id = %s"),
    form("UPDATE {t} SET note = 'a 1 b', version = {v} WHERE version > 0 AND {t}.id = %s AND note <> '7'"),
    form("UPDATE {t} AS x SET version = {v} WHERE %s = x.id"),
    form("UPDATE {t} SET version = {v} WHERE id = %s::bigint"),
    form("UPDATE {t} SET version = {v} WHERE id = %s OR id = 9999"),
    form("UPDATE {t} SET version = {v} WHERE note NOT IN ('8') AND id = %s AND version > 0"),
    form("UPDATE {t} SET version = {v} WHERE note NOT IN ('8', '9') AND id = %s AND version > 0"),
    form("UPDATE {t} SET version = {v} WHERE id IN (%s)"),
    form("UPDATE {t} SET version = {v} WHERE id IN (-1, -2) OR id = %s AND version > 0"),
    form("UPDATE {t} SET version = {v}, id = id WHERE id = %s"),
    form("INSERT INTO {t} VALUES (%s, {v}) ON CONFLICT (id) DO UPDATE SET version = excluded.version"),
    form("MERGE INTO {t} AS x USING (SELECT 1) AS y ON x.id = %s WHEN MATCHED THEN UPDATE SET version = {v}"),
    run_two,
)


def reading(sql: str, given: str = "%s") -> Read:
    async def read(client: Client, table: str, key: int) -> int | None:
        text = sql.format(t=table).replace("%s", given.format(key))
        rows = await (client.ask(text, key) if given == "%s" else client.ask(text))
        return next((row[0] for row in rows), None)

    read.__name__ = f"<{sql.replace('%s', given)}>"
    return read


KEYED = (
    "SELECT version FROM {t} WHERE id = %s",
    "SELECT x.version, 'a', 7 FROM {t} AS x WHERE version > 0 AND x.id = %s ORDER BY 1 LIMIT 5",
    "SELECT max(version) FROM {t} WHERE {t}.id = %s",
)
READS = [
    *(reading(sql, given) for sql in KEYED for given in ("%s", "{}", "'{}'")),
    reading("SELECT version FROM {t} WHERE id = %s::bigint"),
    reading("SELECT version FROM {t} WHERE id = %s OR id = -5", "{}"),
    reading("SELECT version FROM {t} WHERE id IN (-1, -2, {}) AND version > 0".replace("{}", "%s"), "{}"),
    reading("SELECT version FROM (SELECT * FROM {t}) AS x WHERE id = %s"),
]
