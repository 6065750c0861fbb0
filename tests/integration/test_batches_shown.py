"""Batches on the proxy's console, over HTTP and as metrics: all from the ledger of the database that they change."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.batches import ONCE, ask, create, make, run, start, until, wait_until
from tests.support.batches import command as run_command
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

SLOW = "UPDATE t SET n = n + 1 WHERE {chunk} AND pg_sleep(0.001) IS NOT NULL"


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    create(database, 20_000)
    with serving(database, {"auth.admin_users": "app"}) as running:
        yield running


def command(proxy: Proxy, words: str) -> list[dict[str, Any]]:
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True, row_factory=dict_row) as console:
        cursor = console.execute(words)
        return cursor.fetchall() if cursor.description else []


def refused(proxy: Proxy, words: str) -> str | None:
    with pytest.raises(psycopg.Error) as failed:
        command(proxy, words)
    return failed.value.sqlstate


def get(proxy: Proxy, path: str) -> str:
    with urllib.request.urlopen(f"{proxy.http_url}{path}") as answer:
        return answer.read().decode()


def test_where_nobody_runs_batches_there_are_none(proxy: Proxy) -> None:
    assert command(proxy, "SHOW BATCHES") == []
    assert json.loads(get(proxy, "/batches")) == {"batches": []}
    assert refused(proxy, "PAUSE BATCH t-1") == "42704"


async def test_batch_is_watched_and_steered(proxy: Proxy, database: Database) -> None:
    async with make(database.dsn, SLOW, name="b", chunk_size=20, adaptive=False) as batch:
        running = asyncio.create_task(batch.run())

        def shown() -> dict[str, Any]:
            found = command(proxy, "SHOW BATCHES")
            return found[0] if found else {"state": "", "rows": 0, "waits_for": ""}

        await until(lambda: shown()["rows"] > 100)
        found = await asyncio.to_thread(shown)
        assert (found["id"], found["kind"], found["table"], found["state"]) == (
            "b",
            "run",
            "public.t",
            "running",
        )
        assert (found["database"], found["chunk_size"], found["errors"]) == (database.name, 20, 0)
        assert 0 < float(found["percent"]) < 100
        assert found["eta"] > 0

        await asyncio.to_thread(command, proxy, "PAUSE BATCH b")
        await until(lambda: shown()["state"] == "paused")
        before = await asyncio.to_thread(shown)
        await until(
            lambda: float(ask(database, "SELECT throttled ->> 'paused' FROM dbproxy.batch_jobs")[0][0] or 1)
        )
        assert (await asyncio.to_thread(shown))["rows"] == before["rows"]

        await asyncio.to_thread(command, proxy, "SET BATCH b chunk_size = 5")
        await asyncio.to_thread(command, proxy, "RESUME BATCH b")
        await until(lambda: shown()["chunk_size"] == 5)
        assert await asyncio.to_thread(refused, proxy, "SET BATCH b chunk_size = 0") == "22023"
        assert await asyncio.to_thread(refused, proxy, "SET BATCH b chunks = 5") == "22023"
        assert await asyncio.to_thread(refused, proxy, "SET BATCH b workers = 4") == "55000"

        await asyncio.to_thread(command, proxy, f"CANCEL BATCH b {database.name}")
        await asyncio.wait({running})
        assert "cancelled" in str(running.exception())
        assert (await asyncio.to_thread(shown))["state"] == "cancelled"
        assert await asyncio.to_thread(refused, proxy, "RESUME BATCH b") == "55000"
        assert await asyncio.to_thread(refused, proxy, "SET BATCH b chunk_size = 7") == "55000"


async def test_query_that_gives_no_boolean_is_not_set(proxy: Proxy, database: Database) -> None:
    async with make(database.dsn, name="b") as batch:
        await batch.begin()
    for query in (
        "SELECT",
        "SELECT ''f''",
        "SELECT true FROM t",
        "SELECT nothing",
        "DELETE FROM t RETURNING true",
    ):
        assert await asyncio.to_thread(refused, proxy, f"SET BATCH b throttle.query = '{query}'") == "22023"
    await asyncio.to_thread(command, proxy, "SET BATCH b throttle.query = 'SELECT false'")
    settings = ask(database, "SELECT settings, (SELECT count(*) FROM t) FROM dbproxy.batch_jobs")
    assert settings == [({"throttle.query": "SELECT false"}, 20_000)]


def test_batch_that_was_killed_is_interrupted(proxy: Proxy, database: Database) -> None:
    words = ("run", "--table", "t", SLOW, "--id", "b", "--execute", "--no-throttle", "--set", "chunk_size=50")
    with start(database.dsn, *words) as process:
        wait_until(lambda: any(batch["rows"] for batch in command(proxy, "SHOW BATCHES")))
        process.kill()
        process.communicate()
    wait_until(lambda: command(proxy, "SHOW BATCHES")[0]["state"] == "interrupted")
    assert refused(proxy, "PAUSE BATCH b") == "55000"
    command(proxy, "CANCEL BATCH b")
    assert command(proxy, "SHOW BATCHES")[0]["state"] == "cancelled"
    assert refused(proxy, "CANCEL BATCH b") == "55000"


async def test_metrics_tell_of_batches_of_databases_that_clients_use(
    proxy: Proxy, database: Database
) -> None:
    await run(database.dsn, ONCE, chunk_size=1000)
    with psycopg.connect(proxy.dsn()) as client:
        client.execute("SELECT 1")
    text = await until(lambda: found if "dbproxy_batch_" in (found := get(proxy, "/metrics")) else "")
    labels = f'database="{database.name}",job="t-1"'
    assert f'dbproxy_batch_rows_total{{{labels},outcome="ok"}} 20000.0' in text
    assert f"dbproxy_batch_progress_ratio{{{labels}}} 1.0" in text
    ask(database, "UPDATE dbproxy.batch_jobs SET ended = now() - interval '25 h'")
    assert len(json.loads(await asyncio.to_thread(get, proxy, "/batches"))["batches"]) == 1


def test_command_line_asks_the_proxy_that_it_is_told(proxy: Proxy, database: Database) -> None:
    words = ("run", "--table", "t", ONCE, "--execute", "--proxy")
    for where, known in ((proxy.http_url, True), ("off", True), ("http://127.0.0.1:1", False)):
        code, _, err = run_command(database.dsn, *words, where)
        assert code == 0
        assert ("the proxy does not answer" not in err) == known
    code, _, err = run_command(database.dsn, *words, "127.0.0.1:1")
    assert code == 2
    assert "must be such as http://10.0.0.5:9127, or off" in err


def test_ledger_that_may_not_be_read_says_why(database: Database) -> None:
    with connect(database.server, database.name) as owner:
        owner.execute(
            "CREATE SCHEMA dbproxy; CREATE TABLE dbproxy.batch_errors (); CREATE TABLE dbproxy.batch_jobs ()"
        )
    with serving(database, {"auth.admin_users": "app"}) as proxy:
        assert refused(proxy, "SHOW BATCHES") == "42501"
        assert refused(proxy, "PAUSE BATCH b") == "42501"
