"""What one client leaves behind, another never sees (promises 2 to 6 of docs/architecture.md).

Rogues prepare, begin, copy, cancel, fail and vanish at random points (tests.support.rogue); witnesses ask for
everything that could betray them, and get every byte that a direct connection would get (tests.support.witness). A
failure names the seed and the round: `SEED=… make soak` does the same again, but for the timing.

What this version does not keep apart by design is left out: LISTEN, temporary tables, advisory locks, WITH HOLD, and
settings changed by functions.
"""

import asyncio
import os
import secrets
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import psycopg
import pytest

from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.rogue import Rogue
from tests.support.serving import serving, wait_until
from tests.support.witness import KEPT, USER, Reference, Witness

POOL_SIZE = 2
SEED = os.environ.get("SEED", "")
CROWD = 4  # most witnesses, and most rogues that stay, at a time
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
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND usename = %s"


@dataclass
class Stage:
    """Who is there. A round is the same for the same seed."""

    proxy: Proxy
    database: Database
    seed: str
    references: list[Reference] = field(default_factory=lambda: [Reference(start) for start in STARTS])
    witnesses: list[Witness] = field(default_factory=list)
    rogues: list[Rogue] = field(default_factory=list)
    called: int = 0
    kept: int = 0

    def show(self, what: str) -> str:
        """What the console says, for whoever has to find out."""
        with psycopg.connect(self.proxy.dsn("dbproxy", "dbproxy"), autocommit=True) as console:
            return "\n".join(map(str, console.execute(f"SHOW {what}".encode()).fetchall()))

    async def play(self, rounds: int) -> None:
        for reference in self.references:
            await reference.record(self.database.server.port, self.database.name)
            self.kept += KEPT
        try:
            for number in range(rounds):
                await self.play_round(number, Random(f"{self.seed}/{number}"))
            self.dismiss(self.rogues)
            await self.judge_pool(Random(self.seed))
        finally:
            self.dismiss([*self.rogues, *self.witnesses])

    def dismiss(self, crowd: Sequence[Rogue | Witness]) -> None:
        for one in crowd:
            one.close()

    async def play_round(self, number: int, random: Random) -> None:
        """Rogues misbehave; witnesses look meanwhile, or as soon as they have left."""
        rogues = await self.enter(random)
        while len(self.witnesses) < POOL_SIZE or random.random() < 0.3:
            await self.call(random)
        looks = self.looks(random)
        after = random.random() < 0.5
        try:
            async with asyncio.TaskGroup() as together:
                leaving = [together.create_task(rogue.misbehave(fork(random))) for rogue in rogues]
                if after:
                    await asyncio.wait(leaving)
                for look in looks:
                    together.create_task(look)
        except* AssertionError as failures:
            told = "\n".join(f"rogue {place}: {rogue.story}" for place, rogue in enumerate(rogues))
            errors = "\n".join(map(str, failures.exceptions))
            shown = "\n".join(self.show(what) for what in ("CLIENTS", "SERVERS", "POOLS"))
            raise AssertionError(f"SEED={self.seed} round {number}\n{told}\n{errors}\n{shown}") from failures
        self.rogues = [rogue for rogue in self.rogues if rogue.stays]

    async def enter(self, random: Random) -> list[Rogue]:
        """The rogues of this round: new ones, and some that have stayed."""
        port, name = self.proxy.port, self.database.name
        count = random.choice([1, 1, 2, 3])
        fresh = [await Rogue.enter(port, name, random.choice(STARTS)) for _ in range(count)]
        back = random.sample(self.rogues, min(len(self.rogues), random.randrange(CROWD)))
        self.rogues += fresh
        return fresh + back

    async def call(self, random: Random) -> None:
        """Another witness; the one that was there longest may go."""
        self.called += 1
        reference = random.choice(self.references)
        self.witnesses.append(await Witness.call(self.proxy.port, self.database.name, reference, self.called))
        if len(self.witnesses) > CROWD:
            self.witnesses.pop(0).close()

    def looks(self, random: Random) -> list[Coroutine[None, None, None]]:
        """At every server, each held by one witness, or at whatever server comes."""
        if random.random() < 0.5:
            return self.holds(random)
        watching = random.sample(self.witnesses, random.randint(1, len(self.witnesses)))
        self.kept += KEPT * len(watching)
        return [witness.look(fork(random)) for witness in watching]

    def holds(self, random: Random) -> list[Coroutine[None, None, None]]:
        all_hold = asyncio.Barrier(POOL_SIZE)
        return [witness.hold(fork(random), all_hold) for witness in random.sample(self.witnesses, POOL_SIZE)]

    async def judge_pool(self, random: Random) -> None:
        """No server is lost, none is left in a transaction, and what witnesses wrote is there."""
        await asyncio.gather(*self.holds(random))
        busy = f"(SELECT count(*) {OURS} AND (state <> 'idle' OR backend_xid IS NOT NULL))"
        await asyncio.to_thread(wait_until, self.database, f"{busy} = 0", [USER])
        most = f"(SELECT count(*) {OURS}) <= %s"
        await asyncio.to_thread(wait_until, self.database, most, [USER, POOL_SIZE])
        with connect(self.database.server, self.database.name) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (self.kept,)


def fork(random: Random) -> Random:
    """For one of several who act at once: what one does must not depend on when others act."""
    return Random(random.random())


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    with connect(database.server, database.name) as connection:
        connection.execute("SET ROLE app")
        connection.execute(SCHEMA)
    house = replace(database, user=USER)
    settings = {
        "pool.size": POOL_SIZE,
        "pool.reserve_size": 0,
        "auth.type": "trust",
        "log.connections": False,
    }
    with serving(house, settings) as proxy:
        yield Stage(proxy, house, SEED or "dbproxy")


async def test_clients_see_nothing_of_those_that_fail_and_vanish(stage: Stage):
    await stage.play(250)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_clients_see_nothing_of_those_that_fail_and_vanish_in_ten_thousand_rounds(stage: Stage):
    stage.seed = SEED or secrets.token_hex(4)
    await stage.play(10_000)
