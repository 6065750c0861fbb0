"""What one database's gates have in the second tier (cache.tier), and what of that is current (cache.horizon)."""

import asyncio
from functools import partial
from time import monotonic

from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fill import Fill
from dbproxy.cache.horizon import Horizon, Stamp
from dbproxy.cache.memory import Memory
from dbproxy.cache.parcel import Parcel, unpack
from dbproxy.cache.table import Table
from dbproxy.cache.tier import BROKEN, HIT, MISS, STALE, Tier
from dbproxy.cache.value import Value
from dbproxy.sql.identity import Shape


class Origin:
    """Of an answer that is on its way, and may be kept for others: `generation` of the tier, when it was asked for."""

    def __init__(self, stamp: Stamp, generation: str) -> None:
        self.stamp = stamp
        self.generation = generation


class Wanted:
    """An answer that is looked for: it is current if `floor` is not above what it has seen, and nothing has changed."""

    def __init__(self, key: bytes, shape: Shape, moment: Moment, floor: int, limit: int) -> None:
        self.key = key
        self.shape = shape
        self.moment = moment
        self.floor = floor
        self.limit = limit


class Shelf:
    """Of one database."""

    def __init__(self, tier: Tier, horizon: Horizon, memory: Memory) -> None:
        self.tier = tier
        self.horizon = horizon
        self.memory = memory

    def look(self, key: bytes, shape: Shape, tables: list[Table], limit: int) -> asyncio.Future[None] | None:
        """Done once it is in memory, or is not to be had; None: it is not looked for."""
        if not self.tier.is_worth(shape.hash):
            return None
        stamp, floor = self.horizon.stamp(tables), self.horizon.find_floor(tables)
        if stamp is None or floor is None:
            return None
        wanted = Wanted(key, shape, Moment(self.horizon.fence, tables), floor, limit)
        take = partial(self.take, wanted, stamp.name)
        lookup = self.tier.look(self.tier.keys.name(stamp.name, key), take)
        return None if lookup is None else lookup.done

    def take(self, wanted: Wanted, name: bytes, data: bytes, left: int) -> None:
        self.tier.found[self.judge(wanted, name, data, left)] += 1

    def judge(self, wanted: Wanted, name: bytes, data: bytes, left: int) -> str:
        """Keep in memory what is current."""
        if not data:
            return MISS
        parcel = unpack(name, wanted.key, data, wanted.limit)
        if parcel is None:
            return BROKEN
        if parcel.seen < wanted.floor or not wanted.moment.is_current():
            return STALE
        expires_at = monotonic() + min(left / 1000, self.tier.bounds.window)
        self.memory.keep(
            Entry(wanted.key, parcel.value, wanted.moment, wanted.shape, parcel.cost, expires_at)
        )
        return HIT

    def note(self, tables: list[Table]) -> Origin | None:
        """An answer that depends on these is about to be asked for; None: it cannot be kept for others."""
        stamp = self.horizon.stamp(tables)
        return None if stamp is None else Origin(stamp, self.tier.generation)

    def offer(self, fill: Fill, value: Value, lives: float) -> None:
        """It has come, and may be kept for so many seconds."""
        self.tier.learn_cost(fill.shape.hash, fill.cost)
        origin = fill.origin
        if isinstance(origin, Origin) and fill.cost >= self.tier.bounds.min_cost:
            parcel = Parcel(origin.stamp.seen, fill.cost, value)
            self.tier.keep(origin.stamp.name, fill.key, origin.generation, parcel, lives)
