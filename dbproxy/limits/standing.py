"""How a subject stands: what it is held to and by whose word, what it has used, and when the next may go."""

from dataclasses import dataclass

from dbproxy.config.limits import show_tier
from dbproxy.limits.book import Book, Rule
from dbproxy.limits.bucket import NEVER, Bucket
from dbproxy.limits.subject import Subject

SECOND = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`used` and `left` of the rate, None where there is none; `next_free_s`: None where nobody can say.

    `transactions` were let through, and so many `refused`, since the key was first seen. `override`: what was said on
    the console, for another `override_s` seconds; None: as long as it is not taken back.
    """

    rule: str
    key: str
    tier: str
    origin: str
    limit: str
    used: int | None = None
    left: int | None = None
    next_free_s: float | None = 0.0
    running: int = 0
    waiting: int = 0  # for one of those to end
    sessions: int = 0
    transactions: int = 0
    refused: int = 0
    override: str = ""
    override_s: float | None = None


def describe(book: Book, rule: Rule, subject: Subject, now: int) -> Standing:
    """`now`: microseconds."""
    bucket = subject.rate or subject.logins
    override = rule.overrides.get(subject.key)
    return Standing(
        rule=rule.name,
        key=rule.show(subject.key),
        tier=subject.tier,
        origin=book.find_holding(rule, subject.key).origin,
        limit=show_tier(subject.limits),
        used=bucket.used(now) if bucket is not None else None,
        left=bucket.left(now) if bucket is not None else None,
        next_free_s=find_wait(subject, now),
        running=subject.running,
        waiting=sum(not turn.done() for turn in subject.queue),
        sessions=subject.sessions,
        transactions=subject.used,
        refused=subject.refused,
        override=override.text if override is not None else "",
        override_s=None
        if override is None or override.until >= NEVER
        else max(0.0, (override.until - now) / SECOND),
    )


def find_wait(subject: Subject, now: int) -> float | None:
    """Seconds until the next transaction, or login, may begin."""
    wait = subject.wait(now)
    if subject.rate is None and subject.logins is not None:
        wait = max(wait, subject.logins.wait(now, subject.logins.interval))
    return None if subject.is_crowded() or wait >= NEVER else wait / SECOND


def measure(subject: Subject, now: int) -> tuple[float, int, int]:
    """What those who use most are known by: the largest share of a limit that is used; then refusals, and all uses."""
    buckets = (subject.rate, subject.logins, subject.server_time, subject.rows)
    share = max((measure_bucket(bucket, now) for bucket in buckets if bucket is not None), default=0.0)
    if subject.max_concurrent:
        share = max(share, subject.running / subject.max_concurrent)
    return share, subject.refused, subject.used


def measure_bucket(bucket: Bucket, now: int) -> float:
    return max(0, bucket.tat - now) / bucket.capacity
