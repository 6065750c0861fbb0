"""`python -m tests.pictures.page`: docs/images/page-….png, the page at `/` in front of a small busy installation.

A primary and two replicas, the proxy, clients that read and write; some keep their
servers, so others wait; one replica is drained, and comes back.
"""

import asyncio
import os
import random
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg

from dbproxy.demo.postgres import free_port
from dbproxy.demo.stage import ACCOUNTS, Stage, set_stage
from tests.support.browser import Tab, open_browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
CLIENTS, SECONDS = 24, float(os.environ.get("SECONDS_OF_TRAFFIC", "100"))
READS = (
    "SELECT owner, balance FROM accounts WHERE id = $1",
    "SELECT count(*) FROM transfers WHERE source = $1",
    "SELECT owner, sum(balance) FROM accounts WHERE id > $1 GROUP BY owner ORDER BY 2 DESC LIMIT 10",
)
WRITES = (
    "UPDATE accounts SET balance = balance + 1 WHERE id = $1",
    "INSERT INTO transfers (source, target, amount) VALUES ($1, 1, 1)",
)
SLOW = """
    SELECT a.owner, sum(b.balance) FROM accounts a JOIN accounts b USING (owner), pg_sleep(0.6)
    WHERE a.id > $1 GROUP BY a.owner
"""


async def work(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"application_name": name})
    try:
        while True:
            text = random.choice((*READS, *READS, *WRITES)) if random.random() > 0.003 else SLOW
            with suppress(asyncpg.PostgresError):
                await connection.fetch(
                    text if random.random() > 0.004 else "SELECT 1 / ($1 - $1)", random.randint(1, ACCOUNTS)
                )
            await asyncio.sleep(random.uniform(0.005, 0.08))
    finally:
        connection.terminate()


async def command(stage: Stage, text: str) -> None:
    console = await asyncpg.connect(stage.dsn("dbproxy"), statement_cache_size=0)
    await console.execute(text)
    console.terminate()


async def hold(stack: AsyncExitStack, dsn: str, name: str, *texts: str) -> None:
    """Somebody who keeps a server."""
    connection = await asyncpg.connect(dsn, server_settings={"application_name": name})
    stack.callback(connection.terminate)
    for text in texts:
        await connection.execute(text)


async def crowd(stack: AsyncExitStack, dsn: str) -> None:
    await hold(
        stack,
        dsn,
        "nightly",
        "CREATE TEMP TABLE totals AS SELECT owner, sum(balance) FROM accounts GROUP BY owner",
    )
    await hold(stack, dsn, "locker", "SELECT pg_advisory_lock(1)")
    await hold(stack, dsn, "migrate", "BEGIN", "ALTER TABLE visits ADD COLUMN note text")
    for number in range(6):
        await hold(
            stack,
            dsn,
            f"checkout{number}",
            "BEGIN",
            "INSERT INTO transfers VALUES (1, 2, 3)",
        )


async def play(stage: Stage, stack: AsyncExitStack) -> None:
    for number in range(CLIENTS):
        task = asyncio.create_task(work(stage.dsn(), ("web", "api", "worker")[number % 3]))
        stack.callback(task.cancel)
    await asyncio.sleep(SECONDS / 2)
    await command(stage, "DRAIN HOST replica2")
    await asyncio.sleep(SECONDS / 4)
    await command(stage, "ENABLE HOST replica2")
    await asyncio.sleep(SECONDS / 4)


async def take(tab: Tab, url: str, name: str, size: tuple[int, int], *, dark: bool = False) -> None:
    await tab.dress(*size, dark=dark)
    await tab.open(url)
    await tab.until("document.querySelectorAll('#query-list tr').length > 3 && model.before !== null")
    await tab.until("model.moment.waiters.length >= 3 && !find('waiters').hidden")
    await tab.picture(IMAGES / f"page-{name}.png", whole=size[0] > 600)


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    ports = {"DBPROXY_HTTP__PORT": str(free_port()), "DBPROXY_LISTEN__PORT": "0"}
    with set_stage({**os.environ, **ports}) as stage:
        async with AsyncExitStack() as stack, open_browser() as tab:
            await play(stage, stack)
            jam = asyncio.create_task(crowd(stack, stage.dsn()))
            stack.callback(jam.cancel)
            await asyncio.sleep(4)
            url = "http://{}:{}/".format(*stage.proxy.http_address)
            await take(tab, url, "light", (1440, 1250))
            await take(tab, url, "dark", (1440, 1250), dark=True)
            await take(tab, url, "phone", (390, 1700))
            await tab.dress(1100, 900)
            await tab.run("find('query-list').querySelector('[title^=UPDATE]').click()")
            await tab.until("document.querySelector('#statement .histogram') !== null")
            await tab.picture(IMAGES / "page-statement.png", whole=False)
            assert not tab.complaints, tab.complaints


if __name__ == "__main__":
    asyncio.run(main())
