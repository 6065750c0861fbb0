"""The pools: those that clients borrow from, those to replicas, and those on which notifications are heard."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from dbproxy.app import catalogs
from dbproxy.app.admissions import Admissions
from dbproxy.app.cache import Caches
from dbproxy.app.decoding import Decoding
from dbproxy.app.defaults import Watch, are_refused, is_even, take_over
from dbproxy.app.hosts import Hosts
from dbproxy.app.hubs import Hubs
from dbproxy.app.limits import Limits
from dbproxy.app.monitoring import Monitoring
from dbproxy.app.notifications import Notified
from dbproxy.app.passwords import name_of
from dbproxy.app.pauses import Pauses
from dbproxy.app.stream import Stream
from dbproxy.app.targets import Targets
from dbproxy.app.tasks import Tasks
from dbproxy.app.walsenders import Walsenders
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.users import Users
from dbproxy.cache.witness import Witness
from dbproxy.cluster.member import Member
from dbproxy.config import PoolSettings, Settings
from dbproxy.errors import ConfigurationError, ProxyError
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.defaults import NOWHERE, Place, Snapshot
from dbproxy.pool.opening import fail, open_server
from dbproxy.pool.pool import Pool
from dbproxy.pool.quota import Quotas
from dbproxy.pool.server import Server
from dbproxy.pool.sharing import Sharing
from dbproxy.pool.tenant import Tenant
from dbproxy.routing.router import Router
from dbproxy.session.cancel import cancel_server
from dbproxy.session.hub import STARTUP, Hub, limit
from dbproxy.session.registry import Registry
from dbproxy.session.replication import Replication
from dbproxy.session.startup import Login
from dbproxy.sql.cache import StatementCache

NEVER = float("inf")


class Pools:
    """Base of `Proxy`: by database and user, and where their connections go."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tasks = Tasks()
        self.admissions = Admissions(settings, KeyCache(), self.make_pool, self.tasks.spawn)
        self.classifiers: WeakValueDictionary[str, StatementCache] = WeakValueDictionary()  # by database
        self.pools: dict[tuple[str, str], Pool] = {}
        self.sharing = Sharing(Quotas(settings), self.all_pools)
        self.monitoring = Monitoring(settings, monotonic(), self.tasks.spawn)
        self.limits = Limits(settings, self.tasks.spawn)
        self.hosts = Hosts(settings, self.make_replica_pool, self.all_pools)
        self.caches = Caches(settings, self.tasks.spawn, self.pools.values, self.follow, self.hosts.sees_all)
        self.hosts.cluster.on_reload = self.host_reloaded
        self.hosts.on_epoch = self.caches.turn
        self.hosts.cluster.complete = self.admissions.complete
        self.hubs = Hubs(self.make_hub_pool)
        self.registry: Registry[Login] = Registry()
        self.watch = Watch(self.make_watch_pool, self.renew)
        self.pauses = Pauses()
        targets = Targets(self.admissions, self.hosts)
        self.walsenders = Walsenders(targets, self.pauses, self.sharing, self.registry)
        self.hosts.on_gone = self.walsenders.end

    @property
    def keys(self) -> KeyCache:
        """Of clients and for servers: one and the same where their passwords are."""
        return self.admissions.authenticator.keys

    @property
    def quotas(self) -> Quotas:
        return self.sharing.quotas

    @property
    def targets(self) -> Targets:
        return self.walsenders.targets

    @property
    def paused(self) -> bool:
        return "" in self.pauses.databases

    @property
    def paused_databases(self) -> set[str]:
        return self.pauses.databases - {""}

    @property
    def users(self) -> Users:
        return self.admissions.access.users

    # --- one for each use ---

    def find_pool(self, database: str, user: str) -> Pool:
        """Of this client; where the database's clients all are one user to the server, that user's."""
        user = self.settings.user_for(database, user)
        pool = self.pools.get((database, user))
        if pool is None:
            limits = self.settings.pool_for(database, user)
            pool = self.pools[database, user] = self.make_pool(
                database, user, limits, {}, self.monitoring.query_stats
            )
            self.monitoring.tracing.attend([pool.tenant])
            self.limits.attend(pool.tenant)
            self.limits.arrange(pool)
            self.caches.attend(pool)
        return pool

    def find_router(self, database: str, user: str) -> Router | None:
        if not self.settings.replicas:
            return None
        user = self.settings.user_for(database, user)
        router = self.hosts.find_router(database, user, self.find_pool(database, user))
        if router is not None and catalogs.claim_read(router, monotonic()):
            self.tasks.spawn(catalogs.read(router))
        return router

    def find_hub(self, database: str, user: str) -> Hub:
        return self.hubs.find(database, self.settings.user_for(database, user))

    def all_pools(self) -> Iterator[Pool]:
        """The clients', those to replicas, the hubs', those by which defaults are watched and users looked up."""
        yield from self.pools.values()
        yield from self.hosts.replica_pools()
        yield from self.watch.pools.values()
        yield from self.admissions.lookups.all_pools()
        yield from self.hubs.pools()

    # --- what servers give new sessions ---

    def follow_defaults(self, pool: Pool, then: Callable[[], None]) -> bool:
        """For a login: call `then` once what the pool knows of them is not older than this. False: it is not called."""
        place = pool.defaults.place
        if place is None:  # to look it up takes as long as to ask PostgreSQL
            place = pool.defaults.place = self.find_place(pool)
        return place is not NOWHERE and self.watch.follow(pool, place, then)

    def find_place(self, pool: Pool) -> Place:
        """Where its servers are asked what they give; NOWHERE: they are not."""
        if not self.follows(pool):
            return NOWHERE
        host = self.settings.server_for(pool.database)
        return host.host, host.port, host.dbname

    def follows(self, pool: Pool) -> bool:
        """Whether its servers are asked what they give: they would not agree where several hosts may answer."""
        alone = pool.host is not None or self.hosts.moves(pool.database)
        return pool.settings.follow_defaults and (alone or not self.settings.server_for(pool.database).others)

    def fits(self, server: Server, found: Snapshot) -> bool:
        """Whether a server that gives these to its session is to be lent."""
        pool = server.pool
        router = self.hosts.routers.get((pool.database, pool.user))
        if pool.host is not None:
            return is_even(pool, router.primary.defaults.snapshot if router is not None else None, found)
        logins = (login for login in self.registry if login.pool is pool)
        take_over(pool, router.pools() if router is not None else (), logins, server, found)
        return True

    def host_reloaded(self, member: Member) -> None:
        """It has read its configuration again: what it gives to sessions may be other than before."""
        for pool in self.hosts.pools_of(member):
            pool.defaults.reset()
            pool.retire(f"{member.name} has read its configuration again")
        if member is self.hosts.cluster.primary:
            for pool in self.pools.values():
                if self.hosts.moves(pool.database) and pool.size():
                    self.follow_defaults(pool, lambda: None)

    def renew(self, pool: Pool) -> asyncio.Task[Any]:
        """Open a connection, to be asked; it is kept if there is room."""
        pool.expect()
        return self.tasks.spawn(self.open(pool, {}))

    # --- made ---

    def follow(self, database: str, user: str, witness: Witness) -> Stream:
        """That tells it of everybody's writes, once it runs."""
        notifies = self.settings.cache.invalidation == "notify"
        return Stream(self.targets, database, user, Notified(witness) if notifies else Decoding(witness))

    def make_watch_pool(self, pool: Pool, startup: Mapping[str, str]) -> Pool:
        return self.make_pool(pool.database, pool.user, limit(pool.settings), startup)

    def make_hub_pool(self, database: str, user: str) -> Pool:
        return self.make_pool(
            database, user, limit(self.settings.pool_for(database, user)), STARTUP, standing=True
        )

    def find_classifier(self, database: str) -> StatementCache:
        """One for all pools of a database; forgotten with the last of them."""
        found = self.classifiers.get(database)
        if found is None:
            found = self.classifiers[database] = StatementCache(self.settings.pool.statement_cache_size)
        return found

    def make_pool(
        self,
        database: str,
        user: str,
        limits: PoolSettings,
        parameters: Mapping[str, str],
        query_stats: QueryStats | None = None,
        *,
        standing: bool = False,
    ) -> Pool:
        """`parameters` are for the start-up packets of its connections; `query_stats`: of clients' statements.

        `standing`: its connection is kept, whoever else wants one (pool.quota).
        """
        tenant = Tenant(
            database,
            user,
            limits,
            slow_after=slow_after(self.settings, database, user),
            classifier=self.find_classifier(database),
            forget_statements=lambda: self.forget_statements(database),
            commits=self.hosts.commits,
            query_stats=query_stats,
        )
        share = self.sharing.make_share(database, user, standing=standing)
        pool = Pool(
            tenant, lambda pool: self.tasks.spawn(self.open(pool, parameters)), self.cancel_query, share=share
        )
        pool.moves = self.hosts.chooses(database)
        pool.paused = self.is_paused(database)
        return pool

    def make_replica_pool(self, host: Member, primary: Pool) -> Pool:
        share = self.sharing.make_share(primary.database, primary.user)
        pool = Pool(
            primary.tenant, lambda pool: self.tasks.spawn(self.open(pool, {})), self.cancel_query, host, share
        )
        pool.paused = primary.paused
        self.limits.arrange(pool)
        return pool

    async def open(self, pool: Pool, parameters: Mapping[str, str]) -> None:
        try:
            targets = await self.targets.find(pool, {**parameters, **pool.defaults.overrides})
        except ConfigurationError as error:
            host = pool.host.url if pool.host is not None else self.settings.server_for(pool.database)
            fail(pool, host.address, error)
            return
        except ProxyError as error:
            pool.open_failed(error, monotonic())
            return
        own = pool.host is not None or pool is self.pools.get((pool.database, pool.user))
        fits = self.fits if own and self.follows(pool) else None
        server = await open_server(pool, targets, self.keys, self.hosts.standing, fits)
        if server is not None:
            self.hubs.senders.add(server)
        elif pool.defaults.overrides and are_refused(pool.last_error):
            pool.defaults.overrides, pool.defaults.refused = {}, True
            pool.try_again(monotonic())

    def host_of(self, pool: Pool) -> str:
        """The name of the host that it connects to; "" if that is none of the cluster's, or unknown."""
        primary = self.hosts.cluster.primary if self.hosts.moves(pool.database) else None
        host: Member | None = pool.host or primary
        return host.name if host is not None else ""

    def places(self, settings: Settings, users: Users) -> dict[Pool | Replication, object]:
        """What decides by these settings where the connections of each go, and as whom."""

        def find(database: str, user: str, member: Member | None = None) -> object:
            host = settings.server_for(database)
            if member is not None:
                host = member.url.with_dbname(host.dbname)
            return (
                user,
                host,
                users.find(name_of(settings, database), user),
                settings.password_for(database, user),
            )

        found: dict[Pool | Replication, object] = {
            pool: find(pool.database, pool.user, pool.host) for pool in self.all_pools()
        }
        for one in self.walsenders.replications():
            who = one.identity
            found[one] = find(who.database, settings.user_for(who.database, who.user))
        return found

    def cancel_query(self, server: Server) -> asyncio.Task[None]:
        """Send a cancel request for what this server runs; until it is dealt with, nobody is lent the server."""
        server.upkeep.cancels += 1
        timeout = server.pool.settings.cancel_wait_timeout
        return self.tasks.spawn(cancel_server(server, timeout))

    # --- what befalls them ---

    def vacate(self, databases: tuple[str, ...]) -> None:
        """Close what is idle there: DROP DATABASE waits for all others to leave."""
        self.hubs.vacate(lambda database: self.is_at(database, databases))
        self.admissions.lookups.vacate(
            {*databases, *(self.settings.server_for(name).dbname for name in databases)}
        )
        for pool in (*self.pools.values(), *self.watch.pools.values()):
            if self.is_at(pool.database, databases):
                for server in list(pool.idle):
                    server.close("the database is to be dropped")

    def is_at(self, database: str, names: tuple[str, ...]) -> bool:
        """Whether this database has one of these names on its server."""
        return self.settings.server_for(database).dbname in names

    def forget_statements(self, database: str) -> None:
        """After DDL: in all pools of the database."""
        for router in self.hosts.routers.values():
            if router.primary.database == database:
                router.freshness.stale = True
        for pool in self.pools.values():
            if pool.database == database:
                pool.tenant.statements.forget()

    def has_servers(self, database: str) -> bool:
        """Whether a connection is open or being opened there, in a pool or for replication. `""`: anywhere."""
        pools = any(pool.size() for pool in self.all_pools() if not database or pool.database == database)
        return pools or self.walsenders.count(database) > 0

    def is_paused(self, database: str) -> bool:
        return database in self.pauses

    def pause(self, database: str) -> None:
        """Lend no more servers of this database (`""`: of any), and close each when it comes back."""
        self.pauses.begin(database)
        for pool in self.all_pools():
            if self.is_paused(pool.database):
                pool.pause()
        for hub in self.hubs:
            hub.renew()

    def resume(self, database: str) -> None:
        """Take back `pause(database)`; what was paused by another stays so."""
        self.pauses.end(database)
        for pool in self.all_pools():
            if pool.paused and not self.is_paused(pool.database):
                pool.resume(monotonic())


def slow_after(settings: Settings, database: str, user: str) -> float:
    """Seconds from which on a query of theirs is slow."""
    keys = settings.slow_query_for(database, user)
    return keys.threshold if keys.enabled else NEVER
