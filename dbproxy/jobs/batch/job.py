"""The life of a batch in one process: planned, locked, worked on, swept, verified."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Self

import asyncpg

from dbproxy import __version__
from dbproxy.config.batch import BatchSettings
from dbproxy.errors import JobFailed, JobInterrupted, JobRefused, JobStopped, ProxyError
from dbproxy.jobs.batch import ledger, omissions
from dbproxy.jobs.batch.control import Control
from dbproxy.jobs.batch.ledger import Job, Part, State
from dbproxy.jobs.batch.likeness import (
    check_key,
    check_name,
    find_unfinished,
    is_same,
    make_word,
    refuse,
    refuse_finished,
)  # fmt: skip
from dbproxy.jobs.batch.plan import make_plan
from dbproxy.jobs.batch.retry import Outcome, retry
from dbproxy.jobs.batch.session import settle
from dbproxy.jobs.batch.skipped import Skipped
from dbproxy.jobs.batch.source import Chunks, Source
from dbproxy.jobs.batch.upkeep import Upkeep
from dbproxy.jobs.batch.worker import Worker, failure, is_mistake, refusal
from dbproxy.jobs.primary import LOST, Connection, Primary
from dbproxy.jobs.progress import Progress
from dbproxy.jobs.throttle import Throttle, Unthrottled

NO_SCHEMA = """GRANT CREATE ON DATABASE … TO this user, who then owns the schema dbproxy. Where another user owns it:
GRANT USAGE ON SCHEMA dbproxy, and SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dbproxy."""
PATIENCE = "5s"  # lock_timeout of the connection that looks around


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a batch is at one."""

    progress: Progress = field(default_factory=Progress)
    waits_for: str = ""
    errors: int = 0
    revisits: bool = False  # all were seen, and those that others had are left


class Batch:
    """`async with Batch(primary, source) as batch: await batch.run()`.

    `name`: its id; without one it goes on with an unfinished batch of the same words, or begins another. `changes`:
    settings of this batch alone, which the ledger keeps.
    """

    def __init__(
        self,
        primary: Primary,
        source: Source,
        settings: BatchSettings | None = None,
        *,
        name: str = "",
        changes: Mapping[str, Any] | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        self.primary = primary
        self.source = source
        self.settings = settings or BatchSettings()
        self.name = name
        self.changes = changes or {}
        self.throttle = throttle or Unthrottled()
        self.connection: Connection = None  # to look around
        self.control: Control | None = None  # while it runs
        self.progress = Progress()
        self.began = 0.0
        self.stopping = False
        self.revisits = False

    async def __aenter__(self) -> Self:
        """JobRefused if it cannot be done, ServerUnavailable if there is no primary."""
        self.connection = await self.primary.connect("dbproxy batch")
        try:
            await self.connection.execute(f"SET lock_timeout = '{PATIENCE}'; SET statement_timeout = 0")
            await settle(self.connection)
            await self.source.prepare(self.connection)
        except asyncpg.PostgresError as error:
            await self.__aexit__()
            raise (refusal if is_mistake(error) else failure)(error) from None
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.throttle.close()
        await self.source.close()
        if self.connection is not None:
            self.connection.terminate()

    async def plan(self) -> list[str]:
        """What it would do, in lines for people."""
        await self.throttle.check()
        try:
            return await make_plan(self.connection, self.source, self.settings, self.name)
        except asyncpg.PostgresError as error:
            raise (refusal if is_mistake(error) else failure)(error) from None

    async def run(self) -> Job:
        """Until it is done, with errors or without. JobFailed if it stops before; then it can be resumed.

        What is cancelled (asyncio) is left interrupted.
        """
        await self.throttle.check()
        try:
            await self.begin()
        except asyncpg.PostgresError as error:
            raise failure(error) from None
        upkeep = Upkeep(self.source.target if self.source.litters else "")
        control = self.control = Control(
            self.primary, self.name, self.settings, self.throttle, upkeep, self.source.kind
        )
        if self.stopping:
            raise JobInterrupted(f"batch {self.name} was interrupted")
        await control.lock.take()
        state: State = "interrupted"
        reason = ""
        try:
            if self.changes:
                await control.ask(ledger.change, self.name, self.changes)
            await control.look()
            await self.throttle.check()  # by the ledger's settings
            await self.leave()
            await self.work(control)
            await upkeep.analyze(self.primary, control.tally.rows)
            job = await self.report(control)
            state = "done with errors" if job.totals.errors else "done"
        except JobInterrupted:
            raise
        except JobStopped:
            state = "cancelled"
            raise
        except JobFailed as error:
            state, reason = "failed", error.message
            raise
        finally:
            await control.lock.release(state, reason)
            await self.leave()
        return replace(job, state=state, waits_for="")

    async def leave(self) -> None:
        """What the source leaves behind, if that can be."""
        with suppress(asyncpg.PostgresError, ProxyError, *LOST):
            if self.connection.is_closed():
                self.connection = await self.primary.connect("dbproxy batch")
            await self.source.finish(self.connection, self.name)

    def stop(self) -> None:
        """End after the chunk that it is at; it can be resumed."""
        self.stopping = True
        if self.control is not None:
            self.control.stop()

    def look(self, now: float) -> Moment:
        """How far it is, as far as this process knows."""
        control = self.control
        if control is None:
            return Moment()
        waiting, tally = control.waiting, control.tally
        waited = tally.waited + (now - waiting.since if waiting.reason else 0.0)
        self.progress = self.progress.at(tally.seen, max(0.0, now - self.began - waited))
        reason = f"{waiting.reason}: {waiting.detail}" if waiting.detail else waiting.reason
        waits_for = reason or ("primary" if waiting.lost_since else "")
        return Moment(self.progress, waits_for, tally.errors, self.revisits)

    async def retry(self) -> Outcome:
        """Try the rows that were left out once more."""
        await self.begin(finished=True)
        job = await ledger.find(self.connection, self.name)
        assert job is not None
        upkeep = Upkeep("")
        control = self.control = Control(
            self.primary, self.name, self.settings, self.throttle, upkeep, self.source.kind
        )
        await control.lock.take()
        state = job.state
        try:
            outcome = await retry(control, self.source)
            if state == "done with errors" and not outcome.left:
                state = "done"
        finally:
            await control.lock.release(state, job.reason)
        return outcome

    async def begin(self, *, finished: bool = False) -> None:
        """Have it in the ledger. JobRefused if its id is another's, or it is over, unless it may be `finished`."""
        try:
            await ledger.install(self.connection)
        except asyncpg.InsufficientPrivilegeError as error:
            raise JobRefused(
                f"the ledger of batches cannot be used: {error.message}", hint=NO_SCHEMA
            ) from None
        named = bool(self.name)
        while not await self.register(finished=finished):
            if not named:
                self.name = ""  # somebody else has taken that number
            elif other := await ledger.find(self.connection, self.name):
                raise refuse(other)

    async def register(self, *, finished: bool) -> bool:
        """Whether its id is its own."""
        source = self.source
        if not self.name:
            same = await find_unfinished(self.connection, source)
            base = make_word(source.target.rpartition(".")[2].strip('"'))
            self.name = same.id if same is not None else await ledger.name(self.connection, base)
        found = await ledger.find(self.connection, self.name)
        if found is None:
            check_name(self.name)
            await self.rehearse()
            estimate = await source.estimate(self.connection)
            job = Job(
                self.name, source.kind, source.statement, source.target, source.key, source.options, self.changes,
                estimate=estimate,
            )  # fmt: skip
            if await ledger.create(self.connection, job, __version__):
                return True
            found = await ledger.find(self.connection, self.name)
        if found is None or not is_same(found, source):
            return False
        if not finished and found.state in ("done", "done with errors"):
            raise refuse_finished(found, "Another --id begins another.")
        check_key(found, source, goes_on=not finished)
        return True

    async def rehearse(self) -> None:
        """JobRefused if no row could be changed so. What is in its way for a while is met again by its chunks."""
        try:
            await self.source.rehearse(self.connection)
        except asyncpg.PostgresError as error:
            if is_mistake(error):
                raise refusal(error) from None

    async def work(self, control: Control) -> None:
        """All its rounds."""
        listed = await self.divide(control)
        estimate = (await self.report(control)).estimate
        control.tally.errors = sum(part.errors for part in listed)
        control.tally.seen = sum(part.seen for part in listed)
        self.progress, self.began = Progress(estimate), monotonic()
        parts = [part for part in listed if part.number != ledger.REVISIT]
        while True:
            await self.go_through(control, self.source, parts)
            await self.revisit(control)
            upper = await control.ask(self.source.sweep) if parts and parts[0].round == 1 else None
            if upper is None:
                return
            part = await control.ask(ledger.sweep, self.name, parts[0].number, upper)
            parts = [] if part is None else [part]
            control.tally.errors = sum(part.errors for part in parts)

    async def revisit(self, control: Control) -> None:
        """Rows that others had, in rounds."""
        while await control.ask(omissions.find_skipped, self.name) is not None:
            part = await control.ask(omissions.revisit, self.name)
            self.revisits, self.progress = True, replace(self.progress, total=control.tally.seen)
            await self.go_through(control, Skipped(self.source, part), [part])
        self.revisits = False

    async def divide(self, control: Control) -> list[Part]:
        """Its parts, which are decided once."""
        parts = await control.ask(ledger.list_parts, self.name)
        if not parts:
            ends = await control.ask(self.source.divide, control.settings.workers)
            made = [Part(self.name, number, after, upto) for number, (after, upto) in enumerate(ends)]
            await control.ask(ledger.create_parts, made)
            parts = await control.ask(ledger.list_parts, self.name)
        return parts

    async def go_through(self, control: Control, source: Chunks, parts: list[Part]) -> None:
        """The first that fails ends all."""
        workers = [Worker(control, source, part) for part in parts if not part.done]
        try:
            async with asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(worker.run())
        except* ProxyError as failures:
            raise first(failures) from None

    async def report(self, control: Control) -> Job:
        job = await control.ask(ledger.find, self.name)
        if job is None:
            raise JobFailed(f"batch {self.name} is not in the ledger any more")
        return job


def first(failures: BaseExceptionGroup[ProxyError]) -> ProxyError:
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, ProxyError)
    return found
