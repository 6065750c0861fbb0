"""Who is answered from what is kept, as settings, pools and databases change; no server."""

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.app.cache import Caches, note_writes
from dbproxy.app.watched import Watched
from dbproxy.cache.entry import Moment
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.stream import Follower
from dbproxy.config import PoolSettings, Settings, load
from dbproxy.config.cache import CacheRuleSettings
from dbproxy.pool.tenant import Tenant

ITEMS = 16384
PLACE = "db:5432/app"


def settings(host: str = "db", **keys: str) -> Settings:
    given = {f"cache.{key}": value for key, value in {"mode": "on", **keys}.items()}
    return load(None, {"DATABASE_URL": f"postgresql://app@{host}/app"}, given)


class Writers:
    """A stream that begins when a test says so."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.restarts = 0

    async def run(self) -> None:
        """Never called."""

    def restart(self, _: str) -> None:
        self.restarts += 1
        self.follower.lost("restarted")


class House:
    def __init__(self, **keys: str) -> None:
        self.pools: list[Any] = []
        self.writers: list[Writers] = []
        self.tasks = 0
        self.seeing: set[str] = set()  # users whose reads are to see all commits
        self.caches = Caches(
            settings(**keys),
            self.spawn,
            lambda: self.pools,
            self.follow,
            lambda _, user: user in self.seeing,
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> Any:
        """A task that never runs, until it is cancelled."""
        work.close()
        self.tasks += 1
        return SimpleNamespace(cancel=self.cancel)

    def cancel(self) -> None:
        self.tasks -= 1

    def follow(self, _database: str, _user: str, follower: Follower) -> Any:
        self.writers.append(Writers(follower))
        return self.writers[-1]

    def open(self, user: str = "app") -> Any:
        """A pool, as if a client had come."""
        tenant = Tenant("app", user, PoolSettings())
        pool = SimpleNamespace(database="app", user=user, tenant=tenant, servers=list)
        self.pools.append(pool)
        self.caches.attend(pool)
        return pool

    @property
    def gate(self) -> CacheGate:
        return self.caches.gates["app", "app"]

    def identify(self, identity: bytes) -> None:
        self.caches.identify(self.caches.watched[PLACE], identity)


@pytest.fixture
def house() -> House:
    made = House()
    made.open()
    return made


def test_rules_that_change_have_the_database_read_again(house: House):
    watched = house.caches.watched[PLACE]
    watched.mark = b"known"
    house.caches.apply(settings(memory="1MiB"))
    assert watched.mark == b"known"
    vouching = CacheRuleSettings(functions=("recent",), tables=("items",))
    changed = settings()
    cache = changed.cache.model_copy(update={"rules": (vouching,)})
    house.caches.apply(changed.model_copy(update={"cache": cache}))
    assert (watched.mark, watched.due_at, watched.rules) == (b"", 0.0, (vouching,))


def test_pool_that_was_forgotten_comes_back_to_its_gate(house: House):
    gate = house.gate
    house.pools.clear()
    pool = house.open()
    assert pool.tenant.gates == (gate,)
    assert pool.tenant.features == [gate.feature]
    assert list(house.caches.gates.values()) == [gate]


def test_requests_are_counted_by_arm_while_some_sessions_are_not_answered_so(house: House):
    (pool,) = house.pools
    assert pool.tenant.listeners == ()
    house.caches.apply(settings(percent="5"))
    assert pool.tenant.listeners == (house.gate.feature,)
    house.caches.apply(settings(percent="100"))
    assert pool.tenant.listeners == ()


def test_gate_goes_and_comes_back_and_writes_are_seen_all_the_while(house: House):
    (pool,), gate = house.pools, house.gate
    house.caches.apply(settings(mode="off"))
    assert pool.tenant.gates == ()
    assert pool.tenant.fence is gate.cases.fence
    house.caches.apply(settings())
    assert pool.tenant.gates == (gate,)


def test_database_that_is_another_gives_nothing_of_what_was_kept(house: House):
    house.identify(b"one")
    (pool,), before = house.pools, house.gate.cases.fence
    kept = Moment(before, [before.find(ITEMS)])
    house.identify(b"another")
    assert not kept.is_current()
    assert house.gate.cases.fence is pool.tenant.fence is not before


def test_session_that_is_led_to_another_host_is_not_told_what_was_kept_of_the_first(house: House):
    (pool,), before = house.pools, house.gate
    session = pool.tenant.parameter_sets.find({"timezone": "UTC"})
    prefix = before.keyring.find_prefix(session)
    house.caches.apply(settings(host="other"))
    assert house.gate is not before
    assert house.gate.keyring.find_prefix(session) != prefix


def test_stream_tells_the_fence_of_the_database_that_it_is_by_now():
    house = House(invalidation="wal")
    house.open()
    (writers,) = house.writers
    house.identify(b"one")
    before = house.gate.cases.fence
    writers.follower.began(0)
    house.identify(b"another")
    fence = house.gate.cases.fence
    assert fence is not before
    assert writers.restarts == 1
    assert fence.followed == frozenset()  # not before it is known what is told
    assert fence.whole.committing  # until everything is told again
    writers.follower.began(0)
    kept = Moment(fence, [fence.find(ITEMS)])
    assert kept.is_current()
    writers.follower.committed(7, 0, frozenset({ITEMS}))
    assert not kept.is_current()


def test_where_only_time_ends_an_answer_nobody_looks_at_writes():
    house = House(invalidation="ttl")
    pool = house.open()
    assert pool.tenant.gates == (house.gate,)
    assert pool.tenant.fence is None
    house.identify(b"one")
    house.identify(b"another")
    assert house.open("web").tenant.fence is None


def test_writes_are_told_while_anybody_is_answered():
    house = House(invalidation="wal")
    house.open()
    house.open("web")
    assert (len(house.writers), house.tasks) == (1, 1)
    house.pools.clear()  # nobody is there at the moment
    house.caches.apply(settings(invalidation="wal", mode="observe"))
    assert house.tasks == 1
    house.caches.apply(settings(invalidation="wal", mode="off"))
    assert house.tasks == 0
    house.open()
    assert house.tasks == 0
    house.caches.apply(settings(invalidation="wal"))
    assert house.tasks == 1


def test_writes_to_a_database_that_is_led_to_no_more_are_not_told():
    house = House(invalidation="wal")
    house.open()
    house.caches.apply(settings(host="other", invalidation="wal"))
    assert (len(house.writers), house.tasks) == (2, 1)


# --- where reads are to see all commits, and no answer is kept ---


def test_writes_are_seen_for_reads_that_are_to_see_all_of_them():
    house = House(mode="off", invalidation="wal")
    house.seeing = {"reader"}
    other, reader = house.open("other"), house.open("reader")
    fence = house.caches.watched[PLACE].fence
    assert other.tenant.fence is reader.tenant.fence is fence
    assert not house.caches.gates
    assert not house.writers  # of others nobody has to hear


def test_writes_are_not_seen_any_more_once_nobody_wants_to_know():
    house = House(mode="off")
    house.seeing = {"app"}
    pool = house.open()
    house.seeing = set()
    house.caches.apply(settings(mode="off"))
    assert pool.tenant.fence is None
    assert not house.caches.watched
    house.seeing = {"app"}
    house.caches.apply(settings(mode="off"))
    assert pool.tenant.fence is house.caches.watched[PLACE].fence


def test_everybodys_writes_are_heard_of_once_answers_are_kept():
    house = House(mode="off", invalidation="wal")
    house.seeing = {"app"}
    house.open()
    fence = house.caches.watched[PLACE].fence
    house.caches.apply(settings(mode="on", invalidation="wal"))
    assert len(house.writers) == 1
    assert house.gate.cases.fence is fence


def test_nothing_is_known_of_commits_before_a_pool_was_seen():
    house = House(mode="off")
    pool = house.open()
    house.seeing = {"app"}
    pool.servers = lambda: [object()]
    watched = house.caches.watch(PLACE)
    watched.fence.whole.last.lost_at = 0.0
    pool.tenant.fence = None
    note_writes(pool, watched.fence)
    assert watched.fence.whole.last.lost_at


def test_only_who_keeps_answers_opens_a_connection_to_look_at_what_is_defined():
    house = House(mode="off")
    house.seeing = {"app"}
    pool = house.open()
    watched = house.caches.watched[PLACE]
    pool.settings = PoolSettings()
    pool.stats = SimpleNamespace(query_count=0)
    pool.size, pool.opening = (lambda: 1), 1
    assert house.caches.find_looker(watched, watched.busy_at) is None
    pool.opening = 0
    assert house.caches.find_looker(watched, watched.busy_at) is pool
    later = watched.busy_at + pool.settings.server_idle_timeout + 1.0
    assert house.caches.find_looker(watched, later) is None  # nobody has asked anything
    pool.stats.query_count = 1
    assert house.caches.find_looker(watched, later) is pool


def test_nothing_is_looked_at_for_reads_where_no_write_is_seen():
    house = House(mode="off", invalidation="ttl")
    house.seeing.add("app")
    assert house.open().tenant.fence is None
    assert not house.caches.watched


def test_what_was_committed_by_another_way_to_a_database_is_not_known_where_it_lies(house: House):
    house.identify(b"1 5")
    house.identify(b"2 5")  # by another way it may have been written, too
    last = house.caches.watched[PLACE].fence.whole.last
    last.lost_at = 0.0
    other = house.caches.watched["other:5432/app"] = Watched("other:5432/app")
    house.caches.identify(other, b"2 5")
    assert other.fence is house.caches.watched[PLACE].fence
    assert last.lost_at
