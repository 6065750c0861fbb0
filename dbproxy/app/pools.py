"""The pools: those that clients borrow from, those to replicas, and those on which notifications are heard."""

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

from dbproxy.app.hosts import Hosts, refresh_catalog
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Users
from dbproxy.cluster.member import Member
from dbproxy.config import PoolSettings, Settings
from dbproxy.errors import ProxyError
from dbproxy.pool.login import Target, open_server
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.pool.tenant import Tenant
from dbproxy.routing.router import Router
from dbproxy.session.cancel import cancel_server
from dbproxy.session.hub import STARTUP, Hub, limit
from dbproxy.session.senders import Senders
from dbproxy.sql.cache import StatementCache

NEVER = float("inf")


class Pools:
    """Base of `Proxy`: by database and user, and where their connections go."""

    def __init__(self, settings: Settings, users: Users) -> None:
        self.settings = settings
        self.users = users
        self.keys = KeyCache()
        self.learned: dict[str, Keys] = {}
        self.classifier = StatementCache(settings.pool.statement_cache_size)
        self.pools: dict[tuple[str, str], Pool] = {}
        self.hosts = Hosts(settings, self.make_replica_pool, self.all_pools)
        self.hubs: dict[str, Hub] = {}
        self.senders = Senders()
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
            pool = self.pools[database, user] = self.make_pool(database, user, limits, {})
        return pool

    def find_router(self, database: str, user: str) -> Router | None:
        router = self.hosts.find_router(database, user, self.find_pool(database, user))
        if router is not None and self.hosts.claim_catalog(router, monotonic()):
            self.spawn(refresh_catalog(router))
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
        """The clients', those to replicas, and the hubs'."""
        yield from self.pools.values()
        yield from self.hosts.replica_pools()
        for hub in self.hubs.values():
            if hub.pool is not None:
                yield hub.pool

    # --- made ---

    def make_pool(
        self, database: str, user: str, limits: PoolSettings, parameters: Mapping[str, str]
    ) -> Pool:
        """`parameters` are for the start-up packets of its connections."""
        tenant = Tenant(
            database,
            user,
            limits,
            slow_after=slow_after(self.settings),
            classifier=self.classifier,
            forget_statements=lambda: self.forget_statements(database),
            commits=self.hosts.commits,
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
            target = self.target(pool, parameters)
        except ProxyError as error:
            pool.open_failed(error, monotonic())
            return
        server = await open_server(pool, target, self.keys)
        if server is not None:
            self.senders.add(server)

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
        for pool in self.pools.values():
            if self.is_at(pool.database, databases):
                for server in list(pool.idle):
                    server.close("the database is to be dropped")

    def is_at(self, database: str, names: tuple[str, ...]) -> bool:
        """Whether this database has one of these names on its server."""
        return self.settings.server_for(database).dbname in names

    def forget_statements(self, database: str) -> None:
        """After DDL: in all pools of the database."""
        self.hosts.schema_changed(database)
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


def slow_after(settings: Settings) -> float:
    """Seconds from which on a query is slow."""
    return settings.slow_query.threshold if settings.slow_query.enabled else NEVER
