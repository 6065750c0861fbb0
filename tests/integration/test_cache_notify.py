"""Kept answers where triggers notify of everybody's writes, also of those who do not pass through the proxy."""

import asyncio
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from dbproxy.cli import app
from dbproxy.demo.installation import Installation, installations
from dbproxy.demo.postgres import Postgres
from dbproxy.jobs.batch.ledger import TABLES as LEDGER
from tests.integration.test_cache_staleness import storm
from tests.support.kept import SETTINGS, Kept, enter, until
from tests.support.postgres import Database, connect, create_cluster, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.staleness import SCHEMA

NOTIFY = SETTINGS | {"cache.invalidation": "notify"}
LISTENER = "FROM pg_stat_activity WHERE application_name = 'dbproxy cache' AND datname = current_database()"
TABLES = """
CREATE TABLE items (id int PRIMARY KEY);
CREATE TABLE "Odd name" (id int);
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int REFERENCES parents ON DELETE CASCADE);
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE base (id int); CREATE TABLE heirs () INHERITS (base);
INSERT INTO parents VALUES (1), (2); INSERT INTO children VALUES (1), (2);
"""
# What is written past the proxy, and which tables' answers that ends.
WRITES = {
    "INSERT INTO items VALUES (1)": "items",
    "UPDATE items SET id = 2": "items",
    "COPY items FROM PROGRAM 'echo 7'": "items",
    "MERGE INTO items USING (VALUES (9)) AS v (id) ON false WHEN NOT MATCHED THEN INSERT VALUES (v.id)": "items",
    "TRUNCATE items": "items",
    'INSERT INTO "Odd name" VALUES (1)': '"Odd name"',
    "DELETE FROM parents WHERE id = 1": "children",
    "TRUNCATE parents CASCADE": "children",
    "INSERT INTO parts VALUES (1)": "parts_1",
    "INSERT INTO parts_1 VALUES (1)": "parts",
    "INSERT INTO heirs VALUES (1)": "base",
    "UPDATE base SET id = 5": "heirs",
    "SET session_replication_role = replica; INSERT INTO items VALUES (8); RESET session_replication_role": "items",
    "DO 'BEGIN INSERT INTO items VALUES (77); END'": "items",
}


@pytest.fixture(scope="module", params=installations(), ids=lambda one: one.name)
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    installation: Installation = request.param
    with create_cluster(installation) as running:
        yield running


@pytest.fixture
def shop(server: Postgres) -> Iterator[Database]:
    with create_database(server) as database:
        with connect(server, database.name) as owner:
            owner.execute(f"GRANT CREATE ON DATABASE {database.name} TO app")
            owner.execute("SET ROLE app")
            owner.execute(TABLES)
        yield database


@pytest.fixture
def proxy(shop: Database) -> Iterator[Proxy]:
    install(shop)
    with serving(shop, NOTIFY) as running:
        yield running


def install(shop: Database, *arguments: str) -> str:
    """As the owner of the tables."""
    env = {"DATABASE_URL": shop.dsn, "DBPROXY_CACHE__INVALIDATION": "notify"}
    told = CliRunner().invoke(app, ["cache", "install", *arguments], env=env)
    assert told.exit_code == 0, told.output
    return told.output


def test_write_beside_the_proxy_is_seen(proxy: Proxy, shop: Database):
    with enter(proxy) as client, connect(shop.server, shop.name) as beside, Kept(proxy) as kept:
        for write, table in WRITES.items():
            if "MERGE" in write and beside.info.server_version < 150000:
                continue
            read = f"SELECT count(*), sum(id) FROM {table}"
            kept.wait(client, read)
            beside.execute(write)
            now = beside.execute(read).fetchall()
            while client.execute(read).fetchall() != now:
                pass


def test_one_notification_is_sent_for_each_table_and_transaction(shop: Database):
    install(shop)
    with connect(shop.server, shop.name) as listener, connect(shop.server, shop.name) as writer:
        listener.execute("LISTEN dbproxy_cache")
        with writer.transaction():
            for number in range(10):
                writer.execute("INSERT INTO items VALUES (%s)", [number])
            writer.execute('INSERT INTO "Odd name" VALUES (1)')
        with pytest.raises(ZeroDivisionError), writer.transaction():
            writer.execute("DELETE FROM items")
            raise ZeroDivisionError
        writer.execute("NOTIFY dbproxy_cache, 'last'")
        heard = [notify.payload for notify in listener.notifies(timeout=20, stop_after=3)]
        assert heard[2:] == ["last"]
        named = writer.execute(
            "SELECT oid::text FROM pg_class WHERE relname IN ('items', 'Odd name')"
        ).fetchall()
        assert set(heard[:2]) == {oid for (oid,) in named}


def test_table_without_the_trigger_is_not_kept(proxy: Proxy, shop: Database):
    with enter(proxy) as client, connect(shop.server, shop.name) as owner, Kept(proxy) as kept:
        kept.wait(client, "SELECT count(*) FROM items")
        owner.execute("SET ROLE app; CREATE TABLE fresh (id int)")
        bypassed = "SELECT id FROM fresh"
        kept.until(lambda: client.execute(bypassed) and count_untold(kept))
        assert not kept.is_hit(client, bypassed)
        assert "1 had none" in install(shop).replace("of which ", "")
        kept.wait(client, bypassed)
        owner.execute("ALTER TABLE fresh DISABLE TRIGGER dbproxy_cache")
        kept.until(lambda: not kept.is_hit(client, bypassed) and not kept.is_hit(client, bypassed))


def test_proxy_says_what_to_do_once_the_triggers_were_taken_away(proxy: Proxy, shop: Database):
    read = "SELECT count(*) FROM items"
    with enter(proxy) as client, Kept(proxy) as kept:
        kept.wait(client, read)
        install(shop, "--remove")
        kept.until(lambda: "writes to public.items are not told" in kept.explain(read))
        before = count_untold(kept)
        client.execute(read, prepare=False)  # one request
        assert count_untold(kept) == before + 1
        kept.until(lambda: list_hints(proxy))
        assert set(list_hints(proxy)) == {"Run: dbproxy cache install"}
        install(shop)
        kept.wait(client, read)


def list_hints(proxy: Proxy) -> list[str]:
    return [line["hint"] for line in proxy.log_lines() if line["event"] == "writes are not followed"]


def count_untold(kept: Kept) -> int:
    rows = kept.console.execute("SHOW CACHE BYPASS").fetchall()
    return sum(row["count"] for row in rows if row["reason"] == "a table whose writes are not told")


def test_nothing_is_given_while_nobody_listens_and_nothing_of_before_afterwards(proxy: Proxy, shop: Database):
    with enter(proxy) as client, connect(shop.server, shop.name) as beside, Kept(proxy) as kept:
        kept.wait(client, "SELECT count(*) FROM items")
        for number in range(2):
            with connect(shop.server, shop.name) as locker:
                # Nobody can read which tables have a trigger, so nobody listens to the end of this.
                locker.execute("BEGIN; LOCK pg_subscription_rel")
                beside.execute(f"SELECT pg_terminate_backend(pid) {LISTENER}")
                until(lambda: client.execute("SELECT count(*) FROM items") and proxy_is_deaf(proxy))
                beside.execute("INSERT INTO items VALUES (%s)", [number])
                assert client.execute("SELECT count(*) FROM items").fetchall() == [(number + 1,)]
            kept.wait(client, "SELECT count(*) FROM items")
            assert client.execute("SELECT count(*) FROM items").fetchall() == [(number + 1,)]


def proxy_is_deaf(proxy: Proxy) -> bool:
    events = [line["event"] for line in proxy.log_lines() if line["event"].startswith("writes are")]
    return events[-1] == "writes are not followed"


def test_job_may_say_itself_that_it_has_written_anything(proxy: Proxy, shop: Database):
    with enter(proxy) as client, connect(shop.server, shop.name) as beside, Kept(proxy) as kept:
        kept.wait(client, "SELECT count(*) FROM items")
        beside.execute("NOTIFY dbproxy_cache")
        kept.until(lambda: not kept.is_hit(client, "SELECT count(*) FROM items"))
        kept.wait(client, "SELECT count(*) FROM items")


def test_writer_needs_no_more_privileges_than_before(proxy: Proxy, shop: Database):
    with connect(shop.server, shop.name) as owner:
        owner.execute("CREATE ROLE clerk; GRANT INSERT ON items TO clerk; SET ROLE clerk")
        try:
            owner.execute("INSERT INTO items VALUES (1)")
        finally:
            owner.execute("RESET ROLE; DROP OWNED BY clerk; DROP ROLE clerk")


def test_write_through_the_proxy_ends_only_what_it_reaches(proxy: Proxy):
    """The trigger is one that can be read."""
    with enter(proxy) as client, enter(proxy) as writer, Kept(proxy) as kept:
        kept.wait(client, "SELECT count(*) FROM parents")
        for number in range(3):
            writer.execute("INSERT INTO items VALUES (%s)", [number])
            assert kept.is_hit(client, "SELECT count(*) FROM parents")
        rows = kept.console.execute("SHOW CACHE TABLES").fetchall()
        assert not [row for row in rows if row["committing"]]


async def test_no_read_shows_less_than_was_acknowledged_by_writers_through_the_proxy(shop: Database):
    with connect(shop.server, shop.name) as owner:
        owner.execute("SET ROLE app; DROP TABLE parents, children, parts")
        owner.execute(SCHEMA)
    await asyncio.to_thread(install, shop)
    with serving(shop, NOTIFY) as proxy:
        report, executed = await storm(shop, proxy, 2000, proxy.dsn())
    assert (report.stale, report.backwards, report.uneven) == ([], [], [])
    assert executed < report.reads, report


def test_ledger_of_the_batches_has_no_trigger_and_what_reads_it_is_not_kept(shop: Database):
    with connect(shop.server, shop.name) as owner:
        owner.execute("SET ROLE app")
        owner.execute(LEDGER)
    assert "8, of which 8 had none" in install(shop)
    with serving(shop, NOTIFY) as proxy, enter(proxy) as client, Kept(proxy) as kept:
        kept.wait(client, "SELECT count(*) FROM items")
        read = "SELECT count(*) FROM dbproxy.batch_jobs"
        assert [kept.is_hit(client, read) for _ in range(3)] == [False] * 3
        assert "But it is not kept now: writes to dbproxy.batch_jobs are not told" in kept.explain(read)


def test_what_is_installed_is_shown_first_and_can_be_taken_away(shop: Database):
    there = "SELECT count(*)::int FROM pg_trigger WHERE tgname = 'dbproxy_cache' AND tgenabled = 'A'"
    with connect(shop.server, shop.name) as owner:
        shown = install(shop, "--dry-run")
        assert (
            "CREATE TRIGGER dbproxy_cache AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.items"
            in shown
        )
        assert owner.execute(there).fetchone() == (0,)
        owner.execute("SET ROLE app")
        owner.execute(shown)  # which is what would be run
        assert owner.execute(there).fetchone() == (8,)
        assert "8, of which 0 had none" in install(shop)
        assert "Nothing" in install(shop, "--remove")
        assert owner.execute(there).fetchone() == (0,)
        assert owner.execute(
            "SELECT count(*)::int FROM pg_namespace WHERE nspname = 'dbproxy_cache'"
        ).fetchone() == (0,)
        assert "8, of which 8 had none" in install(shop)
        owner.execute("ALTER TABLE items DISABLE TRIGGER dbproxy_cache")
        assert "8, of which 1 had none" in install(shop)
