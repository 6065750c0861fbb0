"""Which key has which tier: read from a table on the primary, every so often and upon NOTIFY."""

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.integration.test_console import connect as console
from tests.support.hosts import SETTINGS, create_hosts, urls, wait_for_replicas
from tests.support.postgres import Database, connect, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving

TABLE = "CREATE TABLE api_tiers (name text PRIMARY KEY, tier text); GRANT ALL ON api_tiers TO app"
CONFIG = """
[auth]
type = "trust"
admin_users = ["app"]

[limits]
mode = "on"
tier = "free"
source_interval = "{interval}"

[[limits.rules]]
name = "user"
key = "{{user}}"
source = "{source}"
"""
SOURCE = "SELECT name, tier FROM api_tiers"


def configure(interval: str = "1h", source: str = SOURCE) -> str:
    return CONFIG.format(interval=interval, source=source)


@pytest.fixture
def database(module_database: Database) -> Database:
    with connect(module_database.server, module_database.name) as owner:
        owner.execute(f"DROP TABLE IF EXISTS api_tiers; {TABLE}")
    return module_database


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another process: asked, not awaited


def source(proxy: Proxy) -> dict[str, Any]:
    with console(proxy) as asked:
        return asked.execute("SHOW LIMIT_SOURCES").fetchone()


def explain(proxy: Proxy, key: str) -> dict[str, Any]:
    with console(proxy) as asked:
        return {row["item"]: row["value"] for row in asked.execute(f"EXPLAIN LIMIT user '{key}'").fetchall()}


def put(database: Database, *rows: tuple[str, str], notify: bool = False) -> None:
    with connect(database.server, database.name) as owner:
        for row in rows:
            owner.execute(
                "INSERT INTO api_tiers VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET tier = excluded.tier",
                row,
            )
        if notify:
            owner.execute("NOTIFY dbproxy_limits")


def test_tiers_of_the_table_count_and_are_read_again_upon_notify(database: Database) -> None:
    put(database, ("app", "standard"), ("other", "500/min burst 50"), ("odd", "gold"))
    with serving(database, config=configure()) as proxy:
        until(lambda: source(proxy)["keys"] == 2)
        assert (source(proxy)["unreadable"], source(proxy)["error"]) == (1, "")
        assert explain(proxy, "other")["limit"] == "500/min burst 50"
        with psycopg.connect(proxy.dsn(), autocommit=True) as client:
            for _ in range(120):
                client.execute("SELECT 1")
            with pytest.raises(
                psycopg.errors.ConfigurationLimitExceeded, match=r'user "app" \(tier standard\)'
            ):
                client.execute("SELECT 1")
            put(database, ("app", "pro"), notify=True)
            until(lambda: explain(proxy, "app")["tier"] == "pro")
            client.execute("SELECT 1")
        assert explain(proxy, "app")["why"].startswith("the source of limits.rules, user says so, read ")


def test_tiers_are_read_again_every_so_often(database: Database) -> None:
    with serving(database, config=configure("200ms")) as proxy:
        until(lambda: source(proxy)["read_at"])
        assert explain(proxy, "app")["origin"] == "default"
        put(database, ("app", "pro"))
        until(lambda: explain(proxy, "app")["tier"] == "pro")


def test_what_was_read_stays_while_it_cannot_be_read_and_the_log_says_so_once(database: Database) -> None:
    put(database, ("app", "pro"))
    with serving(database, config=configure("200ms")) as proxy:
        until(lambda: explain(proxy, "app")["tier"] == "pro")
        with connect(database.server, database.name) as owner:
            owner.execute("ALTER TABLE api_tiers RENAME TO gone")
        until(lambda: "42P01" in source(proxy)["error"])
        assert explain(proxy, "app")["tier"] == "pro"
        with connect(database.server, database.name) as owner:
            owner.execute("ALTER TABLE gone RENAME TO api_tiers")
        until(lambda: not source(proxy)["error"])
        (line,) = [line for line in proxy.log_lines() if line["event"] == "tiers not read"]
        assert (line["rule"], line["keys"]) == ("user", 1)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("SELECT name FROM api_tiers", "its rows have 1 columns"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("DELETE FROM api_tiers RETURNING name, tier", "read-only transaction"),
        ("SELECT g::text, 'pro' FROM generate_series(1, 5000) AS g", "more than 1000 rows"),
    ],
)
def test_source_that_cannot_be_used_is_told(database: Database, query: str, complaint: str) -> None:
    put(database, ("app", "pro"))
    settings = {"limits.max_keys": 1000}
    with serving(database, settings, config=configure(source=query)) as proxy:
        until(lambda: complaint in source(proxy)["error"])
        assert explain(proxy, "app")["tier"] == "free"


def test_connection_that_is_lost_is_opened_again(database: Database) -> None:
    put(database, ("app", "pro"))
    with serving(database, config=configure()) as proxy:
        until(lambda: explain(proxy, "app")["tier"] == "pro")
        put(database, ("app", "standard"))  # nobody is told of it
        with connect(database.server, database.name) as owner:
            killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dbproxy limits'"
            assert owner.execute(killed).fetchall() == [(True,)]
        until(lambda: explain(proxy, "app")["tier"] == "standard")
        assert source(proxy)["error"] == ""


def test_database_whose_tiers_are_read_can_be_dropped(primary: Postgres) -> None:
    with create_database(primary) as other:
        with connect(primary) as admin:
            admin.execute(f"CREATE DATABASE {other.name}_x OWNER app")
        tiers = Database(primary, f"{other.name}_x")
        try:
            with connect(primary, tiers.name) as owner:
                owner.execute(TABLE)
            put(tiers, ("app", "pro"))
            with serving(tiers, config=configure()) as proxy:
                until(lambda: explain(proxy, "app")["tier"] == "pro")
                with psycopg.connect(proxy.dsn(other.name), autocommit=True) as client:
                    client.execute(f"DROP DATABASE {tiers.name}")
                assert explain(proxy, "app")["tier"] == "pro", "what was read stays"
        finally:
            with connect(primary) as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {tiers.name} WITH (FORCE)")


def test_primary_that_has_moved_is_followed() -> None:
    with create_hosts() as servers:
        primary, *replicas = servers
        database = Database(primary, "postgres")
        with connect(primary) as owner:
            owner.execute(f"{TABLE}; CREATE TABLE ready (); GRANT ALL ON ready TO app")
        put(database, ("app", "standard"))
        for replica in replicas:
            wait_for_replay(primary, replica)
        settings = {**SETTINGS, "replicas": urls(database, replicas), "health.timeout": "500ms"}
        with serving(database, settings, config=configure()) as proxy:
            wait_for_replicas(proxy.dsn())
            until(lambda: explain(proxy, "app")["tier"] == "standard")
            put(database, ("app", "pro"))  # untold: what is read next is read as the primary has moved
            wait_for_replay(primary, replicas[0])
            fail_over(primary, replicas[0])
            until(lambda: explain(proxy, "app")["tier"] == "pro")
            put(Database(replicas[0], "postgres"), ("app", "free"), notify=True)
            until(lambda: explain(proxy, "app")["tier"] == "free")


def fail_over(primary: Postgres, replica: Postgres) -> None:
    primary.stop("immediate")
    replica.promote()
