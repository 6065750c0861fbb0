"""A proxy without sockets: pools that open nothing, clients and servers put into the state that a test needs."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from dbproxy.admin.averages import Averages
from dbproxy.admin.house import list_hosts, list_pools
from dbproxy.admin.table import Table
from dbproxy.auth.users import Users
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.memory import Memory
from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Settings, load
from dbproxy.errors import ProxyError
from dbproxy.limits.limiter import Limiter
from dbproxy.limits.store import Store
from dbproxy.observe.figures import BatchFigures, TraceFigures
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
from dbproxy.session.replication import Replication, Walsender
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

    family = socket.AF_INET

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

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {"peername": ("10.0.0.1", 5000), "sockname": ("10.0.0.2", 6000), "socket": NoSocket()}
        return known.get(name)


class NoTracing:
    """Remembers what requests it has heard of."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int, str]] = []

    def figures(self) -> TraceFigures:
        return TraceFigures()

    def hear_http(self, method: str, route: str, status: int, traceparent: str, begun: float) -> None:
        self.heard.append((method, route, status, traceparent))


def share(limiter: Limiter, since: float | None, error: str = "", proxies: int = 1) -> Store:
    """Have the limits shared, by a Redis that has been gone `since` then; None: it is there."""
    limiter.store = store = Store("redis://127.0.0.1:1", "rl:", timeout=1.0, graceful=True)
    store.courier.contact.since, store.courier.contact.error, store.fleet.proxies = since, error, proxies
    return store


@dataclass
class FakeCaches:
    """Kept answers, of nobody."""

    memory: Memory = field(default_factory=lambda: Memory(1 << 20))
    watched: dict[str, Any] = field(default_factory=dict)
    gates: dict[Any, CacheGate] = field(default_factory=dict)
    tier: Any = None
    flushes: int = 0  # of Redis

    def flush(self) -> None:
        self.flushes += 1


class FakeBatches:
    """Batches, as they were put here, and what was asked of them."""

    def __init__(self) -> None:
        self.figures: list[BatchFigures] = []
        self.asked: list[tuple[str, ...]] = []
        self.error: ProxyError | None = None

    async def refresh(self) -> None: ...

    async def fetch(self) -> "Sequence[BatchFigures]":
        self._fail()
        return self.figures

    async def order(self, name: str, database: str, verb: str) -> None:
        self._fail()
        self.asked.append((verb, name, database))

    async def change(self, name: str, database: str, key: str, value: str) -> str:
        self._fail()
        self.asked.append(("set", name, database, key, value))
        return "from its next chunk on"

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class FakeQuotas:
    """Counts what is there, where the proxy counts what comes and goes."""

    def __init__(self, house: "FakeHouse") -> None:
        self.house = house

    def used(self, name: str, owner: str) -> int:
        at = 0 if name == "max_db_connections" else 1
        primaries = [pool for key, pool in self.house.pools.items() if key[at] == owner]
        hubs = [hub.pool for hub in self.house.hubs if hub.pool is not None]
        heard = [pool for pool in hubs if (pool.database, pool.user)[at] == owner]
        lent = [pool for primary in primaries for pool in list_hosts(self.house, primary)]
        return sum(pool.size() for pool in (*lent, *heard))


@dataclass
class FakeHouse:
    settings: Settings = field(default_factory=settings)
    query_stats: QueryStats | None = None
    users: Users = field(default_factory=Users)
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    hubs: list[Hub] = field(default_factory=list)
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

    def find_allowance(self, client: object) -> None:
        """Nobody is limited."""

    def __post_init__(self) -> None:
        self.averages = Averages(self.started_at)
        self.cluster = Cluster(self.settings)
        self.process = self
        self.quotas: Any = FakeQuotas(self)
        self.limiter = Limiter(self.settings.limits)
        self.limits = self
        self.caches = FakeCaches()
        self.batches = FakeBatches()

    def apply(self, settings: Settings) -> None:
        self.settings = settings
        self.cluster.apply(settings, monotonic())
        self.limiter.apply(settings.limits)
        for router in self.routers.values():
            router.apply(settings.routing)

    def host_of(self, pool: Pool) -> str:
        host = pool.host or self.cluster.primary
        return host.name if host is not None else ""

    def count_handshakes(self) -> dict[tuple[str, str], int]:
        return {("client", "done"): 3, ("client", "failed"): 1}

    def has_servers(self, database: str) -> bool:
        pools = list_pools(self, database)
        return any(pool.size() for pool in pools) or bool(self.replications(database))

    def replications(self, database: str = "") -> list[Replication]:
        heirs = [login.heir for login in self.registry if database in ("", login.identity.database)]
        return [heir for heir in heirs if isinstance(heir, Replication)]

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

    async def warm(self) -> None:
        return None

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
        for name, value in {"pid": pid, "key": key, **told}.items():
            setattr(login.identity, name, value)
        return login

    def add_client(self, pool: Pool, **told: Any) -> Client:
        login = self.add_login(pool.user, pool.database, **told)
        login.pool = pool
        self.registry.admit(login)
        login.client = Client(login.identity, self, pool, None)
        login.client.attach(login.transport)
        return login.client

    def add_replication(self, database: str = "app") -> Replication:
        login = self.add_login(database=database)
        walsender = Walsender()
        walsender.connection_made(Transport())  # type: ignore[arg-type]
        login.heir = Replication(login.identity, self, walsender, "physical")
        login.heir.begin(login.transport)
        return login.heir

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
