"""What follows from an answer, and from none."""

import asyncio

from dbproxy.limits.errand import Asked, Errand, request, tell
from dbproxy.limits.reply import Reply
from dbproxy.limits.script import Found, Order, Result
from dbproxy.limits.subject import Subject
from tests.unit.limits.test_reply import fleet, lease, make

YES, NO = (
    Result(allowed=True, found=(Found(0, 0, 6_000_000),)),
    Result(allowed=False, found=(Found(7, 0, 72_000_000),)),
)


def ask(subject: Subject, *held: Subject) -> Errand:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reply = Reply((subject, *held), held=[lease(one) for one in held])
    item = request(lease(subject), need=lease(subject).rate.interval, extra=1)
    lease(subject).fetching = True
    return Errand([lease(subject)], Order((item,)), Asked(reply, done))


async def test_who_has_asked_hears_and_the_lease_knows():
    subject = make(fleet())
    errand = ask(subject)
    errand.settle(NO, 0)
    assert errand.asked is not None
    assert errand.asked.done.done()
    assert not errand.asked.reply.allowed
    assert (lease(subject).wait(0), lease(subject).fetching) == (7, False)
    assert lease(subject).owner.outcomes == ["refused"]  # of the lease that was asked for with it


async def test_what_another_limit_refuses_goes_back_into_the_hand():
    subject, other = make(fleet()), make(fleet())
    ask(subject, other).settle(NO, 0)
    assert lease(other).hand == lease(other).rate.interval
    ask(subject, other).settle(YES, 0)
    assert lease(other).hand == lease(other).rate.interval


async def test_what_is_allowed_to_who_has_left_is_in_hand():
    subject = make(fleet())
    errand = ask(subject)
    assert errand.asked is not None
    errand.asked.done.cancel()
    errand.settle(YES, 0)
    assert lease(subject).hand == lease(subject).rate.interval


async def test_nobody_waits_for_a_redis_that_does_not_answer():
    subject = make(fleet())
    errand = ask(subject)
    errand.give_up(0)
    assert errand.asked is not None
    assert (errand.asked.done.done(), errand.asked.reply.failed) == (True, True)
    assert not lease(subject).fetching
    assert lease(subject).owner.outcomes == ["failed"]


def test_charge_that_redis_has_not_heard_of_is_told_later():
    subject = make(fleet(degraded=True))
    tell(lease(subject), more=6_000_000).give_up(0)
    assert lease(subject).tell_missing(0) == (0, 6_000_000)
    tell(lease(subject), known=1, more=6_000_000).give_up(0)  # it is still missing
    assert lease(subject).tell_missing(0) == (0, 6_000_000)
