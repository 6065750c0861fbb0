"""What follows from what was found out."""

from dbproxy.config.limits import TierSettings
from dbproxy.config.rate import parse_rate
from dbproxy.limits.fleet import Fleet
from dbproxy.limits.lease import Lease
from dbproxy.limits.reply import Reply, cannot_be_checked, is_asked_about
from dbproxy.limits.subject import Subject, Terms, find_slowest, known_wait
from dbproxy.limits.tally import Tally
from tests.unit.limits.test_lease import Owner

SECOND = 1_000_000


def make(fleet: Fleet | None = None, **keys: object) -> Subject:
    subject = Subject("tenant", "acme")
    limits = {"rate": parse_rate("10/min"), "burst": 2} | keys
    subject.hold("own", TierSettings(**limits), Tally("own"), Terms(), 0)  # type: ignore[arg-type]
    if fleet is not None and subject.rate is not None:
        subject.share(Lease(fleet, Owner(), b"key", subject.rate))
    return subject


def fleet(*, degraded: bool = False, graceful: bool = True) -> Fleet:
    found = Fleet(graceful=graceful)
    if not degraded:
        found.succeed()
    return found


def lease(subject: Subject) -> Lease:
    assert subject.lease is not None
    return subject.lease


def test_what_only_redis_knows_is_no_wait_yet():
    subject = make(fleet())
    assert (known_wait(subject, 0), is_asked_about(subject)) == (0, True)
    lease(subject).learn(0, 12 * 6 * SECOND, 0, 6 * SECOND)
    assert known_wait(subject, 0) == 6 * SECOND


def test_debts_are_known_whatever_redis_says():
    subject = make(fleet(), rows=parse_rate("60/min"))
    subject.charge(0, 0, 61, 0)
    assert known_wait(subject, 0) == SECOND
    assert find_slowest((make(fleet()), subject), 0) is subject


def test_degraded_limits_are_decided_here_or_cannot_be_checked():
    here, nowhere = make(fleet(degraded=True)), make(fleet(degraded=True, graceful=False))
    assert not is_asked_about(here)
    assert not cannot_be_checked(here, 0)
    assert cannot_be_checked(nowhere, 0)
    lease(nowhere).hand = lease(nowhere).rate.interval
    assert not cannot_be_checked(nowhere, 0)  # it is paid for
    assert not cannot_be_checked(make(), 0)


def test_what_was_allowed_and_is_not_wanted_is_in_hand_again():
    subject = make(fleet())
    Reply((subject,), allowed=True).forget()
    assert lease(subject).hand == lease(subject).rate.interval
    Reply((subject,)).forget()
    assert lease(subject).hand == lease(subject).rate.interval
