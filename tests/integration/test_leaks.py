"""What one client leaves behind, another never sees (promises 2 to 6 of docs/architecture.md).

Rogues prepare, begin, copy, cancel, fail and vanish at random points (tests.support.rogue); witnesses ask everything
that could betray them, and get every byte that a direct connection would get (tests.support.witness). A failure
names the seed and the round; `SEED=… make soak` does the same again, but for the timing.

What this version does not keep apart by design is left out: LISTEN, temporary tables, advisory locks, WITH HOLD.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.rogue import Rogue
from tests.support.serving import serving
from tests.support.witness import USER, Reference, Witness, call

POOL_SIZE = 2
SEED = os.environ.get("SEED") or secrets.token_hex(4)
STARTS: list[dict[str, str]] = [  # what clients ask for as they log in
    {},
    {"timezone": "Asia/Tokyo", "application_name": "one of many"},
    {"options": "-c work_mem=7MB -c search_path=public"},
]
SCHEMA = """
    CREATE TABLE things (id int, name text);
    CREATE TABLE kept (token text);
    CREATE TABLE scrap (name text);
    INSERT INTO things SELECT number, 'thing ' || number FROM generate_series(1, 100) AS number;
"""


@pytest.fixture(scope="module")
def stage_database(module_database: Database) -> Database:
    with connect(module_database.server, module_database.name) as connection:
        connection.execute("SET ROLE app")
        connection.execute(SCHEMA)
    return replace(module_database, user=USER)


@pytest.fixture
def proxy(stage_database: Database) -> Iterator[Proxy]:
    settings = {
        "pool.size": POOL_SIZE,
        "pool.reserve_size": 0,
        "auth.type": "trust",
        "slow_query.enabled": False,
    }
    with serving(stage_database, settings) as running:
        yield running


@dataclass
class Stage:
    """Who is there."""

    proxy: Proxy
    database: Database
    references: list[Reference]
    witnesses: list[Witness] = field(default_factory=list)
    called: int = 0

    async def call(self, random: Random) -> Witness:
        """Another witness; the one that was there longest may leave for it."""
        self.called += 1
        reference = random.choice(self.references)
        witness = await call(self.proxy.port, self.database.name, reference, self.called)
        self.witnesses.append(witness)
        if len(self.witnesses) > 4:
            await leave(self.witnesses.pop(0))
        return witness

    async def arrive(self, random: Random) -> Rogue:
        return await Rogue.arrive(self.proxy.port, self.database.name, random.choice(STARTS))

    async def play(self, number: int) -> None:
        """One round."""
        random = Random(f"{SEED}/{number}")
        rogues = [await self.arrive(random) for _ in range(random.choice([1, 1, 2, 3]))]
        while len(self.witnesses) < POOL_SIZE or random.random() < 0.3:
            await self.call(random)
        try:
            async with asyncio.TaskGroup() as together:
                seeds = [Random(random.random()) for _ in rogues]
                leaving = [
                    together.create_task(rogue.misbehave(seed))
                    for rogue, seed in zip(rogues, seeds, strict=True)
                ]
                if random.random() < 0.5:
                    await asyncio.wait(leaving)
                for look in self.looks(random):
                    together.create_task(look)
        except BaseExceptionGroup as errors:
            told = "\n".join(f"rogue {place}: {rogue.story}" for place, rogue in enumerate(rogues))
            raise AssertionError(
                f"SEED={SEED} round {number}\n{told}\n" + "\n".join(map(str, errors.exceptions))
            ) from errors
        finally:
            for rogue in rogues:
                rogue.client.writer.close()  # those that the proxy has thrown out have not done so

    def looks(self, random: Random):
        if random.random() < 0.5:
            barrier = asyncio.Barrier(POOL_SIZE)
            watching = random.sample(self.witnesses, POOL_SIZE)
            return [witness.hold(Random(random.random()), barrier) for witness in watching]
        watching = random.sample(self.witnesses, random.randint(1, len(self.witnesses)))
        return [witness.look(Random(random.random())) for witness in watching]


@asynccontextmanager
async def on_stage(proxy: Proxy, database: Database) -> AsyncIterator[Stage]:
    references = [Reference(start) for start in STARTS]
    for reference in references:
        await reference.record(database.server.port, database.name)
    stage = Stage(proxy, database, references)
    yield stage
    for witness in stage.witnesses:
        await leave(witness)


async def leave(witness: Witness) -> None:
    witness.client.writer.close()
    with suppress(OSError):  # the proxy may have ended it
        await witness.client.writer.wait_closed()


async def hunt(proxy: Proxy, database: Database, rounds: int) -> None:
    async with on_stage(proxy, database) as stage:
        for number in range(rounds):
            await stage.play(number)


async def test_nothing_of_a_client_is_seen_by_another(proxy: Proxy, stage_database: Database):
    await hunt(proxy, stage_database, 300)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_nothing_of_a_client_is_seen_by_another_in_ten_thousand_rounds(
    proxy: Proxy, stage_database: Database
):
    await hunt(proxy, stage_database, 10_000)
