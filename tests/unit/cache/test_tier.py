"""What is known without Redis: what statements cost, and what a flush ends. With one: test_cache_redis."""

import asyncio

import pytest

from dbproxy.cache.parcel import Parcel
from dbproxy.cache.tier import STATEMENTS, WAITING, Bounds, Tier
from dbproxy.cache.value import Value

WORD, OTHER = "0" * 16, "1" * 16


@pytest.fixture
async def tier() -> Tier:
    """Which has reached Redis."""
    made = Tier("redis://127.0.0.1:1", "cache:", 0.01, Bounds(0.002, 1 << 20, 60.0), lambda: None)
    made.reader.open = made.writer.open = True
    assert made.learn(WORD, 0)
    return made


async def test_statement_of_which_nothing_is_known_is_not_worth_it(tier: Tier):
    assert not tier.is_worth(1)


async def test_what_counts_is_the_mean(tier: Tier):
    tier.learn_cost(1, 0.009)
    assert tier.is_worth(1)
    for _ in range(9):
        tier.learn_cost(1, 0.001)
    assert not tier.is_worth(1)


async def test_not_all_statements_are_remembered(tier: Tier):
    for number in range(STATEMENTS + 5):
        tier.learn_cost(number, 1.0)
    assert len(tier.costs) == STATEMENTS
    assert not tier.is_worth(0)


async def test_answer_of_before_a_flush_does_not_count(tier: Tier):
    tier.flush()
    assert tier.look(b"key", lambda data, left: None) is None
    assert not tier.learn(WORD, 0)
    assert not tier.learn(WORD, 1)
    tier.end_flush(OTHER)
    assert not tier.learn(WORD, 1)
    assert tier.generation == OTHER
    assert tier.learn(OTHER, 2)


async def test_flush_that_redis_does_not_take_goes_on(tier: Tier):
    tier.flush()
    tier.end_flush("")
    assert tier.flushing


async def test_redis_that_takes_no_generation_is_away(tier: Tier):
    assert not tier.learn("", 0)
    assert tier.figures().away


async def test_what_waits_to_be_kept_is_bounded(tier: Tier):
    parcel = Parcel(1, 1.0, Value(b"", b"x" * (1 << 20)))
    for _ in range(20):
        tier.keep(b"name", b"key", WORD, parcel, 60.0)
    assert tier.bytes <= WAITING
    assert tier.kept["dropped"] == 20 - len(tier.keeping)


async def test_nobody_waits_longer_than_the_timeout(tier: Tier):
    taken: list[bytes] = []
    lookup = tier.look(b"key", lambda data, left: taken.append(data))
    assert lookup is not None
    assert tier.look(b"key", lambda data, left: None) is lookup
    await lookup.done
    assert taken == [b""]
    await asyncio.sleep(0)
    assert not tier.lookups
