"""Rules of the configuration and wishes of the session, with real replicas."""

import asyncio
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import REPLICAS, hosts_of, routing, wait_for_answer
from tests.support.proxy import Proxy
from tests.support.two_servers import open_client

CONFIG = """
[databases.still]
dbname = "DATABASE"
routing.mode = "off"

[users.app_trust]
routing.mode = "on"

[[routing.rules]]
relation = "item*"
function = "lower"
route = "replica(replica2)"

[[routing.rules]]
relation = "item*"
route = "primary"

[[routing.rules]]
function = "slow_report"
route = "replica"
"""
# Readers of items, each with a row whether or not there is one.
ITEMS = "SELECT current_setting('test.host') FROM (SELECT count(*) FROM items) AS i"
LOWER = "SELECT current_setting('test.host') FROM (SELECT count(lower(name)) FROM items) AS i"
WRONG = {"consistency": "strong", "route": "standby", "causal_token": "x"}


@pytest.fixture(scope="module")
def proxy(hosts: list[Postgres]) -> Iterator[Proxy]:
    with routing(hosts, config=CONFIG) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


# --- the configuration ---


def test_a_relation_is_kept_on_the_primary(client: psycopg.Connection):
    assert hosts_of(client, ITEMS) == {"primary"}
    assert hosts_of(client) == REPLICAS


def test_the_first_rule_counts(client: psycopg.Connection):
    assert hosts_of(client, LOWER) == {"replica2"}


def test_a_hint_weighs_more_than_a_rule(client: psycopg.Connection):
    assert hosts_of(client, f"/* dbproxy: replica */ {ITEMS}") == REPLICAS
    client.execute("SET dbproxy.route = 'primary'")
    assert hosts_of(client, LOWER) == {"primary"}


def test_a_rule_vouches_for_a_function(client: psycopg.Connection):
    """One in PL/pgSQL that is volatile for all that is known."""
    client.execute(
        "CREATE FUNCTION slow_report() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN current_setting('test.host'); END $$"
    )
    client.execute("CREATE FUNCTION other_report() RETURNS text LANGUAGE sql AS 'SELECT slow_report()'")
    wait_for_answer(client, "SELECT slow_report()")
    assert hosts_of(client, "SELECT slow_report()") <= REPLICAS
    assert hosts_of(client, "SELECT other_report()") == {"primary"}


def test_a_database_and_a_user_have_their_own_mode(proxy: Proxy):
    with open_client(proxy.dsn("still")) as still:
        assert hosts_of(still) == {"primary"}
    with open_client(proxy.dsn("still", user="app_trust")) as other:
        wait_for_answer(other)


# --- the session ---


@pytest.mark.parametrize("name", WRONG)
def test_a_wish_that_is_none_is_refused(client: psycopg.Connection, name: str):
    for statement in (
        f"SET dbproxy.{name} = '{WRONG[name]}'",
        f"SET dbproxy.{name} TO {WRONG[name]}",
        f"SELECT set_config('dbproxy.{name}', '{WRONG[name]}', false)",
    ):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match=f"dbproxy.{name} is "):
            client.execute(statement)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            client.execute(statement, prepare=True)
    wait_for_answer(client)


def test_a_refused_wish_fails_its_transaction(client: psycopg.Connection):
    client.execute("BEGIN")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        client.execute("SET dbproxy.route = 'standby'")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        client.execute("SELECT 1")
    client.execute("ROLLBACK")


@pytest.mark.parametrize("name", WRONG)
def test_nobody_is_let_in_with_a_wish_that_is_none(proxy: Proxy, name: str):
    with pytest.raises(psycopg.OperationalError, match=f"FATAL: *dbproxy.{name} is"):
        open_client(proxy.dsn(), options=f"-c dbproxy.{name}={WRONG[name]}")


async def test_a_wish_that_was_not_seen_ahead_is_warned_of_and_counts_as_the_strictest(proxy: Proxy):
    connection = await asyncpg.connect(proxy.dsn())
    heard: asyncio.Queue[asyncpg.PostgresLogMessage] = asyncio.Queue()
    connection.add_log_listener(lambda _, message: heard.put_nowait(message))
    try:
        await connection.fetchval("SELECT set_config('dbproxy.route', $1, false)", "standby")
        message = await heard.get()
        assert (message.severity, message.sqlstate) == ("WARNING", "22023")
        for _ in range(20):
            assert await connection.fetchval("SHOW test.host") == "primary"
    finally:
        await connection.close()
    await proxy.logged(lambda line: line["event"] == "setting not understood")


def test_reset_takes_a_wish_back(client: psycopg.Connection):
    client.execute("SET dbproxy.consistency = 'global'; SET dbproxy.route = 'primary'")
    assert hosts_of(client) == {"primary"}
    client.execute("RESET ALL")
    wait_for_answer(client)
