"""Kept answers where everybody's writes are told, also of those who do not pass through the proxy."""

from collections.abc import Iterator

import psycopg
import pytest
from typer.testing import CliRunner

from dbproxy.cache.publication import INSTALL
from dbproxy.cli import app
from dbproxy.demo.postgres import Postgres
from dbproxy.jobs.batch.ledger import TABLES as LEDGER
from tests.support.kept import Kept, enter
from tests.support.postgres import Database, connect, create_cluster, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving

COUNT = "SELECT count(*) FROM items"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with create_cluster(wal_level="logical") as running:
        yield running


@pytest.fixture
def shop(server: Postgres) -> Iterator[Database]:
    with create_database(server) as database:
        with connect(server, database.name) as owner:
            owner.execute("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
            owner.execute("CREATE TABLE unnamed (id int); GRANT ALL ON items, unnamed TO app")
            owner.execute("CREATE PUBLICATION dbproxy_cache FOR TABLE items")
        yield database


@pytest.fixture
def proxy(shop: Database) -> Iterator[Proxy]:
    shop.server.psql(f"ALTER ROLE {shop.user} REPLICATION")
    settings = {"cache.mode": "on", "cache.verify": 0, "cache.ttl": "1h", "cache.invalidation": "wal"}
    with serving(shop, settings) as running:
        yield running


def count(client: psycopg.Connection) -> int:
    row = client.execute(COUNT).fetchone()
    assert row is not None
    return int(row[0])


def test_install_makes_the_publication_and_has_it_fit_new_tables(shop: Database):
    published = "SELECT tablename FROM pg_publication_tables WHERE pubname = 'dbproxy_cache' ORDER BY 1"
    with connect(shop.server, shop.name) as owner:
        owner.execute("DROP PUBLICATION dbproxy_cache")
        owner.execute(LEDGER)  # which is left out
        assert "1 published" in install(shop)
        assert "public.unnamed is not" in install(shop)
        owner.execute("CREATE TABLE more (id int PRIMARY KEY)")
        assert "2 published" in install(shop)
        assert owner.execute(published).fetchall() == [("items",), ("more",)]


def test_install_says_who_may(shop: Database):
    told = CliRunner().invoke(app, ["cache", "install"], env={"DATABASE_URL": shop.dsn})
    assert told.exit_code == 1
    assert "owner of the tables" in told.output


@pytest.mark.parametrize(
    ("password", "hint"), [("", "PGPASSWORD, which is not set."), ("wrong", "in PGPASSWORD.")]
)
def test_install_says_where_the_password_of_another_user_comes_from(shop: Database, password: str, hint: str):
    env = {"DATABASE_URL": shop.dsn, "PGPASSWORD": password}
    told = CliRunner().invoke(app, ["cache", "install", "--user", "nobody"], env=env)
    assert told.exit_code == 1
    assert 'password authentication failed for user "nobody"' in told.output
    assert hint in told.output


def test_install_shows_what_it_would_do_and_takes_it_away(shop: Database):
    there = "SELECT count(*)::int FROM pg_publication"
    with connect(shop.server, shop.name) as owner:
        assert "DROP PUBLICATION IF EXISTS dbproxy_cache;" in install(shop, "--remove", "--dry-run")
        assert owner.execute(there).fetchone() == (1,)
        install(shop, "--remove")
        assert owner.execute(there).fetchone() == (0,)
        assert "CREATE PUBLICATION dbproxy_cache FOR TABLE ONLY public.items;" in install(shop, "--dry-run")
        assert owner.execute(there).fetchone() == (0,)


def install(shop: Database, *arguments: str) -> str:
    """As a superuser."""
    env = {"DATABASE_URL": shop.dsn, "PGPASSWORD": shop.server.password}
    told = CliRunner().invoke(app, ["cache", "install", "--user", shop.server.superuser, *arguments], env=env)
    assert told.exit_code == 0, told.output
    return told.output


def test_write_beside_the_proxy_is_seen(proxy: Proxy, shop: Database):
    with enter(proxy) as client, connect(shop.server, shop.name) as beside:
        for number in range(2, 30):
            kept(client, shop)
            beside.execute("INSERT INTO items VALUES (%s)", [number])
            while count(client) != number:
                pass


def kept(client: psycopg.Connection, shop: Database) -> None:
    """Until it is answered without a server: the server's transactions are counted."""
    while True:
        before = transactions(shop)
        count(client)
        if transactions(shop) == before:
            return


def transactions(shop: Database) -> int:
    with connect(shop.server) as direct:
        row = direct.execute(
            "SELECT query_start::text FROM pg_stat_activity WHERE query = %s ORDER BY 1 DESC LIMIT 1", [COUNT]
        ).fetchone()
    return hash(row)


def test_session_that_is_given_a_causal_token_sees_what_was_committed_by_then(proxy: Proxy, shop: Database):
    """Though the proxy hears of that later."""
    with Kept(proxy) as kept, enter(proxy) as client, connect(shop.server, shop.name) as beside:
        kept.wait(client, COUNT)
        for number in range(2, 32):
            count(client)
            beside.execute("INSERT INTO items VALUES (%s)", [number])
            token = beside.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            client.execute(f"SET dbproxy.causal_token = '{(token or ('',))[0]}'".encode())
            assert count(client) == number
        kept.until(lambda: kept.is_hit(client, COUNT))  # with the token, too


def test_nothing_is_left_at_the_server_once_it_is_turned_off(proxy: Proxy, shop: Database):
    """So that DROP DATABASE is possible; turned on again, nothing of before is given."""
    slots = f"SELECT count(*)::int FROM pg_replication_slots WHERE database = '{shop.name}'"
    with enter(proxy) as client, connect(shop.server, shop.name) as beside, Kept(proxy) as console:
        for number in range(2, 4):
            console.wait(client, COUNT)
            assert beside.execute(slots).fetchone() == (1,)
            console.console.execute("SET cache.mode = 'off'")
            console.until(lambda: beside.execute(slots).fetchone() == (0,))
            beside.execute("INSERT INTO items VALUES (%s)", [number])
            assert count(client) == number
            console.console.execute("SET cache.mode = 'on'")
            assert count(client) == number


def test_proxy_says_what_to_do_once_the_publication_was_taken_away(proxy: Proxy, shop: Database):
    with enter(proxy) as client, Kept(proxy) as console:
        console.wait(client, COUNT)
        install(shop, "--remove")
        console.until(lambda: "writes to public.items are not told" in console.explain(COUNT))
        console.until(lambda: any(line.get("hint") == INSTALL for line in proxy.log_lines()))
        install(shop)
        console.wait(client, COUNT)
