"""Rate limits: a gate (dbproxy.gates), asked only for requests that their session's `Allowance` does not let go.

Of those it finds out how long they would have to wait, by all of their subjects. One that may be held back for so long
is paid for at once and goes when its time has come, so that those behind it queue up behind it; any other is refused,
and has used nothing. What only ends a transaction, or cleans up a session, is never refused.
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from dbproxy.config.limits import LimitSettings
from dbproxy.config.template import Facts
from dbproxy.errors import TooManyConnections
from dbproxy.features.mode import OBSERVE, OFF
from dbproxy.gates import GO, Await, Delay, Refuse, Verdict
from dbproxy.limits.allowance import Allowance
from dbproxy.limits.book import Book, keep
from dbproxy.limits.courier import read_clock
from dbproxy.limits.delays import Delays
from dbproxy.limits.exemptions import Exemptions, is_free
from dbproxy.limits.refusals import Refusals
from dbproxy.limits.reply import Reply, cannot_be_checked, is_asked_about
from dbproxy.limits.store import Store
from dbproxy.limits.subject import Subject, find_crowded, find_slowest, known_wait
from dbproxy.limits.wording import (
    UNCHECKED,
    count_open,
    describe_logins,
    describe_rate,
    find_reason,
    spell_patience,
    spell_wait,
)
from dbproxy.sql.tags import read_pairs
from dbproxy.wire import build

MINUTE = 60_000_000


class Asked(Protocol):
    """A request (pool.query)."""

    arrived: float
    kinds: bytes

    def read_text(self) -> bytes: ...


class Held(Protocol):
    @property
    def allowance(self) -> Allowance | None: ...


class Asker(Protocol):
    """Whose request it is (session.client)."""

    @property
    def inbound(self) -> Held: ...


class Limiter:
    """Of the whole proxy."""

    def __init__(self, settings: LimitSettings) -> None:
        self.book = Book(settings)
        self.store: Store | None = None  # where limits are shared
        self.refusals = Refusals(self.book)
        self.delays = Delays()
        self.apply(settings)

    def apply(self, settings: LimitSettings) -> None:
        self.settings = settings
        self.book.apply(settings)
        self.exemptions = Exemptions(settings.exempt)
        self.counts_logins = any(
            "logins" in (rule.count, settings.count) for rule in settings.list_rules()
        ) or any(tier.logins is not None for tier in settings.tiers.values())

    def share(self, store: Store | None) -> None:
        """Limits with other proxies, from each session's next request on; or no more."""
        self.store = store
        self.book.share = keep if store is None else store.join
        self.book.version += 1

    @property
    def version(self) -> int:
        return self.book.version

    # --- limits.allowance.Warden ---

    def resolve(self, allowance: Allowance, tags: Mapping[str, str], now: int) -> None:
        """Whom its session is held to now."""
        settings = allowance.settings
        assert settings is not None  # it calls with them
        facts, values = allowance.facts, settings.values
        name = values.get("application_name", facts.application_name)
        facts = Facts(facts.user, facts.database, name, facts.address)
        subjects = self.book.find_all(facts, values, tags, now)
        for subject in subjects:
            subject.sessions += 1
        self.release(allowance)
        allowance.subjects = tuple(subjects)
        allowance.version = self.book.version
        allowance.exempt = self.exemptions.cover(facts, [subject.key for subject in subjects])
        allowance.reads_tags = any(
            rule.settings.key.reads_tags and self.book.believes(facts.user) for rule in self.book.rules
        )

    def release(self, allowance: Allowance) -> None:
        """Its session is held to them no more."""
        for subject in allowance.subjects:
            subject.sessions -= 1
        allowance.subjects = ()

    def warn(self, allowance: Allowance, subject: Subject, now: int) -> None:
        """Tell its client that little is left; once a minute for each subject."""
        subject.quiet_until = now + MINUTE
        rate = subject.rate
        assert rate is not None  # of which much is used
        used = describe_rate(subject.limits.rate, subject.limits.burst)
        message = f"{self.book.name(subject)} has used {rate.used(now)} of {used}"
        hint = f"What is over the limit is {spell_patience(self.patience(subject))}."
        allowance.client.notice(
            build.notice_response(message, severity="WARNING", sqlstate="01000", hint=hint)
        )

    # --- dbproxy.gates.Gate ---

    def before(self, request: Asked, session: Asker, now: float) -> Verdict:
        allowance = session.inbound.allowance
        if allowance is None:
            return GO
        time = int(now * 1e6)
        called = allowance.take_place()
        verdict = self.decide(request, allowance, time)
        if called is not None:
            if isinstance(verdict, Await) and not find_crowded(allowance.subjects):
                allowance.keep_place(called)  # Redis is asked: nobody else goes in its place meanwhile
            else:
                called.fill()
        return verdict

    def decide(self, request: Asked, allowance: Allowance, time: int) -> Verdict:
        if allowance.running or allowance.stand.mode == OFF:
            return GO
        if allowance.reads_tags:
            self.resolve(allowance, dict(read_pairs(request.read_text())), time)
        reply, allowance.reply = allowance.reply, None
        if reply is not None:
            found = self.follow(allowance, reply, time)
            if found is not None:
                return found
        if allowance.begin(time):
            return GO
        if is_free(request.kinds, request.read_text()):
            allowance.run(())
            return GO
        if allowance.stand.mode == OBSERVE:
            self.observe(allowance, time)
            return GO
        return self.judge(allowance, request.arrived, time)

    def observe(self, allowance: Allowance, now: int) -> None:
        """It runs whatever limits say. What they would have said shows at once, or once Redis has answered."""
        subjects = allowance.subjects
        refusing = next(
            (subject for subject in subjects if subject.is_crowded() or known_wait(subject, now)), None
        )
        if refusing is not None or self.store is None:
            (refusing or subjects[0]).tally.observed += 1
            allowance.run(())
            return
        asked, observation = self.store.ask(subjects, 0), allowance.watch()
        asked.done.add_done_callback(lambda _: allowance.settle(observation, asked.reply, read_clock()))

    def after(self, request: Asked) -> None:
        """Its allowance hears that itself."""

    def judge(self, allowance: Allowance, arrived: float, now: int) -> Verdict:
        """What becomes of a request that may not go now."""
        if allowance.note_judged():
            return Delay(now / 1e6)
        subjects = allowance.subjects
        waited = now - int(arrived * 1e6)
        crowded = find_crowded(subjects)
        if crowded is not None:
            patience = self.patience(crowded) - waited
            if patience > 0:
                return Await(wait_turn(allowance, crowded, patience / 1e6, self.delays))
            return Refuse(self.refusals.refuse(crowded, count_open(crowded), 0, now))
        if self.store is not None and any(cannot_be_checked(subject, now) for subject in subjects):
            return Refuse(UNCHECKED)
        slowest = find_slowest(subjects, now)
        wait = known_wait(slowest, now)
        patience = min(self.patience(subject) for subject in subjects if subject.wait(now)) - waited
        if wait > max(0, patience):
            return Refuse(self.refusals.refuse(slowest, find_reason(slowest, now), wait, now))
        if self.store is not None and any(is_asked_about(subject) for subject in subjects):
            return Await(self.ask(self.store, allowance, max(0, patience)))
        allowance.pay(now)
        self.delays.note(wait / 1e6)
        return Delay((now + wait) / 1e6)

    async def ask(self, store: Store, allowance: Allowance, patience: int) -> None:
        """What Redis says about a request; `follow` sees to what follows."""
        asked = store.ask(allowance.subjects, patience)
        try:
            await asked.done
        except asyncio.CancelledError:  # its client has left
            if not asked.done.cancelled():
                asked.reply.forget()
            raise
        allowance.reply = asked.reply

    def follow(self, allowance: Allowance, reply: Reply, now: int) -> Verdict | None:
        """What becomes of a request that was asked about; None if that has decided nothing."""
        subjects = allowance.subjects
        if reply.failed:
            return None
        if not reply.allowed:
            slowest = find_slowest(reply.subjects, now)
            wait = max(1, known_wait(slowest, now))
            return Refuse(self.refusals.refuse(slowest, find_reason(slowest, now), wait, now))
        if reply.subjects != subjects or find_crowded(subjects) is not None:
            reply.forget()
            return None
        allowance.open()
        for subject in subjects:
            if subject.count(now):
                self.warn(allowance, subject, now)
        wait = max(reply.wait, max(subject.debt(now) for subject in subjects))
        if not wait:
            return GO
        self.delays.note(wait / 1e6)
        return Delay((now + wait) / 1e6)

    def check_login(self, mode: int, facts: Facts, values: Mapping[str, str], now: float) -> None:
        """TooManyConnections if who it is may not log in now; `mode`: where limits stand for it."""
        time = int(now * 1e6)
        subjects = self.book.find_all(facts, values, {}, time) if mode != OFF else []
        if self.exemptions.cover(facts, [subject.key for subject in subjects]):
            return
        limits = [(subject, subject.logins) for subject in subjects if subject.logins is not None]
        for subject, logins in limits:
            if wait := logins.wait(time, logins.interval):
                if mode == OBSERVE:
                    subject.tally.observed += 1
                    return
                subject.refused += 1
                subject.tally.rejected += 1
                raise TooManyConnections(
                    f"too many logins for {self.book.name(subject)} (tier {subject.tier})",
                    detail=f"Used: {logins.used(time)}; limit: {describe_logins(subject.limits, logins)}.",
                    hint=f"retry after {spell_wait(wait)}",
                )
        for _, logins in limits:
            logins.take(time, logins.interval)

    def patience(self, subject: Subject) -> int:
        """How long a request of its may be held back."""
        own = subject.limits.max_wait
        if own is None:
            own = self.settings.max_delay if self.settings.action == "delay" else 0.0
        return int(own * 1e6)


async def wait_turn(allowance: Allowance, subject: Subject, patience: float, delays: Delays) -> None:
    """Until one of its transactions is over, in whose place it goes, or it was waited for long enough."""
    loop = asyncio.get_running_loop()
    turn: asyncio.Future[None] = loop.create_future()
    began = loop.time()
    subject.queue_up(turn)
    try:
        await asyncio.wait({turn}, timeout=patience)
    except asyncio.CancelledError:  # its client has left
        if turn.done():
            subject.pass_turn()
        raise
    finally:
        turn.cancel()
        subject.step_out(turn)
    if not turn.cancelled():
        allowance.promised = subject
        delays.note(loop.time() - began)
