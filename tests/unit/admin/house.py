"""A proxy without sockets: pools that open nothing, clients and servers put into the state that a test needs."""

from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from dbproxy.admin.averages import Averages
from dbproxy.admin.table import Table
from dbproxy.auth.users import Users
from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Settings, load
from dbproxy.errors import ProxyError
from dbproxy.observe.figures import TraceFigures
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.pool.states import IDLE, LOGIN
from dbproxy.pool.tenant import Tenant
from dbproxy.routing.router import Router
from dbproxy.session.client import Client
from dbproxy.session.hub import Hub
from dbproxy.session.identity import Identity
from dbproxy.session.registry import Registry
from dbproxy.session.startup import Login
from dbproxy.wire import build

URL = "postgresql://app:secret@primary.example:5433/app"


def settings(**environment: str) -> Settings:
    return load(None, {"DATABASE_URL": URL, "DBPROXY_AUTH__ADMIN_USERS": "admin", **environment})


def records(table: Table) -> list[dict]:
    """Its rows by the names of its columns."""
    names = [name for name, _, _ in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


class NoSocket:
    """One that takes nothing: everything is left to the transport."""

    def fileno(self) -> int:
        return -1


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("10.0.0.1", 5000), "sockname": ("10.0.0.2", 6000), "socket": NoSocket()}[name]


class NoTracing:
    """Remembers what requests it has heard of."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int, str]] = []

    def figures(self) -> TraceFigures:
        return TraceFigures()

    def hear_http(self, method: str, route: str, status: int, traceparent: str, begun: float) -> None:
        self.heard.append((method, route, status, traceparent))


@dataclass
class FakeHouse:
    settings: Settings = field(default_factory=settings)
    query_stats: QueryStats | None = None
    users: Users = field(default_factory=Users)
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    hubs: dict[str, Hub] = field(default_factory=dict)
    routers: dict[tuple[str, str], Router] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    tracing: NoTracing = field(default_factory=NoTracing)
    started_at: float = field(default_factory=monotonic)
    stopping: bool = False
    paused: bool = False
    paused_databases: set[str] = field(default_factory=set)
    shutdowns: list[str] = field(default_factory=list)
    reloads: int = 0
    bad_settings: ProxyError | None = None

    def __post_init__(self) -> None:
        self.averages = Averages(self.started_at)
        self.cluster = Cluster(self.settings)
        self.process = self

    def apply(self, settings: Settings) -> None:
        self.settings = settings
        self.cluster.apply(settings, monotonic())
        for router in self.routers.values():
            router.apply(settings.routing)

    def host_of(self, pool: Pool) -> str:
        host = pool.host or self.cluster.primary
        return host.name if host is not None else ""

    def is_paused(self, database: str) -> bool:
        return self.paused or database in self.paused_databases

    def pause(self, database: str) -> None:
        if database:
            self.paused_databases.add(database)
        else:
            self.paused = True
        for pool in self.pools.values():
            if self.is_paused(pool.database):
                pool.pause()

    def resume(self, database: str) -> None:
        if database:
            self.paused_databases.discard(database)
        else:
            self.paused = False

    def left(self, client: Identity, reason: str, asked: Any = None) -> None:
        self.registry.remove(client.pid)
        self.registry.count_disconnect(reason)

    def reload(self) -> None:
        self.reloads += 1
        if self.bad_settings is not None:
            raise self.bad_settings

    def shut_down(self, awaited: str) -> None:
        self.shutdowns.append(awaited)

    # --- putting things there -----------------------------------------------------------------------------------

    def add_pool(self, database: str = "app", user: str = "app") -> Pool:
        limits = self.settings.pool_for(database, user)
        pool = Pool(Tenant(database, user, limits), lambda _: None, lambda _: None)
        self.pools[database, user] = pool
        return pool

    def add_router(self, primary: Pool) -> Router:
        router = Router(
            primary,
            self.cluster,
            self.settings.routing,
            lambda host: Pool(primary.tenant, lambda _: None, lambda _: None, host),
        )
        self.routers[primary.database, primary.user] = router
        return router

    def add_server(self, pool: Pool, state: int = IDLE) -> Server:
        server = Server(pool)
        server.attach(Transport())
        server.backend.mailbox = None
        pool.lists[LOGIN].add(server)
        pool.move(server, state)
        return server

    def add_login(self, user: str = "app", database: str = "app", **told: Any) -> Login:
        """`told`: fields of its identity."""
        login = Login(self)
        login.attach(Transport())
        pid, key = self.registry.add(login)
        told = {"user": user, "database": database, "address": "10.0.0.1", "port": 5000, **told}
        login.identity = replace(login.identity, pid=pid, key=key, **told)
        return login

    def add_client(self, pool: Pool, **told: Any) -> Client:
        login = self.add_login(pool.user, pool.database, **told)
        login.pool = pool
        login.client = Client(login.identity, self, pool, None)
        login.client.attach(login.transport)
        return login.client

    def queue(self, client: Client, now: float) -> None:
        """The client asks for a server; it waits, unless one is idle."""
        client.inbound.arrived = now
        client.pool.checkout(client, now)

    def lend(self, client: Client) -> Server:
        """The client gets a new server and runs a query there."""
        server = self.add_server(client.pool)
        client.data_received(build.query("SELECT 1"))
        assert client.server is server
        return server

    def answer(self, server: Server) -> None:
        """The query is over."""
        server.data_received(build.command_complete("SELECT 1") + build.ready_for_query(ord("I")))
