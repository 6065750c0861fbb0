"""`idle_transaction_timeout`: it counts while the server waits for its client, and never while a statement runs."""

import pytest

from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    COPY_DONE,
    COPY_IN,
    FLUSH,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    copy_data,
    execute,
    parse,
    query,
    rows,
)

LIMITS = {"pool.size": 1, "pool.idle_transaction_timeout": "10s"}
COPY = query("COPY t FROM STDIN")
BATCH = (parse("", "UPDATE t SET n = 1"), bind(""), execute())
BATCH_ANSWER = (PARSE_COMPLETE, BIND_COMPLETE, complete("UPDATE 1"))
LONG = query("SELECT '" + "x" * 90_000 + "'")


@pytest.fixture
async def house(enter) -> House:
    return await enter(LIMITS)


async def begin(client: RawClient, server: Backend) -> None:
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)


async def is_ended_for_silence(house: House, client: RawClient) -> None:
    """And another, who waits, is served."""
    other = await house.client()
    other.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=9)
    await client.hears_nothing()
    house.sweep(later=11)
    await client.fails("25P03")
    await client.hears_the_end()
    server = await house.server.accept()
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)


@pytest.mark.parametrize("opened", [True, False])
async def test_half_a_batch_is_asked_for_and_ended_when_it_is_done(house: House, opened: bool):
    client, server = await house.pair()
    if opened:
        await begin(client, server)
    client.send(*BATCH)
    await server.receives(*BATCH)
    house.sweep(later=1)
    await server.receives(FLUSH)
    house.sweep(later=1000)  # it may run yet
    await server.hears_nothing()
    await client.hears_nothing()
    server.send(*BATCH_ANSWER)
    await client.receives(*BATCH_ANSWER)
    await is_ended_for_silence(house, client)
    assert SYNC not in await server.reader.read()


async def test_what_a_statement_takes_is_not_idle_time_where_a_flush_ends_it(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.send(*BATCH, FLUSH)
    await server.receives(*BATCH, FLUSH)
    inside = house.inside(client)
    before = inside.last_active()
    house.sweep(later=1)
    await server.receives(FLUSH)  # which does no harm
    house.sweep(later=1000)
    server.send(*BATCH_ANSWER)
    await client.receives(*BATCH_ANSWER)
    assert inside.last_active() > before
    house.sweep(later=9)
    await client.hears_nothing()
    house.sweep(later=11)
    await client.fails("25P03")


async def test_half_a_batch_goes_on_as_it_would_have(house: House):
    client, server = await house.pair()
    client.send(*BATCH)
    await server.receives(*BATCH)
    house.sweep(later=1)
    house.sweep(later=2)
    await server.receives(FLUSH)
    await server.hears_nothing()
    server.send(*BATCH_ANSWER)
    await client.receives(*BATCH_ANSWER)
    client.send(SYNC)
    await server.answers(IDLE, to=SYNC)
    await client.receives(IDLE)


async def test_half_a_batch_that_only_prepared_frees_its_server(house: House):
    client, server = await house.pair()
    client.send(BATCH[0])
    await server.receives(BATCH[0])
    house.sweep(later=1)
    await server.receives(FLUSH)
    server.send(PARSE_COMPLETE)
    await client.receives(PARSE_COMPLETE)
    await server.answers(IDLE, to=SYNC)
    await house.until(lambda: house.pool.counts()["idle"] == 1)
    house.sweep(later=11)
    client.send(SYNC)
    await client.receives(IDLE)


async def test_half_a_batch_is_left_alone_without_the_limit(enter):
    house = await enter({"pool.size": 1})
    client, server = await house.pair()
    client.send(*BATCH)
    await server.receives(*BATCH)
    house.sweep(later=1000)
    await server.hears_nothing()
    await client.hears_nothing()


@pytest.mark.parametrize("opened", [True, False])
async def test_copy_that_stops_is_ended(house: House, opened: bool):
    client, server = await house.pair()
    if opened:
        await begin(client, server)
    client.send(COPY)
    await server.receives(COPY)
    inside = house.inside(client)
    before = inside.last_active()
    house.sweep(later=1000)  # it may wait for a lock
    server.send(COPY_IN)
    await client.receives(COPY_IN)
    assert inside.last_active() > before
    client.send(copy_data(b"1\n"))
    await server.receives(copy_data(b"1\n"))
    await is_ended_for_silence(house, client)


async def test_end_of_a_copy_is_the_servers_to_answer(house: House):
    client, server = await house.pair()
    client.send(COPY)
    await server.answers(COPY_IN, to=COPY)
    await client.receives(COPY_IN)
    client.send(copy_data(b"1\n"), COPY_DONE)
    await server.receives(copy_data(b"1\n"), COPY_DONE)
    house.sweep(later=1000)
    await client.hears_nothing()
    server.send(complete("COPY 1"), IDLE)
    await client.receives(complete("COPY 1"), IDLE)


@pytest.mark.parametrize("opened", [True, False])
async def test_half_a_message_is_ended(house: House, opened: bool):
    client, server = await house.pair()
    if opened:
        await begin(client, server)
    client.send(LONG[:80_000])
    await server.receives_bytes(LONG[:80_000])
    await is_ended_for_silence(house, client)


async def test_half_a_message_is_not_waited_for_while_what_came_before_it_runs(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"), LONG[:80_000])
    await server.receives_bytes(query("SELECT 1") + LONG[:80_000])
    house.sweep(later=1000)
    await client.hears_nothing()
    server.send(rows("1"), IDLE)
    await client.receives(rows("1"), IDLE)
    await is_ended_for_silence(house, client)


async def test_half_a_message_without_a_server_costs_nobody_one(house: House):
    client, _ = await house.pair()
    client.send(query("SELECT 1")[:8])
    await house.until(lambda: house.inside(client).inbound.framer.held_size == 8)
    assert house.pool.counts()["idle"] == 1
    house.sweep(later=1000)
    await client.hears_nothing()


async def test_statement_that_runs_is_never_idle(house: House):
    client, server = await house.pair()
    await begin(client, server)
    for request in ((query("SELECT pg_sleep(100)"),), (*BATCH, SYNC)):
        client.send(*request)
        await server.receives(*request)
        house.sweep(later=1000)
        await client.hears_nothing()
        server.send(*(rows("1"), INTRANS) if len(request) == 1 else (*BATCH_ANSWER, INTRANS))
        await client.receives(*(rows("1"), INTRANS) if len(request) == 1 else (*BATCH_ANSWER, INTRANS))
