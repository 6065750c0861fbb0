"""What one session may still ask for: its subjects, one of each rule, of which all must allow.

A transaction that wants a server is *let go*, and paid for by each of them, or by none; then it *runs*, up to its end,
and is not asked about again. Where limits are off, or its session is exempt, it runs unpaid; where they are observed,
one that may not be let go does.
Seconds are those of the monotonic clock; what is within is in microseconds.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from dbproxy.config.template import Facts
from dbproxy.features.mode import OBSERVE, OFF, ON, UNDECIDED, Feature
from dbproxy.gates import Gate
from dbproxy.limits.observation import Observation
from dbproxy.limits.reply import Reply
from dbproxy.limits.subject import Subject

Subjects = tuple[Subject, ...]
NO_SUBJECTS: Subjects = ()
MOST_AT_ONCE = 30  # requests of one session that are judged without a pause: half a millisecond


class Values(Protocol):
    """A session's settings (pool.parameters); equal ones are the same object."""

    values: dict[str, str]


class Client(Protocol):
    def notice(self, message: bytes) -> None:
        """Have it read this between two answers."""


class Warden(Gate[Any, Any], Protocol):
    """Who knows the rules (limits.limiter)."""

    @property
    def version(self) -> int: ...
    def resolve(self, allowance: "Allowance", tags: Mapping[str, str], now: int) -> None: ...
    def release(self, allowance: "Allowance") -> None: ...
    def warn(self, allowance: "Allowance", subject: Subject, now: int) -> None: ...


class Allowance:
    """`feature`: where limits stand for its database and user; `number`: the session's."""

    def __init__(self, warden: Warden, feature: Feature, client: Client, number: int, facts: Facts) -> None:
        self.warden = warden
        self.feature = feature
        self.client = client
        self.number = number
        self.facts = facts
        self.stand = UNDECIDED
        # Whom it is held to, and what that was found by.
        self.subjects: Subjects = NO_SUBJECTS
        self.version = 0
        self.settings: Values | None = None
        self.reads_tags = False  # each request may have other subjects
        self.exempt = False
        # Of the transaction that runs.
        self.running = False
        self.paid: Subjects = NO_SUBJECTS
        self.promised: Subject | None = None  # whose transaction has ended for this to begin
        self.reply: Reply | None = None  # what was found out for this to begin
        self.observation: Observation | None = None  # while nobody knows yet if it might have begun
        self.judged = 0  # requests that were not let go, since others were let run

    def let_go(self, settings: Values, now: float) -> bool:
        """A transaction, which then runs and is paid for; whether it may begin. If not, the warden is to be asked."""
        self.look_up(settings, now)
        if self.stand.mode == OFF:
            return True
        if self.reads_tags and not self.exempt:
            return False
        return self.begin(int(now * 1e6))

    def look_up(self, settings: Values, now: float) -> None:
        """Where limits stand for it, and whom it is held to, unless nothing has changed."""
        if self.stand.version != self.feature.version:
            self.stand = self.feature.stand(self.number, self.stand, in_transaction=False)
        if self.stand.mode == OFF:
            return
        if self.version != self.warden.version or self.settings is not settings:
            self.settings = settings
            self.warden.resolve(self, {}, int(now * 1e6))

    def begin(self, time: int) -> bool:
        """As `let_go`, its subjects being those of this request."""
        if self.reply is not None:
            return False
        if self.exempt:
            for subject in self.subjects:
                subject.tally.exempt += 1
            self.run(NO_SUBJECTS)
            return True
        for subject in self.subjects:
            if subject.is_crowded() or subject.wait(time):
                return False
        self.pay(time)
        return True

    def affords(self, number: int, now: float) -> bool:
        """Whether so many more could begin, behind the one that runs; any number, where nobody is refused."""
        if self.stand.mode == OBSERVE:
            return True
        time = int(now * 1e6)
        for subject in self.paid:  # noqa: SIM110 - compiled, it makes no generator
            if not subject.affords(number, time):
                return False
        return True

    def note_judged(self) -> bool:
        """One more of its requests; whether others are to run before it is: a pipeline may have thousands."""
        self.judged += 1
        if self.judged <= MOST_AT_ONCE:
            return False
        self.judged = 0
        return True

    def find_turn(self) -> tuple[str, int]:
        """Where those who wait for a server take turns: the key of its first rule, and the weight of the tier."""
        if not self.subjects:
            return "", 1
        first = self.subjects[0]
        return first.key, first.limits.weight

    def run(self, paid: Subjects) -> None:
        self.running = True
        self.paid = paid

    def pay(self, time: int) -> None:
        """A transaction runs, whatever is left for it."""
        for subject in self.subjects:
            if subject.begin(time) and self.stand.mode == ON:
                self.warden.warn(self, subject, time)
        self.run(self.subjects)

    def watch(self) -> Observation:
        """A transaction runs that is paid for, or not, as `settle` is called."""
        self.open()
        self.observation = Observation(self.subjects)
        return self.observation

    def settle(self, observation: Observation, reply: Reply, now: int) -> None:
        """It is known whether it might have begun, be it over or not."""
        observation.settle(reply, now)
        if self.observation is observation:
            self.observation = None
            if not reply.allowed:
                self.paid = NO_SUBJECTS

    def open(self) -> None:
        """A transaction runs that is paid for in another way."""
        for subject in self.subjects:
            subject.open()
        self.run(self.subjects)

    def keep_place(self, called: Subject) -> None:
        """There, until it may begin."""
        called.promised += 1
        self.promised = called

    def take_place(self) -> Subject | None:
        """The place that was kept for it, and is nobody's from here on: whose."""
        called, self.promised = self.promised, None
        if called is not None:
            called.promised -= 1
        return called

    # --- it is over ---

    def charge(self, now: float, held: float, rows: int, transactions: int, statements: int) -> None:
        """So many are over, on a server that was held for so long (seconds), beside what was paid and still runs."""
        time = int(now * 1e6)
        span = int(held * 1e6)
        if self.observation is not None:
            self.observation.add(span, rows, transactions, statements)
            return
        for subject in self.paid:
            subject.charge(time, span, rows, statements if subject.counts_queries else transactions)

    def end(self, now: float, held: float, rows: int, transactions: int, statements: int) -> None:
        """As `charge`, and nothing runs any more; only the first of them was asked about, if any."""
        time = int(now * 1e6)
        span = int(held * 1e6)
        if self.observation is not None:
            self.observation.add(span, rows, transactions, statements)
            self.observation.end()
            self.observation = None
            self.run_no_more()
        elif self.running:
            refused = self.count_observed(time, transactions - 1) if transactions > 1 else 0
            for subject in self.paid:
                number = statements if subject.counts_queries else transactions
                subject.charge(time, span, rows, number - refused - 1)
                subject.end()
            self.run_no_more()
        elif self.stand.mode != OFF and not self.exempt:
            for subject in self.subjects:
                subject.charge(time, span, rows, statements if subject.counts_queries else transactions)

    def run_no_more(self) -> None:
        self.running = False
        self.paid = NO_SUBJECTS

    def count_observed(self, time: int, more: int) -> int:
        """How many of so many that came behind the one that has run would have been refused: they are observed."""
        if self.stand.mode != OBSERVE or self.exempt or not self.subjects:
            return 0
        allowed, refusing = more if self.paid else 0, self.subjects[0]
        for subject in self.paid:
            number = subject.count_affordable(time)
            if number < allowed:
                allowed, refusing = number, subject
        refusing.tally.observed += more - allowed
        return more - allowed

    def close(self) -> None:
        """Its session has ended."""
        self.drop_reply()
        self.warden.release(self)

    def drop_reply(self) -> None:
        if self.reply is not None:
            self.reply.forget()
            self.reply = None

    def give_up(self, now: float) -> None:
        """It has come to nothing: no server was found, or its client has left."""
        if self.promised is not None:
            self.promised.pass_turn()
            self.promised = None
        self.drop_reply()
        if self.running:
            self.end(now, 0.0, 0, 0, 0)

    def answered(self, now: float) -> None:
        """It needed no server."""
        if self.observation is not None:
            self.observation.cheap = True
        elif self.running:
            for subject in self.paid:
                subject.refund()
        if self.running:
            self.end(now, 0.0, 0, 1, 1)
