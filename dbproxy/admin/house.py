"""What the console and the HTTP endpoints need of the proxy; app.proxy has it."""

from collections.abc import Mapping
from typing import Protocol

from dbproxy.admin.averages import Averages
from dbproxy.auth.users import Users
from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Settings
from dbproxy.observe.figures import TraceFigures
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.pool import Pool
from dbproxy.routing.router import Router
from dbproxy.session.hub import Hub
from dbproxy.session.identity import Identity
from dbproxy.session.registry import Registry
from dbproxy.session.startup import Login


class Process(Protocol):
    """The run of the proxy (app.lifecycle)."""

    def reload(self) -> None:
        """Read the settings again; ProxyError if they are bad."""

    def shut_down(self, awaited: str) -> None:
        """End: at once, or when "servers" are free, or "clients" have left."""


class Tracing(Protocol):
    """app.tracing."""

    def figures(self) -> TraceFigures: ...
    def hear_http(self, method: str, route: str, status: int, traceparent: str, begun: float) -> None: ...


class House(Protocol):
    """A database name of `""` means all of them, also those that nobody has asked for yet."""

    @property
    def settings(self) -> Settings: ...
    @property
    def users(self) -> Users: ...
    @property
    def pools(self) -> Mapping[tuple[str, str], Pool]: ...
    @property
    def hubs(self) -> Mapping[str, Hub]: ...
    @property
    def registry(self) -> Registry[Login]: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def routers(self) -> Mapping[tuple[str, str], Router]: ...
    @property
    def query_stats(self) -> QueryStats | None: ...
    @property
    def averages(self) -> Averages: ...
    @property
    def tracing(self) -> Tracing: ...
    @property
    def started_at(self) -> float: ...
    @property
    def stopping(self) -> bool: ...
    @property
    def paused(self) -> bool: ...
    @property
    def paused_databases(self) -> set[str]: ...
    @property
    def process(self) -> Process: ...
    def apply(self, settings: Settings) -> None: ...
    def host_of(self, pool: Pool) -> str: ...
    def is_paused(self, database: str) -> bool: ...
    def pause(self, database: str) -> None: ...
    def resume(self, database: str) -> None: ...
    def left(self, client: Identity, reason: str) -> None: ...


def list_pools(house: House, database: str) -> list[Pool]:
    """The pools of one database, or of all, with those to replicas, and those on which notifications are heard."""
    lent = [pool for primary in house.pools.values() for pool in list_hosts(house, primary)]
    pools = [*lent, *(hub.pool for hub in house.hubs.values() if hub.pool is not None)]
    return [pool for pool in pools if not database or pool.database == database]


def list_hosts(house: House, primary: Pool) -> list[Pool]:
    """The primary's pool, and those to replicas that answer the same clients."""
    router = house.routers.get((primary.database, primary.user))
    return [primary, *router.pools()] if router is not None else [primary]
