"""Random transactions through a proxy that answers from what it keeps, and beside it without one: both say the same."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.kept import SETTINGS, Kept
from tests.support.postgres import Database, connect, create_cluster, create_database
from tests.support.serving import serving
from tests.support.transactions import CLIENTS, SCHEMA, Difference, Player, play
from tests.support.twins import Line

STEPS = 2000
USER = "app_trust"  # of whom nobody asks a password


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with create_cluster(wal_level="logical") as running:
        running.psql(f"ALTER ROLE app REPLICATION; ALTER ROLE {USER} REPLICATION")
        yield running


@contextmanager
def twin_of(database: Database) -> Iterator[str]:
    """Another database with the same OIDs."""
    name = f"{database.name}_twin"
    database.server.psql(f"CREATE DATABASE {name} TEMPLATE {database.name} OWNER app")
    try:
        yield name
    finally:
        database.server.psql(f"DROP DATABASE {name} WITH (FORCE)")


def compare(
    server: Postgres, invalidation: str, steps: int, seed: object, *, forgets_isolation: bool = False
) -> Counter[str]:
    """What was played, and how many `hits` there were; Difference."""
    with create_database(server) as database, ExitStack() as stack:
        with connect(server, database.name) as owner:
            owner.execute(f"SET ROLE {USER}")
            owner.execute(SCHEMA)
            owner.execute("RESET ROLE; CREATE PUBLICATION dbproxy_cache FOR TABLE items, others")
        twin = stack.enter_context(twin_of(database))
        settings = {**SETTINGS, "cache.invalidation": invalidation, "auth.type": "trust"}
        proxy = stack.enter_context(serving(database, settings, url=server.dsn(database.name, USER)))
        with Kept(proxy) as kept, psycopg.connect(proxy.dsn(user=USER), autocommit=True) as client:
            kept.wait(client, "SELECT sum(n) FROM items")
        players = []
        for number in range(1, CLIENTS + 1):
            direct = stack.enter_context(Line(server.host, server.port, user=USER, database=twin))
            judged = stack.enter_context(Line("127.0.0.1", proxy.port, user=USER, database=database.name))
            players.append(Player(number, direct, judged, seed))
            players[-1].forgets_isolation = forgets_isolation
        counts = play(players, steps, seed)
        with Kept(proxy) as kept:
            counts["hits"] = kept.console.execute("SHOW CACHE").fetchall()[-1]["hits"]
        return counts


@pytest.mark.parametrize("invalidation", ["proxy", "wal"])
def test_random_transactions_are_told_what_they_are_told_directly(server: Postgres, invalidation: str):
    counts = compare(server, invalidation, STEPS, random.random())
    assert counts["in transactions"] > STEPS // 3
    assert counts["hits"] > STEPS // 50, counts


@pytest.mark.soak
@pytest.mark.parametrize("invalidation", ["proxy", "wal"])
def test_100000_steps_of_random_transactions_are_told_what_they_are_told_directly(
    server: Postgres, invalidation: str
):
    compare(server, invalidation, 100_000, random.random())


def test_the_same_transactions_notice_an_isolation_that_does_not_count(server: Postgres):
    """So the above can fail: here REPEATABLE READ is left out of what the proxy is told."""
    with pytest.raises(Difference):
        compare(server, "proxy", 10 * STEPS, 1, forgets_isolation=True)
