"""A limit of so much for a period, as one number: GCRA (virtual scheduling, ITU-T I.371), in integer microseconds.

A *token* is worth `interval` microseconds (rounded down), the time in which one comes back. `tat`, the theoretical
arrival time, is when all that was taken will have come back: what lies between now and then is what is used. A bucket
holds `capacity` microseconds' worth, so that

    used = max(0, tat - now)        wait for n more = used + n * interval - capacity, if that is above 0

Two paces of one rate and burst:

    quota    capacity = (rate + burst) tokens: a period's worth and the burst at once, then one each interval
    even     capacity = (burst + 1) tokens: one each interval, the burst ahead of it (nginx, redis-cell, Redis' GCRA)

Nothing is taken by who has to wait. A clock that goes back lets nobody through twice: `tat` stays.
"""

NEVER = 1 << 62  # a wait for more than the bucket holds


class Bucket:
    """`number` tokens in `period` microseconds; times and spans are microseconds of one clock."""

    def __init__(self, number: int, period: int, capacity: int) -> None:
        """`capacity`: in tokens."""
        self.number = number
        self.period = period
        self.interval = max(1, period // number)
        self.capacity = max(capacity * period // number, capacity * self.interval)
        self.tat = 0
        # Microseconds' worth: with less left it is the burst that is used, and with more used its client is warned.
        self.reserve = 0
        self.warns_from = NEVER

    def span(self, tokens: int) -> int:
        """What so many tokens are worth; exact also where one is worth less than a microsecond."""
        number: int = self.number
        return tokens * self.period // number

    def wait(self, now: int, span: int) -> int:
        """How long until so much may be taken: 0 is at once, NEVER if the bucket never holds as much."""
        if span > self.capacity:
            return NEVER
        used = self.tat - now
        if used < 0:
            used = 0
        over = used + span - self.capacity
        return over if over > 0 else 0

    def take(self, now: int, span: int) -> None:
        """Take it, be it there or not: what is not is a debt, and delays those who come next."""
        if self.tat < now:
            self.tat = now
        self.tat += span

    def owe(self, now: int, span: int) -> None:
        """As `take`, of what nobody was asked about: up to a whole bucket of debt."""
        self.take(now, span)
        if self.tat > now + 2 * self.capacity:
            self.tat = now + 2 * self.capacity

    def give(self, span: int) -> None:
        """Give back what was taken."""
        self.tat -= span

    def left(self, now: int) -> int:
        """Tokens that are there."""
        there: int = self.capacity - max(0, self.tat - now)
        return there * self.number // self.period if there > 0 else 0

    def used(self, now: int) -> int:
        """Tokens that are not there; more than the bucket holds if there is a debt."""
        gone: int = max(0, self.tat - now)
        return -(-gone * self.number // self.period)

    def is_full(self, now: int) -> bool:
        """Whether it is as if nothing had ever been taken."""
        return self.tat <= now

    def take_over(self, other: "Bucket", now: int) -> None:
        """As many tokens are used as of this other bucket: a limit was changed. A lower one: up to a bucket of debt."""
        used = other.tat - now
        if used > 0 and self.interval != other.interval:
            used = min(used * self.interval // other.interval, 2 * self.capacity)
        self.tat = now + used if used > 0 else now
