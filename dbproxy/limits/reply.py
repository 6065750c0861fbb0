"""What was found out about one request by asking beside the data path (limits.store)."""

from dataclasses import dataclass, field

from dbproxy.limits.lease import Lease
from dbproxy.limits.subject import Subject


@dataclass(slots=True)
class Reply:
    """`wait`: how long it has to wait (microseconds), if it is allowed; if not, the leases of its subjects know.

    `failed`: Redis has not answered, and nothing is decided. `held`: what was taken out of the hand for it.
    """

    subjects: tuple[Subject, ...]
    allowed: bool = False
    failed: bool = False
    wait: int = 0
    held: list[Lease] = field(default_factory=list)

    def forget(self) -> None:
        """Nobody wants any more what was allowed."""
        for subject in self.subjects if self.allowed else ():
            if subject.lease is not None:
                subject.lease.give(subject.lease.rate.interval)


def is_asked_about(subject: Subject) -> bool:
    """Whether Redis says how long it has to wait."""
    return subject.lease is not None and not subject.lease.fleet.degraded


def cannot_be_checked(subject: Subject, now: int) -> bool:
    lease = subject.lease
    return lease is not None and lease.fleet.degraded and not lease.knows(now)
