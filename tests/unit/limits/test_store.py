"""What is asked of Redis, and what it is told, without one."""

from dbproxy.limits.store import IDLE, Store
from dbproxy.limits.subject import Subject
from tests.unit.limits.test_reply import lease, make


def open_store() -> Store:
    """Redis has answered once."""
    store = Store("redis://127.0.0.1:1", "rl:", timeout=1.0, graceful=True)
    store.fleet.succeed()
    return store


def join(store: Store, **keys: object) -> Subject:
    subject = make(**keys)  # type: ignore[arg-type]
    store.join(subject)
    return subject


BIG = {"rate": "6000/min", "burst": 0}


def test_only_what_has_a_rate_is_shared():
    store = open_store()
    assert join(store).lease is not None
    assert join(store, rate=None).lease is None


def test_lease_is_kept_where_its_limit_changes_and_made_anew_by_another_store():
    store = open_store()
    subject = join(store)
    first = lease(subject)
    store.join(subject)
    assert subject.lease is first
    open_store().join(subject)
    assert subject.lease is not first


async def test_what_is_in_hand_is_not_asked_for_again():
    store = open_store()
    one, two = join(store), join(store)
    lease(one).hand = lease(one).rate.interval
    asked = store.ask((one, two), 5)
    (errand,) = store.courier.errands
    assert (asked.reply.held, errand.leases, errand.order.patience) == ([lease(one)], [lease(two)], 5)
    assert lease(one).hand == 0


async def test_nobody_waits_while_redis_is_gone():
    store = open_store()
    subject = join(store)
    store.fleet.fail()
    asked = store.ask((subject,), 0)
    assert (asked.done.done(), asked.reply.failed) == (True, True)


def test_what_is_idle_is_given_back_and_what_is_full_forgotten():
    store = open_store()
    subject = join(store)
    lease(subject).give(lease(subject).rate.interval)
    assert list(store.leases) == [lease(subject)]
    store.sweep(IDLE)
    (errand,) = store.courier.errands
    assert errand.order.items[0].back == lease(subject).rate.interval
    assert (lease(subject).hand, list(store.leases)) == (0, [])
    assert store.outcomes["returned"] == 1
