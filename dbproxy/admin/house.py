"""What the console and the HTTP endpoints need of the proxy; app.proxy has it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from dbproxy.admin.averages import Averages
from dbproxy.auth.users import Users
from dbproxy.cache.fence import Fence
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.memory import Memory
from dbproxy.cache.tier import Tier
from dbproxy.cluster.cluster import Cluster
from dbproxy.config import Settings
from dbproxy.errors import ProxyError
from dbproxy.limits.limiter import Limiter
from dbproxy.observe.figures import BatchFigures, TraceFigures
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.pool import Pool
from dbproxy.pool.quota import Quotas
from dbproxy.routing.router import Router
from dbproxy.session.hub import Hub
from dbproxy.session.identity import Identity
from dbproxy.session.registry import Registry
from dbproxy.session.replication import Replication
from dbproxy.session.startup import Login


class Process(Protocol):
    """The run of the proxy (app.lifecycle)."""

    def reload(self) -> None:
        """Read the settings again; ProxyError if they are bad."""

    def shut_down(self, awaited: str) -> None:
        """End: at once, or when "servers" are free, or "clients" have left."""

    async def warm(self) -> None:
        """Have kept answers fetched (app.warming)."""


class Tracing(Protocol):
    """app.tracing."""

    def figures(self) -> TraceFigures: ...
    def hear_http(self, method: str, route: str, status: int, traceparent: str, begun: float) -> None: ...


class Limits(Protocol):
    """app.limits."""

    @property
    def limiter(self) -> Limiter: ...


class Writers(Protocol):
    """Everybody's writes, as they are told; `error`: why they are not."""

    @property
    def error(self) -> ProxyError | None: ...


class Watched(Protocol):
    """One database of which answers are kept (app.watched)."""

    @property
    def fence(self) -> Fence: ...
    @property
    def writers(self) -> Writers | None: ...


class Caches(Protocol):
    """app.cache. `watched`: by place; `gates`: those of databases and users that are answered so, or were."""

    @property
    def memory(self) -> Memory: ...
    @property
    def tier(self) -> Tier | None: ...
    @property
    def watched(self) -> Mapping[str, Watched]: ...
    @property
    def gates(self) -> Mapping[tuple[str, str], CacheGate]: ...
    def flush(self) -> None:
        """Have Redis forget what all proxies keep there, if there is one."""


class Batches(Protocol):
    """app.batches. Jobs of other processes (`dbproxy batch`), in ledgers of the databases that they change.

    `database`: by its name here, "" if the id says enough. CommandFailed if it cannot be done.
    """

    @property
    def figures(self) -> Sequence[BatchFigures]:
        """Those that run, or have ended within a day, as they were read last."""

    async def refresh(self) -> None:
        """Read them again if that was a while ago; it may go on beside."""

    async def fetch(self) -> Sequence[BatchFigures]:
        """All that are remembered, now."""

    async def order(self, name: str, database: str, verb: str) -> None:
        """`pause`, `resume` or `cancel` one that runs."""

    async def change(self, name: str, database: str, key: str, value: str) -> str:
        """One of its own settings of `[batch]`; from when on it counts."""


class House(Protocol):
    """A database name of `""` means all of them, also those that nobody has asked for yet."""

    @property
    def settings(self) -> Settings: ...
    @property
    def users(self) -> Users: ...
    @property
    def pools(self) -> Mapping[tuple[str, str], Pool]: ...
    @property
    def hubs(self) -> Iterable[Hub]: ...
    @property
    def registry(self) -> Registry[Login]: ...
    @property
    def quotas(self) -> Quotas: ...
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
    def limits(self) -> Limits: ...
    @property
    def caches(self) -> Caches: ...
    @property
    def batches(self) -> Batches: ...
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
    def count_handshakes(self) -> Mapping[tuple[str, str], int]: ...
    def has_servers(self, database: str) -> bool: ...
    def replications(self, database: str = "") -> list[Replication]: ...
    def is_paused(self, database: str) -> bool: ...
    def pause(self, database: str) -> None: ...
    def resume(self, database: str) -> None: ...
    def left(self, client: Identity, reason: str) -> None: ...


def list_pools(house: House, database: str) -> list[Pool]:
    """The pools of one database, or of all, with those to replicas, and those on which notifications are heard."""
    lent = [pool for primary in house.pools.values() for pool in list_hosts(house, primary)]
    pools = [*lent, *(hub.pool for hub in house.hubs if hub.pool is not None)]
    return [pool for pool in pools if not database or pool.database == database]


def list_hosts(house: House, primary: Pool) -> list[Pool]:
    """The primary's pool, and those to replicas that answer the same clients."""
    router = house.routers.get((primary.database, primary.user))
    return [primary, *router.pools()] if router is not None else [primary]
