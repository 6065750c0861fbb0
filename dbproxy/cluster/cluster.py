"""What the proxy knows of its hosts, and who answers a read.

Everything here is synchronous and takes `now` (monotonic seconds). The monitor brings what its probes found
(`learn`, `refused`, `failed`), sessions and pools what they saw (`note_primary_lsn`, `report_failure`). After each, the
primary is elected, each member's state named, and what `Readers.pick` chooses from made ready.
"""

import asyncio
from collections.abc import Awaitable, Callable

from dbproxy.cluster import journal
from dbproxy.cluster.failover import elect
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.member import PRIMARY, Member, Order, State, list_members
from dbproxy.cluster.monitor import watch
from dbproxy.cluster.positions import Positions
from dbproxy.cluster.readers import Readers
from dbproxy.config import Host, Settings
from dbproxy.errors import CommandFailed
from dbproxy.net.tls import ServerTls

PATIENCE = 1.0  # seconds that a wanted position is polled for, unless it is wanted again


def ignore(*_: object) -> None: ...


def unencrypted(_: Host) -> None: ...


async def as_written(host: Host) -> Host:
    return host


class Cluster:
    """One PostgreSQL primary and its replicas.

    Until it is probed, the host of DATABASE_URL is taken for the primary; a replica gets no reads before its first
    answer. The callbacks are called inside `learn` and its like, when all is settled for `Readers.pick`.
    """

    def __init__(self, settings: Settings, now: float = 0.0) -> None:
        self.members: tuple[Member, ...] = ()
        self.primary: Member | None = None
        self.primary_lost_at: float | None = None
        self.on_primary: Callable[[Member | None], None] = ignore  # another host is the primary, or none is
        self.on_out: Callable[[Member], None] = ignore  # not fit any more: nothing new may be sent there
        self.on_in: Callable[[Member], None] = ignore  # fit (again)
        self.on_moved: Callable[[Member], None] = ignore  # another server has its address
        self.on_reload: Callable[[Member], None] = ignore  # it has read its configuration again
        self.on_position: Callable[[Member], None] = ignore  # a replica moved on, while a position is wanted
        self.on_lead: Callable[[int, float], None] = ignore  # the primary said where its WAL ends, and when
        self.find_tls: Callable[[Host], ServerTls | None] = unencrypted  # how probes' lines are encrypted
        self.complete: Callable[[Host], Awaitable[Host]] = as_written  # with the password for a probe
        self.changed = asyncio.Event()  # for the monitor: there are other members
        self._announced: Member | None = None  # what on_primary was last told
        self._positions = Positions()
        self.readers = Readers()  # who answers a read is picked there
        self._wanted = 0
        self._wanted_until = 0.0
        self.apply(settings, now)
        self.primary = self._announced = self._assumed()

    @property
    def positions(self) -> bool:
        """Whether LSNs can be had at all; False: reads after a write stay on the primary for a while."""
        return self.readers.positions

    def member(self, name: str) -> Member:
        """By its name; CommandFailed if there is none."""
        for member in self.members:
            if member.name == name:
                return member
        names = ", ".join(member.name for member in self.members)
        raise CommandFailed(f'there is no host "{name}"; there are {names}')

    # --- what others saw ---

    def note_primary_lsn(self, lsn: int, now: float) -> None:
        """A commit on the primary ended at `lsn` (`lag.settle` it first)."""
        if self.primary is not None:
            self.primary.position.lsn = max(self.primary.position.lsn, lsn)
            self._positions.history.note(lsn, now)

    def want(self, lsn: int, now: float) -> None:
        """Somebody waits for a replica to replay `lsn`: ask often, and tell `on_position` of each step there."""
        asleep = now >= self._wanted_until
        self._wanted = lsn if asleep else max(lsn, self._wanted)
        self._wanted_until = now + PATIENCE
        if asleep:
            for member in self.readers.members:
                member.due.set()

    def report_failure(self, member: Member, reason: str, now: float) -> None:
        """A connect or query failed there, by the host's fault: no reads until a probe succeeds, which is made now."""
        if member.health.suspect or member.health.down:
            return  # it is being seen to
        member.health.suspect, member.health.last_error = True, reason
        member.due.set()
        if member is self.primary:
            self._wake_others(member)
        self._judge(now)

    # --- orders ---

    def disable(self, name: str, now: float) -> None:
        """Give it nothing, end what runs there (`on_out`), and let it take no part in elections."""
        self._order(self.member(name), "disabled", now)

    def drain(self, name: str, now: float) -> None:
        """Give it nothing new; what runs there may end by itself."""
        self._order(self.member(name), "draining", now)

    def enable(self, name: str, now: float) -> None:
        """Take back `disable` or `drain`; it comes back with a slow start."""
        member = self.member(name)
        if member.order:
            member.health.started_at = now
        self._order(member, "", now)

    def probe(self) -> None:
        """Have all hosts probed at once."""
        self._wake_others(None)

    def apply(self, settings: Settings, now: float) -> None:
        """Use these settings; who keeps name and address keeps what is known of it, the others go `on_out`."""
        before, self.settings = self.members, settings
        self.members = tuple(self._keep(fresh) for fresh in list_members(settings))
        if self.primary is not None and self.primary not in self.members:
            self.primary = self._assumed()
            self._positions = Positions()
        self._conclude(now)
        for member in before:
            if member not in self.members:
                self._enter(member, "unknown", now)
                self.on_out(member)
        self.changed.set()

    async def run(self) -> None:
        """Watch the hosts until cancelled."""
        await watch(self)

    # --- what the probes found ---

    def learn(self, member: Member, finding: Finding, now: float) -> None:
        """It answered."""
        if member not in self.members:
            return
        returned = member.health.failures > 0
        moved = member.recognise(finding.server, now)
        member.health.succeed(now, self.settings.health)
        member.health.took = finding.took
        member.role, member.position.timeline, member.position.told = (
            finding.role,
            finding.timeline,
            finding.positions,
        )
        self._elect(now)
        if member is self.primary:
            self._lead(member, finding, now, returned=returned, moved=moved)
        elif member.role == "replica":
            self._follow(member, finding, now)
        self._judge(now)
        if moved:
            journal.tell_moved(member)
            self.on_moved(member)
        loaded, member.loaded = member.loaded, finding.loaded
        if loaded != finding.loaded:
            member.differing = set()
            if loaded:
                self.on_reload(member)

    def refused(self, member: Member, reason: str, now: float) -> None:
        """It is there, but will not have our probe: what was known or assumed of it stays."""
        if member in self.members:
            if member.health.last_error != reason:
                journal.tell_refused(member, reason)
            member.health.refuse(reason)

    def failed(self, member: Member, reason: str, now: float) -> None:
        """It did not answer."""
        if member in self.members:
            member.health.fail(reason, self.settings.health)
            if member is self.primary and member.health.failures == 1:
                self._wake_others(member)  # a promotion may be under way
            self._conclude(now)

    def pause(self, member: Member, now: float) -> float:
        """Seconds until it is to be probed again."""
        primary = self.primary
        lost = (
            primary is None
            or primary.health.failures > 0
            or (primary.health.suspect and not primary.health.refused)
        )
        wanted = now < self._wanted_until and member is not self.primary
        return member.health.pause(fit=member.fit, lost=lost, wanted=wanted, limits=self.settings.health)

    # --- what follows ---

    def _conclude(self, now: float) -> None:
        self._elect(now)
        self._judge(now)

    def _elect(self, now: float) -> None:
        election = elect(self.members, self.primary)
        if election.primary is not self.primary:
            self._change_primary(election.primary, now)
        assumed = self.primary is not None and not self.primary.health.heard
        for member in self.members:
            member.fenced = member in election.fenced
            # One that failed is a primary that has just died; beside one that is only assumed it may be the real one.
            alarming = member.fenced and not member.health.failures and not assumed
            if alarming and not member.alarmed:
                journal.tell_fenced(member, self.primary)
            member.alarmed = member.fenced and (alarming or member.alarmed)

    def _change_primary(self, primary: Member | None, now: float) -> None:
        lost, self.primary = self.primary, primary
        if primary is None:
            self.primary_lost_at = now
            journal.tell_lost(lost)
            self._wake_others(lost)
            return
        waited = now - self.primary_lost_at if self.primary_lost_at is not None else 0.0
        self.primary_lost_at = None
        self._positions.turn(self.members)
        journal.tell_found(primary, waited)

    def _lead(self, member: Member, finding: Finding, now: float, *, returned: bool, moved: bool) -> None:
        behind = finding.lsn < self._positions.history.newest
        # One that returned may have lost what it had not flushed: what we knew may never be reached.
        if moved or (returned and behind) or self._positions.timeline not in (0, finding.timeline):
            self._positions.turn(self.members)
        self._positions.lead(member, finding, now)
        self.on_lead(finding.lsn, now)

    def _follow(self, member: Member, finding: Finding, now: float) -> None:
        before, late = member.position.lsn, member.lag.late
        until = now if self.primary_lost_at is None else self.primary_lost_at  # there is nothing after that
        primary = self.primary
        others = [m for m in self.members if m is not primary and not m.is_one_with(primary)]
        rival = any(m.role == "primary" and not m.health.down for m in others)
        seconds = self._positions.follow(member, finding, until, rival=rival)
        if member.lag.note(seconds, self.settings.health):
            member.health.started_at = now
        if member.lag.late and not late:
            journal.tell_late(member)
        if member.position.lsn > before and now < self._wanted_until:
            self._progress(member)

    def _progress(self, member: Member) -> None:
        if member.position.lsn >= self._wanted:
            self._wanted, self._wanted_until = 0, 0.0
        self.on_position(member)

    def _judge(self, now: float) -> None:
        """Name each member's state, make the readers ready, and tell who listens."""
        routing = self.settings.routing
        was_fit = [member.fit for member in self.members]
        for member in self.members:
            self._enter(member, member.judge(now, routing.slow_start), now)
        self.readers.prepare(self.members, self.primary, routing, now, positions=self._positions.known)
        if self.primary is not self._announced:
            self._announced = self.primary
            self.on_primary(self.primary)
        for member, before in zip(self.members, was_fit, strict=True):
            if member.fit != before:
                (self.on_in if member.fit else self.on_out)(member)

    def _enter(self, member: Member, state: State, now: float) -> None:
        if state == member.state:
            return
        before, member.state, member.since = member.state, state, now
        journal.tell_state(member, before, self.primary)

    def _order(self, member: Member, order: Order, now: float) -> None:
        member.order = order
        self._conclude(now)

    def _keep(self, fresh: Member) -> Member:
        """The member that there is already under this name and address, with what may have changed of it."""
        for member in self.members:
            if (member.name, member.url.address) == (fresh.name, fresh.url.address):
                member.url, member.weight = fresh.url, fresh.weight
                return member
        return fresh

    def _assumed(self) -> Member | None:
        """Who is the primary, as long as nobody was asked."""
        return next((member for member in self.members if member.name == PRIMARY), None)

    def _wake_others(self, member: Member | None) -> None:
        for other in self.members:
            if other is not member:
                other.due.set()
