"""Clients who read and write all the time, what befell them, and a ledger of what they were promised.

Each write is a row that only its writer makes, once. A row that was acknowledged has to be there afterwards; one that
was refused must not; of one whose connection broke under way nobody knows.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import psycopg

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import connect

PATIENCE = 15.0
TABLE = (
    "CREATE TABLE ledger (client int, number int, PRIMARY KEY (client, number)); GRANT ALL ON ledger TO app"
)
READ = "SELECT current_setting('test.host') WHERE %s >= 0"
UNKNOWN = ("08006", "08007", "57P01", "57P02", None)  # the outcome: the connection broke
PAUSE = 0.05  # seconds until a client whose connection was refused tries again


class Crowd:
    """`size` clients in autocommit, half of whom only read; of `every` of the others' statements one is a write.

    0: all of them only read.
    """

    def __init__(self, dsn: str, size: int, *, every: int = 0) -> None:
        self.dsn = dsn
        self.size = size
        self.every = every
        self.answers = 0
        self.hosts: Counter[str] = Counter()  # who answered reads
        self.errors: Counter[str] = Counter()  # by what was asked and SQLSTATE
        self.said: list[str] = []  # the errors' texts
        self.acknowledged: set[tuple[int, int]] = set()
        self.refused: set[tuple[int, int]] = set()
        self.longest = 0.0  # seconds that a statement took
        self.wrote_at = 0.0
        self.prepares = True  # every other client lets its driver prepare statements
        self.stuck = 0  # clients that got no answer for `PATIENCE`

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._live(number, stop)) for number in range(self.size)]
        try:
            yield
        finally:
            stop.set()
            done, stuck = await asyncio.wait(tasks, timeout=PATIENCE)
            self.stuck = len(stuck)
            for task in stuck:
                task.cancel()
        for task in done:
            task.result()

    async def _live(self, number: int, stop: asyncio.Event) -> None:
        connection: psycopg.AsyncConnection | None = None
        turn = 0
        while not stop.is_set():
            turn += 1
            writes = self.every > 0 and number % 2 == 0 and turn % self.every == 0
            began = time.monotonic()
            try:
                if connection is None:
                    connection = await psycopg.AsyncConnection.connect(
                        self.dsn,
                        autocommit=True,
                        prepare_threshold=5 if self.prepares and number % 4 < 2 else None,
                    )
                await (self._write(connection, number, turn) if writes else self._read(connection))
                self.answers += 1
            except psycopg.Error as error:
                self.errors[f"{'write' if writes else 'read'} {error.sqlstate}"] += 1
                self.said.append(str(error))
                if connection is None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), PAUSE)
                elif connection.closed:
                    await connection.close()
                    connection = None
            self.longest = max(self.longest, time.monotonic() - began)
        if connection is not None:
            await connection.close()

    async def _read(self, connection: psycopg.AsyncConnection) -> None:
        answer = await connection.execute(READ, [1])
        row = await answer.fetchone()
        assert row is not None
        self.hosts[row[0]] += 1

    async def _write(self, connection: psycopg.AsyncConnection, client: int, number: int) -> None:
        entry = client, number
        try:
            await connection.execute("INSERT INTO ledger VALUES (%s, %s)", entry)
        except psycopg.Error as error:
            if error.sqlstate not in UNKNOWN:
                self.refused.add(entry)
            raise
        self.acknowledged.add(entry)
        self.wrote_at = time.monotonic()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  # plain numbers: nothing to await
                await asyncio.sleep(0.01)

    async def go_on(self, answers: int = 500) -> None:
        """Until so many more have been answered; TimeoutError if for `PATIENCE` nobody is."""
        wanted = self.answers + answers
        while (answered := self.answers) < wanted:
            await self.until(lambda answered=answered: self.answers > answered)

    def missing(self, found: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """Of the rows that were acknowledged."""
        return self.acknowledged - found


def read_ledger(server: Postgres) -> set[tuple[int, int]]:
    with connect(server) as direct:
        return set(direct.execute("SELECT client, number FROM ledger").fetchall())


def wait_for_standby(primary: Postgres) -> None:
    """From now on a commit waits for replica1: what is acknowledged is there after its promotion."""
    primary.psql("ALTER SYSTEM SET synchronous_standby_names = 'replica1'")
    primary.psql("SELECT pg_reload_conf()")
