"""One part of a batch, chunk after chunk: each a transaction in which the ledger moves, too.

A chunk that fails by one of its rows is halved until that row stands alone: what comes before it is committed half by
half, so that the ledger never has to know of a search. Of a chunk known to be bad, the second half is searched if the
first is good; so a row in a thousand costs a dozen transactions, none of them with savepoints, of which replicas bear
few. What stands alone in the end is left out by its own error: others may have changed the bad row since, or have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import monotonic

import asyncpg
import structlog

from dbproxy.errors import JobFailed, JobRefused, ServerUnavailable
from dbproxy.jobs.batch import ledger, omissions
from dbproxy.jobs.batch.control import Control
from dbproxy.jobs.batch.ledger import Part, Step
from dbproxy.jobs.batch.omissions import BadRow
from dbproxy.jobs.batch.retries import LACKING, Verdict, find_sqlstate, judge, rest
from dbproxy.jobs.batch.session import shorten
from dbproxy.jobs.batch.size import Size
from dbproxy.jobs.batch.source import Afresh, Chunk, Chunks, Fault
from dbproxy.jobs.primary import LOST, Connection, answered

CHECK_EVERY = 1.0  # seconds
# Where it was tried often enough.
HINTS = {
    "57014": "One row takes longer than a chunk may. With --set adaptive=false it has 30 s, and the application may"
    " lose a deadlock to it.",
    "55P03": "Somebody else holds it, or a row of it: pg_locks tells who. Resume once it is free.",
}
INPUT = "input"  # what is waited for of a source that is slow
log = structlog.get_logger(__name__)


class Moved(Exception):
    """The part was not where we thought: what became of a COMMIT in doubt, or somebody else's work."""


class Worker:
    """Of one part; `connection` is its own, None while it is lost."""

    def __init__(self, control: Control, source: Chunks, part: Part) -> None:
        self.control = control
        self.source = source
        self.part = part
        self.chosen = control.settings.chunk_size
        self.size = Size((control.settings.adaptive and part.chunk_size) or self.chosen)
        self.tries = 0
        self.connection: Connection = None
        self.began = 0.0  # of what is asked now
        self.checked_at = 0.0
        self.tried = 0  # rows of the chunk, which may be fewer than its size

    async def run(self) -> None:
        """Until the part is done. JobFailed if it cannot be."""
        try:
            while not self.part.done:
                await self.control.wait()
                try:
                    await self.step()
                except (Moved, Afresh):
                    await self.look()
                except (asyncpg.PostgresError, ServerUnavailable, *LOST) as error:
                    await self.follow(error)
        finally:
            self.hang_up()

    async def step(self) -> None:
        """One chunk, or the end."""
        if self.connection is None:
            self.connection = await self.control.connect()
            await self.look()
            self.control.waiting.lost_since = None
        if self.chosen != self.control.settings.chunk_size:  # it was set in the meantime
            self.chosen = self.control.settings.chunk_size
            self.size = Size(self.chosen)
        await self.check(CHECK_EVERY)
        if not await self.source.ready(self.part, self.size.rows):
            await self.control.tell(INPUT, "")
            return
        if self.control.waiting.reason == INPUT:
            await self.control.tell("", "")
        with self.answered():
            chunk = await self.source.find(self.connection, self.part, self.size.rows)
        if chunk is None:
            await self.close()
            return
        self.tried = chunk.rows
        try:
            await self.commit(chunk, measured=True)
        except Fault as fault:
            await self.isolate(chunk, fault)
        self.tries = 0
        if self.part.cursor != self.part.upper:
            await self.control.tidy()

    async def check(self, every: float) -> None:
        """Whether the source is what it was, at most so often."""
        if monotonic() - self.checked_at >= every:
            with self.answered():
                await self.source.check(self.connection)
            self.checked_at = monotonic()

    async def commit(self, chunk: Chunk, *, measured: bool = False) -> None:
        """Raises Fault if it is a row's, Moved if the ledger was not where we thought; else what the server says."""
        try:
            with self.answered():
                async with self.connection.transaction():
                    rows = await self.source.carry_out(self.connection, await self.take(chunk))
                    took = monotonic() - self.began
                    size = self.size.after(chunk.rows, took, self.control.limits) if measured else self.size
                    step = Step(chunk.upto, rows, chunk.rows, 0, size.rows, took)
                    await self.advance(step)
        except asyncpg.PostgresError as error:  # by the statement, or by a deferred constraint at COMMIT
            if judge(error.sqlstate) is Verdict.DATA:
                raise describe(error) from None
            raise
        self.move(step)
        self.size = size

    async def take(self, chunk: Chunk) -> Chunk:
        """Without those of its rows that others have, if it is to go without them."""
        if not self.control.settings.skip_locked:
            return chunk
        locked = await self.source.take(self.connection, chunk)
        await omissions.skip(self.connection, self.part, locked)
        await shorten(self.connection, self.control.timeouts.statement - (monotonic() - self.began))
        return replace(chunk, without=tuple(locked))

    async def advance(self, step: Step) -> None:
        if not await ledger.advance(self.connection, self.part, step):
            raise Moved

    def move(self, step: Step) -> None:
        """It is committed."""
        part = self.part
        self.part = replace(
            part, cursor=step.upto, rows=part.rows + step.rows, seen=part.seen + step.seen, chunks=part.chunks + 1,
            errors=part.errors + step.errors,
        )  # fmt: skip
        self.control.done(step)

    async def isolate(self, chunk: Chunk, fault: Fault) -> None:
        """Commit what comes before the first bad row, and leave that out, unless it is good or held by now."""
        good, failed = 0, True  # whether this very chunk has
        while True:
            with self.answered():
                halves = await self.source.halve(self.connection, chunk)
            if halves is None and failed:
                await self.leave_out(chunk, fault)
                self.size = self.size.after_bad(good, self.control.limits)
                return
            first, second = halves or (chunk, None)
            try:
                await self.commit(first)
            except Fault as another:
                chunk, fault, failed = first, another, True
                continue
            if second is None:
                return
            good += first.rows
            chunk, failed = second, False

    async def leave_out(self, chunk: Chunk, fault: Fault) -> None:
        with self.answered():
            key = await self.source.name(self.connection, chunk)
            bad = (
                None
                if key is None
                else BadRow(
                    key,
                    fault.sqlstate,
                    fault.message,
                    fault.detail,
                    fault.constraint,
                    self.part.number,
                    chunk.content or None,
                )
            )
            if bad is not None:
                self.control.judge(bad)
            step = Step(chunk.upto, 0, chunk.rows, 0 if bad is None else 1, self.size.rows)
            async with self.connection.transaction():
                if bad is not None:
                    await omissions.record(self.connection, self.part.batch, bad)
                await self.advance(step)
        self.move(step)
        self.control.count(bad)

    async def close(self) -> None:
        with self.answered():
            if not await ledger.close(self.connection, self.part):
                raise Moved
        self.part = replace(self.part, done=True)

    async def look(self) -> None:
        """Where the part is now."""
        with self.answered():
            part = await ledger.read_part(self.connection, self.part.batch, self.part.number)
        if part is None:
            raise JobFailed(f"batch {self.part.batch} is not in the ledger any more")
        self.part = part

    async def follow(self, error: Exception) -> None:
        """Wait for what the error asks for, and go on; JobFailed if there is nothing to wait for."""
        code = find_sqlstate(error)
        slow = monotonic() - self.began > 0.9 * self.control.timeouts.statement
        verdict = judge(code, timed_out=slow)
        log.info(
            "batch chunk failed",
            batch=self.part.batch,
            sqlstate=code,
            reason=str(error),
            follows=verdict.value,
        )
        if verdict is Verdict.STOP or verdict is Verdict.DATA:
            with suppress(asyncpg.PostgresError, *LOST):
                await self.check(0)  # it may have a better reason
            raise failure(error) from None
        await self.control.retried(code)
        if verdict is Verdict.HALVE and self.tried > 1:
            self.size = Size(min(self.size.rows, self.tried), self.size.speed).halved(self.control.limits)
        elif verdict is Verdict.PAUSE:
            await self.control.pause()
        elif verdict is Verdict.WAIT:
            await self.control.sleep("server", str(error), LACKING)
        elif verdict is Verdict.RECONNECT:
            self.hang_up()
            await self.control.wait_for_primary(error)
        else:
            await self.try_again(error, HINTS.get(code, ""))

    async def try_again(self, error: Exception, hint: str) -> None:
        if self.tries >= self.control.settings.retries:
            raise failure(error, hint) from None
        await rest(self.tries)
        self.tries += 1

    @contextmanager
    def answered(self) -> Iterator[None]:
        """In the time that a transaction may take, and some more."""
        self.began = monotonic()
        with answered(self.connection, self.control.timeouts.answer):
            yield

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None


def describe(error: asyncpg.PostgresError) -> Fault:
    return Fault(
        str(error.sqlstate), str(error.message), str(error.detail or ""), str(error.constraint_name or "")
    )


def failure(error: Exception, hint: str = "") -> JobFailed:
    """In PostgreSQL's words; `hint`: ours, where it has none."""
    said = f"the database says {getattr(error, 'sqlstate', '')}: {getattr(error, 'message', error)}"
    more = list_more(error)
    return JobFailed(said, detail=more["detail"], hint=more["hint"] or hint)


def refusal(error: asyncpg.PostgresError) -> JobRefused:
    """In PostgreSQL's words, each once: the error's own text has all of them."""
    return JobRefused(str(error.message or error), **list_more(error))


def is_mistake(error: asyncpg.PostgresError) -> bool:
    """Whether it would come with the next try, too."""
    return judge(str(error.sqlstate)) in (Verdict.STOP, Verdict.DATA)


def list_more(error: Exception) -> dict[str, str]:
    return {name: str(getattr(error, name, None) or "") for name in ("detail", "hint")}
