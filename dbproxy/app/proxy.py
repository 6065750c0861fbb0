"""The composition root: the one object that knows everybody."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from dbproxy.admin.averages import Averages
from dbproxy.admin.console import Console
from dbproxy.admin.house import Process
from dbproxy.app.pools import Pools, slow_after
from dbproxy.app.slow import SlowQueries
from dbproxy.app.tracing import Tracing, check_tracing
from dbproxy.auth.client_login import Authenticator
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Users
from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Settings
from dbproxy.errors import AdminShutdown, ConfigurationError, ProxyError
from dbproxy.observe import logs
from dbproxy.observe.masking import mask_words
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.request import Request
from dbproxy.routing.plugins import load_plugin
from dbproxy.routing.router import Router
from dbproxy.session.cancel import cancel_client
from dbproxy.session.connection import Connection
from dbproxy.session.hub import Hub, limit
from dbproxy.session.identity import Identity
from dbproxy.session.startup import Login

log = structlog.get_logger(__name__)


class Proxy(Pools):
    """Who may log in, who is connected; over the pools.

    Implements `session.startup.LoginHouse` and `admin.house.House`.
    """

    process: Process  # app.lifecycle's

    def __init__(self, settings: Settings) -> None:
        Pools.__init__(self, settings, read_users(settings))
        self.authenticator = Authenticator(self.keys)
        self.slow = SlowQueries(settings, self.spawn)
        self.started_at = monotonic()
        self.stopping = False
        self.tasks: set[asyncio.Task[Any]] = set()

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
        self.spawn(hear(hub, channels, heard))

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

    def find_client(self, pid: int) -> Identity | None:
        login = self.registry.by_pid.get(pid)
        return login.identity if login is not None and login.client is not None else None

    def terminate(self, pid: int, reason: str) -> None:
        login = self.registry.by_pid.get(pid)
        if login is not None and login.client is not None:
            error = AdminShutdown("terminating connection due to administrator command")
            login.client.disconnect(reason, error)

    def left(self, client: Identity, reason: str, asked: Mapping[str, Any] | None = None) -> None:
        """The client, or the console session, is gone; `asked`: who it was, and the request that it leaves open."""
        self.registry.remove(client.pid)
        self.registry.count_disconnect(mask_words(reason))
        if self.settings.log.connections:
            age = round(monotonic() - client.connected_at, 3)
            log.info("client disconnected", reason=reason, age=age, **(asked or client.describe()))

    def log_slow(self, client: Connection, request: Request, wait: float, run: float) -> None:
        self.slow.note(client, request, wait, run)

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

    # --- what administrators ask for ---

    def apply(self, settings: Settings) -> None:
        """Use other settings. ConfigurationError if their users' file or plugin is bad: then nothing has changed."""
        users, plugin = read_users(settings), load_plugin(settings.routing.plugin)
        check_tracing(settings)
        moved = [pool for pool in self.all_pools() if self.place(self.settings, self.users, pool)
                 != self.place(settings, users, pool)]  # fmt: skip
        self.settings, self.users = settings, users
        logs.adjust(settings.log.level, settings.log.areas(), settings.log.flood_limit)
        self.hosts.apply(settings, plugin)
        self.hosts.watch(self.spawn)
        self.slow.settings = settings
        self.tracing.apply(settings)
        self.tracing.attend(pool.tenant for pool in self.pools.values())
        for login in self.registry:
            self.give_router(login)
            if login.client is not None:
                login.client.translator.series.said.keeps = settings.log.parameters
        for pool in self.all_pools():
            limits = settings.pool_for(pool.database, pool.user)
            own = pool.host is not None or pool is self.pools.get((pool.database, pool.user))
            pool.tenant.settings = limits if own else limit(limits)
            pool.tenant.slow_after = slow_after(settings, pool.database, pool.user)
            pool.defaults.place = None
            pool.moves = pool.host is None and self.hosts.chooses(pool.database)
        for pool in moved:
            pool.retire()
        self.spawn(self.derive_keys())

    def give_router(self, login: Login) -> None:
        """To who came before there were replicas."""
        if login.pool is None or login.router is not None:
            return
        login.router = self.find_router(login.identity.database, login.identity.user)
        client = login.client
        if client is not None and client.state.shares and client.state.mode == "transaction":
            client.route.begin(login.router)

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


async def hear(hub: Hub, channels: list[str], heard: Callable[[ProxyError | None], None]) -> None:
    try:
        await hub.hear(channels)
    except ProxyError as error:
        heard(error)
    else:
        heard(None)


def read_users(settings: Settings) -> Users:
    """Who may log in: the users of the file, and those in the servers' URLs."""
    file = settings.auth.file
    users = Users.parse(read_text(file), str(file)) if file else Users()
    for host in settings.hosts().values():
        password = host.password.get_secret_value()
        if host.user and password:
            users.add(host.user, password)
    return users


def read_text(file: Path) -> str:
    """ConfigurationError if it cannot be read, with nothing of what is in it."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        reason = f"{file}: must be UTF-8 text"
    raise ConfigurationError(reason)  # outside the handler: that error holds all of the file
