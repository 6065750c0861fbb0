"""Kept answers that proxies have for each other in Redis: taken while they are current, and not a moment longer."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from time import sleep

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.kept import until
from tests.support.postgres import Database, connect, create_cluster, create_database, fill_page
from tests.support.proxy import Proxy
from tests.support.redis import Redis
from tests.support.serving import serving

READ = "SELECT name FROM items WHERE id = %s"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with create_cluster(wal_level="logical", shared_preload_libraries="pg_stat_statements") as running:
        yield running


@pytest.fixture
def shop(server: Postgres) -> Iterator[Database]:
    with create_database(server) as database:
        fill(database, "first")
        server.psql(f"ALTER ROLE {database.user} REPLICATION")
        yield database


def fill(database: Database, name: str) -> None:
    with connect(database.server, database.name) as owner:
        owner.execute("CREATE EXTENSION pg_stat_statements")
        owner.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
        owner.execute("INSERT INTO items SELECT n, %s FROM generate_series(1, 1000) n", [name])
        owner.execute("GRANT ALL ON items TO app; CREATE PUBLICATION dbproxy_cache FOR TABLE items")


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as running:
        yield running


@dataclass
class Peer:
    """One proxy, and a client of it."""

    shop: Database
    proxy: Proxy
    client: psycopg.Connection

    def read(self, number: int) -> str:
        row = self.client.execute(READ, [number]).fetchone()
        assert row is not None
        return str(row[0])

    def asks(self, number: int) -> bool:
        """Whether a server was asked for it."""
        before = self.count()
        self.read(number)
        return self.count() > before

    def count(self) -> int:
        return int(
            str(ask(self.shop, "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%FROM items%'"))
        )


def ask(shop: Database, sql: str) -> object:
    with connect(shop.server, shop.name) as beside:
        row = beside.execute(sql).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def enter(shop: Database, url: str, **settings: object) -> Iterator[Peer]:
    keys = {"mode": "on", "verify": 0, "ttl": "1h", "invalidation": "wal", "redis_url": url} | settings
    keys = {"redis_min_cost": 0, "redis_timeout": "500ms"} | keys
    settings = {f"cache.{key}": value for key, value in keys.items()}
    with serving(shop, settings) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        yield Peer(shop, proxy, client)


@pytest.fixture
def peers(shop: Database, redis: Redis) -> Iterator[tuple[Peer, Peer]]:
    with ExitStack() as stack:
        one, two = [stack.enter_context(enter(shop, redis.url)) for _ in range(2)]
        share(one, two)
        yield one, two


def share(one: Peer, two: Peer) -> None:
    """Until one finds what the other has kept."""
    numbers = iter(range(100, 1000))
    until(lambda: one.read(number := next(numbers)) and not two.asks(number))


def test_answer_that_another_proxy_keeps_is_taken(peers: tuple[Peer, Peer]):
    one, two = peers
    one.read(1)
    assert not two.asks(1)


def test_answer_is_taken_where_the_last_commit_ends_a_page_of_the_wal(
    peers: tuple[Peer, Peer], shop: Database
):
    """PostgreSQL then says that the WAL ends behind the next page's header, and no stream comes that far."""
    with connect(shop.server, shop.name) as beside:
        fill_page(beside, "UPDATE items SET name = 'second' WHERE id = 1")
    share(*peers)
    assert peers[1].read(1) == "second"


def test_nobody_reads_what_was_before_its_own_write_and_nobody_goes_back(
    peers: tuple[Peer, Peer], shop: Database
):
    """Writers through both proxies and beside them; each answer is one that the other proxy may have kept."""
    chance = Random(15)
    last: dict[tuple[int, int], str] = {}
    with connect(shop.server, shop.name) as beside:
        for turn in range(1, 301):
            number, writer = chance.randint(1, 3), chance.randint(0, 2)
            key = f"{turn:06}"
            if writer < 2:
                peers[writer].client.execute("UPDATE items SET name = %s WHERE id = %s", [key, number])
                assert peers[writer].read(number) == key
            else:
                beside.execute("UPDATE items SET name = %s WHERE id = %s", [key, number])
            for place, peer in enumerate(peers):
                for _ in range(chance.randint(0, 3)):
                    found = peer.read(number)
                    assert found == "first" or found >= last.get((place, number), "")
                    last[place, number] = found
            if turn % 10 == 0:
                until(lambda number=number, key=key: all(peer.read(number) == key for peer in peers))


def test_answer_of_before_a_definition_was_changed_is_not_taken_behind_it(peers: tuple[Peer, Peer]):
    one, two = peers
    with connect(one.shop.server, one.shop.name) as owner:
        owner.execute("CREATE VIEW named AS SELECT id, 'old' AS name FROM items; GRANT ALL ON named TO app")
        old = "SELECT name FROM named WHERE id = 1"
        until(lambda: one.client.execute(old).fetchone() == ("old",))
        sleep(3)  # both have read what is defined, and keep it
        for peer in peers:
            peer.client.execute(old)
        two.client.execute("SELECT name FROM named WHERE id = 2")
    with connect(one.shop.server, one.shop.name) as owner:
        owner.execute("CREATE OR REPLACE VIEW named AS SELECT id, 'new' AS name FROM items")
    until(lambda: all(peer.client.execute(old).fetchone() == ("new",) for peer in peers))
    for _ in range(20):
        assert all(peer.client.execute(old).fetchone() == ("new",) for peer in peers)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_fault_of_redis_is_seen_by_no_client(shop: Database, redis: Redis, fault: str):
    with ExitStack() as stack:
        one, two = [stack.enter_context(enter(shop, redis.url, redis_timeout="5ms")) for _ in range(2)]
        share(one, two)
        if fault == "killed":
            redis.kill()
        else:
            redis.freeze()
        for number in range(1, 100):
            one.client.execute("UPDATE items SET name = %s WHERE id = %s", [str(number), number])
            assert one.read(number) == str(number)
            until(lambda number=number: two.read(number) == str(number))
        for peer in (one, two):
            told = [line for line in peer.proxy.log_lines() if line["event"] == "kept answers are not shared"]
            assert len(told) <= 2  # one before it was reached first, perhaps
        if fault == "killed":
            redis.start()
        else:
            redis.thaw()
        share(one, two)


def test_nothing_of_a_database_is_given_once_another_one_has_its_name(
    peers: tuple[Peer, Peer], shop: Database
):
    """The same cluster, the same name, the same tables; what was kept, here and in Redis, is of the first."""
    one, two = peers
    with create_database(shop.server) as other:
        fill(other, "second")
        for _ in range(2):
            for number in range(1, 50):
                one.read(number), two.read(number)
        swap(shop, other)
        for number in range(1, 50):
            for peer in peers:
                until(lambda peer=peer: reconnect(peer))
                assert peer.read(number) == "second"
        share(one, two)
        one.client.execute("UPDATE items SET name = 'third' WHERE id = 7")
        until(lambda: all(peer.read(7) == "third" for peer in peers))
        swap(shop, other)
        for peer in peers:
            until(lambda peer=peer: reconnect(peer))
            assert {peer.read(number) for number in range(1, 50)} == {"first"}


def reconnect(peer: Peer) -> bool:
    """Whether a server answers again."""
    try:
        peer.read(1000)
    except psycopg.Error:
        if peer.client.closed:
            with suppress(psycopg.OperationalError):
                peer.client = psycopg.connect(peer.proxy.dsn(), autocommit=True)
        return False
    return True


def swap(one: Database, other: Database) -> None:
    """Each gets the other's name. Who is connected to them is sent away first."""
    names = f"'{one.name}', '{other.name}'"
    with connect(one.server) as admin:
        for database in (one, other):
            admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
        leave = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({names})"
        until(lambda: not admin.execute(leave).fetchall())
        for before, after in ((one.name, "aside"), (other.name, one.name), ("aside", other.name)):
            admin.execute(f"ALTER DATABASE {before} RENAME TO {after}")
        for database in (one, other):
            admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")
