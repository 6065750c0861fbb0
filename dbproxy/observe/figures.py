"""What can be told of the proxy at one moment: app reads it from the live objects, others show it.

Names and meanings are PgBouncer's (SHOW POOLS, STATS, DATABASES, LISTS). Reading costs the data path nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class PoolStats(Protocol):
    """A pool's counters since start; durations in microseconds, buckets as `quantile` explains."""

    @property
    def xact_count(self) -> int: ...
    @property
    def query_count(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def xact_time_us(self) -> int: ...
    @property
    def query_time_us(self) -> int: ...
    @property
    def wait_time_us(self) -> int: ...
    @property
    def server_assignment_count(self) -> int: ...
    @property
    def client_parse_count(self) -> int: ...
    @property
    def server_parse_count(self) -> int: ...
    @property
    def bind_count(self) -> int: ...
    @property
    def login_count(self) -> int: ...
    @property
    def slow_query_count(self) -> int: ...
    @property
    def error_count(self) -> int: ...
    @property
    def audit_count(self) -> int: ...
    @property
    def replay_count(self) -> int: ...
    @property
    def pin_counts(self) -> Mapping[str, int]: ...
    @property
    def refused_pin_counts(self) -> Mapping[str, int]: ...
    @property
    def query_buckets(self) -> Sequence[int]: ...
    @property
    def xact_buckets(self) -> Sequence[int]: ...
    @property
    def wait_buckets(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """One row of SHOW POOLS, and the pool's counters."""

    database: str
    user: str
    stats: PoolStats
    cl_active: int = 0
    cl_waiting: int = 0
    cl_active_cancel_req: int = 0
    cl_waiting_cancel_req: int = 0
    sv_active: int = 0
    sv_active_cancel: int = 0
    sv_being_canceled: int = 0
    sv_idle: int = 0
    sv_used: int = 0
    sv_tested: int = 0
    sv_login: int = 0
    maxwait_us: int = 0
    pins: Mapping[str, int] = field(default_factory=dict)  # clients that pin now, by reason
    refusals: Mapping[str, int] = field(default_factory=dict)  # since start, by SQLSTATE
    limits: Mapping[str, int] = field(default_factory=dict)  # how often each struck, since start
    pool_mode: str = "transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPoolFigures:
    """A pool's connections to one host: `size` is what it may have of them, without the reserve."""

    database: str
    user: str
    host: str = ""
    size: int = 0
    waiting: int = 0
    longest_wait_s: float = 0.0
    servers: Mapping[str, int] = field(default_factory=dict)  # by state


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFigures:
    """One row of SHOW DATABASES."""

    name: str
    host: str
    port: int
    database: str
    force_user: str = ""
    pool_mode: str = "transaction"
    pool_size: int = 0
    min_pool_size: int = 0
    reserve_pool: int = 0
    server_lifetime_s: int = 0
    max_connections: int = 0
    current_connections: int = 0
    max_client_connections: int = 0
    current_client_connections: int = 0
    paused: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFigures:
    """What is listened to in one database; the last three are since start."""

    database: str
    connections: int = 0
    channels: int = 0
    listeners: int = 0
    notifications: int = 0
    delivered: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFigures:
    """One host of the cluster; `role` is primary, replica or unknown."""

    name: str
    role: str = "unknown"
    state: str = "unknown"
    up: bool = False  # it may be given queries
    lag_bytes: int = 0
    lag_seconds: float = 0.0
    reads: int = 0  # picked for, since start
    active: int = 0  # reads that run there
    latency_s: float = 0.0
    servers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFigures:
    """What was routed for one database and user, since start; by host and reason."""

    database: str
    user: str
    decisions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rescues: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFigures:
    """One arm of a feature of one database and user; `name` is treated or control, the last three are since start."""

    feature: str
    database: str
    user: str
    mode: str = "off"
    percent: int = 100
    name: str = "treated"
    sessions: int = 0
    requests: int = 0
    errors: int = 0
    microseconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStatsFigures:
    """How many statements are counted apart, and what was added to `<other>`; `evicted` is since start."""

    entries: int
    memory_bytes: int
    evicted: int
    other_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFigures:
    """What became of spans, and how long sending them took; since start. `contexts`: by source, and whether valid."""

    mode: str = "off"
    spans: Mapping[str, int] = field(default_factory=dict)  # by outcome
    waiting: int = 0
    contexts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    bounds: Sequence[float] = ()  # of the buckets, in seconds; the last bucket has none
    buckets: Sequence[int] = (0,)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFigures:
    """A histogram since start: `buckets` by `bounds` (seconds; the last bucket has none), and the sum of all."""

    bounds: Sequence[float] = ()
    buckets: Sequence[int] = (0,)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedLimitFigures:
    """Of limits that are shared with other proxies, by Redis; `leases` by outcome, since start.

    `since`: when Redis could not be reached any more (monotonic seconds), and `error` why; None: it can.
    """

    since: float | None = None
    error: str = ""
    proxies: int = 1  # that share, as they were last seen
    leases: Mapping[str, int] = field(default_factory=dict)
    answers: TimeFigures = TimeFigures()

    @property
    def degraded(self) -> bool:
        return self.since is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """What limits have decided since start, by tier and outcome; how many keys are told apart."""

    decisions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    keys: int = 0
    without_room: int = 0  # times that a key found no room, since start
    delays: TimeFigures = TimeFigures()
    source_ages: Mapping[str, float] = field(default_factory=dict)  # seconds since each rule's was read
    shared: SharedLimitFigures | None = None  # None: they are this proxy's alone


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUserFigures:
    """Kept answers of one database and user, since start; `requests` by outcome, others by reason."""

    database: str
    user: str
    mode: str = "off"
    percent: int = 100
    requests: Mapping[str, int] = field(default_factory=dict)
    bypassed: Mapping[str, int] = field(default_factory=dict)
    kept: int = 0
    discarded: Mapping[str, int] = field(default_factory=dict)
    saved_s: float = 0.0
    mismatches: int = 0
    hit_rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCacheFigures:
    """Of answers that proxies keep for each other in Redis, since start.

    `away`: Redis does not answer, and `error` why. `found`: what came of looking there, `kept`: of keeping.
    """

    away: bool = False
    error: str = ""
    found: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0
    answers: TimeFigures = TimeFigures()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFigures:
    """Of all; `entries` and `bytes` by tier, `invalidations` by source, since start."""

    users: Sequence[CacheUserFigures] = ()
    invalidations: Mapping[str, int] = field(default_factory=dict)
    entries: Mapping[str, int] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    limit_bytes: int = 0
    evictions: int = 0
    shared: SharedCacheFigures | None = None  # None: they are this proxy's alone


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """How far a batch is: `rows` changed, of those that it has `seen`; `chunk_size`: rows in a chunk, now."""

    rows: int = 0
    seen: int = 0
    estimate: int = 0
    errors: int = 0
    chunks: int = 0
    chunk_size: int = 0
    worked_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFigures:
    """A batch (`dbproxy batch`), as its ledger in `database` tells.

    `throttled`: seconds by reason; `retries`: by SQLSTATE; `rate`: rows seen in a second of work; `eta_s`: None if not
    known; `started`, `ended`: seconds since 1970.
    """

    id: str
    database: str
    kind: str = "run"
    table: str = ""
    statement: str = ""
    state: str = "interrupted"
    done: BatchCounts = BatchCounts()
    rate: float = 0.0
    eta_s: float | None = None
    waits_for: str = ""
    reason: str = ""
    throttled: Mapping[str, float] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    host: str = ""
    pid: int = 0

    @property
    def ratio(self) -> float:
        """From 0 to 1; the estimate may be less than there is."""
        if self.state in ("done", "done with errors"):
            return 1.0
        return min(1.0, self.done.seen / self.done.estimate) if self.done.estimate else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyFigures:
    """The whole process. `lists` has the rows of SHOW LISTS that are known."""

    pools: Sequence[PoolFigures] = ()
    host_pools: Sequence[HostPoolFigures] = ()
    databases: Sequence[DatabaseFigures] = ()
    hubs: Sequence[HubFigures] = ()
    hosts: Sequence[HostFigures] = ()
    routes: Sequence[RouteFigures] = ()
    features: Sequence[FeatureFigures] = ()
    query_stats: QueryStatsFigures | None = None  # None: statements are not counted
    traces: TraceFigures = TraceFigures()
    limits: LimitFigures = LimitFigures()
    cache: CacheFigures = CacheFigures()
    batches: Sequence[BatchFigures] = ()
    lists: Mapping[str, int] = field(default_factory=dict)
    clients: Mapping[str, int] = field(default_factory=dict)  # by state
    servers: Mapping[str, int] = field(default_factory=dict)  # by state
    client_disconnects: Mapping[str, int] = field(default_factory=dict)  # by reason, since start
    server_disconnects: Mapping[str, int] = field(default_factory=dict)  # by reason, since start
    login_failures: Mapping[str, int] = field(default_factory=dict)  # by reason, since start
    tls_handshakes: Mapping[tuple[str, str], int] = field(
        default_factory=dict
    )  # by side and outcome, since start
    log_lines: Mapping[str, int] = field(
        default_factory=dict
    )  # that were not written, by reason, since start
    login_limits: Mapping[str, int] = field(default_factory=dict)  # logins refused since start, by the limit
    max_client_conn: int = 0
    max_user_connections: int = 0
    uptime_s: float = 0.0
