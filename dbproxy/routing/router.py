"""Where a client's reads go: which of them may, which must not, and to which replica.

`judge` says it of one statement, `choose` of all that a client asks for at once. Every answer has its reason in words,
of which there are only so many, counted: SHOW ROUTES.
"""

from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import structlog

from dbproxy.cluster.balancer import begin
from dbproxy.cluster.catalog import Catalog, Freshness, kind_of
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.lag import settle
from dbproxy.config import RoutingSettings
from dbproxy.features.mode import OFF as IS_OFF
from dbproxy.features.mode import ON as IS_ON
from dbproxy.features.mode import Feature
from dbproxy.pool.commits import UNKNOWN, Commits
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.routing.arms import ArmCounter
from dbproxy.routing.consistency import EVENTUAL, Writer, needed, too_soon
from dbproxy.routing.plugins import Plugin
from dbproxy.routing.rescue import counts_against
from dbproxy.routing.room import Room
from dbproxy.routing.rules import Rules
from dbproxy.routing.wishes import PRIMARY, Wishes
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import SHOWS_TOKEN, Statement

log = structlog.get_logger()

WAIT = object()
SHUT = "no replica can be connected to"
READS, READ_ONLY = "read", "read-only transaction"
HINT, SERIALIZABLE = "hint", "serializable"  # reads, but on the primary
OFF, TOO_OFTEN = "routing is off", "rescued too often"
NOT_READ, STALE, NO_REPLICA, SHARE, PERCENT = (
    "catalog not read yet", "no replica is fresh enough", "no replica", "the primary's share", "percent",
)  # fmt: skip
NOT_STANDBY, MOVED = "more than a standby can", "moved from a replica"
AT_PRIMARY = frozenset({HINT, SERIALIZABLE})
RESCUED_LIMIT = 3  # from so many rescues on a statement goes to the primary
LISTED = 1000  # statements that are counted


class Session(Writer, Protocol):
    """What is asked of a client."""

    avoided: Any
    wanted_host: str
    waited: bool  # for a replica, already
    awaits: int  # the position that a replica could be waited for; 0: for none
    read_only: bool  # by its entry: the primary answers only if no replica can

    @property
    def settings(self) -> Parameters: ...
    @property
    def arrived(self) -> float: ...


class Router:
    """Of one database and user. `make_pool(host)` makes the pool to a replica."""

    def __init__(
        self,
        primary: Pool,
        cluster: Cluster,
        settings: RoutingSettings,
        make_pool: Callable[[Any], Pool],
        plugin: Plugin | None = None,
        room: Room | None = None,
    ) -> None:
        self.primary = primary
        self.room = room or Room(cluster)
        self.cluster = cluster
        self.readers = cluster.readers
        self.commits: Commits = primary.tenant.commits
        self.make_pool = make_pool
        self.pools: dict[str, Pool] = {}
        self.catalog: Catalog | None = None
        self.catalog_read_at = float("-inf")
        self.catalog_stale = False
        self.freshness = Freshness()
        self.decisions: Counter[tuple[str, str]] = Counter()  # host or "primary", and the reason
        self.rescues: Counter[tuple[str, str]] = Counter()  # host and reason
        self.rescued: Counter[Shape] = Counter()  # how often, the first of them
        self.hopeless: set[Shape] = set()  # those that were rescued too often
        self.arms = ArmCounter()
        self.feature = primary.tenant.add_feature(Feature("routing"))
        self.wishes: dict[int, tuple[Parameters, Wishes]] = {}
        self.verdicts: dict[
            int, tuple[Statement, str]
        ] = {}  # by a statement's id, as long as nothing changes
        self.apply(settings, plugin)

    def apply(self, settings: RoutingSettings, plugin: Plugin | None = None) -> None:
        """Other settings, at once for all clients."""
        self.plugin = plugin
        self.settings = settings
        self.rules = Rules(settings.rules)
        self.feature.switch(settings.mode, settings.percent)
        self.primary.tenant.tell(self.arms, wanted=self.feature.compares())
        self.advised = plugin is not None or bool(self.rules.rules)
        self.wishes.clear()  # they have its defaults

    def pool_of(self, host: Any) -> Pool:
        pool = self.pools.get(host.name)
        if pool is None:
            pool = self.pools[host.name] = self.make_pool(host)
        return pool

    def is_off(self) -> bool:
        """Whether nobody's reads go anywhere, nor are counted as if they did."""
        return self.feature.treated.mode == IS_OFF

    # --- one statement ---

    def judge(self, shape: Shape | None, session: Session) -> str:
        """READS, READ_ONLY, HINT or SERIALIZABLE (it writes nothing), or why it is for the primary."""
        if self.is_off():
            return OFF
        if shape is None:
            return "no such prepared statement"
        statement = shape.effects
        wishes = self.wishes_of(session.settings)
        hint = statement.hint or wishes.route
        if not hint and self.advised:
            hint = self.advise(statement, session.settings)
        if hint or not wishes.plain:
            return self.judge_wished(shape, session, wishes, hint)
        return self.verdict_on(shape)

    def judge_wished(self, shape: Shape, session: Session, wishes: Wishes, hint: str) -> str:
        """Given what its session wants, and what its text, the plugin or a rule does."""
        statement = shape.effects
        if statement.effects & SHOWS_TOKEN:
            hint = PRIMARY  # which knows
        if statement.begins_read_only or (wishes.read_only and statement.begins):
            return HINT if hint == PRIMARY else SERIALIZABLE if wishes.serializable else READ_ONLY
        if statement.reads and hint and hint != PRIMARY:  # its author knows what it calls
            session.wanted_host = hint[len("replica(") : -1]
            return READS
        verdict = self.verdict_on(shape)
        if verdict is not READS:
            return verdict
        return HINT if hint else SERIALIZABLE if wishes.serializable else READS

    def verdict_on(self, shape: Shape) -> str:
        """Where nobody wants anything."""
        statement = shape.effects
        known = self.verdicts.get(id(statement))
        if known is None or known[0] is not statement:
            if len(self.verdicts) >= LISTED:
                self.verdicts.clear()
            known = self.verdicts[id(statement)] = statement, self.look_at(statement)
        if known[1] is READS and self.hopeless and shape.identity() in self.hopeless:
            return TOO_OFTEN
        return known[1]

    def look_at(self, statement: Statement) -> str:
        """The same by its syntax and the catalog."""
        if statement.begins_read_only:
            return READ_ONLY
        if not statement.reads:
            return "not a read"
        if statement.functions or statement.relations or statement.calls:
            objection = self.object_to(statement)
            if objection:
                return objection
        return HINT if statement.effects & SHOWS_TOKEN else READS  # the primary knows

    def advise(self, statement: Statement, settings: Parameters) -> str:
        """What the plugin or a rule says, as a hint would."""
        plugin = self.plugin
        if plugin is not None:
            hint = plugin.route(statement, settings, self.primary, self.cluster.members)
            if hint:
                return hint
        return self.rules.route(statement)

    def object_to(self, statement: Statement) -> str:
        """Why what it calls or reads is for the primary, by the catalog, in short; ""."""
        if self.catalog is None:
            return NOT_READ
        return kind_of(self.catalog.allows(statement))

    def learn(self, catalog: Catalog | None) -> None:
        """The database's catalog was read; None: what was known of it may be too old."""
        self.catalog = catalog
        self.verdicts.clear()

    def wishes_of(self, settings: Parameters) -> Wishes:
        known = self.wishes.get(id(settings))
        if known is None or known[0] is not settings:
            if len(self.wishes) >= LISTED:
                self.wishes.clear()
            known = self.wishes[id(settings)] = settings, self.read_wishes(settings)
        return known[1]

    def read_wishes(self, settings: Parameters) -> Wishes:
        wishes = Wishes(settings.values, self.settings.consistency)
        if wishes.consistency != EVENTUAL and not self.commits.asks and self.cluster.positions:
            self.commits.want(monotonic())
        for name, _ in wishes.complaints:
            log.warning("setting not understood", setting=name, database=self.primary.database,
                        user=self.primary.user, hint="The strictest is done instead.")  # fmt: skip
        return wishes

    # --- all that is asked for at once ---

    def choose(self, verdict: str, session: Session, mode: int) -> Any:
        """The host of the replica that answers; None: the primary does; WAIT: for `session.awaits`, in `room`.

        `mode`: where routing stands for this session; one of the control arm is off among others that are not.
        """
        if self.is_off():
            return None
        host, reason = None, verdict
        if verdict is READS or verdict is READ_ONLY:
            host, reason = self.find(verdict, session) if mode != IS_OFF else (None, PERCENT)
            if reason is STALE and session.awaits and mode == IS_ON:
                return WAIT
        if mode != IS_ON and host is not None:
            self.decisions["observed: " + host.name, reason] += 1
            return None
        self.decisions[host.name if host is not None else "primary", reason] += 1
        if host is not None:
            begin(host)
        return host

    def find(self, verdict: str, session: Session) -> tuple[Any, str]:
        reader = session.read_only
        wishes = self.wishes_of(session.settings)
        if not self.cluster.positions:
            hold = self.settings.primary_after_write
            if too_soon(wishes.consistency, session, hold, session.arrived):
                return None, "too soon after a write"
            lsn = UNKNOWN if wishes.token else 0
        else:
            lsn = max(needed(wishes.consistency, session, self.commits), settle(wishes.token))
        host = None
        if session.wanted_host:
            return self.find_named(session.wanted_host, lsn)
        if lsn < UNKNOWN:
            avoided = session.avoided or (self.cluster.primary if reader else None)
            host = self.pick(session.arrived, lsn, avoided)
        if host is not None:
            return host, verdict
        reason = self.explain_none(lsn, session.avoided)
        waits = self.settings.consistency_wait > 0 and not session.waited and lsn < UNKNOWN
        session.awaits = lsn if waits and reason is STALE else 0
        return None, reason

    def pick(self, now: float, lsn: int, avoided: Any) -> Any:
        """A replica that this user can connect to, as far as is known; one that refused just now is not waited for."""
        host = self.readers.pick(now, lsn, avoided)
        if host is None or not self.pool_of(host).is_shut(now):
            return host
        host = self.readers.pick(now, lsn, host)
        return host if host is not None and not self.pool_of(host).is_shut(now) else None

    def explain_none(self, lsn: int, avoided: Any) -> str:
        """Why no replica answers a read that must see `lsn`."""
        readers = [host for host in self.readers.list_replicas() if host is not avoided]
        if not readers:
            return NO_REPLICA
        if all(self.pool_of(host).is_shut(monotonic()) for host in readers):
            return SHUT
        return SHARE if any(host.lsn >= lsn for host in readers) else STALE

    def find_named(self, name: str, lsn: int) -> tuple[Any, str]:
        for host in self.cluster.members:
            if host.name == name and host.fit and host is not self.cluster.primary and host.lsn >= lsn:
                return host, HINT
        return None, "the replica of the hint cannot answer"

    # --- what went wrong ---

    def note_rescue(self, host: Any, reason: str, shape: Shape) -> None:
        self.rescues[host.name, reason] += 1
        shape = shape.identity()
        if counts_against(reason) and (shape in self.rescued or len(self.rescued) < LISTED):
            self.rescued[shape] += 1
            if self.rescued[shape] == RESCUED_LIMIT:
                self.hopeless.add(shape)
                self.tell_rescued(host, reason, shape)

    def tell_rescued(self, host: Any, reason: str, shape: Shape) -> None:
        log.warning(
            "statement goes to the primary from now on: replicas failed to answer it",
            host=host.name,
            reason=reason,
            database=self.primary.database,
            user=self.primary.user,
            statement=shape.text,
        )

    def rescued_too_often(self) -> list[tuple[Shape, int]]:
        """The statements that go to the primary for that, and how often they were."""
        return [(shape, self.rescued[shape]) for shape in self.hopeless]
