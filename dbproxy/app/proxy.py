"""The composition root: the one object that knows everybody."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

import structlog

from dbproxy.admin.averages import Averages
from dbproxy.admin.console import Console
from dbproxy.admin.house import Process
from dbproxy.app import addresses
from dbproxy.app.access import read_access
from dbproxy.app.batches import Batches
from dbproxy.app.encryption import Encryption
from dbproxy.app.limits import check_limits
from dbproxy.app.pools import Pools, slow_after
from dbproxy.app.sources import Sources, locate
from dbproxy.app.tracing import Tracing, check_tracing
from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Host, Settings
from dbproxy.errors import AdminShutdown, ProxyError
from dbproxy.limits.allowance import Allowance
from dbproxy.net.tls import ClientTls
from dbproxy.observe import logs
from dbproxy.observe.floods import kind_of
from dbproxy.observe.masking import mask_words
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.opening import limit_age
from dbproxy.pool.pool import Pool
from dbproxy.pool.request import Request
from dbproxy.routing.plugins import load_plugin
from dbproxy.routing.router import Router
from dbproxy.session.cancel import cancel_client, cancel_walsender
from dbproxy.session.connection import Connection
from dbproxy.session.hub import Hub, limit
from dbproxy.session.identity import Identity
from dbproxy.session.replication import Replication, Walsender
from dbproxy.session.startup import Login

log = structlog.get_logger(__name__)

GONE = kind_of("app", "info", {"event": "client disconnected"})


class Proxy(Pools):
    """Who may log in, who is connected; over the pools.

    Implements `session.startup.LoginHouse` and `admin.house.House`.
    """

    process: Process  # app.lifecycle's

    def __init__(self, settings: Settings) -> None:
        Pools.__init__(self, settings)
        self.sources = Sources(self.limits.limiter.book, self.cluster, self.locate_primary)
        self.batches = Batches(self, self.tasks.spawn)
        self.started_at = monotonic()
        self.stopping = False

    @property
    def cluster(self) -> Cluster:
        return self.hosts.cluster

    @property
    def averages(self) -> Averages:
        return self.monitoring.averages

    @property
    def tracing(self) -> Tracing:
        return self.monitoring.tracing

    @property
    def query_stats(self) -> QueryStats | None:
        return self.monitoring.query_stats

    @property
    def routers(self) -> Mapping[tuple[str, str], Router]:
        return self.hosts.routers

    # --- session.startup.LoginHouse ---

    def hear(self, hub: Hub, channels: list[str], heard: Callable[[ProxyError | None], None]) -> None:
        """Let the hub hear these, and say then that it does, or why it cannot."""
        self.tasks.spawn(hear(hub, channels, heard))

    def find_allowance(self, client: Connection) -> Allowance | None:
        return self.limits.find_allowance(client)

    def check_login(self, pool: Pool, who: Identity) -> None:
        self.limits.check_login(pool, who)

    def find_client_tls(self) -> ClientTls | None:
        return self.hosts.encryption.clients

    def count_handshakes(self) -> Mapping[tuple[str, str], int]:
        return self.hosts.encryption.count()

    def cancel(self, pid: int, key: bytes) -> asyncio.Task[None] | None:
        login = self.registry.find(pid, key)
        if login is not None and login.heir is not None:
            backend = login.heir.cancel()
            patience = self.settings.pool.cancel_wait_timeout
            return self.tasks.spawn(cancel_walsender(backend, patience)) if backend is not None else None
        server = cancel_client(login.client) if login is not None and login.client is not None else None
        return self.cancel_query(server) if server is not None else None

    async def open_walsender(self, identity: Identity, parameters: Mapping[str, str]) -> Walsender:
        return await self.walsenders.open(identity, parameters)

    def replications(self, database: str = "") -> list[Replication]:
        return self.walsenders.replications(database)

    def open_console(self, login: Login) -> Console:
        return Console(login, self)

    def find_client(self, pid: int) -> Identity | None:
        login = self.registry.by_pid.get(pid)
        return login.identity if login is not None and login.client is not None else None

    def terminate(self, pid: int, reason: str) -> None:
        login = self.registry.by_pid.get(pid)
        if login is not None and login.client is not None:
            error = AdminShutdown("terminating connection due to administrator command")
            login.client.disconnect(reason, error)

    def left(self, client: Identity, reason: str, asked: Mapping[str, str] | None = None) -> None:
        """The client, or the console session, is gone; `asked`: the ids of the request that it leaves open."""
        self.registry.remove(client.pid)
        self.registry.count_disconnect(mask_words(reason))
        if self.settings.log.connections and not logs.is_flood(GONE):
            age = round(monotonic() - client.connected_at, 3)
            log.info("client disconnected", reason=reason, age=age, **client.describe(), **(asked or {}))

    def log_slow(self, client: Connection, request: Request, wait: float, run: float) -> None:
        self.monitoring.slow.note(client, request, wait, run)

    # --- servers ---

    def vacate(self, databases: tuple[str, ...]) -> None:
        Pools.vacate(self, databases)
        self.sources.vacate({*databases, *(self.settings.server_for(name).dbname for name in databases)})

    def locate_primary(self) -> Host:
        return locate(self.settings, self.cluster.primary.url if self.cluster.primary is not None else None)

    def warm_up(self) -> None:
        """What is to be ready before the first client comes: keys, and the pools of the logins in the URLs."""
        self.tasks.spawn(self.admissions.prepare())
        addresses.follow(self.settings, self.all_pools)
        url = self.settings.primary.url
        names = {*self.settings.databases.keys() - {"*"}, (url.dbname or url.user) if url else ""}
        for database in names - {""}:
            user = self.settings.user_for(database, self.settings.server_for(database).user)
            if user and self.settings.pool_for(database, user).min_pool_size:
                self.find_pool(database, user).open_more(monotonic())

    # --- what administrators ask for ---

    def apply(self, settings: Settings) -> None:
        """Use other settings. ConfigurationError if their users' file or plugin is bad: then nothing has changed."""
        access, plugin = read_access(settings), load_plugin(settings.routing.plugin)
        check_tracing(settings)
        check_limits(settings)
        encryption = Encryption(settings, self.hosts.encryption)
        before, after = self.places(self.settings, self.users), self.places(settings, access.users)
        moved = [what for what, place in before.items() if place != after[what]]
        self.settings = settings
        self.admissions.apply(settings, access)
        logs.adjust(settings.log.level, settings.log.areas(), settings.log.flood_limit)
        self.hosts.apply(settings, plugin, encryption)
        self.hosts.watch(self.tasks.spawn)
        addresses.follow(settings, self.all_pools)
        self.monitoring.apply(settings)
        self.tracing.attend(pool.tenant for pool in self.pools.values())
        self.limits.apply(settings, [pool.tenant for pool in self.pools.values()])
        self.caches.apply(settings)
        self.sources.hurry()
        for login in self.registry:
            self.give_router(login)
            if login.client is not None:
                login.client.translator.series.said.keeps = settings.log.parameters
                self.limits.join(login.client)
        for pool in self.all_pools():
            limits, lifetime = settings.pool_for(pool.database, pool.user), pool.settings.server_lifetime
            own = pool.host is not None or pool is self.pools.get((pool.database, pool.user))
            pool.tenant.settings = limits if own else limit(limits)
            if pool.settings.server_lifetime != lifetime:
                for server in pool.servers():
                    limit_age(server, pool.settings.server_lifetime)
            self.limits.arrange(pool)
            pool.tenant.slow_after = slow_after(settings, pool.database, pool.user)
            pool.defaults.place = None
            pool.moves = pool.host is None and self.hosts.chooses(pool.database)
        self.quotas.apply(settings)
        self.sharing.sweep(monotonic())
        for what in moved:
            what.retire("settings changed")
        self.tasks.spawn(self.admissions.prepare())

    def give_router(self, login: Login) -> None:
        """To who came before there were replicas."""
        if login.pool is None or login.router is not None:
            return
        login.router = self.find_router(login.identity.database, login.identity.user)
        client = login.client
        if client is not None and client.state.shares and client.state.mode == "transaction":
            client.route.begin(login.router)


async def hear(hub: Hub, channels: list[str], heard: Callable[[ProxyError | None], None]) -> None:
    try:
        await hub.hear(channels)
    except ProxyError as error:
        heard(error)
    else:
        heard(None)
