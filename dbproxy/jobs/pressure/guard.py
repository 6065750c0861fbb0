"""The throttle of jobs: looks at all there is before a chunk goes, and waits if that is too much.

It looks no more often than `throttle.interval`: chunks that are done sooner go without.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from dbproxy.config.batch import BatchSettings
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.errors import JobFailed, ServerUnavailable
from dbproxy.jobs.pressure.decision import NICE, Critical, Decision, Go, State, Wait, decide, decide_here
from dbproxy.jobs.pressure.looks import Here, Look, Pressure
from dbproxy.jobs.pressure.pace import Pace
from dbproxy.jobs.pressure.proxy import ProxyLooks
from dbproxy.jobs.pressure.server import ServerLooks
from dbproxy.jobs.throttle import Tell

if TYPE_CHECKING:  # it has a whole cluster
    from dbproxy.jobs.pressure.replicas import ReplicaLooks

TELL_EVERY = 1.0  # seconds, while it waits


class Guard:
    """A `Throttle`. `find_proxy`: as these settings say, None where none is to be asked; `replicas`: as that."""

    def __init__(
        self,
        settings: ThrottleSettings,
        server: ServerLooks,
        find_proxy: Callable[[ThrottleSettings], ProxyLooks | None],
        replicas: "ReplicaLooks | None" = None,
    ) -> None:
        self.settings = settings
        self.server = server
        self.find_proxy = find_proxy
        self.proxy = find_proxy(settings)
        self.replicas = replicas
        self.state = State()
        self.pace = Pace()
        self.looked_at = float("-inf")
        self.rests_until = float("-inf")
        self.started = False  # the application was looked at before the first chunk
        self.told = ""
        self.told_at = float("-inf")

    async def check(self) -> None:
        if self.settings.enabled:
            with suppress(ServerUnavailable):  # which is waited for
                await self.server.check(self.settings)

    async def wait(self, tell: Tell) -> None:
        while not await self.may_go(tell):
            pass

    async def may_go(self, tell: Tell) -> bool:
        """By one look, unless the last one was a moment ago; if it may not, some time has passed."""
        if not self.settings.enabled:
            await self.announce(Go(), tell)
            return True
        if self.is_fresh() and self.rests_until <= monotonic() and not self.state.waits_for:
            return True
        decision = await self.judge()
        self.state = self.state.follow(decision)
        if isinstance(decision, Critical):
            raise JobFailed(f"it is too much: {decision.detail}", hint="Resume it when that is over.")
        await self.announce(decision, tell)
        if isinstance(decision, Go):
            return True
        await self.pause(decision)
        return False

    def is_fresh(self) -> bool:
        return monotonic() - self.looked_at < self.settings.interval

    async def judge(self) -> Decision:
        here = self.look_here()
        waiting = decide_here(here, self.settings)
        if waiting is not None:
            return waiting
        self.looked_at = monotonic()
        look = await self.look(here)
        seen = look.proxy or Pressure()
        if not self.started:
            self.started = True
            self.state, self.pace = State(usual=seen.usual), Pace(seen.usual_p99)
        else:
            self.pace = self.pace.after(seen.p99, self.settings, self.looked_at)
        return decide(look, self.settings, self.state)

    def look_here(self) -> Here:
        settings = self.settings
        return Here(
            time=settings.tell_time(),
            rest=max(0.0, self.rests_until - monotonic()),
            file=bool(settings.file) and Path(settings.file).exists(),
        )

    async def look(self, here: Here) -> Look:
        """At all the others, at the same time."""
        proxy, server = await asyncio.gather(
            self.look_at_proxy(), self.server.look(self.settings), return_exceptions=True
        )
        for found in (proxy, server):
            if isinstance(found, BaseException) and not isinstance(found, ServerUnavailable):
                raise found
        seen = proxy if isinstance(proxy, Pressure) else None
        watched = seen is not None and seen.replicas is not None
        lags = await self.replicas.look() if self.replicas is not None and not watched else None
        if isinstance(server, ServerUnavailable):
            return Look(here=here, proxy=seen, replicas=lags, lost=server.message)
        assert not isinstance(server, BaseException)
        return Look(here=here, proxy=seen, replicas=lags, server=server)

    async def look_at_proxy(self) -> Pressure | None:
        return await self.proxy.look() if self.proxy is not None else None

    async def announce(self, decision: Decision, tell: Tell) -> None:
        """What it waits for, now and then anew, as the details change; that it rests is nothing to tell."""
        if isinstance(decision, Wait) and decision.reason != NICE:
            if decision.reason != self.told or monotonic() - self.told_at >= TELL_EVERY:
                self.told, self.told_at = decision.reason, monotonic()
                await tell(decision.reason, decision.detail)
        elif self.told:
            self.told = ""
            await tell("", "")

    async def pause(self, decision: Decision) -> None:
        seconds = self.settings.interval
        if decision == Wait(NICE):
            seconds = min(self.rests_until - monotonic(), TELL_EVERY)
        await asyncio.sleep(max(0.0, seconds))

    def worked(self, seconds: float, rows: int) -> None:
        ratio = self.settings.nice_ratio + self.pace.rest(self.settings)
        if ratio:
            self.rests_until = monotonic() + seconds * ratio

    def goal(self, chunk_time: float) -> float:
        return self.pace.goal(self.settings, chunk_time)

    def adjust(self, settings: BatchSettings) -> None:
        before, self.settings = self.settings, settings.throttle
        if self.settings.proxy != before.proxy:
            self.proxy = self.find_proxy(self.settings)

    async def close(self) -> None:
        await self.server.close()
        if self.replicas is not None:
            await self.replicas.close()
