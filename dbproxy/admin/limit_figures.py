"""What is told of rate limits in numbers: to Prometheus, on the page, as JSON."""

from dbproxy.limits.delays import BOUNDS
from dbproxy.limits.limiter import Limiter
from dbproxy.limits.store import Store
from dbproxy.limits.tally import OUTCOMES, Tally
from dbproxy.net import caller
from dbproxy.observe.figures import LimitFigures, SharedLimitFigures, TimeFigures


def limit_figures(limiter: Limiter, now: float) -> LimitFigures:
    """`now`: monotonic seconds."""
    book, delays = limiter.book, limiter.delays
    readings = ((rule.name, rule.reading.at) for rule in book.rules if rule.settings.source)
    return LimitFigures(
        decisions={tally.tier: count(tally) for tally in list(book.tallies.values())},
        keys=len(book),
        without_room=book.without_room,
        delays=TimeFigures(bounds=BOUNDS, buckets=tuple(delays.buckets), seconds=delays.seconds),
        source_ages={name: now - at for name, at in readings if at is not None},
        shared=shared_figures(limiter.store) if limiter.store is not None else None,
    )


def shared_figures(store: Store) -> SharedLimitFigures:
    calls = store.courier.caller.calls
    return SharedLimitFigures(
        since=store.courier.contact.since,
        error=store.courier.contact.error,
        proxies=store.fleet.proxies,
        leases=dict(store.outcomes),
        answers=TimeFigures(bounds=caller.BOUNDS, buckets=tuple(calls.buckets), seconds=calls.seconds),
    )


def count(tally: Tally) -> dict[str, int]:
    """By outcome."""
    return {outcome: getattr(tally, outcome) for outcome in OUTCOMES}


def find_share(counts: dict[str, int]) -> float:
    """Of what was asked for, how much was refused, or would have been; what is exempt is not asked about."""
    asked = sum(counts.values()) - counts["exempt"]
    return (counts["rejected"] + counts["observed"]) / asked if asked else 0.0
