"""The pools: those that clients borrow from, those to replicas, and those on which notifications are heard."""

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from dbproxy.app import catalogs
from dbproxy.app.defaults import Watch, are_refused, is_even, take_over
from dbproxy.app.hosts import Hosts
from dbproxy.app.monitoring import Monitoring
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Users
from dbproxy.cluster.member import Member
from dbproxy.config import PoolSettings, Settings
from dbproxy.errors import ProxyError
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.defaults import Snapshot
from dbproxy.pool.login import Target, open_server
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.pool.tenant import Tenant
from dbproxy.routing.router import Router
from dbproxy.session.cancel import cancel_server
from dbproxy.session.hub import STARTUP, Hub, limit
from dbproxy.session.registry import Registry
from dbproxy.session.senders import Senders
from dbproxy.session.startup import Login
from dbproxy.sql.cache import StatementCache

NEVER = float("inf")


class Pools:
    """Base of `Proxy`: by database and user, and where their connections go."""

    def __init__(self, settings: Settings, users: Users) -> None:
        self.settings = settings
        self.users = users
        self.keys = KeyCache()
        self.learned: dict[str, Keys] = {}
        self.classifiers: WeakValueDictionary[str, StatementCache] = WeakValueDictionary()  # by database
        self.pools: dict[tuple[str, str], Pool] = {}
        self.monitoring = Monitoring(settings, monotonic())
        self.hosts = Hosts(settings, self.make_replica_pool, self.all_pools)
        self.hosts.cluster.on_reload = self.host_reloaded
        self.hubs: dict[str, Hub] = {}
        self.senders = Senders()
        self.registry: Registry[Login] = Registry()
        self.watch = Watch(self.make_watch_pool, self.renew, self.spawn)
        self.paused = False
        self.paused_databases: set[str] = set()

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a task of the slow lane."""
        raise NotImplementedError

    # --- one for each use ---

    def find_pool(self, database: str, user: str) -> Pool:
        pool = self.pools.get((database, user))
        if pool is None:
            limits = self.settings.pool_for(database, user)
            pool = self.pools[database, user] = self.make_pool(
                database, user, limits, {}, self.monitoring.query_stats
            )
            self.monitoring.tracing.attend([pool.tenant])
        return pool

    def find_router(self, database: str, user: str) -> Router | None:
        router = self.hosts.find_router(database, user, self.find_pool(database, user))
        if router is not None and catalogs.claim_read(router, monotonic()):
            self.spawn(catalogs.read(router))
        return router

    def find_hub(self, database: str, user: str) -> Hub:
        """The hub of this database; it logs in as `user` if it has to."""
        hub = self.hubs.get(database)
        if hub is None:
            hub = self.hubs[database] = Hub(
                database,
                lambda user: self.make_pool(
                    database, user, limit(self.settings.pool_for(database, user)), STARTUP
                ),
                lambda address, pid: self.senders.find(address, pid, monotonic()),
            )
        hub.user = user
        return hub

    def all_pools(self) -> Iterator[Pool]:
        """The clients', those to replicas, the hubs', and those by which defaults are watched."""
        yield from self.pools.values()
        yield from self.hosts.replica_pools()
        yield from self.watch.pools.values()
        for hub in self.hubs.values():
            if hub.pool is not None:
                yield hub.pool

    # --- what servers give new sessions ---

    async def follow_defaults(self, pool: Pool) -> None:
        """For a login: what the pool knows of them is not older than this."""
        if pool.settings.follow_defaults:
            if pool.defaults.place is None:  # to look it up takes as long as to ask PostgreSQL
                host = self.settings.server_for(pool.database)
                pool.defaults.place = (host.host, host.port, host.dbname)
            await self.watch.follow(pool, pool.defaults.place)

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
                    self.spawn(self.follow_defaults(pool))

    def renew(self, pool: Pool) -> asyncio.Task[Any]:
        """Open a connection, to be asked; it is kept if there is room."""
        pool.opening += 1
        return self.spawn(self.open(pool, {}))

    # --- made ---

    def make_watch_pool(self, pool: Pool, startup: Mapping[str, str]) -> Pool:
        return self.make_pool(pool.database, pool.user, limit(pool.settings), startup)

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
    ) -> Pool:
        """`parameters` are for the start-up packets of its connections; `query_stats`: of clients' statements."""
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
        pool = Pool(tenant, lambda pool: self.spawn(self.open(pool, parameters)), self.cancel_query)
        pool.moves = self.hosts.chooses(database)
        pool.paused = self.is_paused(database)
        return pool

    def make_replica_pool(self, host: Member, primary: Pool) -> Pool:
        pool = Pool(primary.tenant, lambda pool: self.spawn(self.open(pool, {})), self.cancel_query, host)
        pool.paused = primary.paused
        return pool

    async def open(self, pool: Pool, parameters: Mapping[str, str]) -> None:
        try:
            target = self.target(pool, {**parameters, **pool.defaults.overrides})
        except ProxyError as error:
            pool.open_failed(error, monotonic())
            return
        own = pool.host is not None or pool is self.pools.get((pool.database, pool.user))
        follows = own and pool.settings.follow_defaults
        server = await open_server(pool, target, self.keys, self.fits if follows else None)
        if server is not None:
            self.senders.add(server)
        elif pool.defaults.overrides and are_refused(pool.last_error):
            pool.defaults.overrides, pool.defaults.refused = {}, True
            pool.try_again(monotonic())

    def target(self, pool: Pool, parameters: Mapping[str, str]) -> Target:
        host = self.hosts.address_of(pool)
        secret = self.users.get(pool.user)
        usable = secret is not None and secret.kind != "scram-sha-256"
        return Target(
            host=host.host,
            port=host.port,
            address=host.address,
            database=host.dbname,
            user=pool.user,
            credentials=secret if usable else self.learned.get(pool.user, secret),
            parameters=parameters,
            writable=pool.host is None and self.hosts.chooses(pool.database),
        )

    def host_of(self, pool: Pool) -> str:
        """The name of the host that it connects to; "" if that is none of the cluster's, or unknown."""
        primary = self.hosts.cluster.primary if self.hosts.moves(pool.database) else None
        host: Member | None = pool.host or primary
        return host.name if host is not None else ""

    def place(self, settings: Settings, users: Users, pool: Pool) -> object:
        """What decides where a pool's connections go."""
        host = settings.server_for(pool.database)
        if pool.host is not None:
            host = pool.host.url.with_dbname(host.dbname)
        return host.host, host.port, host.dbname, users.get(pool.user)

    def cancel_query(self, server: Server) -> asyncio.Task[None]:
        """Send a cancel request for what this server runs; until it is dealt with, nobody is lent the server."""
        server.upkeep.cancels += 1
        timeout = server.pool.settings.cancel_wait_timeout
        return self.spawn(cancel_server(server, *server.backend.endpoint, timeout))

    # --- what befalls them ---

    def vacate(self, databases: tuple[str, ...]) -> None:
        """Close what is idle there: DROP DATABASE waits for all others to leave."""
        for hub in self.hubs.values():
            if not hub.subscriptions.names and hub.server is not None and self.is_at(hub.database, databases):
                hub.server.close("the database is to be dropped")
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

    def is_paused(self, database: str) -> bool:
        return self.paused or database in self.paused_databases

    def pause(self, database: str) -> None:
        """Lend no more servers of this database (`""`: of any), and close each when it comes back."""
        if database:
            self.paused_databases.add(database)
        else:
            self.paused = True
        for pool in self.all_pools():
            if self.is_paused(pool.database):
                pool.pause()
        for hub in self.hubs.values():
            hub.renew()

    def resume(self, database: str) -> None:
        """Take back `pause(database)`; what was paused by another stays so."""
        if database:
            self.paused_databases.discard(database)
        else:
            self.paused = False
        for pool in self.all_pools():
            if pool.paused and not self.is_paused(pool.database):
                pool.resume(monotonic())


def slow_after(settings: Settings, database: str, user: str) -> float:
    """Seconds from which on a query of theirs is slow."""
    keys = settings.slow_query_for(database, user)
    return keys.threshold if keys.enabled else NEVER
