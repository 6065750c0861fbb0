"""No answer betrays that servers are shared: every client has a twin on a direct connection (tests.support.hunt).

    make soak                                           100,000 steps, a seed that is printed when it fails
    SEED=7 make soak                                    the same stories again
    STEPS=5000 ONLY=settings,roles SEED=7 .venv/bin/python -m pytest -m soak tests/integration/test_session_state.py
    WORLD=direct …                                      the judge judged: two direct connections, no difference
    WORLD=session …                                     through the proxy with pool.mode = session
    WORLD=routed …                                      with two replicas, which answer reads

`ONLY` takes the groups of tests.support.session_sql and tests.support.deeds: characteristics, cursors, discards,
functions, locks, looks, notifications, portals, prepared, roles, sequences, settings, statements, temporary,
transactions, breaks (cancels, timeouts), others (COPY, function calls), and three that run only if they are named:
recalls (`lastval()` in a later transaction), serials (behind a plain INSERT), sources (by which way a setting came
about). Looks, transactions and leaving are always there. A failure tells the shortest story that was found: who did
what, and the first difference.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hunt import Hunt
from tests.support.postgres import Database, connect, create_database
from tests.support.serving import serving
from tests.support.session_sql import SCHEMA
from tests.support.stage import POOL_SIZE, World
from tests.support.witness import USER

SEED = os.environ.get("SEED", "")
STEPS = int(os.environ.get("STEPS", "100000"))
ONLY = [group for group in os.environ.get("ONLY", "").split(",") if group]
WORLD = os.environ.get("WORLD", "transaction")
LOG_SHOWN = 3000  # characters of what the proxy and PostgreSQL said last, behind a difference


def world(stack: ExitStack, database: Database, host: str, port: int, *, proxied: bool = False) -> World:
    admin = stack.enter_context(connect(database.server, database.name))
    return World(host, port, database.name, admin, proxied)


@contextmanager
def two_worlds(server: Postgres, kind: str) -> Iterator[Hunt]:
    """Equal databases: one reached directly, the other as `kind` says."""
    with ExitStack() as stack:
        databases = [stack.enter_context(create_database(server)) for _ in range(2)]
        for database in databases:
            with connect(server, database.name) as connection:
                connection.execute("SET ROLE app_trust")
                connection.execute(SCHEMA)
        direct = world(stack, databases[0], server.host, server.port)
        if kind == "direct":
            yield Hunt(direct, world(stack, databases[1], server.host, server.port), ONLY)
            return
        size = 20 if kind == "session" else POOL_SIZE
        mode = "session" if kind == "session" else "transaction"
        rules = {"pool.mode": mode, "pool.size": size, "pool.reserve_size": 0, "auth.type": "trust"}
        if kind == "routed":
            replicas = [stack.enter_context(server.create_replica(name)) for name in ("replica1", "replica2")]
            urls = ",".join(replica.dsn(databases[1].name, USER) for replica in replicas)
            rules |= {"replicas": urls, "health.lag_interval": "20ms", "routing.slow_start": "0s"}
        proxy = stack.enter_context(serving(replace(databases[1], user=USER), rules))
        try:
            yield Hunt(direct, world(stack, databases[1], proxy.host, proxy.port, proxied=True), ONLY)
        except (AssertionError, psycopg.Error):
            print(proxy.log()[-LOG_SHOWN:], server.log()[-LOG_SHOWN:], sep="\n")  # noqa: T201  # beside the failure
            raise


def test_two_direct_connections_are_alike(primary: Postgres):
    with two_worlds(primary, "direct") as hunt:
        hunt.run(200, 1)


@pytest.mark.timeout(600)
def test_clients_are_answered_as_on_connections_of_their_own(primary: Postgres):
    with two_worlds(primary, "transaction") as hunt:
        hunt.run(800, 3)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_clients_are_answered_as_on_connections_of_their_own_in_100_000_steps(primary: Postgres):
    number = int(SEED or secrets.randbelow(10**6))
    with two_worlds(primary, WORLD) as hunt:
        try:
            hunt.run(STEPS, number)
        except AssertionError as difference:
            raise AssertionError(f"SEED={number}, within {hunt.done} steps: {difference}") from None
