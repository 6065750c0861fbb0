"""`make pictures`: docs/top.svg, `dbproxy top` in front of a small busy installation.

A primary and two replicas, the proxy with a pool that is too small, clients that read and write; one keeps its
transaction open, one is pinned, one reports slowly: so others wait.
"""

import asyncio
import io
import random
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import asyncpg
from rich.console import Console

from dbproxy.terminal.address import Address
from dbproxy.terminal.top import Top
from tests.pictures.svg import export
from tests.support.hosts import create_hosts, routing
from tests.support.proxy import Proxy

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = {"pool.size": 6, "pool.reserve_size": 0}
SHOP = '[databases.shop]\ndbname = "DATABASE"\n'
WIDTH, ROWS = 150, 6
CLIENTS, LOOKS, INTERVAL = 24, 16, 0.5
ACCOUNTS = 1000
SCHEMA = f"""
CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, balance int NOT NULL);
INSERT INTO accounts SELECT id, 'owner ' || id % 50, 100 FROM generate_series(1, {ACCOUNTS}) AS id;
CREATE TABLE transfers (source int, target int, amount int);
CREATE TABLE visits (at timestamptz NOT NULL DEFAULT now())"""
READ = "SELECT owner, balance FROM accounts WHERE id = $1"
WRITE = "UPDATE accounts SET balance = balance + 1 WHERE id = $1"
REPORT = "WITH late AS MATERIALIZED (SELECT pg_sleep(60)) SELECT owner, sum(balance) FROM accounts, late GROUP BY owner"


async def work(dsn: str, texts: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"application_name": "web"})
    try:
        while True:
            await connection.execute(random.choice(texts), random.randint(1, ACCOUNTS))
            await asyncio.sleep(random.uniform(0.01, 0.1))
    finally:
        connection.terminate()


async def crowd_the_primary(stack: AsyncExitStack, dsn: str) -> None:
    """Who keeps servers, each in another way."""
    for name, texts in {
        "checkout": ["BEGIN", "UPDATE accounts SET balance = balance - 7 WHERE id = 42"],
        "importer": ["BEGIN", "INSERT INTO visits DEFAULT VALUES"],
        "nightly": ["CREATE TEMP TABLE totals AS SELECT owner, sum(balance) FROM accounts GROUP BY owner"],
        "locker": ["SELECT pg_advisory_lock(1)"],
        "migrate": ["BEGIN", "ALTER TABLE transfers ADD COLUMN note text"],
    }.items():
        connection = await asyncpg.connect(dsn, server_settings={"application_name": name})
        stack.callback(connection.terminate)
        for text in texts:
            await connection.execute(text)
    report = await asyncpg.connect(dsn, server_settings={"application_name": "reports"})
    running = asyncio.create_task(report.execute(f"BEGIN; {REPORT}"))
    stack.callback(running.cancel)
    stack.callback(
        report.terminate
    )  # ahead of that: asyncpg would ask for the query to be cancelled, and wait


async def fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(SCHEMA)
    await connection.close()


async def take(proxy: Proxy) -> str:
    dsn = proxy.dsn("shop")
    await fill(dsn)
    async with AsyncExitStack() as stack:
        for number in range(CLIENTS):
            texts = (READ, READ, WRITE) if number % 4 == 0 else (READ,)
            stack.callback(asyncio.create_task(work(dsn, texts)).cancel)
        screen = Console(
            width=WIDTH, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
        )
        top = Top(Address(proxy.host, proxy.port, "app"))
        stack.callback(top.close)
        for number in range(LOOKS):
            await asyncio.sleep(INTERVAL)
            if number == LOOKS - 3:
                await crowd_the_primary(stack, dsn)
            shown = await asyncio.to_thread(top.look, monotonic(), ROWS)
        screen.print(shown)
        return export(screen, "dbproxy top", "top")


def main() -> None:
    with create_hosts() as hosts, routing(hosts, SETTINGS, config=SHOP, entry="shop") as proxy:
        picture = asyncio.run(take(proxy))
    (DOCS / "top.svg").write_text(picture)


if __name__ == "__main__":
    main()
