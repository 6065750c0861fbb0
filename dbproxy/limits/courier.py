"""The task that asks Redis, one call at a time; what comes meanwhile goes together into the next.

While Redis does not answer (limits.fleet) nothing waits for it: each errand is given up at once, and one call a second
tries. When Redis answers again it is told first what it has missed, by every proxy, before any counts it as there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from time import monotonic

import structlog

from dbproxy.limits.errand import Errand
from dbproxy.limits.fleet import Fleet
from dbproxy.limits.script import (
    DIGEST,
    FAREWELL,
    HELLO,
    NOTHING,
    SCRIPT,
    Sender,
    name_members,
    read,
    spell,
)
from dbproxy.net.caller import Caller
from dbproxy.net.contact import Contact
from dbproxy.net.redis import RedisError

log = structlog.get_logger(__name__)

RETRY = 1.0  # seconds between tries while Redis does not answer,
TRIAL = 0.45  # and once it does: by the third answer in a row every other proxy has been heard, too
SLACK = 2  # timeouts, after which Redis is not to do any more what it was asked
MOST = 100  # errands in one call
SHARES = "Each proxy holds its clients to its share of the limits until Redis answers in time again."
REFUSALS = "Limited requests are refused until Redis answers in time again."


class Courier:
    """From `start` to `stop`. `missing`: what Redis may not know, once it answers again."""

    def __init__(
        self, url: str, prefix: str, timeout: float, fleet: Fleet, missing: Callable[[], Iterable[Errand]]
    ) -> None:
        self.caller = Caller(url, timeout)
        self.members = name_members(prefix)
        self.fleet = fleet
        self.missing = missing
        self.offset = 0  # of Redis' clock from ours, in microseconds, as of its last answer
        self.errands: deque[Errand] = deque()
        self.wanted = asyncio.Event()
        self.greeted_at = 0.0
        self.contact = Contact(monotonic())
        self.task: asyncio.Task[None] | None = None
        self.stopping = False

    def put(self, errand: Errand) -> None:
        self.errands.append(errand)
        if self.fleet.degraded:
            self.give_up()
        self.wanted.set()

    async def start(self) -> None:
        """Try once, and go on."""
        await self.greet()
        self.task = asyncio.get_running_loop().create_task(self.run())

    async def stop(self, last: Iterable[Errand]) -> None:
        """Take leave, with these; within a few timeouts."""
        self.stopping = True
        self.wanted.set()
        if self.task is not None:
            await asyncio.wait({self.task})  # never cancelled: a call may be under way
        self.give_up()
        if not self.fleet.degraded and await self.carry([], FAREWELL):
            await self.carry_all(last)
        await self.caller.redis.close()
        self.fleet.leave()

    async def run(self) -> None:
        while not self.stopping:
            if self.fleet.degraded:
                await self.pause(TRIAL if self.caller.redis.connection else RETRY)
                if not self.stopping:
                    await self.greet()
                continue
            await self.wanted.wait()
            self.wanted.clear()
            if monotonic() - self.greeted_at > RETRY:
                await self.greet()
            while self.errands and not self.fleet.degraded:
                await self.carry([self.errands.popleft() for _ in range(min(MOST, len(self.errands)))])

    async def pause(self, seconds: float) -> None:
        """Unless it is to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.stopping:
                    self.wanted.clear()
                    await self.wanted.wait()

    async def greet(self) -> None:
        """Say that this proxy is there, and, if Redis was not, what it has missed."""
        self.greeted_at = monotonic()
        lacking = self.fleet.degraded
        answers = await self.carry([], HELLO)
        if not answers or not lacking or not await self.carry_all(self.missing()):
            return
        if self.fleet.succeed() and self.contact.succeed():
            log.info("limits are shared by Redis", proxies=self.fleet.proxies)

    async def carry_all(self, errands: Iterable[Errand]) -> bool:
        """Whether Redis has heard all of it."""
        left = iter(errands)
        while some := list(islice(left, MOST)):
            if not await self.carry(some):
                return False
        return True

    async def carry(self, errands: Sequence[Errand], news: str = NOTHING) -> bool:
        """Ask Redis; whether it has answered."""
        orders, caller = [errand.order for errand in errands], self.caller
        sender = Sender(self.members, caller.name, self.fleet.proxies)
        latest = monotonic() + SLACK * caller.timeout
        deadline = int(latest * 1e6) + self.offset if orders else 0
        try:
            answer = await caller.call(
                DIGEST,
                SCRIPT,
                lambda token: spell(sender, token, orders, news, deadline),
                lambda found, token: read(found, token, orders),
            )
        except RedisError as error:
            self.fail(str(error), errands)
            return False
        if answer.proxies:
            self.fleet.see(answer.proxies)
        now = read_clock()
        self.offset = answer.time - now
        for errand, result in zip(errands, answer.results, strict=True):
            errand.settle(result, now)
        return True

    # --- Redis is not there ---

    def fail(self, error: str, errands: Sequence[Errand]) -> None:
        self.fleet.fail()
        if self.contact.fail(error, monotonic()):
            self.warn(error)
        self.errands.extendleft(reversed(errands))
        self.give_up()

    def give_up(self) -> None:
        now = read_clock()
        while self.errands:
            self.errands.popleft().give_up(now)

    def warn(self, error: str) -> None:
        hint = SHARES if self.fleet.graceful else REFUSALS
        log.warning("limits are decided without Redis", error=error, proxies=self.fleet.proxies, hint=hint)


def read_clock() -> int:
    """The proxy's own, in microseconds."""
    return int(monotonic() * 1e6)
