"""Proxies that keep answers for each other, as far as that goes: no client, no server, the second tier alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.fill import Fill
from dbproxy.cache.horizon import Horizon
from dbproxy.cache.memory import Memory
from dbproxy.cache.shelf import Shelf
from dbproxy.cache.tier import Bounds, Tier
from dbproxy.cache.value import Value
from dbproxy.cache.witness import Witness
from dbproxy.sql.identity import NO_SHAPE

ITEMS = 16384  # the one table
PREFIX = "test:"
COST = 0.01
HOUR = 3600.0


class Peer:
    """One proxy, which hears of all writes at once."""

    def __init__(self, url: str, *, timeout: float = 0.5, limit: int = 1 << 20, window: float = HOUR) -> None:
        self.forgotten = 0
        self.offered = 0
        self.looked = 0  # how often Redis was waited for
        self.fence = Fence()
        self.memory = Memory(1 << 20)
        self.witness = Witness(self.fence, lambda: None)
        self.tier = Tier(url, PREFIX, timeout, Bounds(COST, limit, window), self.forget)
        self.horizon = Horizon(self.fence, self.witness, lambda: None)
        self.shelf = Shelf(self.tier, self.horizon, self.memory)
        self.tables = [self.fence.find(ITEMS)]
        self.begin(100)
        self.tier.learn_cost(NO_SHAPE.hash, COST)

    def forget(self) -> None:
        self.forgotten += 1

    def begin(self, position: int) -> None:
        """All is told from here on."""
        self.witness.position = position
        self.witness.began(position)
        self.settle(position)

    def settle(self, position: int) -> None:
        self.horizon.find_floor(self.tables)
        self.horizon.settle(self.horizon.note(), position, "here")

    def hear(self, position: int) -> None:
        """Somebody has written, up to there, and it is seen."""
        self.witness.committed(position, position, frozenset({ITEMS}))
        self.witness.see(f"{position + 1}:{position + 1}:")
        self.witness.position = position
        self.settle(position)

    def keep(self, key: bytes, rows: bytes, *, cost: float = COST, lives: float = HOUR) -> None:
        """As if a server had answered."""
        moment = Moment(self.fence, self.tables)
        fill = Fill(key, NO_SHAPE, moment, 1 << 20, lambda _: None)
        fill.origin = self.shelf.note(self.tables)
        fill.end(cost, monotonic())
        self.offered += fill.origin is not None and cost >= COST
        self.shelf.offer(fill, Value(b"", rows), lives)

    async def find(self, key: bytes) -> bytes | None:
        """The rows that it has by now; None: it does not, and a server is asked."""
        done = self.shelf.look(key, NO_SHAPE, self.tables, 1 << 20)
        if done is not None:
            self.looked += 1
            await done
        entry: Entry | None = self.memory.find(key)
        self.memory.shrink(0)
        return entry.value.rows if entry is not None and entry.moment.is_current() else None

    async def settled(self) -> None:
        """Until Redis has answered all that was offered until now, or that was given up."""
        await until(lambda: sum(self.tier.kept.values()) >= self.offered)

    def greet(self) -> None:
        self.tier.sweeps_at = 0.0
        self.tier.sweep(monotonic())

    async def ready(self) -> None:
        await until(lambda: self.greet() or (self.tier.reader.open and self.tier.writer.open))
        await until(lambda: self.tier.generation)


@asynccontextmanager
async def peers(number: int, url: str, **keys: float) -> AsyncIterator[list[Peer]]:
    """So many, which have all reached Redis."""
    made = [Peer(url, **keys) for _ in range(number)]  # type: ignore[arg-type]
    for peer in made:
        peer.tier.start()
    try:
        for peer in made:
            await peer.ready()
        yield made
    finally:
        for peer in made:
            await peer.tier.stop()


async def until(holds: Callable[[], object]) -> None:
    """AssertionError if it never does."""
    deadline = monotonic() + 30.0
    while not holds():
        assert monotonic() < deadline, "it has not come to that"
        await asyncio.sleep(0.002)
