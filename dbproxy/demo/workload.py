"""What an application's connections do: short reads and writes, transactions, now and then something slow.

asyncpg prepares every statement that has arguments and calls it by its name from then on; one without goes by
the simple protocol. So both protocols are in it, and prepared statements whose clients move between servers.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeAlias

import asyncpg

from dbproxy.demo.proxy import SLOW_AFTER
from dbproxy.demo.stage import ACCOUNTS, USER

Connection: TypeAlias = Any  # asyncpg publishes no types
Action: TypeAlias = Callable[[Connection], Awaitable[None]]

CLIENTS = 200
SECONDS = 6.0
SLOW_QUERIES = 10  # one each by as many clients, spread over the time
SLEEP = SLOW_AFTER + 0.1
THINK = (0.05, 0.25)  # seconds between two actions of a client
LOOK_INTERVAL = 0.05
TIMEOUT = 60.0


@dataclass
class Outcome:
    """What happened, as the clients saw it; `servers` is the most that PostgreSQL saw of us at once."""

    seconds: float = 0.0
    servers: int = 0
    answered: set[int] = field(default_factory=set)  # the clients with an answer
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds, by action
    errors: Counter[str] = field(default_factory=Counter)

    async def time(self, client: int, name: str, action: Action, connection: Connection) -> None:
        """Do it once, and note how long it took or how it failed."""
        began = monotonic()
        try:
            await action(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            self.errors[f"{name}: {type(error).__name__}: {error}"] += 1
        else:
            self.latencies[name].append(monotonic() - began)
            self.answered.add(client)


# --- what a client does ---


async def read(connection: Connection) -> None:
    await connection.fetchval("SELECT balance FROM accounts WHERE id = $1", choose_account())


async def summarize(connection: Connection) -> None:
    query = "SELECT owner, sum(balance) FROM accounts WHERE id BETWEEN $1 AND $1 + 200 GROUP BY owner"
    await connection.fetch(query, choose_account())


async def write(connection: Connection) -> None:
    await connection.execute("INSERT INTO visits DEFAULT VALUES")


async def transfer(connection: Connection) -> None:
    """Move one unit between two accounts: whatever happens, the sum stays."""
    pair = random.sample(range(1, ACCOUNTS + 1), 2)
    async with connection.transaction():
        rows = await connection.fetch(
            "SELECT id, balance FROM accounts WHERE id = ANY($1) ORDER BY id FOR UPDATE", pair
        )
        source, target = sorted(rows, key=lambda row: -row["balance"])
        change = "UPDATE accounts SET balance = balance + $2 WHERE id = $1"
        await connection.execute(change, source["id"], -1)
        await connection.execute(change, target["id"], 1)
        await connection.execute("INSERT INTO transfers VALUES ($1, $2, $3)", source["id"], target["id"], 1)


async def sleep(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep($1)", SLEEP)


MIX: dict[str, tuple[Action, int]] = {  # what, and how often
    "read": (read, 60),
    "summary": (summarize, 10),
    "write": (write, 15),
    "transaction": (transfer, 15),
}


def choose_account() -> int:
    return random.randint(1, ACCOUNTS - 200)  # noqa: S311  # no secret


# --- all of them ---


async def run_workload(dsn: str, direct: str, look: Callable[[], None]) -> Outcome:
    """Have CLIENTS connections to `dsn` work for SECONDS; `look` is called while all are still connected.

    Meanwhile the primary itself, at `direct`, is asked how many connections it has.
    """
    outcome = Outcome()
    connections = await asyncio.gather(*(connect(dsn, outcome) for _ in range(CLIENTS)))
    watcher = asyncio.create_task(watch(direct, outcome))
    try:
        began = monotonic()
        await asyncio.gather(
            *(
                play(client, connection, outcome)
                for client, connection in enumerate(connections)
                if connection
            )
        )
        outcome.seconds = monotonic() - began
        await asyncio.to_thread(look)
    finally:
        watcher.cancel()
        for connection in filter(None, connections):
            connection.terminate()
    return outcome


async def connect(dsn: str, outcome: Outcome) -> Connection | None:
    try:
        settings = {"application_name": "dbproxy demo"}
        return await asyncpg.connect(dsn, timeout=TIMEOUT, command_timeout=TIMEOUT, server_settings=settings)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        outcome.errors[f"login: {type(error).__name__}: {error}"] += 1
        return None


async def play(client: int, connection: Connection, outcome: Outcome) -> None:
    """One client until the time is over; the first SLOW_QUERIES run a slow query, each in its turn."""
    began = monotonic()
    slow_at = SECONDS * client / SLOW_QUERIES if client < SLOW_QUERIES else SECONDS
    names, weights = list(MIX), [weight for _, weight in MIX.values()]
    await asyncio.sleep(random.uniform(0, THINK[1]))  # noqa: S311  # no secret; no two clients begin at once
    while (age := monotonic() - began) < SECONDS and not connection.is_closed():
        if age >= slow_at:
            slow_at = SECONDS
            await outcome.time(client, "slow", sleep, connection)
        (name,) = random.choices(names, weights)  # noqa: S311  # no secret
        await outcome.time(client, name, MIX[name][0], connection)
        await asyncio.sleep(random.uniform(*THINK))  # noqa: S311  # no secret


async def watch(direct: str, outcome: Outcome) -> None:
    """Note the most connections that the proxy had, as the primary counts them."""
    ours = "'dbproxy probe', 'dbproxy defaults'"  # connections that are lent to no client
    query = f"SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND application_name NOT IN ({ours})"  # noqa: S608  # constants
    connection = await asyncpg.connect(direct)
    try:
        while True:
            outcome.servers = max(outcome.servers, await connection.fetchval(query, USER))
            await asyncio.sleep(LOOK_INTERVAL)
    finally:
        connection.terminate()
