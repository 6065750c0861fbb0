"""Limits before a primary and its replicas: what is asked once is paid for once, whoever answers it at last."""

import asyncio
from contextlib import suppress

import psycopg

from dbproxy.demo.postgres import Postgres
from tests.integration.test_console import connect as console
from tests.integration.test_console import show, until
from tests.integration.test_hedging import ask_all_ways, rescues, through
from tests.support.crowd import Crowd
from tests.support.faults import Line
from tests.support.hosts import REPLICAS, host, hosts_of, routing
from tests.support.postgres import connect
from tests.support.proxy import Proxy

LIMITED = {"limits.mode": "on", "limits.tier": "enterprise"}


def standing(proxy: Proxy) -> tuple[int, int, int]:
    """Transactions let through, requests refused, transactions that run."""
    with console(proxy) as admin:
        (row,) = (row for row in show(admin, "LIMITS") if row["key"] == "app")
    return row["transactions"], row["refused"], row["running"]


def used_since(proxy: Proxy, before: int) -> int:
    until(lambda: standing(proxy)[1:] == (0, 0))
    return standing(proxy)[0] - before


def wait_for_reads(proxy: Proxy) -> None:
    """Until a replica answers."""
    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None) as client:
        until(lambda: host(client) in REPLICAS)


async def terminate(server: Postgres, over: asyncio.Event) -> None:
    """All that the proxy has there, again and again."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
    with connect(server) as owner:
        while not over.is_set():
            await asyncio.to_thread(owner.execute, others)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.05)


async def test_reads_that_lose_their_replica_are_paid_for_once(hosts: list[Postgres]):
    with routing(hosts, LIMITED) as proxy:
        until(lambda: standing(proxy)[2] == 0)
        before, over = standing(proxy)[0], asyncio.Event()
        crowd = Crowd(proxy.dsn(), 10)
        async with crowd.busy():
            assassins = [asyncio.create_task(terminate(replica, over)) for replica in hosts[1:]]
            await crowd.until(lambda: crowd.answers >= 1000 and sum(rescues(proxy).values()) > 10)
            over.set()
            await asyncio.gather(*assassins)
        assert not crowd.errors, crowd.said
        assert used_since(proxy, before) == crowd.answers


async def test_hedged_reads_are_paid_for_once(hosts: list[Postgres]):
    often = {"routing.hedge_after": "10ms", "routing.balancing": "random", "auth.admin_users": "app"}
    async with Line(hosts[1].port) as line:
        with through(hosts, line, **often, **LIMITED) as proxy:
            await asyncio.to_thread(wait_for_reads, proxy)
            before = used_since(proxy, 0)
            line.down.delay = 0.04
            times = 0
            async with asyncio.timeout(60):
                while not (await asyncio.to_thread(rescues, proxy)).get("hedged"):
                    await asyncio.gather(*(ask_all_ways(proxy.dsn(), client, 10) for client in range(1, 11)))
                    times += 10 * 10
            used = await asyncio.to_thread(used_since, proxy, before)
    assert used == 3 * times  # a query, a pipeline, a COPY


def test_transaction_that_writes_after_all_is_one(hosts: list[Postgres]):
    with (
        routing(hosts, LIMITED) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None) as client,
    ):
        assert hosts_of(client, times=10) <= REPLICAS
        before = used_since(proxy, 0)
        for text in ("BEGIN READ ONLY", "SET TRANSACTION READ WRITE", "DELETE FROM items", "COMMIT"):
            client.execute(text)
        with client.transaction():
            client.execute("INSERT INTO items VALUES (1, 'a')")
            client.execute("SELECT count(*) FROM items")
        assert used_since(proxy, before) == 2
