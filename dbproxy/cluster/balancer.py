"""Who answers a read, of those who may.

Peak-EWMA is a member's latency as a moving average over time that jumps to every new peak at once and forgets it
slowly. Two are drawn by weight, as two suffice to avoid the worst (the power of two choices). The first is taken unless
it costs clearly more than the second: so weights decide among equals, and load and latency among the unequal.
"""

from collections.abc import Callable
from math import exp
from random import random

from dbproxy.cluster.member import Member
from dbproxy.config import Balancing

DECAY = 5.0  # seconds after which a latency counts for a third
TOLERANCE = 2.0  # times the other's cost, until which the one drawn first is taken

Pick = Callable[[tuple[Member, ...], float], Member]


def begin(member: Member) -> None:
    """A read starts there."""
    member.active += 1


def end(member: Member, seconds: float, now: float) -> None:
    """A read that began there is over; `seconds` (best: until the first byte): what it took, 0 if that says nothing."""
    member.active -= 1
    if seconds > 0.0:
        observe(member, seconds, now)


def observe(member: Member, seconds: float, now: float) -> None:
    """A read there took so long."""
    kept = exp(min(0.0, member.latency_at - now) / DECAY)
    member.latency = max(seconds, seconds * (1.0 - kept) + member.latency * kept)
    member.latency_at = now


def cost(member: Member, now: float) -> float:
    """What one more read there would feel: its latency, times those it would run beside."""
    latency = member.latency * exp(min(0.0, member.latency_at - now) / DECAY)
    return latency * (1.0 + member.active / member.share)


def draw(members: tuple[Member, ...], beside: Member | None = None) -> Member:
    """One at random by shares; not `beside`, if there is another."""
    total = -beside.share if beside is not None else 0.0
    for member in members:
        total += member.share
    left = random() * total  # noqa: S311  # no secret
    chosen = members[0]
    for member in members:
        if member is not beside:
            chosen = member
            left -= member.share
            if left < 0.0:
                break
    return chosen


def peak_ewma(members: tuple[Member, ...], now: float) -> Member:
    first = draw(members)
    if len(members) == 1 or not first.latency:
        return first
    second = draw(members, beside=first)
    cheaper = second.latency and cost(first, now) > TOLERANCE * cost(second, now)
    return second if cheaper else first


def least_connections(members: tuple[Member, ...], now: float) -> Member:
    """The fewest reads running for its share; among equals by weight."""
    best = draw(members)
    for member in members:
        if member.active * best.share < best.active * member.share:
            best = member
    return best


def round_robin(members: tuple[Member, ...], now: float) -> Member:
    """Smoothly: each gains its share, who has most is taken and pays for all."""
    best, total = members[0], 0.0
    for member in members:
        total += member.share
        member.turn += member.share
        if member.turn > best.turn:
            best = member
    best.turn -= total
    return best


def by_weight(members: tuple[Member, ...], now: float) -> Member:
    return draw(members)


PICKS: dict[Balancing, Pick] = {
    "peak_ewma": peak_ewma,
    "least_connections": least_connections,
    "round_robin": round_robin,
    "random": by_weight,
}
