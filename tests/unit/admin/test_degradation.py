"""What is not as it should be, and since when."""

from types import SimpleNamespace

from dbproxy.admin.degradation import Degradation, Watch, find_degradations
from dbproxy.cache.tier import TierFigures
from dbproxy.cluster.finding import Finding
from dbproxy.errors import ServerUnavailable
from tests.unit.admin.house import FakeHouse, settings, share

REPLICA_URL = "postgresql://app:secret@replica.example:5433/app"
NOW = 100.0


def find(house: FakeHouse, now: float = NOW) -> list[Degradation]:
    return list(find_degradations(house, house.cluster, now))


def kinds(house: FakeHouse, now: float = NOW) -> list[tuple[str, str]]:
    return [(one.what, one.kind) for one in find(house, now)]


def test_limits_that_are_not_read_or_not_shared_are_told() -> None:
    house = FakeHouse()
    house.limiter.book.rules[0].reading.error = "no such table"
    share(house.limiter, 7.0, "connection refused")
    source, redis = find(house)
    assert (source.what, source.kind) == ("limits user", "source not read")
    assert source.reason.endswith("no such table")
    assert (redis.what, redis.kind, redis.since) == ("limits", "not shared", 7.0)
    share(house.limiter, None)
    house.limiter.book.rules[0].reading.error = ""
    assert find(house) == []


def test_kept_answers_that_are_not_shared_or_not_given_are_told() -> None:
    house = FakeHouse()
    house.caches.tier = SimpleNamespace(figures=lambda: TierFigures(since=7.0, error="connection refused"))
    writers = SimpleNamespace(error=ServerUnavailable("no slot"))
    house.caches.watched["db:5432/shop"] = SimpleNamespace(writers=writers)
    shared, followed = find(house)
    assert (shared.what, shared.kind, shared.since) == ("cache", "not shared", 7.0)
    assert shared.reason.endswith("connection refused")
    assert (followed.what, followed.kind) == ("cache of db:5432/shop", "writes not followed")
    assert followed.reason.endswith("no slot")
    house.caches.tier = SimpleNamespace(figures=TierFigures)
    writers.error = None
    assert find(house) == []


def test_nothing_is_wrong_with_a_proxy_that_nobody_has_used() -> None:
    assert find(FakeHouse()) == []


def test_what_began_is_dated_by_its_first_sight_and_forgotten_once_it_is_over() -> None:
    watch = Watch()
    paused, lost = Degradation("proxy", "paused", "a"), Degradation("primary", "lost", "b", since=7.0)
    assert watch.note([paused], 10.0) == [(paused, 10.0)]
    worse = Degradation("proxy", "paused", "another reason")
    assert watch.note([worse, lost], 11.0) == [(lost, 7.0), (worse, 10.0)]
    assert watch.note([], 12.0) == []
    assert watch.note([paused], 13.0) == [(paused, 13.0)]


def test_clients_that_wait_for_long_are_told_of_with_the_moment_they_came() -> None:
    house = FakeHouse(settings(DBPROXY_POOL__SIZE="1"))
    pool = house.add_pool()
    house.queue(house.add_client(pool), NOW)
    assert find(house, NOW + 0.9) == []
    (found,) = find(house, NOW + 5)
    assert (found.what, found.kind, found.since) == ("pool app/app on primary", "waiting", NOW)
    assert found.reason == "1 clients wait for a server, the first for 5 s"


def test_pool_that_gets_no_connection_says_why() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    client = house.add_client(pool)
    house.queue(client, NOW)
    pool.leave(client)
    pool.open_failed(ServerUnavailable("cannot connect"), NOW)
    assert find(house) == [Degradation("pool app/app on primary", "no connection", "cannot connect")]


def test_hosts_that_are_out_are_told_of_since_they_are() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA_URL))
    cluster = house.cluster
    primary, replica = cluster.members
    cluster.learn(primary, Finding("primary", lsn=10, timeline=1), 1.0)
    cluster.learn(replica, Finding("replica", lsn=10, timeline=1), 1.0)
    assert kinds(house) == []
    cluster.learn(primary, Finding("primary", lsn=1000, timeline=1), 2.0)
    cluster.learn(replica, Finding("replica", lsn=10, timeline=1), 9.0)
    assert kinds(house) == [("host replica1", "late")]
    cluster.learn(replica, Finding("replica", lsn=10, timeline=1), 50.0)
    (found,) = find(house)
    assert (found.kind, found.since) == ("lagging", 50.0)
    for now in (60.0, 61.0, 62.0):
        cluster.failed(primary, "no answer", now)
    assert kinds(house) == [("primary", "lost"), ("host primary", "down"), ("host replica1", "lagging")]
    assert find(house)[1].reason == "no answer"


def test_orders_of_an_administrator_are_told_of() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA_URL))
    house.cluster.drain("replica1", 1.0)
    house.pause("app")
    house.pause("")
    assert kinds(house) == [("proxy", "paused"), ("database app", "paused"), ("host replica1", "draining")]
