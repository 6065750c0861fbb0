"""The log of slow queries: what ran how long for whom, and never a literal."""

import asyncio
import json
import re
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
    assert line["address"].startswith("127.0.0.1:")
    assert line["client"] > 0
    assert line["request_id"].startswith(f"{line['client']}-")
    assert re.fullmatch("[0-9a-f]{16}", line["query"])


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


PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"


@pytest.mark.parametrize("threshold", [0, None])
async def test_ids_are_those_of_the_clients_comment(
    proxy: Proxy, client: psycopg.Connection, threshold: int | None
):
    client.prepare_threshold = threshold
    client.execute(f"SELECT pg_sleep(%s) /*action='it\\'s',route='%%2Fitems',traceparent='{PARENT}'*/", [0.1])
    line = await slow_line(proxy, "pg_sleep")
    assert (line["traceparent"], line["trace_id"]) == (PARENT, PARENT[3:35])
    assert (line["route"], line["action"]) == ("/items", "it's")
    assert "request_id" not in line


async def test_ids_of_a_prepared_text_are_those_of_its_first_execution_only(
    proxy: Proxy, client: psycopg.Connection
):
    client.prepare_threshold = 0
    for seconds in (0.1, 0.11):
        client.execute("SELECT pg_sleep(%s) /*request_id='first'*/", [seconds])
    lines = [line for line in proxy.log_lines() if line["event"] == "slow query"]
    assert [line["request_id"] == "first" for line in lines] == [True, False]


async def test_a_comment_in_a_string_is_none(proxy: Proxy, client: psycopg.Connection):
    client.execute("SELECT pg_sleep(0.1), '/*request_id=''stolen''*/'")
    assert (await slow_line(proxy, "pg_sleep"))["request_id"] != "stolen"


async def test_threshold_is_the_users_over_the_databases_over_that_for_all(module_database: Database):
    config = f"""
        [slow_query]
        threshold = "0s"
        [databases.{module_database.name}.slow_query]
        threshold = "1h"
        [databases.postgres.slow_query]
        threshold = "1h"
        [users.app.slow_query]
        enabled = false
    """
    with serving(module_database, {"auth.type": "trust"}, config=config) as proxy:
        for user, database in (("app", "postgres"), ("app_trust", "postgres"), ("app_trust", "template1")):
            with psycopg.connect(proxy.dsn(user=user, dbname=database), autocommit=True) as client:
                client.execute(f"SELECT 1 AS by_{user}_{database}")
        line = await slow_line(proxy, "by_")
        assert "by_app_trust_template1" in line["statement"]
        assert sum("by_" in line.get("statement", "") for line in proxy.log_lines()) == 1


async def plan_of(proxy: Proxy, part: str) -> dict[str, Any]:
    return await proxy.logged(lambda line: line["event"] == "slow query plan" and part in line["plan"])


@pytest.fixture
def explaining(module_database: Database) -> Iterator[Proxy]:
    settings = {"slow_query.threshold": "0s", "slow_query.explain": "reads", "auth.type": "trust"}
    with psycopg.connect(module_database.dsn, autocommit=True) as direct:
        direct.execute("CREATE TABLE IF NOT EXISTS planned (id int, name text)")
    with serving(module_database, settings) as running:
        yield running
        assert CARD not in running.log()


async def test_plan_of_a_slow_read_is_told_without_its_literals(explaining: Proxy):
    with psycopg.connect(explaining.dsn(), autocommit=True) as client:
        client.execute(f"SELECT id FROM planned WHERE name = '{CARD}' AND id > 4711 /*request_id='me'*/")
        line = await plan_of(explaining, "Seq Scan on planned")
        assert "Filter: ((id > $?) AND (name = $?::text))" in line["plan"]
        assert line["request_id"] == "me"
        slow = next(line for line in explaining.log_lines() if line["event"] == "slow query")
        assert line["query"] == slow["query"]


async def test_plan_of_a_statement_with_parameters_under_the_sessions_settings(explaining: Proxy):
    with psycopg.connect(explaining.dsn(), autocommit=True) as client:
        client.execute("SET enable_seqscan = off")
        client.execute("SET search_path = pg_catalog")
        client.execute("SELECT 1 FROM pg_class WHERE oid = %s", [42])
        assert "$1" in (await plan_of(explaining, "pg_class"))["plan"]


async def test_a_plan_is_asked_for_once_and_of_no_write_and_no_second_statement(
    explaining: Proxy, module_database: Database
):
    with psycopg.connect(explaining.dsn(), autocommit=True) as client:
        client.execute("TRUNCATE planned")
        client.execute("INSERT INTO planned VALUES (1)")
        client.execute("SELECT 'first' FROM planned; INSERT INTO planned VALUES (2)")
        client.execute("SELECT id INTO TEMP kept FROM planned")
        for _ in range(3):
            client.execute("SELECT count(*) FROM planned")
            await plan_of(explaining, "Aggregate")
        assert client.execute("SELECT count(*) FROM planned").fetchone() == (2,)
    plans = [line["plan"] for line in explaining.log_lines() if line["event"] == "slow query plan"]
    assert sum("Aggregate" in plan for plan in plans) == 1
    assert not [plan for plan in plans if plan.startswith("ModifyTable")]


async def test_plan_of_a_write_runs_nothing(module_database: Database):
    settings = {"slow_query.threshold": "0s", "slow_query.explain": "all", "auth.type": "trust"}
    with (
        psycopg.connect(module_database.dsn, autocommit=True) as direct,
        serving(module_database, settings) as proxy,
    ):
        direct.execute("CREATE TABLE written (id int)")
        with psycopg.connect(proxy.dsn(), autocommit=True) as client:
            client.execute("INSERT INTO written VALUES (1)")
            await plan_of(proxy, "ModifyTable on written")
        assert direct.execute("SELECT count(*) FROM written").fetchone() == (1,)


async def test_parameters_are_shown_where_that_is_asked_for_and_masked_by_their_form(
    module_database: Database,
):
    settings = {"slow_query.threshold": "0s", "log.parameters": "on", "auth.type": "trust"}
    with serving(module_database, settings) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        client.execute("SELECT %s::text, %s::text, 'literal' AS asked", ["shown", "someone@example.com"])
        line = await slow_line(proxy, "asked")
        assert line["parameters"] == ["shown", "***"]
        assert "'literal'" in line["statement"]
        assert "someone@" not in proxy.log()
        with psycopg.connect(proxy.dsn(dbname="dbproxy", user="dbproxy"), autocommit=True) as console:
            console.execute("SET log.parameters = off")
        client.execute("SELECT %s::text AS behind", ["unseen"])
        assert "parameters" not in await slow_line(proxy, "behind")
        assert "unseen" not in proxy.log()


async def test_storm_is_bounded(module_database: Database):
    settings = {"slow_query.threshold": "0s", "auth.type": "trust"}
    with serving(module_database, settings) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        for _ in range(500):
            client.execute("SELECT 1")
        async with asyncio.timeout(30):
            while count_unlogged(proxy) <= 300:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)


def count_unlogged(proxy: Proxy) -> int:
    return sum(line["count"] for line in proxy.log_lines() if line["event"] == "slow queries not logged")
