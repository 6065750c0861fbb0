"""What limits have counted is told as it is."""

from dbproxy.admin.limit_figures import find_share, limit_figures, shared_figures
from dbproxy.config.limits import LimitSettings
from dbproxy.limits.limiter import Limiter
from dbproxy.limits.source import Reading
from dbproxy.limits.store import Store
from dbproxy.limits.tally import OUTCOMES
from tests.unit.admin.house import share


def test_figures_are_the_limiters():
    limiter = Limiter(
        LimitSettings(tier="free", rules=[{"name": "user", "source": "TABLE tiers"}, {"name": "b"}])
    )
    subject = limiter.book.find(limiter.book.rules[0], "app", 0)
    for _ in range(13):
        subject.begin(0)
    limiter.delays.note(0.3)
    limiter.book.rules[0].reading = Reading(40.0, 1)
    limiter.book.without_room = 2
    found = limit_figures(limiter, 100.0)
    assert found.decisions["free"] == dict(zip(OUTCOMES, (10, 2, 1, 0, 0, 0), strict=True))
    assert (found.keys, found.without_room, found.source_ages) == (1, 2, {"user": 60.0})
    assert (sum(found.delays.buckets), found.delays.seconds, found.shared) == (1, 0.3, None)


def test_sharing_is_told_where_limits_are_shared():
    limiter = Limiter(LimitSettings())
    store = share(limiter, 1.0, "gone", proxies=4)
    store.count("granted")
    store.courier.caller.calls.note(0.5)
    shared = limit_figures(limiter, 0.0).shared
    assert shared is not None
    assert (shared.degraded, shared.error, shared.proxies) == (True, "gone", 4)
    assert (shared.leases["granted"], shared.answers.seconds, sum(shared.answers.buckets)) == (1, 0.5, 1)


def test_store_that_has_not_asked_yet_is_degraded():
    shared = shared_figures(Store("redis://127.0.0.1:1", "rl:", timeout=1.0, graceful=True))
    assert (shared.degraded, shared.proxies, sum(shared.answers.buckets)) == (True, 1, 0)
    assert shared.error


def test_share_counts_what_was_refused_or_would_have_been():
    counts = dict(zip(OUTCOMES, (6, 1, 1, 1, 1, 90), strict=True))
    assert find_share(counts) == 0.2
    assert find_share(dict.fromkeys(OUTCOMES, 0)) == 0
