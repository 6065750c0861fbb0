"""Kept answers that are there before anybody asks: after a start, and after a write."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.kept import enter, until
from tests.support.postgres import Database, connect, create_cluster, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving

READ = "SELECT name FROM items WHERE id = "


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with create_cluster(shared_preload_libraries="pg_stat_statements") as running:
        yield running


@pytest.fixture
def shop(server: Postgres) -> Iterator[Database]:
    with create_database(server) as database:
        with connect(server, database.name) as owner:
            owner.execute(
                "CREATE EXTENSION pg_stat_statements; CREATE TABLE items (id int PRIMARY KEY, name text)"
            )
            owner.execute("INSERT INTO items SELECT n, 'first' FROM generate_series(1, 1000) n")
            owner.execute("GRANT ALL ON items TO app")
        yield database


@contextmanager
def warm(shop: Database, **keys: object) -> Iterator[Proxy]:
    settings = {"mode": "on", "verify": 0, "ttl": "1h", "warming": True} | keys
    with serving(shop, {f"cache.{key}": value for key, value in settings.items()}) as proxy:
        yield proxy


def count(shop: Database) -> int:
    """Reads that were carried out, by what tests before this one asked for, too: it is the whole server's."""
    with connect(shop.server, shop.name) as beside:
        row = beside.execute(
            "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%FROM items%'"
        ).fetchone()
    return int(row[0] or 0) if row is not None else 0


def test_statements_of_a_file_are_there_before_anybody_asks(shop: Database, tmp_path: Path):
    file = tmp_path / "warm.jsonl"
    lines = [{"database": shop.name, "user": "app", "sql": f"{READ}{number}"} for number in range(1, 21)]
    file.write_text("\n".join(map(json.dumps, lines)) + "\nnonsense\n")
    before = count(shop)
    with warm(shop, warm_file=file) as proxy:
        until(lambda: count(shop) == before + 20)
        told = [line for line in proxy.log_lines() if line["event"] == "statements to fetch not read"]
        assert [line["line"] for line in told] == [21]
        with enter(proxy) as client:
            for number in range(1, 21):
                assert client.execute(f"{READ}{number}").fetchone() == ("first",)
        assert count(shop) == before + 20


def test_hottest_is_fetched_again_after_a_write(shop: Database):
    with warm(shop) as proxy, enter(proxy) as client, enter(proxy) as writer:

        def reads(name: str) -> bool:
            return client.execute(READ + "%s", [1]).fetchone() == (name,)

        def is_kept() -> bool:
            before = count(shop)
            client.execute(READ + "%s", [1]).fetchone()
            return count(shop) == before

        for number in range(5):
            until(is_kept)
            until(is_kept)
            before = count(shop)
            writer.execute("UPDATE items SET name = %s WHERE id = 1", [f"new {number}"])
            until(lambda before=before: count(shop) > before)  # nobody has asked
            before = count(shop)
            until(lambda number=number: reads(f"new {number}"))
            assert count(shop) == before


def test_operator_has_it_fetched_at_once(shop: Database, tmp_path: Path):
    file = tmp_path / "warm.jsonl"
    file.write_text("")
    with warm(shop, warming=False, warm_file=file) as proxy, enter(proxy) as client:

        def is_kept(number: int) -> bool:
            before = count(shop)
            client.execute(f"{READ}{number}")
            return count(shop) == before

        until(lambda: is_kept(1))
        file.write_text(json.dumps({"database": shop.name, "user": "app", "sql": f"{READ}2"}))
        with psycopg.connect(
            proxy.dsn("dbproxy"), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as console:
            console.execute("INVALIDATE CACHE")
            before = count(shop)
            assert console.execute("WARM CACHE").statusmessage == "WARM"
        until(lambda: count(shop) == before + 2)
        assert is_kept(1)
        assert is_kept(2)


def test_nothing_is_fetched_where_nothing_is_kept(shop: Database):
    with (
        warm(shop, mode="off", warming=False) as proxy,
        psycopg.connect(
            proxy.dsn("dbproxy"), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as console,
    ):
        with pytest.raises(psycopg.Error, match="nothing is kept"):
            console.execute("WARM CACHE")
        console.execute("SET cache = 'on'")
        assert console.execute("WARM CACHE").statusmessage == "WARM"


def test_file_is_fetched_for_a_user_whose_answers_alone_are_kept(shop: Database, tmp_path: Path):
    file = tmp_path / "warm.jsonl"
    file.write_text(json.dumps({"database": shop.name, "user": "app", "sql": f"{READ}1"}))
    before = count(shop)
    with (
        serving(shop, {"cache.warm_file": file}, config='[users.app.cache]\nmode = "on"\n') as proxy,
        psycopg.connect(
            proxy.dsn("dbproxy"), autocommit=True, cursor_factory=psycopg.ClientCursor
        ) as console,
    ):
        assert console.execute("WARM CACHE").statusmessage == "WARM"  # though nobody has come yet
        until(lambda: count(shop) == before + 1)


def test_what_was_hottest_is_there_after_a_restart(shop: Database, tmp_path: Path):
    state = tmp_path / "state"
    with warm(shop, state_dir=state) as proxy, enter(proxy) as client:

        def are_kept() -> bool:
            before = count(shop)
            for number in (1, 2, 3):
                client.execute(READ + "%s", [number])
            return count(shop) == before

        until(are_kept)
        proxy.stop()
    remembered = state / "cache-hottest.jsonl"
    assert remembered.stat().st_mode & 0o777 == 0o600
    assert len(remembered.read_text().splitlines()) == 3
    before = count(shop)
    with warm(shop, state_dir=state) as proxy:
        until(lambda: count(shop) == before + 3)
        with enter(proxy) as client:
            for number in (1, 2, 3):
                assert client.execute(READ + "%s", [number]).fetchone() == ("first",)
        assert count(shop) == before + 3
