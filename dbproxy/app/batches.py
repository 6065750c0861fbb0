"""The ledgers of batches, as the console and HTTP show them (jobs.batch.ledger says what is in one).

They are read by connections of their own, as the user of each database's URL, which are closed again. Whether there is
a ledger at all is looked up in the pools of databases that clients use, in their turn, while somebody reads metrics:
where nobody runs batches, nobody logs in for them. `SHOW BATCHES` asks every database that is known by its name.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic, time
from typing import Any, TypeVar

import asyncpg
import structlog
from pydantic import ValidationError

from dbproxy.admin.figures import database_names
from dbproxy.admin.house import House
from dbproxy.app.jobs import default_database, find_primary
from dbproxy.config.mistakes import advise
from dbproxy.errors import CommandFailed, ConfigurationError, JobRefused, ProxyError, ServerUnavailable
from dbproxy.jobs.batch import ledger
from dbproxy.jobs.batch.changes import refuse_late, tell
from dbproxy.jobs.batch.ledger import Job, Wanted
from dbproxy.jobs.pressure.query import QUERIES, check
from dbproxy.jobs.primary import LOST, Connection, Primary
from dbproxy.observe.figures import BatchCounts, BatchFigures
from dbproxy.observe.masking import mask_words
from dbproxy.pool.errand import Errand
from dbproxy.pool.pool import Pool

log = structlog.get_logger(__name__)

T = TypeVar("T")
APPLICATION_NAME = "dbproxy batches"
TIMEOUT = 5.0  # seconds for one ledger
READ_EVERY = 10.0  # seconds, where batches are shown
LOOK_EVERY = 30.0  # seconds from one look for a ledger to the next, and at one that shows nothing
RETRY = 5.0
PATIENCE = 0.5  # seconds that a scrape waits for what is read for it
SHOWN = 86400.0  # seconds that a batch is a metric after its end
AT_ONCE = 4  # databases
ORDERS: Mapping[str, Wanted] = {"pause": "pause", "resume": "", "cancel": "cancel"}
FAULTS = (asyncpg.PostgresError, ProxyError, *LOST)


class Batches:
    """Of one proxy. `figures`: those that are metrics, as they were read last."""

    def __init__(self, house: House, spawn: Callable[[Any], asyncio.Task[Any]]) -> None:
        self.house = house
        self.spawn = spawn
        self.figures: Sequence[BatchFigures] = ()
        self.known: set[str] = set()  # databases that have a ledger
        self.looks_at: dict[str, float] = {}  # when a database without is looked at again
        self.read_at = self.wanted_at = float("-inf")
        self.failed: set[str] = set()  # databases whose ledgers could not be read, which was told
        self.task: asyncio.Task[None] | None = None

    # --- for metrics ---

    async def refresh(self) -> None:
        """Have them read if that is due; what takes longer than PATIENCE is for the next time."""
        self.wanted_at = monotonic()
        if self.task is None and monotonic() - self.read_at >= (READ_EVERY if self.figures else LOOK_EVERY):
            self.task = self.spawn(self.read())
        if self.task is not None:
            await asyncio.wait({self.task}, timeout=PATIENCE)

    async def read(self) -> None:
        try:
            found = await self.gather(self.known, self.tell_failure)
            oldest = time() - SHOWN
            self.figures = [one for one in found if one.ended is None or one.ended > oldest]
        finally:
            self.read_at = monotonic()
            self.task = None

    def sweep(self, now: float) -> None:
        """Once a second: look for ledgers where clients are, while somebody reads metrics."""
        if now - self.wanted_at > LOOK_EVERY * 2:
            return
        for pool in list(self.house.pools.values()):
            connected = pool.size() > pool.opening  # who waits for a primary is not kept from it
            if pool.database not in self.known and connected and now >= self.looks_at.get(pool.database, 0.0):
                self.looks_at[pool.database] = now + LOOK_EVERY
                self.spawn(self.discover(pool))

    async def discover(self, pool: Pool) -> None:
        try:
            rows = await Errand(pool).run(ledger.FOUND)
        except ProxyError:
            self.looks_at[pool.database] = monotonic() + RETRY
            return
        if rows[0][0] == b"t":
            self.learn(pool.database)

    def learn(self, database: str) -> None:
        """It has a ledger, which is read soon."""
        if database not in self.known:
            self.known.add(database)
            self.read_at = float("-inf")

    def tell_failure(self, database: str, error: BaseException) -> None:
        if database not in self.failed:
            self.failed.add(database)
            log.warning("batches not read", database=database, error=mask_words(str(error)) or "no answer")

    # --- for people ---

    async def fetch(self) -> Sequence[BatchFigures]:
        """CommandFailed if no ledger could be looked for at all."""
        failures: dict[str, BaseException] = {}
        found = await self.gather(self.list_databases(), failures.__setitem__)
        if failures and not found:
            database, error = next(iter(failures.items()))
            raise unreadable(database, error)
        for database, error in failures.items():
            self.tell_failure(database, error)
        return found

    def list_databases(self) -> list[str]:
        """By one name each, though it may have several."""
        settings, places = self.house.settings, dict[tuple[str, str], str]()
        names = [default_database(settings), *database_names(self.house)]
        for name in filter(None, names):
            with suppress(ConfigurationError):
                host = settings.server_for(name)
                places.setdefault((host.address, host.dbname), name)
        return list(places.values())

    async def gather(
        self, databases: Iterable[str], failed: Callable[[str, BaseException], object]
    ) -> list[BatchFigures]:
        """Of all of these; `failed` hears of those that cannot be asked."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(database: str) -> list[BatchFigures]:
            try:
                async with turn:
                    jobs = await self.ask(database, list_jobs)
            except FAULTS as error:
                failed(database, error)
                return []
            self.failed.discard(database)
            (self.known.discard if jobs is None else self.learn)(database)
            return [describe(job, database) for job in jobs or ()]

        return [batch for found in await asyncio.gather(*map(one, list(databases))) for batch in found]

    async def order(self, name: str, database: str, verb: str) -> None:
        job, where = await self.find(name, database)
        if verb == "cancel" and job.state in ("interrupted", "failed"):
            await self.tell(where, lambda connection: ledger.give_up(connection, name))
        elif job.state not in ("running", "paused"):
            hint = f"dbproxy batch resume {name} goes on with it." if verb == "resume" else ""
            raise CommandFailed(f"batch {name} does not run: it is {job.state}", hint=hint, sqlstate="55000")
        else:
            await self.tell(where, lambda connection: ledger.order(connection, name, ORDERS[verb]))

    async def change(self, name: str, database: str, key: str, value: str) -> str:
        job, where = await self.find(name, database)
        if job.state in ("done", "done with errors", "cancelled"):
            raise CommandFailed(f"batch {name} is {job.state} already", sqlstate="55000")
        try:
            settings = self.house.settings.batch.overlay({**job.settings, key: value})
            refuse_late(job, [key])
        except JobRefused as error:
            raise CommandFailed(
                f"SET BATCH failed: {error.message}", hint=error.hint, sqlstate="55000"
            ) from None
        except ValidationError as error:
            raise CommandFailed(
                f"SET BATCH failed: {key}: {advise(error.errors()[0])}",
                hint="[batch] in docs/configuration.md has what can be set.",
                sqlstate="22023",
            ) from None
        await self.tell(where, lambda connection: change(connection, name, key, value))
        return tell(key, settings)

    async def find(self, name: str, database: str) -> tuple[Job, str]:
        """The batch of this id, and in which database it is."""
        found, failures = list[tuple[Job, str]](), dict[str, BaseException]()
        for where in [database] if database else self.list_databases():
            try:
                job = await self.ask(where, lambda connection: find_job(connection, name))
            except FAULTS as error:
                failures[where] = error
                continue
            found += [(job, where)] if job is not None else []
        if len(found) > 1:
            names = ", ".join(where for _, where in found)
            raise CommandFailed(
                f"several databases have a batch {name}: {names}",
                hint="Say which, behind the id.",
                sqlstate="42725",
            )
        if not found and failures:
            raise unreadable(*next(iter(failures.items())))
        if not found:
            raise CommandFailed(
                f"there is no batch {name}", hint="SHOW BATCHES lists them.", sqlstate="42704"
            )
        return found[0]

    async def tell(self, database: str, order: Callable[[Connection], Awaitable[bool]]) -> None:
        try:
            await self.ask(database, order)
        except CommandFailed:
            raise
        except FAULTS as error:
            raise unreadable(database, error) from None

    # --- one ledger ---

    async def ask(self, database: str, question: Callable[[Connection], Awaitable[T]]) -> T:
        """By a connection for that alone; one of FAULTS if it is not answered."""
        async with asyncio.timeout(TIMEOUT):
            connection = await self.find_primary(database).connect(APPLICATION_NAME)
            try:
                return await question(connection)
            finally:
                connection.terminate()

    def find_primary(self, database: str) -> Primary:
        """The one that the cluster has elected is asked first."""
        primary = find_primary(self.house.settings, None, database)
        elected = self.house.cluster.primary
        if elected is None:
            return primary
        hosts = sorted(primary.hosts, key=lambda host: host.address != elected.url.address)
        return Primary(hosts, primary.find_tls, primary.complete)


async def list_jobs(connection: Connection) -> list[Job] | None:
    """None if there is no ledger."""
    return await ledger.list_jobs(connection) if await ledger.exists(connection) else None


async def find_job(connection: Connection, name: str) -> Job | None:
    return await ledger.find(connection, name) if await ledger.exists(connection) else None


async def change(connection: Connection, name: str, key: str, value: str) -> bool:
    """Whether there is such a batch. CommandFailed of a query of the throttle's that is wrong."""
    section, _, query = key.partition(".")
    if section == "throttle" and query in QUERIES and value:
        try:
            await check(connection, query, value)
        except JobRefused as error:
            raise CommandFailed(
                f"SET BATCH failed: {error.message}", hint=error.hint, sqlstate=error.sqlstate
            ) from None
    return await ledger.change(connection, name, {key: value})


def unreadable(database: str, error: BaseException) -> CommandFailed:
    reason = mask_words(str(error)) or "no answer"
    return CommandFailed(
        f"the batches of database {database} cannot be read: {reason}",
        hint="They are read as the user of the database's URL, from the schema dbproxy.",
        sqlstate=str(getattr(error, "sqlstate", "") or ServerUnavailable.sqlstate),
    )


def describe(job: Job, database: str) -> BatchFigures:
    done, running = job.totals, job.state in ("running", "paused")
    rate = done.seen / done.worked * max(1, done.open if running else 1) if done.worked else 0.0
    left = max(0, job.estimate - done.seen)
    counts = BatchCounts(
        rows=done.rows, seen=done.seen, estimate=job.estimate, errors=done.errors, chunks=done.chunks,
        chunk_size=done.chunk_size, worked_s=done.worked,
    )  # fmt: skip
    return BatchFigures(
        id=job.id, database=database, kind=job.kind, table=job.target, statement=job.statement, state=job.state,
        done=counts, rate=rate, eta_s=left / rate if running and rate and job.estimate else None,
        waits_for=job.waits_for, reason=job.reason, throttled=job.throttled, retries=job.retries, started=job.started,
        ended=job.ended, host=job.host, pid=job.pid,
    )  # fmt: skip
