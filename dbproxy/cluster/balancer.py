"""Who answers a read, of those who may.

Peak-EWMA is a member's latency as a moving average over time that jumps to every new peak at once and forgets it
slowly. Two are drawn by weight, as two suffice to avoid the worst (the power of two choices). The first is taken unless
it costs clearly more than the second: so weights decide among equals, and load and latency among the unequal.
"""

# mypy: disable-error-code="name-defined, no-any-return"
# ruff: noqa: F821  # both: c_exp exists in the compiled module alone

from collections.abc import Callable
from math import exp
from random import getrandbits

from dbproxy.cluster.member import Load, Member
from dbproxy.config import Balancing

COMPILED = not __file__.endswith(".py")

DECAY = 5.0  # seconds after which a latency counts for a third
_DECAY = DECAY  # compiled, a C number
TOLERANCE = 2.0  # times the other's cost, until which the one drawn first is taken
_RECENT = 0.05  # seconds within which a latency counts in full
# A p99 of one number: each answer above it raises it by RISE, each below lowers it by FALL, which is in balance where
# one of a hundred is above (Ma, Muthukrishnan and Sandler, "Frugal Streaming", 2013).
RISE, FALL = 1.02, 0.9998
FIRST = 0.001  # seconds, where it begins: the first answers, which are slow, weigh little
_BITS = 0xFFFFFFFF  # compiled, a C number

Pick = Callable[[tuple[Member, ...], float], Member]


class Dice:
    """A xorshift generator of 32 bits (Marsaglia): chance for balancing, of plain numbers where it is compiled."""

    def __init__(self, seed: int) -> None:
        self.state = seed or 1

    def throw(self) -> float:
        """At least 0, less than 1."""
        state = self.state
        state ^= (state << 13) & _BITS
        state ^= state >> 17
        state ^= (state << 5) & _BITS
        self.state = state
        return state / 4294967296.0


_dice = Dice(getrandbits(32))


def chance() -> float:
    """At least 0, less than 1, at random."""
    return _dice.throw()


def decay(seconds: float) -> float:
    """How much of a latency counts after so long."""
    return c_exp(-seconds / _DECAY) if COMPILED else exp(-seconds / _DECAY)


def begin(member: Member) -> None:
    """A read starts there."""
    member.load.active += 1


def end(member: Member, seconds: float, ran: float, now: float) -> None:
    """A read that began there is over; `seconds` (best: until the first byte): what it took, 0 if that says nothing.

    `ran`: the same without what it waited for a connection.
    """
    member.load.active -= 1
    if seconds > 0.0:
        observe(member, seconds, now)
        learn(member.load, ran, now)


def learn(load: Load, seconds: float, now: float) -> None:
    """A read was answered in so long."""
    load.answered_at = now
    p99 = load.p99 or FIRST
    load.p99 = p99 * FALL if seconds <= p99 else min(p99 * RISE, seconds)


def observe(member: Member, seconds: float, now: float) -> None:
    """A read there took so long."""
    kept = decay(max(0.0, now - member.load.latency_at))
    member.load.latency = max(seconds, seconds * (1.0 - kept) + member.load.latency * kept)
    member.load.latency_at = now


def cost(member: Member, now: float) -> float:
    """What one more read there would feel: its latency, times those it would run beside."""
    age = now - member.load.latency_at
    latency = member.load.latency * decay(age) if age > _RECENT else member.load.latency
    return latency * (1.0 + member.load.active / member.load.share)


def draw(members: tuple[Member, ...], beside: Member | None = None) -> Member:
    """One at random by shares; not `beside`, if there is another."""
    total = -beside.load.share if beside is not None else 0.0
    for member in members:
        total += member.load.share
    left = chance() * total
    chosen = members[0]
    for member in members:
        if member is not beside:
            chosen = member
            left -= member.load.share
            if left < 0.0:
                break
    return chosen


def peak_ewma(members: tuple[Member, ...], now: float) -> Member:
    if len(members) == 2:
        first, second = members
        if chance() * (first.load.share + second.load.share) >= first.load.share:
            first, second = second, first
    else:
        first = draw(members)
        second = draw(members, first) if first.load.latency else first
    if not first.load.latency:
        return first
    cheaper = second.load.latency and cost(first, now) > TOLERANCE * cost(second, now)
    return second if cheaper else first


def least_connections(members: tuple[Member, ...], now: float) -> Member:
    """The fewest reads running for its share; among equals by weight."""
    best = draw(members)
    for member in members:
        if member.load.active * best.load.share < best.load.active * member.load.share:
            best = member
    return best


def round_robin(members: tuple[Member, ...], now: float) -> Member:
    """Smoothly: each gains its share, who has most is taken and pays for all."""
    best, total = members[0], 0.0
    for member in members:
        total += member.load.share
        member.load.turn += member.load.share
        if member.load.turn > best.load.turn:
            best = member
    best.load.turn -= total
    return best


def by_weight(members: tuple[Member, ...], now: float) -> Member:
    return draw(members)


PICKS: dict[Balancing, Pick] = {
    "peak_ewma": peak_ewma,
    "least_connections": least_connections,
    "round_robin": round_robin,
    "random": by_weight,
}
