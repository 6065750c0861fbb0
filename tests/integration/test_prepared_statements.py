"""Prepared statements in transaction mode: shared, bounded, and never out of date outside a transaction."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import NotSupportedError
from sqlalchemy.ext.asyncio import create_async_engine

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of, first_value
from tests.support.postgres import Database
from tests.support.programs import libpq_environment
from tests.support.proxy import Proxy
from tests.support.serving import serving, shuffle, wait_until
from tests.support.speech import bind, execute

Change = Callable[[str], None]
SELECT = "SELECT * FROM changing WHERE id = 1"
MIB = 1 << 20


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    settings = {
        "pool.size": 2, "pool.reserve_size": 0, "pool.max_prepared_statements": 50, "auth.type": "trust",
    }  # fmt: skip
    with serving(module_database, settings) as running:
        yield running


@pytest.fixture(params=["directly", "by another client"])
def change(request: pytest.FixtureRequest, proxy: Proxy, module_database: Database) -> Iterator[Change]:
    """A table `changing`, and how to change it: on the server itself, or through the proxy."""
    dsn = module_database.dsn if request.param == "directly" else proxy.dsn()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE changing (id int)")
        connection.execute("INSERT INTO changing VALUES (1)")
        yield lambda sql: connection.execute(f"ALTER TABLE changing {sql}") and None
        connection.execute("DROP TABLE changing")


STEPS = [
    ("ADD COLUMN word text DEFAULT 'one'", (1, "one")),
    ("ALTER COLUMN id TYPE bigint", (1, "one")),
    ("DROP COLUMN word", (1,)),
]


def test_psycopg_never_notices_a_changed_table(proxy: Proxy, change: Change):
    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=0) as connection:
        for _ in range(3):
            shuffle(proxy, 2)
            connection.execute(SELECT)  # on both servers
        for sql, row in STEPS:
            change(sql)
            for _ in range(3):
                assert connection.execute(SELECT).fetchone() == row
                shuffle(proxy, 2)


async def test_asyncpg_never_notices_a_changed_table(proxy: Proxy, change: Change):
    connection = await asyncpg.connect(proxy.dsn())
    await connection.fetch(SELECT)
    for sql, row in STEPS:
        change(sql)
        for _ in range(3):
            assert tuple(await connection.fetchrow(SELECT)) == row
            shuffle(proxy, 2)
    await connection.close()


@pytest.mark.parametrize("sql", ["ADD COLUMN word text", "ALTER COLUMN id TYPE bigint"])
async def test_asyncpg_never_notices_it_on_a_server_that_prepares_only_now(
    proxy: Proxy, change: Change, sql: str
):
    """No plan is outdated there, but the client would read the rows by what another server told it."""
    unique = f"{SELECT} AND {id(change)} > 0"
    connection = await asyncpg.connect(proxy.dsn())
    await connection.fetch(unique)
    shuffle(proxy, 2)
    change(sql)
    try:
        assert (await connection.fetchrow(unique))["id"] == 1
    finally:
        await connection.close()


def test_sqlalchemy_on_psycopg_never_notices_a_changed_table(proxy: Proxy, change: Change):
    engine = create_engine(
        proxy.dsn().replace("postgresql", "postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        connect_args={"prepare_threshold": 0},
    )
    with engine.connect() as connection:
        connection.execute(text(SELECT))
        for sql, row in STEPS:
            change(sql)
            for _ in range(3):
                assert connection.execute(text(SELECT)).one() == row
                shuffle(proxy, 2)
    engine.dispose()


async def test_sqlalchemy_on_asyncpg_is_told_once_as_directly(proxy: Proxy, change: Change):
    """It reads rows by the columns that it was told when it prepared: nobody but itself can prepare again."""
    url = proxy.dsn().replace("postgresql", "postgresql+asyncpg")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(SELECT))
        change("ADD COLUMN word text DEFAULT 'one'")
        with pytest.raises(NotSupportedError, match="cached statement plan is invalid"):
            await connection.execute(text(SELECT))
        assert (await connection.execute(text(SELECT))).one() == (1, "one")
    await engine.dispose()


def test_pgbench_never_notices_a_changed_table(
    proxy: Proxy, change: Change, module_database: Database, tmp_path: Path
):
    script = tmp_path / "select.sql"
    script.write_text(f"{SELECT};\n")
    pgbench = subprocess.Popen(
        [
            *(module_database.server.installation.bin_path("pgbench"), "-n", "-M", "prepared"),
            *("-c", "8", "-j", "2", "-T", "3", "-f", script),
        ],
        env=libpq_environment(proxy.dsn()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with pgbench:
        ran = "datname = current_database() AND starts_with(query, 'SELECT * FROM changing')"
        wait_until(module_database, f"EXISTS (SELECT FROM pg_stat_activity WHERE {ran})")
        while pgbench.poll() is None:
            for sql, _ in STEPS:
                change(sql)
            time.sleep(0.02)  # a change now and then: what runs in between is what is tested
        shown = pgbench.communicate()[0]
    assert "number of failed transactions: 0 " in shown, shown
    done = re.search(r"actually processed: (\d+)", shown)
    assert done
    assert int(done[1]) > 100


def test_inside_a_transaction_postgresql_tells(proxy: Proxy, change: Change):
    unique = f"{SELECT} AND {id(change)} > 0"  # nobody else has prepared it
    with psycopg.connect(proxy.dsn(), prepare_threshold=0) as connection:
        connection.execute(unique)
        connection.commit()
        connection.execute("SELECT 1")
        change("ADD COLUMN word text")
        with pytest.raises(
            psycopg.errors.FeatureNotSupported, match="cached plan must not change result type"
        ):
            connection.execute(unique)
        connection.rollback()
        assert connection.execute(unique).fetchone() == (1, None)


def test_type_of_a_parameter_that_changes(proxy: Proxy, change: Change):
    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=0) as connection:
        for sql in ("ALTER COLUMN id TYPE bigint", "ALTER COLUMN id TYPE smallint"):
            assert connection.execute("SELECT id FROM changing WHERE id = %s", [1]).fetchone() == (1,)
            change(sql)
            assert connection.execute("SELECT id FROM changing WHERE id = %s", [1]).fetchone() == (1,)


async def test_same_words_may_mean_another_table_to_another_client(proxy: Proxy, module_database: Database):
    """Each tenant has its schema, and tables of its own shape."""
    with psycopg.connect(module_database.dsn, autocommit=True) as direct:
        direct.execute("CREATE SCHEMA one CREATE TABLE things (id int)")
        direct.execute("CREATE SCHEMA two CREATE TABLE things (id bigint, name text)")
        direct.execute("INSERT INTO one.things VALUES (1); INSERT INTO two.things VALUES (2, 'two')")
    one = await asyncpg.connect(proxy.dsn(), server_settings={"search_path": "one"})
    two = await asyncpg.connect(proxy.dsn(), server_settings={"search_path": "two"})
    for _ in range(5):
        for connection, row in ((one, (1,)), (two, (2, "two"))):
            shuffle(proxy, 2)
            statement = await connection.prepare("SELECT * FROM things")
            assert tuple(await statement.fetchrow()) == row
            async with connection.transaction():
                assert tuple(await connection.fetchrow("SELECT * FROM things WHERE id > $1", 0)) == row
    await one.close()
    await two.close()


# --- clients that clean up ---


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_what_one_client_throws_away_others_keep(proxy: Proxy, sql: str):
    with (
        psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=0) as keeper,
        psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None) as cleaner,
    ):
        for number in range(10):
            assert keeper.execute("SELECT %s::int + 100", [number]).fetchone() == (number + 100,)
            cleaner.execute(sql)
            shuffle(proxy, 2)


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_what_a_client_threw_away_is_gone(proxy: Proxy, module_database: Database, sql: str):
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        client.ask(build.parse("mine", "SELECT 5"), build.sync())
        assert not error_of(client.ask(bind("mine"), execute(), build.sync()))
        client.ask(build.query(sql))
        fields = error_of(client.ask(bind("mine"), execute(), build.sync()))
        assert (fields["C"], fields["M"]) == ("26000", 'prepared statement "mine" does not exist')
        answer = client.ask(build.parse("mine", "SELECT 6"), bind("mine"), execute(), build.sync())
        assert [first_value(payload) for kind, payload in answer if kind == "D"] == ["6"]


def test_same_name_means_what_its_client_prepared(proxy: Proxy, module_database: Database):
    clients = [
        BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) for _ in range(10)
    ]
    for number, client in enumerate(clients):
        assert not error_of(client.ask(build.parse("s1", f"SELECT {number}, $1::text"), build.sync()))
    for _ in range(3):
        for number, client in enumerate(clients):
            answer = client.ask(bind("s1", "x"), execute(), build.sync())
            assert [first_value(payload) for kind, payload in answer if kind == "D"] == [str(number)]
    for client in clients:
        client.close()


def test_name_that_is_taken_is_refused_as_by_postgresql(proxy: Proxy, module_database: Database):
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        for _ in range(2):
            client.ask(build.parse("mine", "SELECT 1"), build.sync())
            fields = error_of(client.ask(build.parse("mine", "SELECT 2"), build.sync()))
            assert (fields["C"], fields["M"]) == ("42P05", 'prepared statement "mine" already exists')
            client.ask(build.close_statement("mine"), build.sync())


# --- bounds ---


def on_servers(proxy: Proxy) -> list[int]:
    """How many statements each server has."""
    counts = []
    for _ in range(2):
        with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None) as connection:
            row = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
            assert row is not None
            counts.append(int(row[0]))
        shuffle(proxy, 2)
    return counts


@pytest.mark.parametrize("closes", [True, False])
def test_thousands_of_statements_keep_memory_and_servers_bounded(
    proxy: Proxy, module_database: Database, closes: bool
):
    """Half of them closed by their clients, half left behind by clients that leave."""

    def prepare(first: int, number: int) -> None:
        with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
            for start in range(first, first + number, 100):
                names = [f"s{serial}" for serial in range(start, start + 100)]
                batch = [
                    build.parse(name, f"SELECT '{name:x<500}', {closes}") + bind(name) + execute()
                    for name in names
                ]
                closing = [build.close_statement(name) for name in names] if closes else []
                assert not error_of(client.ask(*batch, *closing, build.sync()))

    prepare(0, 6000)  # more than statement_cache_size: the registry is full
    before = proxy.rss()
    for first in range(10_000, 30_000, 1000):
        prepare(first, 1000)
    assert proxy.rss() - before < 10 * MIB
    assert max(on_servers(proxy)) <= 50 + 1  # and one by which we judge names that are taken


def test_statements_beyond_a_servers_share_are_prepared_again(proxy: Proxy):
    with psycopg.connect(
        proxy.dsn(), autocommit=True, prepare_threshold=0, cursor_factory=psycopg.Cursor
    ) as connection:
        connection.prepared_max = 300
        for _ in range(3):
            for number in range(150):
                assert connection.execute(f"SELECT {number} + %s::int", [1]).fetchone() == (number + 1,)
