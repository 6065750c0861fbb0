"""What one proxy has in hand of a limit that all share: microseconds' worth (limits.bucket) that Redis counts as used.

A request takes a token from the hand without asking. A big limit is leased: more is fetched before the hand is empty,
the more the faster it empties, up to a twentieth of the limit at a time; what is not needed is given back. Of a small
limit nothing is fetched ahead (`size` 0), so that all proxies together let through exactly as much as it allows.

`rate` is the subject's own bucket, and shows what Redis has last said of it, what is in hand included. While degraded
it decides: each token then costs as many as there are proxies, as if all of them did alike. What comes to it meanwhile,
divided again, is what this proxy has to be charged for when Redis answers again.
"""

from typing import Protocol

from dbproxy.limits.bucket import Bucket
from dbproxy.limits.fleet import Fleet

ASK = 1  # as a wait: nobody knows but Redis
PARTS = 20  # of a limit, of which one is leased at a time
STEPS = 8  # of a lease, of which one is fetched at first
BIG = 200  # a limit of more for a minute is leased
MINUTE = 60_000_000


class Owner(Protocol):
    """Who asks Redis (limits.store), beside the data path."""

    def fetch(self, lease: "Lease", now: int) -> None:
        """Its hand is nearly empty."""

    def attend(self, lease: "Lease") -> None:
        """It has been used, and may have something to give back, or to be charged."""

    def charge(self, lease: "Lease", span: int) -> None:
        """For what nobody was asked about."""

    def count(self, outcome: str) -> None:
        """Of a lease."""


class Lease:
    """Of one subject; times and spans are microseconds of the proxy's own clock."""

    def __init__(self, fleet: Fleet, owner: Owner, key: bytes, rate: Bucket) -> None:
        self.fleet = fleet
        self.owner = owner
        self.key = key
        self.hand = 0
        self.until = 0  # before then there is nothing: Redis has said so
        self.told = 0  # what of `rate` it is being told, until it answers
        self.used_at = 0
        self.taken = 0  # from the hand, since it was last looked at
        self.fetching = False
        self.attended = False
        self.rate = rate
        self.hold(rate)

    def hold(self, rate: Bucket) -> None:
        """To this rate, from now on."""
        self.hand = self.hand * rate.interval // self.rate.interval
        self.rate = rate
        self.until = 0
        self.seen = rate.tat  # when all will have come back, as Redis has said;
        self.charged = rate.tat  # and what of `rate` it knows
        big = rate.number * MINUTE > BIG * rate.period
        self.size = max(1, rate.number // PARTS) * rate.interval if big else 0
        self.step = self.first_step()

    def first_step(self) -> int:
        """How much is fetched at first."""
        interval: int = self.rate.interval
        return max(1, self.size // interval // STEPS) * interval if self.size else 0

    # --- on the data path ---

    def wait(self, now: int) -> int:
        """How long until a token is there; ASK if only Redis knows."""
        if self.hand >= self.rate.interval:
            return 0
        if self.fleet.degraded and self.fleet.graceful:
            return self.rate.wait(now, self.cost())
        return self.until - now if self.until > now else ASK

    def cost(self) -> int:
        """Of one token, while degraded."""
        cost = self.rate.interval * self.fleet.proxies
        return cost if cost < self.rate.capacity else self.rate.capacity

    def take(self, now: int) -> None:
        """A token; what is not in hand somebody else asks Redis for, or this proxy's share pays."""
        interval = self.rate.interval
        self.used_at = now
        if self.hand >= interval:
            self.hand -= interval
            self.taken += interval
            if self.size and 2 * self.hand <= self.step and not self.fetching and not self.fleet.degraded:
                self.owner.fetch(self, now)
        elif self.fleet.degraded:
            self.rate.take(now, self.cost())
        if not self.attended:
            self.owner.attend(self)

    # --- beside it ---

    def knows(self, now: int) -> bool:
        """Whether it can be said here how long to wait."""
        return (
            self.hand >= self.rate.interval
            or (self.fleet.degraded and self.fleet.graceful)
            or (self.until > now)
        )

    def give(self, span: int) -> None:
        """What was taken was not needed."""
        if self.fleet.degraded:
            self.rate.give(min(span * self.fleet.proxies, self.rate.capacity))
        else:
            self.hand += span
        if not self.attended:
            self.owner.attend(self)

    def charge(self, now: int, span: int) -> None:
        """For what nobody was asked about: out of the hand, and what is more by Redis."""
        paid = min(self.hand, span)
        self.hand -= paid
        self.taken += paid
        if span == paid:
            return
        if self.fleet.degraded:
            self.owe(now, span - paid)
        else:
            self.owner.charge(self, span - paid)

    def owe(self, now: int, span: int) -> None:
        """To Redis, which is to be told when it answers again."""
        self.rate.owe(now, span * self.fleet.proxies)
        if not self.attended:
            self.owner.attend(self)

    def learn(self, now: int, used: int, got: int, wait: int) -> None:
        """What Redis has answered: so much is used, `got` of it is in hand now; `wait` is 0 if it has allowed."""
        since = max(0, self.rate.tat - self.told) if self.told else 0
        self.seen = now + used
        level = self.seen + since
        if self.fleet.degraded:  # others have not told yet what they have let through
            level = max(level, self.rate.tat)
        self.rate.tat, self.charged, self.told = level, level - since, 0
        self.hand += got
        self.until = now + wait if wait > 0 else 0

    def tell_missing(self, now: int) -> tuple[int, int]:
        """What Redis may not know: how much it knew once, and how much this proxy has let through on top of that."""
        known = max(0, self.seen - now)
        self.told = max(self.rate.tat, now)
        return known, max(0, self.rate.tat - max(self.charged, now)) // self.fleet.proxies

    def grow(self) -> None:
        """The hand was emptied: the next time twice as much is fetched."""
        self.step = min(2 * self.step, max(self.size, self.step))

    def take_spare(self, now: int, idle: int) -> int:
        """What is in hand and not needed, as far as the last second tells; it is in hand no more."""
        first, needed = self.first_step(), 2 * self.taken
        self.step = max(first, min(self.step, needed))
        spare = self.hand if now - self.used_at >= idle else max(0, self.hand - max(first, needed))
        self.taken = 0
        self.hand -= spare
        return spare

    def is_full(self, now: int) -> bool:
        """Whether nothing would be lost with it."""
        return not self.hand and self.seen <= now and self.rate.is_full(now)
