"""Names of hosts that lead to another server after a while: DNS, as a failover or a cloud service moves it."""

import asyncio
import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.crowd import TABLE, Crowd, read_ledger, wait_for_standby
from tests.support.hosts import SETTINGS, create_hosts, wait_for_answer
from tests.support.names import NamedProxy
from tests.support.postgres import PASSWORD, Database, connect, wait_for_replay
from tests.support.serving import judge_log, wait_for_activity
from tests.support.two_servers import open_client

FAST = {**SETTINGS, "health.timeout": "500ms", "health.failure_threshold": 2, "health.interval": "200ms"}
MOVED = "host is another server"


def url(name: str) -> str:
    return f"postgresql://app:{PASSWORD}@{name}/postgres"


@pytest.fixture
def hosts() -> Iterator[list[Postgres]]:
    with create_hosts() as servers:
        primary, *replicas = servers
        with connect(primary) as owner:
            owner.execute(TABLE)
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield servers


@pytest.fixture
def proxy(hosts: list[Postgres], request: pytest.FixtureRequest) -> Iterator[NamedProxy]:
    """`db.test` is the primary; `request.param`: the names of those replicas that it knows, too."""
    names = dict(zip(("db.test", "one.test", "two.test"), (server.port for server in hosts), strict=True))
    replicas = ",".join(url(name) for name in request.param)
    with NamedProxy(url("db.test"), names, settings={**FAST, "replicas": replicas}) as running:
        if request.param:
            with open_client(running.dsn()) as client:
                wait_for_answer(client)
        yield running
        judge_log(running)


@pytest.mark.parametrize("proxy", [["one.test", "two.test"]], indirect=True)
async def test_name_that_follows_the_primary_is_no_second_one(proxy: NamedProxy, hosts: list[Postgres]):
    await asyncio.to_thread(wait_for_standby, hosts[0])
    crowd = Crowd(proxy.dsn(), 10, every=3)
    async with crowd.busy():
        await crowd.go_on()
        os.kill(hosts[0].pid, signal.SIGKILL)
        await crowd.until(lambda: "primary lost" in proxy.log())
        await asyncio.to_thread(hosts[1].promote)
        proxy.move({"db.test": hosts[1].port})
        written = len(crowd.acknowledged)
        await crowd.until(lambda: MOVED in proxy.log())
        await crowd.until(lambda: len(crowd.acknowledged) > written + 100)
    assert "fenced" not in proxy.log()
    assert not crowd.stuck
    assert not crowd.missing(read_ledger(hosts[1]))


@pytest.mark.parametrize("proxy", [["two.test"]], indirect=True)
async def test_server_that_lost_its_name_is_left_whatever_it_still_does(
    proxy: NamedProxy, hosts: list[Postgres]
):
    async with (
        await psycopg.AsyncConnection.connect(proxy.dsn()) as busy,
        await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as idle,
    ):
        await idle.execute("INSERT INTO ledger VALUES (1, 1)")
        await busy.execute("INSERT INTO ledger VALUES (2, 1)")
        await asyncio.to_thread(wait_for_replay, hosts[0], hosts[1])
        await asyncio.to_thread(hosts[1].promote)
        proxy.move({"db.test": hosts[1].port})
        await Crowd(proxy.dsn(), 1).until(lambda: MOVED in proxy.log())
        with pytest.raises(psycopg.OperationalError) as failure:
            await busy.execute("INSERT INTO ledger VALUES (2, 2)")
        assert failure.value.sqlstate in ("08006", None)
        await idle.execute("INSERT INTO ledger VALUES (1, 2)")
    assert read_ledger(hosts[0]) == {(1, 1)}
    assert read_ledger(hosts[1]) == {(1, 1), (1, 2)}


@pytest.mark.parametrize("proxy", [["one.test"]], indirect=True)
async def test_reads_follow_the_name_of_a_replica(proxy: NamedProxy, hosts: list[Postgres]):
    crowd = Crowd(proxy.dsn(), 10)
    async with crowd.busy():
        await crowd.until(lambda: crowd.hosts["replica1"] > 100)
        proxy.move({"one.test": hosts[2].port})
        await crowd.until(lambda: crowd.hosts["replica2"] > 100)
        await crowd.until(lambda: MOVED in proxy.log())
        left = crowd.hosts["replica1"]
        await crowd.go_on(1000)
    assert crowd.hosts["replica1"] <= left + crowd.size
    assert not crowd.errors, crowd.said


@pytest.mark.parametrize("proxy", [[]], indirect=True)
async def test_name_of_a_single_server_is_looked_up_at_each_connect(proxy: NamedProxy, hosts: list[Postgres]):
    crowd = Crowd(proxy.dsn(), 10, every=2)
    async with crowd.busy():
        await crowd.go_on()
        os.kill(hosts[0].pid, signal.SIGKILL)
        await asyncio.to_thread(hosts[1].promote)
        proxy.move({"db.test": hosts[1].port})
        await crowd.until(lambda: crowd.hosts["replica1"] > 100)
        written = len(crowd.acknowledged)
        await crowd.until(lambda: len(crowd.acknowledged) > written + 100)
    assert not crowd.stuck


@pytest.mark.parametrize("proxy", [[]], indirect=True)
async def test_cancel_goes_to_the_server_that_runs_the_query(proxy: NamedProxy, hosts: list[Postgres]):
    async with await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as client:
        running = asyncio.create_task(client.execute("SELECT pg_sleep(60)"))
        await asyncio.to_thread(wait_for_activity, Database(hosts[0], "postgres"), "SELECT pg_sleep(60)")
        proxy.move({"db.test": hosts[1].port})
        await asyncio.to_thread(client.cancel)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running
