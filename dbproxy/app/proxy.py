"""The composition root: the one object that knows everybody, and `serve`, which runs it."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any

import structlog
import uvloop

from dbproxy.admin.averages import Averages
from dbproxy.admin.console import Console
from dbproxy.app.hosts import Hosts, refresh_catalog
from dbproxy.app.lifecycle import Lifecycle
from dbproxy.auth.client_login import Authenticator
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Users
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member
from dbproxy.config import PoolSettings, Settings
from dbproxy.errors import ProxyError
from dbproxy.observe import logs
from dbproxy.observe.slowlog import SlowLog
from dbproxy.pool.errand import Errand
from dbproxy.pool.janitor import sweep
from dbproxy.pool.login import Target, open_server
from dbproxy.pool.pool import Pool
from dbproxy.pool.routines import REFRESH
from dbproxy.pool.server import Server
from dbproxy.routing.plugins import load_plugin
from dbproxy.routing.router import Router
from dbproxy.session.cancel import cancel_client, cancel_server
from dbproxy.session.client import Client
from dbproxy.session.deadlines import sweep_logins
from dbproxy.session.hub import STARTUP, Hub, limit
from dbproxy.session.registry import Registry
from dbproxy.session.senders import Senders
from dbproxy.session.startup import Login
from dbproxy.sql.cache import StatementCache
from dbproxy.wire.extended import statement_text

log = structlog.get_logger()

SWEEP_INTERVAL = 0.2  # seconds
SWEEPS_PER_SECOND = 5
NEVER = float("inf")


class Proxy:
    """Pools by database and user, who may log in, who is connected.

    Implements `session.startup.House` and `admin.house.House`.
    """

    reload: Callable[[], None]  # app.lifecycle's

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.users = read_users(settings)
        self.keys = KeyCache()
        self.authenticator = Authenticator(self.keys)
        self.registry = Registry()
        self.slowlog = SlowLog(0, structlog.get_logger())
        self.pools: dict[tuple[str, str], Pool] = {}
        self.classifier = StatementCache(settings.pool.statement_cache_size)
        self.hosts = Hosts(settings, self.make_replica_pool, self.all_pools)
        self.hubs: dict[str, Hub] = {}
        self.senders = Senders()
        self.learned: dict[str, Keys] = {}
        self.started_at = monotonic()
        self.averages = Averages(self.started_at)
        self.stopping = False
        self.behind = False  # with those who are over a limit
        self.paused = False
        self.paused_databases: set[str] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.watcher: asyncio.Task[Any] | None = None

    @property
    def cluster(self) -> Cluster:
        return self.hosts.cluster

    @property
    def routers(self) -> Mapping[tuple[str, str], Router]:
        return self.hosts.routers

    # --- session.startup.House ---

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

    def hear(self, client: Client, channels: list[str]) -> None:
        """Let the hub hear these, and the client go on then (`Client.heard`)."""
        self.spawn(hear(client, channels))

    def learn(self, user: str, keys: Keys) -> None:
        self.learned[user] = keys

    def cancel(self, pid: int, key: bytes) -> asyncio.Task[None] | None:
        login = self.registry.find(pid, key)
        if login is not None and login.console is not None:
            login.console.cancel()
        server = cancel_client(login.client) if login is not None and login.client is not None else None
        return self.cancel_query(server) if server is not None else None

    def open_console(self, login: Login) -> Console:
        return Console(login, self)

    def log_slow(self, client: Client, request: tuple[bytes, int, float], wait: float, run: float) -> None:
        login = client.login
        chunk, at, *_ = request
        self.slowlog.record(
            monotonic(),
            statement_text(chunk, at),
            wait_us=int(wait * 1e6),
            run_us=int(run * 1e6),
            user=login.user,
            database=login.database,
            application_name=login.application_name,
            client=f"{login.address}:{login.port}",
            connection_id=login.id,
            query_id=client.stats.query_count,
        )

    async def derive_keys(self) -> None:
        """Of every user, before the first login asks: one that had to wait for it would tell that there is the user."""
        users = dict(self.users)
        self.keys.size = max(self.keys.size, 2 * len(users))  # a user's to us, and as the user to a server
        if self.settings.auth.type != "trust":
            for user, secret in users.items():
                await asyncio.to_thread(self.authenticator.prepare, user, secret)

    # --- servers ---

    def warm_up(self) -> None:
        """What is to be ready before the first client comes: keys, and the pools of the logins in the URLs."""
        self.spawn(self.derive_keys())
        url = self.settings.primary.url
        names = {*self.settings.databases, (url.dbname or url.user) if url else ""}
        for database in names - {""}:
            user = self.settings.server_for(database).user
            if user and self.settings.pool_for(database, user).min_pool_size:
                self.find_pool(database, user).open_more(monotonic())

    def make_pool(
        self, database: str, user: str, limits: PoolSettings, parameters: Mapping[str, str]
    ) -> Pool:
        """`parameters` are for the start-up packets of its connections."""
        pool = Pool(
            database,
            user,
            limits,
            lambda pool: self.spawn(self.open(pool, parameters)),
            lambda server: self.cancel_query(server),
            slow_after(self.settings),
            self.classifier,
            lambda: self.forget_statements(database),
            self.hosts.positions,
        )
        pool.moves = self.hosts.chooses(database)
        pool.paused = self.is_paused(database)
        return pool

    def make_replica_pool(self, host: Member, primary: Pool) -> Pool:
        pool = Pool(
            primary.database,
            primary.user,
            primary.settings,
            lambda pool: self.spawn(self.open(pool, {})),
            lambda server: self.cancel_query(server),
            primary.slow_after,
            self.classifier,
            primary.forget_statements,
            self.hosts.positions,
            primary,
            host,
        )
        pool.paused = primary.paused
        return pool

    def watch_hosts(self) -> None:
        """From when there are several on."""
        if self.watcher is None and self.hosts.watches():
            self.watcher = self.spawn(self.hosts.run())

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
                pool.statements.forget()

    async def open(self, pool: Pool, parameters: Mapping[str, str]) -> None:
        try:
            target = self.target(pool, parameters)
        except ProxyError as error:
            pool.open_failed(error, monotonic())
            return
        server = await open_server(pool, target, self.keys)
        if server is not None:
            self.senders.add(server)

    def all_pools(self) -> Iterator[Pool]:
        """The clients', those to replicas, and the hubs'."""
        yield from self.pools.values()
        yield from self.hosts.replica_pools()
        for hub in self.hubs.values():
            if hub.pool is not None:
                yield hub.pool

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

    def cancel_query(self, server: Server) -> asyncio.Task[None]:
        """Send a cancel request for what this server runs; until it is dealt with, nobody is lent the server."""
        server.cancels += 1
        timeout = server.pool.settings.cancel_wait_timeout
        return self.spawn(cancel_server(server, *server.endpoint, timeout))

    # --- what administrators ask for ---

    def apply(self, settings: Settings) -> None:
        """Use other settings. ConfigurationError if their users' file or plugin is bad: then nothing has changed."""
        users, plugin = read_users(settings), load_plugin(settings.routing.plugin)
        moved = [pool for pool in self.all_pools() if self.place(self.settings, self.users, pool)
                 != self.place(settings, users, pool)]  # fmt: skip
        self.settings, self.users = settings, users
        self.hosts.apply(settings, plugin)
        self.watch_hosts()
        for login in self.registry:
            self.give_router(login)
        for pool in self.all_pools():
            limits = settings.pool_for(pool.database, pool.user)
            own = pool.host is not None or pool is self.pools.get((pool.database, pool.user))
            pool.settings = limits if own else limit(limits)
            pool.slow_after = slow_after(settings)
            pool.moves = pool.host is None and self.hosts.chooses(pool.database)
        for pool in moved:
            pool.retire()
        self.spawn(self.derive_keys())

    def give_router(self, login: Login) -> None:
        """To who came before there were replicas."""
        if login.pool is None or login.router is not None:
            return
        login.router = self.find_router(login.database, login.user)
        client = login.client
        if client is not None and client.shares and client.mode == "transaction":
            client.router = login.router

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

    # --- tasks ---

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a task of the slow lane; it is held, and its failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.bury)
        return task

    def bury(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task failed", exc_info=task.exception())

    async def keep_deadlines(self) -> None:
        """The janitor: every deadline is looked at here, those of clients once a second."""
        for turn in itertools.count():
            await asyncio.sleep(SWEEP_INTERVAL)
            try:
                self.sweep(monotonic(), clients=turn % SWEEPS_PER_SECOND == 0)
            except Exception:  # a bug in one deadline must not end all others
                log.exception("internal error", task="janitor")

    def sweep(self, now: float, *, clients: bool) -> None:
        for key, pool in list(self.pools.items()):
            sweep(pool, now)
            unused = pool.forgettable(now) and not any(login.pool is pool for login in self.registry)
            if unused and self.hosts.forget(key):
                del self.pools[key]
        self.hosts.sweep()
        for pool in self.hosts.replica_pools():
            sweep(pool, now)
        for hub in self.hubs.values():
            if hub.pool is not None:
                sweep(hub.pool, now)
        if clients:
            for hub in self.hubs.values():
                hub.sweep(now)
            self.senders.sweep()
            for pool in self.pools.values():
                if pool.routines_read_at and now - pool.routines_read_at >= REFRESH and pool.idle:
                    self.spawn(refresh_routines(pool))
            for router in self.routers.values():
                if self.hosts.claim_catalog(router, now):
                    self.spawn(refresh_catalog(router))
            self.averages.sample(self.pools.values(), now)
            self.slowlog.sweep(now)
        if clients or self.behind:
            self.behind = sweep_logins(self.registry, self.settings, now)


async def hear(client: Client, channels: list[str]) -> None:
    try:
        await client.find_hub().hear(channels)
    except ProxyError as error:
        client.heard(error)
    else:
        client.heard(None)


async def refresh_routines(pool: Pool) -> None:
    """Read again what the functions of a database do; what was known stays if that fails."""
    pool.routines_read_at = monotonic()  # not twice at a time
    try:
        await Errand(pool).refresh_routines()
    except ProxyError as error:
        log.warning("functions not read", database=pool.database, user=pool.user, error=error.message)


def read_users(settings: Settings) -> Users:
    """Who may log in: the users of the file, and those in the servers' URLs."""
    file = settings.auth.file
    users = Users.parse(file.read_text(encoding="utf-8"), str(file)) if file else Users()
    for host in settings.hosts().values():
        password = host.password.get_secret_value()
        if host.user and password:
            users.add(host.user, password)
    return users


def slow_after(settings: Settings) -> float:
    """Seconds from which on a query is slow."""
    return settings.slow_query.threshold if settings.slow_query.enabled else NEVER


def serve(load: Callable[[], Settings]) -> int:
    """Run the proxy until it is told to stop. Raises ConfigurationError if it cannot start as it is told to."""
    settings = load()
    logs.configure(settings.log.format, settings.log.level)
    return uvloop.run(Lifecycle(load, Proxy(settings)).run())
