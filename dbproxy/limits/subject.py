"""Who is held to a limit: all that have the same key of one rule.

A transaction is *begun* when it may, and is then paid for; what only shows behind it, the time that it held a server
and the rows that it was sent, is *charged* then, and if that is more than there is, the next has to wait. All times are
microseconds of one monotonic clock.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dbproxy.config.limits import Counted, TierSettings
from dbproxy.config.rate import Rate
from dbproxy.limits.bucket import Bucket
from dbproxy.limits.lease import Lease
from dbproxy.limits.tally import Tally

Turns = dict[asyncio.Future[None], None]  # in the order in which they came
MANY = 1 << 62  # requests: any number
TENTH = 10  # a request that no server was needed for costs so much less


@dataclass(frozen=True, slots=True)
class Terms:
    """How limits are meant: their pace, what a rate counts, from which share on to warn (0: never)."""

    even: bool = False
    count: Counted = "transactions"
    notice_at: float = 0.0


class Subject:
    """`rate`, `server_time`, `rows`, `logins`: None where the tier has no such limit.

    `lease`: what this proxy has in hand of a rate that it shares with others, and asks first.
    """

    def __init__(self, rule: str, key: str) -> None:
        self.rule = rule
        self.key = key
        self.tier = ""
        self.limits: TierSettings = UNLIMITED
        self.tally = NOBODY
        self.rate: Bucket | None = None
        self.lease: Lease | None = None
        self.server_time: Bucket | None = None
        self.rows: Bucket | None = None
        self.logins: Bucket | None = None
        self.max_concurrent = 0
        self.counts_queries = False
        self.running = 0
        self.promised = 0  # places of such that have ended, which are kept for who has waited
        self.queue: Turns = (
            NOBODY_WAITS  # for one that runs to end; whose is one's own once somebody has waited
        )
        self.sessions = 0  # which have this key
        self.used = 0  # transactions let through
        self.refused = 0
        self.quiet_until = 0  # its client is not warned before then
        self.version = 0  # of the book, as of which it is held to this

    def wait(self, now: int) -> int:
        """How long until its next transaction may begin, as far as buckets go; NEVER if it never may."""
        longest = 0
        if self.lease is not None:
            longest = self.lease.wait(now)
        elif self.rate is not None:
            longest = self.rate.wait(now, self.rate.interval)
        if self.server_time is None and self.rows is None:
            return longest
        return max(longest, self.debt(now))

    def debt(self, now: int) -> int:
        """How long until what was only charged is paid."""
        longest = 0
        if self.server_time is not None:
            longest = self.server_time.wait(now, 0)
        if self.rows is not None:
            longest = max(longest, self.rows.wait(now, 0))
        return longest

    def affords(self, number: int, now: int) -> bool:
        """Whether so many more could begin now, without asking anybody."""
        rate = self.rate
        if rate is None:
            return True
        span = number * rate.interval
        return self.lease.hand >= span if self.lease is not None else not rate.wait(now, span)

    def count_affordable(self, now: int) -> int:
        """How many more could begin now; what only Redis knows is as if it had let them go."""
        if self.debt(now):
            return 0
        if self.rate is None or (self.lease is not None and not self.lease.knows(now)):
            return MANY
        if self.lease is not None and not self.lease.fleet.degraded:
            there = self.lease.hand
        else:
            there = self.rate.capacity - max(0, self.rate.tat - now)
        return max(0, there) // self.rate.interval

    def is_crowded(self) -> bool:
        """Whether as many of its transactions are open as may be."""
        return 0 < self.max_concurrent <= self.running + self.promised

    def begin(self, now: int) -> bool:
        """A transaction begins, and is paid for; whether so much is used by that that its client is to be warned."""
        if self.lease is not None:
            self.lease.take(now)
        elif self.rate is not None:
            self.rate.take(now, self.rate.interval)
        self.open()
        return self.count(now)

    def open(self) -> None:
        """A transaction begins, whoever pays for it."""
        self.running += 1
        self.used += 1

    def count(self, now: int) -> bool:
        """That it was let through; whether its client is to be warned."""
        rate = self.rate
        if rate is None:
            self.tally.allowed += 1
            return False
        used = rate.tat - now
        if self.lease is not None:
            used -= self.lease.hand
        if used > rate.capacity:
            self.tally.delayed += 1
        elif used > rate.capacity - rate.reserve:
            self.tally.burst += 1
        else:
            self.tally.allowed += 1
        return used >= rate.warns_from and now >= self.quiet_until

    def end(self) -> None:
        """A transaction is over."""
        self.running -= 1
        if self.queue:
            self.call_next()

    def queue_up(self, turn: asyncio.Future[None]) -> None:
        if self.queue is NOBODY_WAITS:
            self.queue = {}
        self.queue[turn] = None

    def step_out(self, turn: asyncio.Future[None]) -> None:
        """It waits no more, called or not."""
        self.queue.pop(turn, None)

    def call_next(self) -> None:
        """There is a place: it is kept for who has waited longest."""
        while self.queue:
            turn = next(iter(self.queue))
            del self.queue[turn]
            if not turn.done():
                self.promised += 1
                turn.set_result(None)
                return

    def fill(self) -> None:
        """Whoever was called has gone, or may not go: if there is a place, it is the next one's."""
        if self.queue and not self.is_crowded():
            self.call_next()

    def pass_turn(self) -> None:
        """Who was called has left."""
        self.promised -= 1
        self.call_next()

    def charge(self, now: int, held: int, rows: int, number: int) -> None:
        """For a server held so long, for rows, and for so many more of what is counted, that nobody was asked about.

        It is a debt where there is not as much, up to a whole bucket of it. -1: what was paid for was no such thing.
        """
        if self.server_time is not None and held > 0:
            self.server_time.owe(now, self.server_time.span(held))
        if self.rows is not None and rows > 0:
            self.rows.owe(now, self.rows.span(rows))
        if number > 0:
            self.used += number
            self.tally.allowed += number
            if self.lease is not None:
                self.lease.charge(now, number * self.lease.rate.interval)
            elif self.rate is not None:
                self.rate.owe(now, number * self.rate.interval)
        elif number < 0:
            self.give_back()

    def give_back(self) -> None:
        """What has begun has come to nothing."""
        self.used -= 1
        if self.rate is not None:
            self.give(self.rate.interval)

    def refund(self) -> None:
        """What has begun needed no server: it costs a tenth."""
        if self.rate is not None:
            self.give(self.rate.interval - self.rate.interval // TENTH)

    def give(self, span: int) -> None:
        if self.lease is not None:
            self.lease.give(span)
        elif self.rate is not None:
            self.rate.give(span)

    # --- what it is held to ---

    def share(self, lease: Lease | None) -> None:
        """Its rate with other proxies, or no more."""
        self.lease = lease

    def hold(self, tier: str, limits: TierSettings, tally: Tally, terms: Terms, now: int) -> None:
        """To this tier, from now on; what is used stays used."""
        even, logins = terms.even, terms.count == "logins"
        rate = limits.rate
        self.tier, self.limits, self.tally = tier, limits, tally
        self.rate = None if logins else renew(self.rate, rate, limits.burst, now, even=even)
        self.server_time = renew(self.server_time, limits.server_time, 0, now)
        self.rows = renew(self.rows, limits.rows, 0, now)
        counted = limits.logins or (rate if logins else None)
        self.logins = renew(self.logins, counted, limits.burst if logins else 0, now, even=even and logins)
        self.max_concurrent = limits.max_concurrent
        while self.queue and not self.is_crowded():  # there are more places now
            self.call_next()
        self.counts_queries = terms.count == "queries"
        if self.rate is not None and terms.notice_at > 0:
            self.rate.warns_from = int(self.rate.capacity * terms.notice_at)

    def is_idle(self, now: int) -> bool:
        """Whether nothing would be lost with it."""
        for bucket in (self.rate, self.server_time, self.rows, self.logins):
            if bucket is not None and not bucket.is_full(now):
                return False
        return not self.sessions and not self.running


def renew(
    before: Bucket | None, rate: Rate | None, burst: int, now: int, *, even: bool = False
) -> Bucket | None:
    """The bucket for a rate, in which as much is used as `before`."""
    if rate is None:
        return None
    period = round(rate.period * 1e6)
    bucket = Bucket(rate.number, period, burst + 1 if even else rate.number + burst)
    bucket.reserve = burst * bucket.interval
    if before is not None:
        bucket.take_over(before, now)
    return bucket


# --- of those that one request is held to ---


def known_wait(subject: Subject, now: int) -> int:
    """How long it has to wait, as far as that is known here."""
    lease = subject.lease
    return subject.debt(now) if lease is not None and not lease.knows(now) else subject.wait(now)


def find_slowest(subjects: Sequence[Subject], now: int) -> Subject:
    """Of some."""
    slowest, longest = subjects[0], -1
    for subject in subjects:
        wait = known_wait(subject, now)
        if wait > longest:
            slowest, longest = subject, wait
    return slowest


def find_crowded(subjects: Sequence[Subject]) -> Subject | None:
    for subject in subjects:
        if subject.is_crowded():
            return subject
    return None


NOBODY_WAITS: Turns = {}
UNLIMITED = TierSettings()
NOBODY = Tally("none")
