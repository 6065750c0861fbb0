"""What clients and operators are told of a limit, in words."""

from typing import NamedTuple

from dbproxy.config.limits import TierSettings
from dbproxy.config.rate import Rate, show_rate, show_server_time
from dbproxy.config.units import show_duration
from dbproxy.errors import RateLimited
from dbproxy.limits.bucket import NEVER, Bucket
from dbproxy.limits.subject import Subject

SECOND = 1_000_000
UNCHECKED = RateLimited(
    "rate limits cannot be checked",
    detail="Redis, by which the proxies share them, does not answer (limits.redis_url).",
    hint="Retry in a moment. With limits.graceful_degradation = true each proxy would go on with its share of them.",
)


def describe_rate(rate: Rate | None, burst: int) -> str:
    """10/min and a burst of 2."""
    return show_rate(rate) + (f" and a burst of {burst}" if burst else "")


def describe_logins(limits: TierSettings, logins: Bucket) -> str:
    """The burst is there where it is logins that the rate counts."""
    return describe_rate(limits.logins or limits.rate, limits.burst if logins.reserve else 0)


class Reason(NamedTuple):
    """Why a request may not go: `used` is so much of this limit; transactions, milliseconds or rows."""

    limit: str
    used: int


RATE, SERVER_TIME, ROWS, OPEN = "rate", "server_time", "rows", "max_concurrent"


def find_reason(subject: Subject, now: int) -> Reason:
    """By which of its limits it has to wait."""
    if subject.rate is not None and is_used_up(subject, subject.rate, now):
        return Reason(RATE, subject.rate.used(now))
    if subject.server_time is not None and subject.server_time.wait(now, 0):
        return Reason(SERVER_TIME, round(subject.server_time.used(now) / 1000))
    return Reason(ROWS, subject.rows.used(now) if subject.rows is not None else 0)


def describe(subject: Subject, reason: Reason) -> str:
    limits, (limit, used) = subject.limits, reason
    if limit == OPEN:
        return f"Transactions open: {used}; limit: {subject.max_concurrent}."
    if limit == RATE:
        return f"Used: {used}; limit: {describe_rate(limits.rate, limits.burst)}."
    if limit == SERVER_TIME:
        return (
            f"Held servers for: {show_duration(used / 1000)}; limit: {show_server_time(limits.server_time)}."
        )
    return f"Rows: {used}; limit: {show_rate(limits.rows)}." if subject.rows is not None else ""


def describe_use(subject: Subject, now: int) -> str:
    """By which of its limits it has to wait, and how much of that is used."""
    return describe(subject, find_reason(subject, now))


def count_open(subject: Subject) -> Reason:
    return Reason(OPEN, subject.running)


def is_used_up(subject: Subject, rate: Bucket, now: int) -> bool:
    wait = subject.lease.wait(now) if subject.lease is not None else rate.wait(now, rate.interval)
    return wait > 0


def spell_patience(patience: int) -> str:
    """What becomes of a request over the limit that may be held back for so many microseconds."""
    if not patience:
        return "refused"
    return f"held back for up to {show_duration(patience / SECOND)}, then refused"


def spell_wait(wait: int) -> str:
    """Microseconds, rounded up: whoever waits so long does not wait in vain."""
    if wait >= NEVER:
        return "the limit is raised: it can never be granted"
    tenths = -(-wait // (SECOND // 10))
    return f"{tenths / 10:.1f} s"


def spell_until(reason: Reason, wait: int) -> str:
    """When to try again."""
    return "a transaction of its own ends" if reason.limit == OPEN else spell_wait(wait)
