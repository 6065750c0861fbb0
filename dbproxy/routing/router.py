"""Where a client's reads go: which of them may, which must not, and to which replica.

`judge` says it of one statement, `choose` of all that a client asks for at once. Every answer has its reason in words,
of which there are only so many, counted: SHOW ROUTES.
"""

from collections import Counter
from collections.abc import Callable
from itertools import count

import structlog

from dbproxy.cluster.balancer import begin
from dbproxy.cluster.catalog import Catalog, Freshness, kind_of
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.lag import settle
from dbproxy.cluster.member import Member
from dbproxy.config import RoutingSettings
from dbproxy.features.mode import OFF as IS_OFF
from dbproxy.features.mode import ON as IS_ON
from dbproxy.features.mode import Feature
from dbproxy.net.direct import monotonic
from dbproxy.pool.commits import UNKNOWN, Commits
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.routing.advice import Advice
from dbproxy.routing.arms import ArmCounter
from dbproxy.routing.consistency import NOT_TOLD, needed, needed_for, too_soon
from dbproxy.routing.destination import Destination
from dbproxy.routing.plugins import Plugin
from dbproxy.routing.reader import Reader
from dbproxy.routing.rescues import Rescues
from dbproxy.routing.room import Room
from dbproxy.routing.tally import Tally
from dbproxy.routing.wishes import EVENTUAL, PRIMARY, SEES_ALL, Wishes
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import SHOWS_TOKEN, Statement

log = structlog.get_logger(__name__)

SHUT = "no replica can be connected to"
READS, READ_ONLY = "read", "read-only transaction"
HINT, SERIALIZABLE = "hint", "serializable"  # reads, but on the primary
OFF, TOO_OFTEN, NO_READ, OBSERVED = "routing is off", "rescued too often", "not a read", "observed"
NOT_READ, STALE, NO_REPLICA, SHARE, PERCENT, TOO_SOON, NOT_THAT = (
    "catalog not read yet", "no replica is fresh enough", "no replica", "the primary's share", "percent",
    "too soon after a write", "the replica of the hint cannot answer",
)  # fmt: skip
NO_SUCH = "no such prepared statement"
NOT_STANDBY, MOVED = "more than a standby can", "moved from a replica"
AT_PRIMARY = frozenset({HINT, SERIALIZABLE})
LISTED = 1000  # sets of settings whose wishes are remembered, and shapes whose verdict is
_versions = count(1)  # of all routers: what one has judged says nothing to another


class Router:
    """Of one database and user. `make_pool(host)` makes the pool to a replica."""

    def __init__(
        self,
        primary: Pool,
        cluster: Cluster,
        settings: RoutingSettings,
        make_pool: Callable[[Member], Pool],
        plugin: Plugin | None = None,
        room: Room | None = None,
    ) -> None:
        self.primary = primary
        self.room = room or Room(cluster)
        self.cluster = cluster
        self.readers = cluster.readers
        self.commits: Commits = primary.tenant.commits
        self.make_pool = make_pool
        self.destinations: tuple[Destination, ...] = ()  # a few
        self.tallies: dict[str, Tally] = {}  # by the host's name, also of those that are no more
        self.at_primary = Tally(NO_READ)
        self.rescues = Rescues(primary)
        self.catalog: Catalog | None = None
        self.freshness = Freshness()
        self.arms = ArmCounter()
        self.feature = primary.tenant.add_feature(Feature("routing"))
        self.wishes: dict[int, tuple[Parameters, Wishes]] = {}
        # Of shapes, which all users of the database share: each has that of the router that has judged it last.
        self.verdicts: dict[Shape, str] = {}
        self.apply(settings, plugin)

    def apply(self, settings: RoutingSettings, plugin: Plugin | None = None) -> None:
        """Other settings, at once for all clients."""
        self.settings = settings
        self.advice = Advice(self.primary, settings.rules, plugin)
        self.advised = self.advice.is_given()
        self.feature.switch(settings.mode, settings.percent)
        self.primary.tenant.tell(self.arms, wanted=self.feature.compares())
        self.wishes.clear()  # they have its defaults
        self.judge_anew()

    def judge_anew(self) -> None:
        """What shapes and readers remember of this router counts no more."""
        self.version = next(_versions)
        self.verdicts = {}

    def learn(self, catalog: Catalog | None) -> None:
        """The database's catalog was read; None: what was known of it may be too old."""
        self.catalog = catalog
        self.judge_anew()

    def is_off(self) -> bool:
        """Whether nobody's reads go anywhere, nor are counted as if they did."""
        return self.feature.treated.mode == IS_OFF

    # --- hosts ---

    def reach(self, host: Member) -> Destination:
        """The replica as this database and user reach it."""
        for found in self.destinations:
            if found.host is host:
                return found
        sent, observed = self.find_tally(host.name), self.find_tally("observed: " + host.name)
        new = Destination(host, self.make_pool(host), sent, observed)
        self.destinations += (new,)
        return new

    def forget(self, gone: Destination) -> None:
        """The host is no more."""
        self.destinations = tuple(found for found in self.destinations if found is not gone)

    def find_tally(self, name: str) -> Tally:
        return self.tallies.setdefault(name, Tally(READS))

    def pool_of(self, host: Member) -> Pool:
        return self.reach(host).pool

    def pools(self) -> list[Pool]:
        """Those to replicas."""
        return [destination.pool for destination in self.destinations]

    @property
    def decisions(self) -> Counter[tuple[str, str]]:
        """How often what was decided, until now, by host or "primary" and the reason."""
        tallies = {"primary": self.at_primary, **self.tallies}
        return Counter(
            {(host, reason): times for host, tally in tallies.items() for reason, times in tally.items()}
        )

    # --- one statement ---

    def attend(self, reader: Reader, settings: Parameters) -> None:
        """See what the session wishes, before any of its statements is judged."""
        if reader.settings is not settings or reader.version != self.version:
            reader.settings, reader.version = settings, self.version
            reader.wishes = self.wishes_of(settings)

    def judge(self, shape: Shape | None, reader: Reader) -> str:
        """READS, READ_ONLY, HINT or SERIALIZABLE (it writes nothing), or why it is for the primary."""
        if shape is None:
            return NO_SUCH
        if shape.hinted or self.advised or not reader.wishes.plain:
            return self.judge_wished(shape, reader)
        return self.verdict_on(shape)

    def judge_wished(self, shape: Shape, reader: Reader) -> str:
        """Given what its session wants, and what its text, the plugin or a rule does."""
        statement, wishes = shape.effects, reader.wishes
        hint = self.find_hint(statement, reader)
        if statement.begins_read_only or (wishes.read_only and statement.begins):
            return HINT if hint == PRIMARY else SERIALIZABLE if wishes.serializable else READ_ONLY
        if statement.reads and hint and hint != PRIMARY:  # its author knows what it calls
            reader.wanted_host = hint[len("replica(") : -1]
            return READS
        verdict = self.verdict_on(shape)
        if verdict is not READS:
            return verdict
        return HINT if hint else SERIALIZABLE if wishes.serializable else READS

    def find_hint(self, statement: Statement, reader: Reader) -> str:
        if statement.effects & SHOWS_TOKEN:
            return PRIMARY  # which knows
        hint = statement.hint or reader.wishes.route
        if not hint and self.advised:
            hint = self.advice.find_hint(statement, reader.settings, self.cluster.members)
        return hint

    def verdict_on(self, shape: Shape) -> str:
        """Where nobody wants anything."""
        if shape.judged_in != self.version:
            shape.verdict, shape.judged_in = self.recall(shape), self.version
        return shape.verdict

    def recall(self, shape: Shape) -> str:
        found = self.verdicts.get(shape)
        if found is None:
            if len(self.verdicts) >= LISTED:
                self.verdicts.clear()
            found = self.verdicts[shape] = self.look_at(shape)
        return found

    def look_at(self, shape: Shape) -> str:
        """The same by its syntax, the catalog, and what has happened to it."""
        statement = shape.effects
        if statement.begins_read_only:
            return READ_ONLY
        if not statement.reads:
            return NO_READ
        if statement.functions or statement.relations or statement.calls:
            objection = self.object_to(statement)
            if objection:
                return objection
        if statement.effects & SHOWS_TOKEN:
            return HINT  # the primary knows
        return TOO_OFTEN if self.rescues.is_hopeless(shape) else READS

    def object_to(self, statement: Statement) -> str:
        """Why what it calls or reads is for the primary, by the catalog, in short; ""."""
        if self.catalog is None:
            return NOT_READ
        return kind_of(self.catalog.allows(statement))

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

    def choose(self, verdict: str, reader: Reader, mode: int, now: float) -> Destination | None:
        """The replica that answers; None: the primary does, unless one is to be waited for (`reader.awaits`).

        `mode`: where routing stands for this session; one of the control arm is off among others that are not.
        """
        awaited, reader.awaits = reader.awaits, 0
        reader.reason = verdict
        if self.is_off():
            reader.reason = OFF
            return None
        if verdict is not READS and verdict is not READ_ONLY:
            self.at_primary.count(verdict)
            return None
        if mode == IS_OFF:
            reader.reason = PERCENT
            self.at_primary.count(PERCENT)
            return None
        # Who has waited needs what there was when it came, and not what was committed meanwhile.
        lsn = awaited if reader.waited and awaited else self.needed_by(reader, verdict, now)
        found = self.find(reader, lsn, now)
        if found is None:
            self.count_none(reader, lsn, mode)
            return None
        tally = found.sent if mode == IS_ON else found.observed
        tally.count(HINT if reader.wanted_host else verdict)
        if mode != IS_ON:
            reader.reason = OBSERVED
            return None
        begin(found.host)
        return found

    def may_answer(self, host: Member, reader: Reader, now: float) -> bool:
        """Whether a replica is as far as reads must see that have come now."""
        return self.needed_by(reader, READS, now) <= host.position.lsn

    def needed_by(self, reader: Reader, verdict: str, now: float) -> int:
        """The LSN that a replica must have replayed; UNKNOWN: no replica will do."""
        wishes = reader.wishes
        if self.readers.positions:
            if wishes.sees and not self.commits.asks:  # for a while the primary told none
                self.commits.want(now)
            lsn = NOT_TOLD
            if wishes.sees == SEES_ALL and verdict is READS and self.primary.tenant.fence is not None:
                lsn = needed_for(reader.asked, self.primary.tenant.fence, self.commits)
            if lsn == NOT_TOLD:
                lsn = needed(wishes, reader, self.commits)
            return max(lsn, settle(wishes.token)) if wishes.token else lsn
        if wishes.token or too_soon(wishes, reader, self.settings.primary_after_write, now):
            return UNKNOWN
        return 0

    def find(self, reader: Reader, lsn: int, now: float) -> Destination | None:
        if lsn == UNKNOWN:
            return None
        if reader.wanted_host:
            return self.find_named(reader, lsn)
        avoided = reader.avoided
        if avoided is None and reader.read_only:
            avoided = self.readers.primary
        return self.pick(now, lsn, avoided)

    def find_named(self, reader: Reader, lsn: int) -> Destination | None:
        for host in self.cluster.members:
            if (
                host.name == reader.wanted_host
                and host.fit
                and not host.health.suspect
                and host is not reader.avoided
                and host is not self.cluster.primary
                and host.position.lsn >= lsn
            ):
                return self.reach(host)
        return None

    def pick(self, now: float, lsn: int, avoided: Member | None) -> Destination | None:
        """A replica that this user can connect to, as far as is known; one that refused just now is not waited for."""
        host = self.readers.pick(now, lsn, avoided)
        if host is None:
            return None
        found = self.reach(host)
        return self.pick_other(now, lsn, avoided) if found.pool.is_shut(now) else found

    def pick_other(self, now: float, lsn: int, avoided: Member | None) -> Destination | None:
        """None of those that have just refused this user."""
        shut = [found.host for found in self.destinations if found.pool.is_shut(now)]
        host = self.readers.pick_other(now, lsn, [*shut, avoided] if avoided is not None else shut)
        return self.reach(host) if host is not None else None

    def count_none(self, reader: Reader, lsn: int, mode: int) -> None:
        """No replica answers; one that gets as far as `lsn` in time may be waited for."""
        hopeless = lsn == UNKNOWN and self.readers.positions and self.readers.replicas > 0
        plain = reader.avoided is None and not reader.wanted_host
        reason = STALE if hopeless and plain else self.explain_none(reader, lsn)
        waits = self.settings.consistency_wait > 0 and not reader.waited and lsn < UNKNOWN
        if reason is STALE and not reader.waited:
            self.note_awaited(reader)
        if waits and reason is STALE and mode == IS_ON:
            reader.awaits = lsn
        else:
            reader.reason = reason
            self.at_primary.count(reason)

    def note_awaited(self, reader: Reader) -> None:
        """No replica has what is to be seen: count it for the tables whose last commit that is."""
        fence, commits = self.primary.tenant.fence, self.commits
        if fence is None or reader.wishes.sees != SEES_ALL:
            return
        furthest = 0
        for host in self.readers.members:
            if host is not self.readers.primary:
                furthest = max(furthest, host.position.lsn)
        for shape in reader.asked:
            for commit in [fence.whole.last, *(fence.find_read(shape) or ())]:
                if settle(commit.find(commits.known, commits.known_for)) > furthest:
                    commit.awaited += 1

    def explain_none(self, reader: Reader, lsn: int) -> str:
        """Why no replica answers a read that must see `lsn`."""
        if lsn == UNKNOWN and not self.readers.positions and not reader.wishes.token:
            return TOO_SOON
        if reader.wanted_host:
            return NOT_THAT
        hosts = [host for host in self.readers.list_replicas() if host is not reader.avoided]
        if not hosts:
            return NO_REPLICA
        if all(self.pool_of(host).is_shut(monotonic()) for host in hosts):
            return SHUT
        return SHARE if any(host.position.lsn >= lsn for host in hosts) else STALE

    def note_rescue(self, host: Member, reason: str, shape: Shape) -> None:
        """A replica has failed a read."""
        if self.rescues.note(host.name, reason, shape):
            self.judge_anew()
