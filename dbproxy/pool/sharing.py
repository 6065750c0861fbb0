"""Who gets a place under limits that pools share (pool.quota), so that no database or user starves another.

The pool with the fewest connections is first, and of equals the one that was given a place longest ago: not the one
whose client waits longest, which in a crowd is always the same. Where no place is free, one is made: of the pool that
has most connections, among those with idle ones, the one that was used longest ago is closed. Where all are at work,
the pools that have more than the one that wants *yield*: whichever of their connections is free first is closed instead
of being lent again. Equals yield to a pool that has none at all, each connection after `TURN` seconds: so more pools
than places take turns.

Nothing of this lies on a query's way: a connection that yields is condemned, as others that are not to be lent again.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count

import structlog

from dbproxy.errors import TooManyConnections
from dbproxy.pool.quota import Quota, Quotas, Share
from dbproxy.pool.states import ACTIVE, BEING_CANCELED, TESTED, YIELDS, Member
from dbproxy.pool.supply import Supply

log = structlog.get_logger(__name__)

TURN = 0.5  # seconds that a connection is kept from a pool that has none, and that one waits for it
TOLD_EVERY = 60.0  # seconds between two log lines about one limit


class Sharing:
    """Of all pools: `pools()`."""

    def __init__(self, quotas: Quotas, pools: Callable[[], Iterable[Supply]]) -> None:
        self.quotas = quotas
        self.pools = pools
        self.wanting: dict[Supply, None] = {}  # those that have clients waiting, and no place
        self.yielding: list[Member] = []
        self.reserving: list[Quota] = []
        self.turns = count(1)
        self.busy = False

    def make_share(self, database: str, user: str, *, standing: bool = False) -> Share:
        """In what `max_db_connections` and `max_user_connections` allow."""
        find = self.quotas.find
        quotas = [find("max_db_connections", database), find("max_user_connections", user)]
        return Share(quotas, self.ask, self.freed, standing=standing)

    def ask(self, pool: Supply, now: float) -> None:
        """A pool is short of connections: it gets what can be had, or stands among those who want some."""
        if pool in self.wanting:
            return  # the next place that is free, or the next sweep, sees to it
        if not pool.waiting:
            self.fill(pool, now)
            return
        self.wanting[pool] = None
        self.sweep(now)
        if pool in self.wanting:
            self.note(pool, now)

    def fill(self, pool: Supply, now: float) -> None:
        """What `min_pool_size` wants, of places that nobody else does."""
        if self.busy or any(pool.share.overlaps(other.share) for other in self.wanting):
            return
        for _ in range(pool.missing(now)):
            if pool.share.find_full():
                return
            pool.begin_opening()

    def take(self, share: Share) -> None:
        """A place at once, be it that of an idle connection: for one beside the pools, which nobody can have yield.

        TooManyConnections if there is none.
        """
        self.busy = True  # what is closed here is for nobody else
        try:
            for quota in share.find_full():
                idle = self.find_idle(None, [quota])
                if idle is not None:
                    idle.close(f"{quota.name}: its place goes to a replication connection")
                if quota.is_full():
                    raise TooManyConnections(f"too many connections ({quota.tell()})")
            share.take()
        finally:
            self.busy = False

    def freed(self, now: float) -> None:
        """A place is free: whoever was to yield one need not."""
        if self.wanting or self.yielding or self.reserving:
            self.sweep(now)

    def sweep(self, now: float) -> None:
        """See who wants a place, what is idle, and how many may be open."""
        if self.busy:  # a connection that is closed here frees a place: this goes on with it
            return
        self.busy = True
        try:
            self.spare()
            for quota in self.quotas.find_exceeded():
                self.shrink(quota)
            self.distribute(now)
        finally:
            self.busy = False

    # --- in turn ---

    def distribute(self, now: float) -> None:
        """Give places to pools that want some, one by one; who gets none goes on wanting."""
        rest = list(self.wanting)
        while rest:
            pool = min(rest, key=lambda pool: (pool.size(), pool.share.turn))
            if not pool.waiting or not pool.missing(now):
                del self.wanting[pool]
                rest.remove(pool)
            elif self.make_room(pool, now):
                pool.share.turn = next(self.turns)
                pool.begin_opening()
            else:
                rest.remove(pool)

    def make_room(self, pool: Supply, now: float) -> bool:
        """Whether there is a place for this pool, be it that of an idle connection that is closed for it."""
        if pool.share.find_bar() is not None:
            return False
        full = pool.share.find_full()
        if not full:
            return True
        found = self.find_idle(pool, full)
        victims = (
            [found] * len(full) if found is not None else [self.find_idle(pool, [quota]) for quota in full]
        )
        idle = [victim for victim in victims if victim is not None]
        if len(idle) < len(victims):
            self.have_yield(
                pool, [quota for quota, victim in zip(full, victims, strict=True) if victim is None], now
            )
            return False
        for server in idle:
            server.close(f"{full[0].name}: its place goes to {pool.database}/{pool.user}")
        return not pool.share.find_full()

    def find_idle(self, pool: Supply | None, quotas: list[Quota]) -> Member | None:
        """The connection to give up for this pool: of those with a share in all these, that which has most."""
        holders = [other for other in self.others(pool, quotas) if other.idle.first and not other.waiting]
        greediest = max(holders, key=lambda other: other.size(), default=None)
        return greediest.idle.first if greediest is not None else None

    def have_yield(self, pool: Supply, quotas: list[Quota], now: float) -> None:
        """A place is needed under each of these: whoever has more is to give up the connection that is free first.

        If that is impossible under one of them, it is of no use under the others.
        """
        found = [self.find_yielding(pool, quota, now) for quota in quotas]
        if all(found):
            for server in chain.from_iterable(found):
                self.have_closed(server)
            if not pool.size():
                self.reserve(pool)

    def reserve(self, pool: Supply) -> None:
        """Keep what is free under its other limits, or it would never have a place under all of them at once."""
        for quota in pool.share.quotas:
            if quota.most and not quota.is_full():
                quota.reserved += 1
                self.reserving.append(quota)

    def find_yielding(self, pool: Supply, quota: Quota, now: float) -> list[Member]:
        """The connections of those that have more; of its equals, too, if it has none and has waited for a while."""
        size = pool.size()
        first: float = pool.waiting.oldest()
        turns = not size and now - first >= TURN
        return [
            server
            for other in self.others(pool, [quota])
            for server in at_work(other)
            if other.size() > size + 1 or (turns and now - server.backend.connected_at >= TURN)
        ]

    def shrink(self, quota: Quota) -> None:
        """More are open than may be: close what is idle, and what is at work when it is free."""
        while quota.used > quota.most:
            server = self.find_idle(None, [quota])
            if server is None:
                break
            server.close(f"{quota.name} is {quota.most}")
        if quota.used > quota.most:
            for other in self.others(None, [quota]):
                for server in at_work(other):
                    self.have_closed(server)

    def others(self, pool: Supply | None, quotas: list[Quota]) -> Iterator[Supply]:
        """The pools beside this one that have a share in all of these, and may give up a connection."""
        for other in self.pools():
            shares = other.share
            if other is not pool and not shares.standing and all(quota in shares.quotas for quota in quotas):
                yield other

    # --- yielding ---

    def have_closed(self, server: Member) -> None:
        if not server.upkeep.condemned:
            server.condemn(YIELDS)
            self.yielding.append(server)

    def spare(self) -> None:
        """No connection need be given up any more, and no place kept, as far as is known."""
        for server in self.yielding:
            server.pardon()
        self.yielding.clear()
        for quota in self.reserving:
            quota.reserved -= 1
        self.reserving.clear()

    # --- told ---

    def note(self, pool: Supply, now: float) -> None:
        for quota in pool.share.find_full():
            pool.stats.limits[quota.name] += 1
            if now - quota.told_at < TOLD_EVERY:
                continue
            quota.told_at = now
            log.warning("limit reached", limit=quota.name, of=quota.owner, most=quota.most, used=quota.used,
                        database=pool.database, user=pool.user, waiting=len(pool.waiting),
                        held=self.count_held(quota))  # fmt: skip

    def count_held(self, quota: Quota) -> dict[str, int]:
        """Who has how many."""
        held: dict[str, int] = {}
        for other in self.pools():
            if quota in other.share.quotas and other.size():
                name = f"{other.database}/{other.user}"
                held[name] = held.get(name, 0) + other.size()
        return held


def at_work(pool: Supply) -> list[Member]:
    """The connections that are neither idle nor being opened."""
    return [server for state in (ACTIVE, TESTED, BEING_CANCELED) for server in pool.lists[state]]
