"""The log of slow queries: what ran how long for whom, and never a literal."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import COPY_DONE, copy_data

CARD = "4111-1111"


@pytest.fixture
def proxy(module_database: Database) -> Iterator[Proxy]:
    settings = {
        "pool.size": 1, "pool.reserve_size": 0, "slow_query.threshold": "50ms", "auth.type": "trust",
    }  # fmt: skip
    with serving(module_database, settings) as running:
        yield running
        assert CARD not in running.log()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True, application_name="shop") as connected:
        yield connected


async def slow_line(proxy: Proxy, part: str) -> dict[str, Any]:
    return await proxy.logged(lambda line: line["event"] == "slow query" and part in line["statement"])


def pause(database: Database) -> None:
    """As long as a slow query."""
    with psycopg.connect(database.dsn) as clock:
        clock.execute("SELECT pg_sleep(0.2)")


async def test_simple_query(proxy: Proxy, client: psycopg.Connection, module_database: Database):
    client.execute(f"SELECT pg_sleep(0.1), '{CARD}' AS card, 12345 AS number")
    line = await slow_line(proxy, "pg_sleep")
    assert "card" in line["statement"]
    assert "12345" not in line["statement"]
    assert line["duration_ms"] == pytest.approx(line["wait_ms"] + line["run_ms"], abs=0.01)
    assert line["run_ms"] >= 100
    assert line["wait_ms"] < 100
    assert (line["user"], line["database"], line["application_name"]) == ("app", module_database.name, "shop")
    assert line["client"].startswith("127.0.0.1:")
    assert line["connection_id"] > 0
    assert line["query_id"] > 0


@pytest.mark.parametrize("threshold", [0, None])
async def test_extended_query(proxy: Proxy, client: psycopg.Connection, threshold: int | None):
    client.prepare_threshold = threshold
    for _ in range(2):  # the second is only bound
        client.execute("SELECT pg_sleep(%s), %s::text", [0.1, CARD])
    await slow_line(proxy, "pg_sleep($1)")
    assert sum(line["event"] == "slow query" for line in proxy.log_lines()) == 2


async def test_pause_after_a_copy_is_nobodys(proxy: Proxy, module_database: Database):
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        client.send(build.query("CREATE TEMP TABLE copied (id int); COPY copied FROM STDIN"))
        while client.read()[0] != "G":
            continue
        client.ask(copy_data(b"1\n"), COPY_DONE)
        pause(module_database)
        client.ask(build.query("SELECT 1 AS after_the_copy"))
    assert not [line for line in proxy.log_lines() if line["event"] == "slow query"]


async def test_waiting_is_told_from_running(
    proxy: Proxy, client: psycopg.Connection, module_database: Database
):
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as waiting:
        client.execute("BEGIN")
        waiting.send(build.query("SELECT 7 AS waited"))
        client.execute("SELECT pg_sleep(0.2)")
        client.execute("COMMIT")
        waiting.read_until_ready()
    line = await slow_line(proxy, "waited")
    assert line["wait_ms"] > 150
    assert line["run_ms"] < 100


async def test_time_between_preparing_and_using_is_nobodys(proxy: Proxy, module_database: Database):
    """As asyncpg does: it prepares with Flush, not Sync, and may use the statement much later."""
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        client.send(
            build.parse("later", "SELECT 8 AS prepared") + build.describe_statement("later") + b"H\0\0\0\4"
        )
        assert [client.read()[0] for _ in range(3)] == ["1", "t", "T"]
        pause(module_database)
        bind = b"B\0\0\0\x11\0later\0" + b"\0\0" * 3
        client.ask(bind[:4] + bytes([len(bind) - 1]) + bind[5:] + b"E\0\0\0\x09\0\0\0\0\0" + build.sync())
    assert not [line for line in proxy.log_lines() if line["event"] == "slow query"]


async def test_statement_with_secrets(proxy: Proxy, client: psycopg.Connection):
    statement = f"ALTER ROLE app PASSWORD '{CARD}'"
    client.execute(f"DO $body$ BEGIN PERFORM pg_sleep(0.1); PERFORM $${statement}$$; END $body$")
    with pytest.raises(psycopg.errors.DivisionByZero):
        client.execute(f"SELECT pg_sleep(0.1), E'\\'{CARD}', U&'{CARD}', 1 / 0 /* {CARD} */")
    await slow_line(proxy, "DO" if "DO" in proxy.log() else "do")
    assert json.dumps(CARD) not in proxy.log()


async def test_storm_is_bounded(module_database: Database):
    settings = {"slow_query.threshold": "0s", "auth.type": "trust"}
    with serving(module_database, settings) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        for _ in range(500):
            client.execute("SELECT 1")
        line = await proxy.logged(lambda line: line["event"] == "slow queries not logged")
        assert line["count"] > 300
