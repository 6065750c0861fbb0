"""What the workers of a batch share: its settings, what was said to it, and what it waits for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Concatenate

import asyncpg
import structlog

from dbproxy.config.batch import BatchSettings
from dbproxy.errors import JobFailed, JobInterrupted, JobStopped, ServerUnavailable
from dbproxy.jobs.batch import ledger
from dbproxy.jobs.batch.ledger import State, Step
from dbproxy.jobs.batch.lock import TIMEOUT, Answer, Lock, Words
from dbproxy.jobs.batch.omissions import BadRow
from dbproxy.jobs.batch.retries import Verdict, find_sqlstate, judge, rest
from dbproxy.jobs.batch.session import DEADLOCK, Timeouts, choose_timeouts, prepare
from dbproxy.jobs.batch.size import Limits
from dbproxy.jobs.batch.upkeep import Upkeep
from dbproxy.jobs.batch.wording import WORDINGS, Wording
from dbproxy.jobs.primary import LOST, Connection, Primary, answered
from dbproxy.jobs.throttle import Throttle

log = structlog.get_logger(__name__)

PAUSED = "paused"
LOOK_EVERY = 1.0  # seconds at most between two looks at what was said
TOLD_AGAIN = 0.5  # seconds at least between two words of what it waits for, if they are the same


@dataclass
class Tally:
    """Of this process; `errors` of the batch."""

    rows: int = 0
    seen: int = 0
    chunks: int = 0
    errors: int = 0
    waited: float = 0.0  # seconds
    slowest: float = 0.0

    def add(self, step: Step) -> None:
        self.rows += step.rows
        self.seen += step.seen
        self.chunks += 1
        self.slowest = max(self.slowest, step.worked)


@dataclass
class Wait:
    """For what, since when; `lost_since`: that no primary was reached, in so many `tries`."""

    reason: str = ""
    detail: str = ""
    since: float = 0.0
    lost_since: float | None = None
    tries: int = 0


@dataclass
class Terms:
    """The settings of a batch: those that were given, with the ledger's changes over them."""

    given: BatchSettings
    now: BatchSettings = field(init=False)
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.given

    def adopt(self, changes: Mapping[str, Any]) -> bool:
        """Whether they are others now. What this version does not know, or does not like, is left out."""
        if changes == self.changes:
            return False
        self.changes = changes
        try:
            self.now = self.given.overlay(changes)
        except ValueError as error:
            log.warning("batch keeps its settings", reason=str(error))
        return True


class Control:
    """One for each process that works on a batch, from its lock to its end."""

    def __init__(
        self,
        primary: Primary,
        batch: str,
        settings: BatchSettings,
        throttle: Throttle,
        upkeep: Upkeep,
        kind: str,
    ) -> None:
        self.primary = primary
        self.batch = batch
        self.terms = Terms(settings)
        self.words = WORDINGS.get(kind, Wording())
        self.throttle = throttle
        self.upkeep = upkeep
        self.tally = Tally()
        self.waiting = Wait()
        self.timeouts = Timeouts(1.0, 0.2)
        self.lock = Lock(primary, batch, self.hear)
        self.turn = asyncio.Lock()  # of who waits for his chunk
        self.changed = asyncio.Event()
        self.orders = ledger.Orders()
        self.looked_at = 0.0
        self.stopping = False  # this process, not the batch

    @property
    def settings(self) -> BatchSettings:
        return self.terms.now

    @property
    def limits(self) -> Limits:
        chosen = self.settings
        goal = self.throttle.goal(chosen.chunk_time)
        return Limits(chosen.min_chunk, chosen.max_chunk, goal, chosen.adaptive)

    # --- the database ---

    async def connect(self) -> Connection:
        """A worker's own, as `session` has it."""
        connection = await self.primary.connect(f"dbproxy batch {self.batch}")
        try:
            with answered(connection, TIMEOUT):
                deadlock = await connection.fetchval(DEADLOCK)
                chosen = self.settings
                self.timeouts = choose_timeouts(deadlock, chosen.lock_timeout, adaptive=chosen.adaptive)
                await prepare(connection, self.timeouts, chosen.synchronous_commit)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def ask(
        self,
        question: Callable[Concatenate[Connection, Words], Awaitable[Answer]],
        *words: Words.args,
        **named: Words.kwargs,
    ) -> Answer:
        """Asked again after a failover. JobFailed if there is no primary for too long, or no ledger."""
        while True:
            try:
                answer = await self.lock.ask(question, *words, **named)
            except (asyncpg.PostgresError, ServerUnavailable, *LOST) as error:
                if judge(find_sqlstate(error)) is not Verdict.RECONNECT:
                    raise JobFailed(f"the ledger of batches cannot be used: {error}") from None
                await self.wait_for_primary(error)
            else:
                self.waiting.lost_since = None
                return answer

    # --- before each chunk ---

    def hear(self) -> None:
        """Somebody has said something, which is to be looked at."""
        self.looked_at = 0.0
        self.changed.set()

    async def wait(self) -> None:
        """Return once a chunk may go. JobStopped if it is cancelled, JobFailed if it has to stop."""
        async with self.turn:
            await self.obey()
            throttled = asyncio.ensure_future(self.throttle.wait(self.tell_throttled))
            try:
                while not throttled.done():
                    await asyncio.wait({throttled}, timeout=LOOK_EVERY)
                    await self.obey()
                throttled.result()
            finally:
                throttled.cancel()

    async def tidy(self) -> None:
        """Vacuum if it is time to; the workers wait for it."""
        async with self.turn:
            if self.upkeep.is_due(self.tally.rows, self.settings.vacuum_every):
                await self.tell("vacuum", self.upkeep.table)
                await self.upkeep.vacuum(self.primary, self.tally.rows)
                await self.tell("", "")

    async def obey(self) -> None:
        """Look at what was said; wait while it is paused."""
        while True:
            if self.stopping:
                raise JobInterrupted(f"batch {self.batch} was interrupted")
            await self.look()
            if self.orders.wanted == "cancel":
                raise JobStopped(f"batch {self.batch} was cancelled")
            if self.orders.wanted != "pause":
                return
            await self.idle()

    async def look(self) -> None:
        now = monotonic()
        if now - self.looked_at < LOOK_EVERY and not self.changed.is_set():
            return
        self.changed.clear()
        self.orders = await self.ask(ledger.look, self.batch)
        self.looked_at = now
        if self.terms.adopt(self.orders.settings):
            self.throttle.adjust(self.settings)
        paused = self.orders.wanted == "pause"
        if paused != (self.waiting.reason == PAUSED):
            await self.tell(PAUSED if paused else "", "")

    async def idle(self) -> None:
        """Until something is said, or a second later."""
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self.changed.wait()
        except TimeoutError:
            self.looked_at = 0.0

    async def tell(self, reason: str, detail: str) -> None:
        """What it waits for, and that it does not any more; the ledger need not hear it."""
        before, now = self.waiting, monotonic()
        if (reason, detail) == (before.reason, before.detail) and now - before.since < TOLD_AGAIN:
            return  # else the seconds are counted, which others look at
        seconds = now - before.since if before.reason else 0.0
        self.waiting = Wait(reason, detail, now, before.lost_since, before.tries)
        self.tally.waited += seconds
        await self.note(before.reason, seconds)

    async def tell_throttled(self, reason: str, detail: str) -> None:
        """Unless it is paused, which is what it waits for then."""
        if self.orders.wanted != "pause":
            await self.tell(reason, detail)

    async def note(self, before: str, seconds: float) -> None:
        reason, detail = self.waiting.reason, self.waiting.detail
        state: State = "paused" if reason == PAUSED else "running"
        try:
            await self.lock.ask(ledger.note, self.batch, state, f"{reason}: {detail}" if detail else reason)
            if before:
                await self.lock.ask(ledger.count, self.batch, "throttled", before, seconds)
        except (asyncpg.PostgresError, ServerUnavailable, *LOST) as error:
            log.info("batch could not note what it waits for", batch=self.batch, reason=str(error))

    def stop(self) -> None:
        """End this process, not the batch, after its chunk."""
        self.stopping = True
        self.changed.set()

    # --- what workers tell ---

    def done(self, step: Step) -> None:
        self.tally.add(step)
        self.throttle.worked(step.worked, step.rows)

    def judge(self, bad: BadRow) -> None:
        """Whether a bad row may be left out. JobFailed if it may not."""
        if self.settings.error_handling == "fail":
            raise JobFailed(
                f"{self.words.one} ({', '.join(bad.key)}) {self.words.failed}: {bad.sqlstate}: {bad.message}",
                detail=bad.detail,
                hint="All before it is done. Mend it, or set error_handling to accumulate, and resume.",
            )

    def count(self, bad: BadRow | None) -> None:
        """It was left out. JobFailed if there are too many."""
        self.tally.errors += bad is not None
        if 0 < self.settings.max_errors < self.tally.errors:
            raise JobFailed(
                f"{self.tally.errors} {self.words.left_out}, which is more than max_errors",
                hint=f"dbproxy batch errors {self.batch} lists them.",
            )

    async def retried(self, sqlstate: str) -> None:
        """Counted, if that can be."""
        try:
            await self.lock.ask(ledger.count, self.batch, "retries", sqlstate, 1)
        except (asyncpg.PostgresError, ServerUnavailable, *LOST) as error:
            log.info("batch could not count a retry", batch=self.batch, reason=str(error))

    async def pause(self) -> None:
        """As if somebody had said so."""
        await self.ask(ledger.order, self.batch, "pause")
        self.changed.set()

    async def sleep(self, reason: str, detail: str, seconds: float) -> None:
        await self.tell(reason, detail)
        await asyncio.sleep(seconds)
        await self.tell("", "")

    async def wait_for_primary(self, error: Exception) -> None:
        """Until the next try to reach one. JobFailed if there was none for too long."""
        now, waiting = monotonic(), self.waiting
        if waiting.lost_since is None:
            waiting.lost_since, waiting.tries = now, 0
        if now - waiting.lost_since > self.settings.primary_wait:
            raise JobFailed(f"there is no primary: {error or 'no answer'}")
        if self.stopping:
            raise JobInterrupted(f"batch {self.batch} was interrupted")
        await rest(waiting.tries)
        waiting.tries += 1
