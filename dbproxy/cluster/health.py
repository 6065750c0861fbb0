"""Whether a host is fit, judged from its probes: hysteresis both ways, so that nothing flaps; and when to ask again.

A host is down after `failure_threshold` failures in a row, and up again after `success_threshold` successes. One that
was never heard is up at its first answer.
"""

from dbproxy.cluster.member import Member
from dbproxy.config import HealthSettings

RETRY = 0.15  # seconds between probes of a host that has begun to fail, and of all while there is no primary
LONGEST_RETRY = 1.0  # of a host that is down
REFUSED = 5.0  # of one that does not let us in: each attempt is a line in its log
WANTED = 0.025  # while somebody waits for a position


def succeed(member: Member, now: float, limits: HealthSettings) -> None:
    """A probe was answered."""
    member.failures = 0
    member.successes += 1
    member.suspect = member.refused = False
    if member.down and (not member.heard or member.successes >= limits.success_threshold):
        member.down, member.last_error = False, ""
        member.started_at = now
    member.heard = True


def fail(member: Member, reason: str, limits: HealthSettings) -> None:
    """A probe was not answered, or with an error."""
    member.successes = 0
    member.failures += 1
    member.refused = False
    member.last_error = reason
    member.down = member.down or member.failures >= limits.failure_threshold


def refuse(member: Member, reason: str) -> None:
    """A probe was not let in: it is there, and what was known of it stays."""
    member.failures = 0
    member.refused, member.last_error = True, reason


def lag(member: Member, seconds: float, now: float, limits: HealthSettings) -> None:
    """Note how late it is; over the limit it is out, and back when it lags less than half of that."""
    member.lag_seconds = seconds
    if member.lagging:
        member.lagging = seconds >= limits.lag_limit / 2
        member.started_at = member.started_at if member.lagging else now
    else:
        member.lagging = seconds >= limits.lag_limit
    member.late = seconds >= (limits.lag_warn / 2 if member.late else limits.lag_warn)


def pause(member: Member, *, lost: bool, wanted: bool, limits: HealthSettings) -> float:
    """Seconds until the member is probed again; `lost`: there is no primary, or it has begun to fail."""
    usual = min(limits.lag_interval or limits.interval, limits.interval)
    if member.refused:
        return min(REFUSED, limits.interval)
    if wanted and member.fit:
        return min(WANTED, usual)
    if member.down and member.failures and not lost:
        return min(RETRY * 2.0 ** min(member.failures, 10), LONGEST_RETRY, limits.interval)
    return min(RETRY, usual) if lost or member.failures or member.down else usual
