"""Proxies that share limits, as far as limits go: no client, no server, the gate alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from types import SimpleNamespace
from typing import Any

from dbproxy.config.limits import LimitSettings
from dbproxy.config.template import Facts
from dbproxy.errors import ProxyError
from dbproxy.features.mode import Feature
from dbproxy.gates import Await, Delay, Go, Refuse
from dbproxy.limits.allowance import Allowance
from dbproxy.limits.courier import read_clock
from dbproxy.limits.limiter import Limiter
from dbproxy.limits.store import Store
from dbproxy.limits.subject import Subject

PLAIN = SimpleNamespace(values={})
PATIENCE = 10.0


@dataclass
class Asked:
    """A request (pool.query)."""

    arrived: float
    kinds: bytes = b"Q"

    def read_text(self) -> bytes:
        return b"SELECT 1"


class Session:
    """One client of one proxy, which asks for one transaction after another."""

    def __init__(self, peer: "Peer", facts: Facts) -> None:
        client: Any = SimpleNamespace(notice=lambda message: None)
        self.allowance = Allowance(peer.limiter, peer.feature, client, 1, facts)
        self.limiter = peer.limiter
        self.asker: Any = SimpleNamespace(inbound=SimpleNamespace(allowance=self.allowance))

    @property
    def subject(self) -> Subject:
        return self.allowance.subjects[0]

    async def ask(self) -> ProxyError | None:
        """A whole transaction; None, or why it may not be."""
        if self.allowance.let_go(PLAIN, monotonic()):
            self.end()
            return None
        request = Asked(monotonic())
        while True:
            verdict = self.limiter.before(request, self.asker, monotonic())
            if isinstance(verdict, Refuse):
                return verdict.error
            if isinstance(verdict, Await):
                await verdict.work
            elif isinstance(verdict, Delay):
                await asyncio.sleep(max(0.0, verdict.until - monotonic()))
            else:
                self.end()
                return None

    def observe(self) -> bool:
        """A whole transaction; whether it has gone without a wait."""
        goes = self.allowance.let_go(PLAIN, monotonic()) or isinstance(
            self.limiter.before(Asked(monotonic()), self.asker, monotonic()), Go
        )
        self.end()
        return goes

    def end(self) -> None:
        self.allowance.end(monotonic(), 0.0, 0, 1, 1)

    async def let(self, times: int) -> int:
        """How many of so many are let through."""
        return [await self.ask() for _ in range(times)].count(None)


class Peer:
    """One proxy."""

    def __init__(
        self, url: str, *, timeout: float = 0.5, graceful: bool = True, mode: str = "on", **keys: Any
    ) -> None:
        self.limiter = Limiter(LimitSettings(**keys))
        self.store = Store(url, "rl:", timeout=timeout, graceful=graceful)
        self.feature = Feature("limits", mode, 100)
        self.limiter.share(self.store)

    @property
    def calls(self) -> int:
        """That Redis has answered."""
        return self.store.courier.caller.calls.number

    def join(self, user: str = "app", database: str = "shop") -> Session:
        return Session(self, Facts(user, database, "", "10.0.0.7"))

    def sweep(self, later: float = 0.0) -> None:
        """As the janitor does once a second; `later`: as if so many seconds had gone by."""
        self.store.sweep(read_clock() + int(later * 1e6))

    async def greet(self) -> None:
        """Have it heard of who is there."""
        await self.store.courier.greet()

    async def settle(self) -> None:
        """Until Redis has answered all that was asked."""
        before = self.calls
        await until(lambda: not self.store.courier.errands)
        self.sweep()
        self.store.courier.greeted_at = 0.0
        await until(lambda: self.calls > before)


@asynccontextmanager
async def sharing(number: int, url: str, **keys: Any) -> AsyncIterator[list[Peer]]:
    """So many proxies, which all know of each other."""
    async with AsyncExitStack() as stack:
        peers = [Peer(url, **keys) for _ in range(number)]
        for peer in peers:
            await peer.store.start()
            stack.push_async_callback(peer.store.stop)
        for peer in peers:
            await peer.greet()
        sweeper = asyncio.create_task(keep_sweeping(peers))
        try:
            yield peers
        finally:
            sweeper.cancel()


async def until(holds: Callable[[], object]) -> None:
    """AssertionError if it never does."""
    deadline = monotonic() + PATIENCE
    while not holds():
        assert monotonic() < deadline, "it has not come to that"
        await asyncio.sleep(0.002)


async def exhaust(sessions: list[Session]) -> int:
    """How many are let through at once, by all in turn, until none is."""
    let = 0
    while True:
        answers = [await session.ask() for session in sessions]
        let += answers.count(None)
        if None not in answers:
            return let


async def keep_sweeping(peers: list[Peer]) -> None:
    while True:
        await asyncio.sleep(1)
        for peer in peers:
            peer.sweep()


@dataclass
class Load:
    """What came of asking at a pace. `waits`: seconds that each request took."""

    let: int
    refused: dict[str, int]
    waits: list[float]
    lasted: float

    def percentile(self, share: float) -> float:
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def press(
    sessions: list[Session], rate: float, seconds: float, then: Callable[[], Awaitable[None]] | None = None
) -> Load:
    """Each session asks so often a second, for so long; `then` runs meanwhile."""
    load, begun = Load(0, {}, [], seconds), monotonic()

    async def one(session: Session) -> None:
        number = 0
        while (now := monotonic()) - begun < seconds:
            number += 1
            error = await session.ask()
            load.waits.append(monotonic() - now)
            if error is None:
                load.let += 1
            else:
                load.refused[error.sqlstate] = load.refused.get(error.sqlstate, 0) + 1
            await asyncio.sleep(max(0.0, begun + number / rate - monotonic()))

    peers = asyncio.create_task(then()) if then is not None else None
    await asyncio.gather(*(one(session) for session in sessions))
    if peers is not None:
        await peers
    load.lasted = monotonic() - begun
    return load
