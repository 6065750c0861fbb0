"""Kept answers at work: what is known of each database, who is answered from what is kept, and what is written there.

Whoever writes to a database of which answers are kept is seen, also those who are never answered so themselves.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import structlog

from dbproxy.app.redis import check_redis
from dbproxy.app.watched import CATALOG, Watched, Writers, look
from dbproxy.cache.fence import Fence
from dbproxy.cache.gate import SPREAD, CacheGate
from dbproxy.cache.horizon import POSITION, Horizon
from dbproxy.cache.memory import Memory
from dbproxy.cache.shelf import Shelf
from dbproxy.cache.tier import Bounds, Tier
from dbproxy.cache.witness import SNAPSHOT, Witness
from dbproxy.cluster.lag import settle
from dbproxy.config import Settings
from dbproxy.config.cache import CacheKeys
from dbproxy.errors import ProxyError, ServerUnavailable
from dbproxy.features.mode import OFF, Feature
from dbproxy.pool.errand import Errand
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.routing.lsn import parse_lsn

log = structlog.get_logger(__name__)

NAME = "cache"
FAILOVER, FLUSH = "failover", "flush"  # sources of invalidations
FOLLOWED = ("wal", "notify")  # ways by which everybody's writes are told
PAUSE = 0.005  # seconds between two snapshots, while one does not see all that was committed
RETRY = 1.0  # after a question that was not answered
PATIENCE = 10.0  # for a look that does not come to its end: then nothing is known any more


class Caches:
    """Of the whole proxy. `pools`: the clients'."""

    def __init__(
        self,
        settings: Settings,
        spawn: Callable[..., "asyncio.Task[None]"],
        pools: Callable[[], Iterable[Pool]],
        follow: Callable[[str, str, Witness], Writers],
        sees_all: Callable[[str, str], bool] = lambda database, user: False,
    ) -> None:
        """`sees_all`: whether reads of this database and user are to see all commits to what they read."""
        self.settings = settings
        self.sees_all = sees_all
        self.follow = follow
        self.spawn = spawn
        self.pools = pools
        self.memory = Memory(settings.cache.memory)
        self.tier = make_tier(settings, lambda: self.void(FLUSH))
        self.watched: dict[str, Watched] = {}  # by place
        self.gates: dict[tuple[str, str], CacheGate] = {}  # by database and user

    def start(self) -> None:
        """The proxy runs: Redis may be asked from now on."""
        if self.tier is not None:
            self.tier.start()

    async def stop(self) -> None:
        if self.tier is not None:
            await self.tier.stop()

    def apply(self, settings: Settings) -> None:
        """Other settings: what is kept stays, as far as there is room."""
        before, self.settings = self.settings, settings
        if self.tier is not None:
            self.tier.bounds = read_bounds(settings)
        if settings.cache.rules != before.cache.rules:
            for watched in self.watched.values():
                watched.mark, watched.due_at = b"", 0.0  # read again, with what is vouched for
        self.memory.limit = settings.cache.memory
        self.memory.shrink(self.memory.limit)
        for name, gate in self.gates.items():
            gate.apply(settings.cache_for(*name), settings.cache.rules)
        for pool in self.pools():
            self.attend(pool)
        for watched in self.watched.values():
            self.follow_writers(watched)
        self.leave()

    def leave(self) -> None:
        """Watch no more where nobody wants to know any more."""
        wanted = {gate.place for gate in self.gates.values()}
        wanted |= {place for place, watched in self.watched.items() if watched.writers is not None}
        wanted |= {self.locate(pool) for pool in self.pools() if self.serves_all(pool)}
        for place in self.watched.keys() - wanted:
            del self.watched[place]
        for pool in self.pools():
            if self.locate(pool) not in wanted:
                note_writes(pool, None)

    def attend(self, pool: Pool) -> None:
        """Answer its clients from what is kept, or no more; and see what they write, if anybody is."""
        keys = self.settings.cache_for(pool.database, pool.user)
        place, name = self.locate(pool), (pool.database, pool.user)
        watched, gate = self.watched.get(place), self.gates.get(name)
        if gate is not None and gate.place != place:  # it leads to another database now
            pool.tenant.tell(gate.feature, wanted=False)
            del self.gates[name]
            gate = None
            pool.tenant.parameter_sets.forget_cache_keys()
        if gate is None and keys.mode != "off":
            watched = watched or self.watch(place)
            self.hear(watched, pool)
            gate = self.gates[name] = self.make_gate(watched, pool, keys)
            self.follow_writers(watched)
        elif watched is None and self.serves_all(pool):
            watched = self.watch(place)
        if watched is not None:
            watched.rules = self.settings.cache.rules
        note_writes(pool, watched.fence if watched is not None else None)
        others = tuple(other for other in pool.tenant.gates if not isinstance(other, CacheGate))
        pool.tenant.gates = others
        if gate is not None:
            pool.tenant.add_feature(gate.feature)
            pool.tenant.tell(gate.feature, wanted=gate.feature.compares())
            if gate.feature.treated.mode != OFF:
                pool.tenant.gates = (*others, gate)

    def serves_all(self, pool: Pool) -> bool:
        """Whether its reads are to see all commits to what they read, where what is written is seen."""
        return self.settings.cache.invalidation != "ttl" and self.sees_all(pool.database, pool.user)

    def make_gate(self, watched: Watched, pool: Pool, keys: CacheKeys) -> CacheGate:
        feature = Feature(NAME, keys.mode, keys.percent)
        rules = self.settings.cache.rules
        gate = CacheGate(
            watched.place, pool.database, pool.user, watched.fence, self.memory, feature, keys, rules
        )
        gate.shelf = watched.shelf
        if (witness := watched.witness) is not None:
            gate.has_heard = lambda token: has_heard(witness, token)
        return gate

    def locate(self, pool: Pool) -> str:
        host = self.settings.server_for(pool.database)
        return f"{host.address}/{host.dbname}"

    def watch(self, place: str) -> Watched:
        """Whoever writes there through this proxy is seen from now on."""
        watched = self.watched[place] = Watched(place)
        watched.fence.sees = self.settings.cache.invalidation != "ttl"
        for other in self.pools():
            if self.locate(other) == place:
                note_writes(other, watched.fence)
        return watched

    def hear(self, watched: Watched, pool: Pool) -> None:
        """Hear of everybody's writes there, if that is wanted."""
        if watched.writers is None and self.settings.cache.invalidation in FOLLOWED:
            watched.fence.followed = frozenset()
            witness = watched.witness = Witness(
                watched.fence, lambda: self.spawn(self.confirm(watched, witness))
            )
            user = self.settings.server_for(pool.database).user or pool.user
            writers = watched.writers = self.follow(pool.database, user, witness)
            watched.shelf = self.make_shelf(watched, witness, writers)

    def follow_writers(self, watched: Watched) -> None:
        """While anybody is answered from what is kept of it, or would be."""
        gates = (gate for gate in self.gates.values() if gate.place == watched.place)
        watched.follow(self.spawn, wanted=any(gate.feature.treated.mode != OFF for gate in gates))

    def make_shelf(self, watched: Watched, witness: Witness, writers: Writers) -> Shelf | None:
        if self.tier is None:
            return None
        horizon = Horizon(
            watched.fence, witness, lambda: self.spawn(self.find_floors(watched, horizon, writers))
        )
        return Shelf(self.tier, horizon, self.memory)

    def void(self, source: str = FAILOVER) -> None:
        """Nothing that is kept here is given any more; on another timeline what had been committed may be lost."""
        for watched in self.watched.values():
            watched.fence.invalidate(None, source)

    def turn(self, base: int) -> None:
        """The primary is another one, which was at `base` at first."""
        for watched in self.watched.values():
            watched.fence.turn(base)
        self.void()

    def flush(self) -> None:
        """Nor is what is kept in Redis, by any proxy: here at once, elsewhere within a second."""
        if self.tier is not None:
            self.tier.flush()

    def find_pool(self, watched: Watched) -> Pool | None:
        """One that leads there."""
        return next(iter(self.find_pools(watched)), None)

    def find_pools(self, watched: Watched) -> list[Pool]:
        return [pool for pool in self.pools() if self.locate(pool) == watched.place]

    async def confirm(self, watched: Watched, witness: Witness) -> None:
        """Open again what was committed, once others see it."""
        while witness.pending:
            pause = PAUSE
            try:
                pool = self.find_pool(watched)
                if pool is None:
                    raise ServerUnavailable("no pool leads there")
                ((snapshot,),) = await Errand(pool).run(SNAPSHOT)
                witness.see(snapshot.decode())
            except ProxyError as error:
                log.warning("snapshot not read", place=watched.place, error=error.message)
                pause = RETRY
            if witness.pending:
                await asyncio.sleep(pause)

    async def find_floors(self, watched: Watched, horizon: Horizon, writers: Writers) -> None:
        """Learn where the primary is, for what has changed since somebody last asked; it may be another primary."""
        try:
            while horizon.unsettled:
                pool = self.find_pool(watched)
                if pool is None:
                    raise ServerUnavailable("no pool leads there")
                noted = horizon.note()
                ((position, timeline, started, oid),) = await Errand(pool).run(POSITION)
                system, number = writers.source.system
                if int(timeline, 16) == number:
                    horizon.settle(
                        noted, settle(int(position)), f"{system}/{number}/{started.decode()}/{oid.decode()}"
                    )
                await asyncio.sleep(PAUSE)
        except ProxyError as error:
            log.warning("position not read", place=watched.place, error=error.message)
            await asyncio.sleep(RETRY)
        finally:
            horizon.asking = False

    def sweep(self, now: float) -> None:
        """A few times a second."""
        if self.tier is not None:
            self.tier.sweep(now)
        for watched in self.watched.values():
            if now - watched.looked_at > PATIENCE:
                watched.fence.forget()
            if watched.claim(now):
                pool = self.find_looker(watched, now)
                if pool is None:
                    watched.looked(now, well=False)
                else:
                    self.spawn(look(watched, pool, self.identify))

    def find_looker(self, watched: Watched, now: float) -> Pool | None:
        """The pool that asks what is defined there; only for kept answers is a connection opened or held for that."""
        if any(gate.place == watched.place for gate in self.gates.values()):
            return self.find_pool(watched)
        pools = self.find_pools(watched)
        timeout = min((pool.settings.server_idle_timeout for pool in pools), default=0.0)
        if watched.is_asleep(sum(pool.stats.query_count for pool in pools), now, timeout):
            return None
        return next((pool for pool in pools if pool.size() > pool.opening), None)

    def identify(self, watched: Watched, identity: bytes) -> None:
        """If two places are one database, what is written to either counts for both."""
        before, watched.identity = watched.identity, identity
        others = (other for other in self.watched.values() if other is not watched)
        fence = next((other.fence for other in others if other.identity == identity), None)
        if fence is None and before:  # it is not what it was
            fence = Fence()
            fence.sees = watched.fence.sees
            fence.followed = None if watched.writers is None else frozenset()
        if fence is not None and fence is not watched.fence:
            self.change(watched, fence)

    def change(self, watched: Watched, fence: Fence) -> None:
        """It is another database than it was taken for: nothing that was kept of that is given any more."""
        watched.fence.invalidate(None, CATALOG)
        watched.fence, watched.mark = fence, b""
        fence.whole.last.lost_at = monotonic()  # what was committed by this way was not seen there
        if watched.witness is not None and watched.writers is not None:
            watched.writers.restart("it is another database now")
            watched.witness.move(fence)
            watched.shelf = self.make_shelf(watched, watched.witness, watched.writers)
        for pool in self.pools():
            if self.locate(pool) == watched.place:
                note_writes(pool, fence)
        for gate in self.gates.values():
            if gate.place == watched.place:
                gate.cases.fence, gate.shelf = fence, watched.shelf


def note_writes(pool: Pool, fence: Fence | None) -> None:
    """See what its clients write; None: no more. What was sent before this is not known."""
    fence = fence if fence is not None and fence.sees else None
    if pool.tenant.fence is fence:
        return
    pool.tenant.fence = fence
    servers = list(pool.servers())
    if fence is not None and servers:
        fence.whole.last.lost_at = monotonic()
    for server in servers:
        if isinstance(server, Server):
            server.watch()


def make_tier(settings: Settings, forgotten: Callable[[], object]) -> Tier | None:
    """ConfigurationError if there is to be one, and cannot be."""
    keys = settings.cache
    url = keys.redis_url.get_secret_value()
    check_redis("cache.redis_url", url, "each proxy then keeps what it has been asked for itself")
    if not url or keys.invalidation != "wal":
        return None
    return Tier(url, keys.redis_prefix, keys.redis_timeout, read_bounds(settings), forgotten)


def read_bounds(settings: Settings) -> Bounds:
    keys = settings.cache
    return Bounds(keys.redis_min_cost, keys.redis_memory_limit, keys.ttl * (1 + SPREAD))


def has_heard(witness: Witness, token: str) -> bool:
    """Whether all was told that committed up to a causal token; by notifications nobody knows."""
    try:
        return witness.hears and witness.position >= settle(parse_lsn(token))
    except ValueError:
        return False
