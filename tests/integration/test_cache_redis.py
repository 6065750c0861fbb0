"""The second tier of kept answers over a real Redis or Valkey, well and ill: what is found is right, if anything is."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from time import monotonic

import pytest

from dbproxy.cache import shelf, tier
from dbproxy.cache.breaker import FAILURES, PAUSE
from tests.support.door import Door
from tests.support.faults import Line
from tests.support.redis import FLAVOURS, Redis
from tests.support.tier import COST, PREFIX, Peer, peers, until


@pytest.fixture(params=FLAVOURS)
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    with Redis(flavour=request.param) as running:
        yield running


async def test_what_one_keeps_the_other_finds(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        for key, rows in ((b"small", b"D-rows"), (b"large", os.urandom(50_000)), (b"none", b"")):
            one.keep(key, rows)
            await one.settled()
            assert await two.find(key) == rows
            assert await two.find(key + b"er") is None
        assert two.tier.figures().found == {"hit": 3, "miss": 3, "stale": 0, "broken": 0}
        assert one.tier.figures().kept == {"kept": 3}


async def test_what_was_kept_before_a_write_is_not_found_behind_it(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"old")
        await one.settled()
        two.hear(200)
        assert await two.find(b"key") is None
        one.keep(b"key", b"late")  # it has not heard of the write
        await one.settled()
        assert await two.find(b"key") is None
        one.hear(200)
        one.keep(b"key", b"new")
        await one.settled()
        assert await two.find(b"key") == b"new"


@pytest.mark.parametrize("apart", [5.0, -5.0])
async def test_clocks_that_are_apart_change_nothing(
    redis: Redis, apart: float, monkeypatch: pytest.MonkeyPatch
):
    """django-cachalot #84: rows of before a write were kept by the host whose clock was ahead."""

    def tell(offset: float) -> None:
        for module in (shelf, tier):
            monkeypatch.setattr(module, "monotonic", lambda: monotonic() + offset)

    async with peers(2, redis.url) as (one, two):
        tell(apart)
        one.keep(b"key", b"old")
        await one.settled()
        tell(0.0)
        assert await two.find(b"key") == b"old"
        two.hear(200)
        tell(apart)
        one.keep(b"key", b"late")  # it has not heard of the write
        await one.settled()
        tell(0.0)
        assert await two.find(b"key") is None
        tell(apart)
        one.hear(200)
        one.keep(b"key", b"new")
        await one.settled()
        tell(0.0)
        assert await two.find(b"key") == b"new"


async def test_write_while_redis_is_asked_is_seen(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"old")
        await one.settled()
        looking = asyncio.create_task(two.find(b"key"))
        await asyncio.sleep(0)
        two.tables[0].enter()
        assert await looking is None
        two.tables[0].leave()


async def test_cheap_statements_are_neither_kept_nor_looked_for(redis: Redis):
    async with peers(1, redis.url) as (one,):
        for _ in range(200):
            one.keep(b"key", b"rows", cost=COST / 10)
        assert redis.ask("KEYS", f"{PREFIX}*").count(b"\r\n") == 3  # the generation
        asked = one.tier.reader.caller.calls.number
        assert await one.find(b"key") is None
        assert one.tier.reader.caller.calls.number == asked


async def test_equal_lookups_are_one(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"rows")
        await one.settled()
        one.greet()
        await until(lambda: one.tier.reader.open)
        await asyncio.gather(*(two.find(b"key") for _ in range(50)))
        assert two.tier.found["hit"] == 1


async def test_flush_is_of_all_that_was_kept_and_of_nothing_else(redis: Redis):
    redis.ask("SET", "rl:{limits}", "7")
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"rows")
        await one.settled()
        fill = one.shelf.note(one.tables)
        one.tier.flush()
        assert await one.find(b"key") is None
        await until(lambda: not one.tier.flushing)
        two.greet()
        await until(lambda: two.forgotten)
        assert await two.find(b"key") is None
        assert one.forgotten == 0
        assert fill is not None
        assert fill.generation != one.tier.generation  # what was asked for before is not kept behind it
        one.keep(b"key", b"new")
        await one.settled()
        assert await two.find(b"key") == b"new"
        assert redis.ask("GET", "rl:{limits}") == b"$1\r\n7\r\n"


async def test_what_was_asked_for_before_a_flush_of_another_is_not_kept_behind_it(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        await one.tier.reader.stop()  # it does not hear of what follows
        two.tier.flush()
        await until(lambda: not two.tier.flushing)
        one.keep(b"key", b"old")
        await one.settled()
        assert one.tier.kept["other"] == 1
        assert await two.find(b"key") is None


async def test_what_is_kept_is_never_more_than_the_limit(redis: Redis):
    async with peers(2, redis.url, limit=100_000) as (one, two):
        for number in range(100):
            peer = (one, two)[number % 2]
            peer.tier.rests_until = 0.0
            peer.keep(b"%d" % number, secrets.token_bytes(4000))
            await peer.settled()
        assert 90_000 < used(redis) < 120_000  # it gives large values more room than they need
        assert one.tier.kept["kept"] + two.tier.kept["kept"] == 100_000 // 4300
        assert one.tier.kept["full"] > 0


async def test_what_has_expired_makes_room(redis: Redis):
    async with peers(1, redis.url, limit=10_000, window=0.4) as (one,):
        for _ in range(2):
            one.tier.rests_until = 0.0
            one.keep(b"key", secrets.token_bytes(3000))
            await one.settled()
        before = one.tier.kept["kept"]

        def keeps() -> bool:
            one.tier.rests_until = 0.0
            one.keep(b"again", secrets.token_bytes(4000))
            return one.tier.kept["kept"] > before + 1

        await until(keeps)


async def test_full_redis_keeps_nothing_and_is_still_asked(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"rows")
        await one.settled()
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        one.keep(b"other", b"rows")
        await one.settled()
        assert one.tier.kept["refused"] == 1
        assert await two.find(b"key") == b"rows"
        assert not two.tier.figures().away


@pytest.mark.parametrize("fault", ["killed", "frozen", "slow", "deaf"])
async def test_redis_that_does_not_answer_is_a_miss_in_time(redis: Redis, fault: str):
    async with Line(redis.port) as line, peers(2, redis.url_at(line.port), timeout=0.02) as (one, two):
        one.keep(b"key", b"rows")
        await one.settled()
        begin, end = {
            "killed": (redis.kill, redis.start),
            "frozen": (redis.freeze, redis.thaw),
            "slow": (lambda: setattr(line.down, "delay", 0.2), lambda: setattr(line.down, "delay", 0)),
            "deaf": (line.up.go_deaf, line.up.hear),
        }[fault]
        begin()
        begun = monotonic()
        for _ in range(50):
            assert await two.find(b"key") is None
        assert two.looked <= FAILURES + (monotonic() - begun) // PAUSE
        two.keep(b"other", b"rows")
        await until(lambda: two.tier.figures().away)
        end()
        await one.ready()
        await two.ready()
        one.keep(b"key", b"rows again")
        await one.settled()
        assert await two.find(b"key") in (b"rows again", None)
        async with asyncio.timeout(30):
            while two.tier.figures().away:  # on a busy machine it may have been given up once more
                await two.find(b"key")
                await asyncio.sleep(0.01)


async def test_late_answer_is_never_taken_for_another(redis: Redis):
    """redis-py #2624: the line is given up with what is still to come on it."""
    async with Line(redis.port) as line, peers(2, redis.url_at(line.port), timeout=0.05) as (one, two):
        for number in range(20):
            one.keep(b"%d" % number, b"rows of %d" % number)
            await one.settled()
        found = 0
        for turn in range(60):
            line.down.delay = 0.08 if turn % 10 == 5 else 0
            key = b"%d" % (turn % 20)
            rows = await two.find(key)
            assert rows in (None, b"rows of " + key)
            found += rows is not None
            if rows is None:
                line.down.delay = 0
                two.tier.reader.breaker.succeed()
                await two.ready()
        assert found > 40


async def test_nonsense_in_redis_is_a_miss(redis: Redis):
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"rows")
        await one.settled()
        stamp = two.horizon.stamp(two.tables)
        assert stamp is not None
        place = two.tier.keys.name(stamp.name, b"key").decode()
        word = two.tier.generation
        for nonsense in ("", "x", word, word + "x" * 100, "0" * 16 + "y" * 50):
            redis.ask("SET", place, nonsense, "PX", "60000")
            assert await two.find(b"key") is None
        for command in (("LPUSH", place, "1"), ("SADD", place, "1"), ("HSET", place, "a", "1")):
            redis.ask("DEL", place)
            redis.ask(*command)
            assert await two.find(b"key") is None
        assert not two.tier.figures().away
        other = one.tier.keys.name(stamp.name, b"another").decode()
        one.keep(b"another", b"other rows")
        await one.settled()
        redis.ask("COPY", other, place, "REPLACE")
        assert await two.find(b"another") == b"other rows"
        assert await two.find(b"key") is None
        redis.ask("PERSIST", other)
        assert await two.find(b"another") is None


async def test_server_that_speaks_nonsense_is_a_miss():
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n$5\r\nhello\r\n*1\r\n:1\r\n")
        writer.close()

    server = Door(talk)
    server.listen()
    peer = Peer(f"redis://127.0.0.1:{server.port}")
    peer.tier.start()
    try:
        for _ in range(20):
            assert await peer.find(b"key") is None
            await asyncio.sleep(0.005)
        assert peer.tier.figures().away
    finally:
        await peer.tier.stop()
        await server.end()


async def test_redis_that_is_set_back_to_old_data_gives_nothing_old(redis: Redis):
    """As from an old dump: what was kept before a write is there again."""
    async with peers(2, redis.url) as (one, two):
        one.keep(b"key", b"old")
        await one.settled()
        stamp = two.horizon.stamp(two.tables)
        assert stamp is not None
        place = two.tier.keys.name(stamp.name, b"key").decode()
        redis.ask("COPY", place, "dump")
        for peer in (one, two):
            peer.hear(200)
        one.keep(b"key", b"new")
        await one.settled()
        assert await two.find(b"key") == b"new"
        redis.ask("COPY", "dump", place, "REPLACE")
        assert await two.find(b"key") is None
        two.begin(300)  # started anew
        assert await two.find(b"key") is None


async def test_generation_that_was_lost_is_another(redis: Redis):
    """Evicted by Redis, for one: what a flush has ended does not come back."""
    async with peers(1, redis.url) as (one,):
        one.keep(b"key", b"rows")
        await one.settled()
        redis.ask("DEL", one.tier.keys.generation.decode())
        assert await one.find(b"key") is None
        assert one.forgotten == 1


def used(redis: Redis) -> int:
    """Bytes of all keys, as Redis counts them."""
    keys = [line for line in redis.ask("KEYS", "*").decode().split("\r\n") if line and line[0] not in "*$"]
    return sum(int(redis.ask("MEMORY", "USAGE", key)[1:]) for key in keys)
