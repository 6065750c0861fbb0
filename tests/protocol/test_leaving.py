"""PostgreSQL: "Termination". Clients that say goodbye, fall silent or vanish, at every stage."""

import gc
from collections.abc import Awaitable, Callable, Iterator

import pytest

from dbproxy.wire import build
from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    COPY_IN,
    FLUSH,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    complete,
    copy_data,
    execute,
    parse,
    query,
    row,
    rows,
)

COPY = query("COPY t FROM STDIN")
UNSYNCED = (parse("", "INSERT INTO t VALUES (1)"), bind(""), execute())


async def is_gone(house: House) -> None:
    await house.until(lambda: not len(house.proxy.registry))


@pytest.fixture
def garbage() -> Iterator[list[object]]:
    """What only the garbage collector would have freed, once it is asked for by `gc.collect`."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize("settings", [{}, {"limits.mode": "on", "limits.tier": "free"}])
async def test_client_that_leaves_is_freed_without_the_garbage_collector(
    enter: Callable[..., Awaitable[House]], garbage: list[object], settings: dict[str, str]
):
    house = await enter({"pool.size": 1, "pool.reserve_size": 0, **settings})
    client, server = await house.pair()
    other = await house.client()
    for each in (client, other):  # a server knows who it was lent to last
        each.send(query("SELECT 1"))
        await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
        await each.receives(rows("1"), IDLE)
    client.send(TERMINATE)
    await client.hears_the_end()
    await house.until(lambda: len(house.proxy.registry) == 1)
    await let_others_run()
    gc.collect()
    assert not [found for found in garbage if type(found).__module__.startswith("dbproxy.session")]


async def test_terminate(house: House):
    client, server = await house.pair()
    client.send(TERMINATE)
    await client.hears_the_end()
    await is_gone(house)
    await server.hears_nothing()


async def test_terminate_behind_a_query_lets_it_be_carried_out(house: House):
    client, server = await house.pair()
    client.send(query("DELETE FROM t"), TERMINATE)
    await server.receives(query("DELETE FROM t"))
    await server.hears_nothing()
    server.send(complete("DELETE 1"), IDLE)
    await client.receives(complete("DELETE 1"), IDLE)
    await client.hears_the_end()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_terminate_in_a_transaction_rolls_back(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.send(TERMINATE)
    await client.hears_the_end()
    await is_rolled_back(house, server)


async def test_terminate_before_sync_commits_nothing(house: House):
    client, server = await house.pair()
    client.send(*UNSYNCED, TERMINATE)
    await client.hears_the_end()
    await is_closed_unsynced(server)


async def test_terminate_while_waiting_gives_the_place_up(house: House):
    client, server = await house.pair()
    await begin(client, server)
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    waiting.send(TERMINATE)
    waiting.writer.close()
    await house.until(lambda: not house.pool.waiting)


async def test_half_closed_client_gets_what_is_due(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"), query("SELECT 2"))
    client.half_close()
    await server.receives(query("SELECT 1"), query("SELECT 2"))
    await let_others_run()
    server.send(rows("1"), IDLE, rows("2"), IDLE)
    await client.receives(rows("1"), IDLE, rows("2"), IDLE)
    await client.hears_the_end()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_half_closed_client_with_nothing_due_has_gone(house: House):
    client, _ = await house.pair()
    client.half_close()
    await client.hears_the_end()
    await is_gone(house)


async def test_half_closed_client_in_a_transaction_is_rolled_back_when_it_was_answered(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    client.half_close()
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    await client.hears_the_end()
    await is_rolled_back(house, server)


@pytest.mark.parametrize("stage", ["asked for data", "asks for data later", "cut message", "no sync"])
async def test_half_closed_client_of_whom_more_is_expected_has_gone(house: House, stage: str):
    """Otherwise it would keep the server for ever: the one waits for the other."""
    client, server = await house.pair()
    if stage == "asked for data":
        client.send(COPY)
        await server.answers(COPY_IN, to=COPY)
        await client.receives(COPY_IN)
        client.send(copy_data(b"1\n"))
        await server.receives(copy_data(b"1\n"))
        client.half_close()
    elif stage == "asks for data later":
        client.send(COPY)
        client.half_close()
        await server.receives(COPY)
        await let_others_run()
        server.send(COPY_IN)
    elif stage == "cut message":
        long = query("x" * 100_000)
        client.send(long[:80_000])
        await server.receives_bytes(long[:80_000])
        client.half_close()
    else:
        client.send(*UNSYNCED)
        await server.receives(*UNSYNCED)
        client.half_close()
    await let_others_run()
    house.sweep()
    await is_gone(house)
    await server.hears_the_end()


@pytest.mark.parametrize("silently", [True, False])
async def test_idle_client_that_vanishes_leaves_nothing(house: House, silently: bool):
    client, server = await house.pair()
    client.cut() if silently else client.writer.close()
    await is_gone(house)
    await server.hears_nothing()
    assert house.pool.counts()["idle"] == 1


async def test_client_that_vanishes_at_login_leaves_nothing(house: House):
    start = build.startup_message({"user": "app", "database": "shop"})
    for size in (0, 3, 4, 9, len(start) - 1):
        client = await house.dial()
        client.send(start[:size])
        await let_others_run()
        client.cut()
        await is_gone(house)
    assert not house.proxy.pools


async def test_client_that_vanishes_while_its_login_waits_is_not_given_a_server(house: House):
    client, server = await house.pair()
    await begin(client, server)
    other = await house.dial()
    other.send(build.startup_message({"user": "app", "database": "shop", "search_path": "x"}))
    await house.until(lambda: len(house.pool.waiting) == 1)
    other.cut()
    await house.until(lambda: not house.pool.waiting)


async def test_client_that_vanishes_while_waiting_is_not_given_a_server(house: House):
    client, server = await house.pair()
    await begin(client, server)
    waiting, patient = await house.client(), await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    patient.send(query("SELECT 2"))
    await house.until(lambda: len(house.pool.waiting) == 2)
    waiting.cut()
    await house.until(lambda: len(house.pool.waiting) == 1)
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await patient.receives(rows("2"), IDLE)


async def test_client_that_vanishes_in_a_transaction_is_rolled_back(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.cut()
    await is_rolled_back(house, server)


async def test_client_that_vanishes_with_a_query_open_costs_the_server_which_is_cancelled(house: House):
    client, server = await house.pair()
    client.send(query("SELECT pg_sleep(100)"))
    await server.receives(query("SELECT pg_sleep(100)"))
    client.cut()
    cancel = await house.server.cancelled()
    assert (cancel.pid, cancel.key) == (server.pid, server.key)
    cancel.finish()
    await server.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)


async def test_client_that_vanishes_with_half_an_answer_costs_the_server(house: House):
    client, server = await house.pair()
    client.send(query("SELECT long"))
    await server.receives(query("SELECT long"))
    server.send(row("x" * 1000)[:100])
    await client.read(100)
    client.cut()
    await server.hears_the_end()


async def test_client_that_vanishes_with_half_a_message_sent_costs_the_server(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.send(query("x" * 100_000)[:80_000])
    await server.read(80_000)
    client.cut()
    await server.hears_the_end()


async def test_client_that_vanishes_with_half_a_header_sent_costs_nothing(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.send(query("SELECT 1")[:3])
    await let_others_run()
    client.cut()
    await is_rolled_back(house, server)


async def test_client_that_vanishes_before_sync_commits_nothing(house: House):
    """All replies are there, but only Sync would commit: PostgreSQL rolls back when a connection is lost."""
    client, server = await house.pair()
    client.send(*UNSYNCED, FLUSH)
    await server.receives(*UNSYNCED, FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
    client.cut()
    await is_closed_unsynced(server)


async def test_client_that_vanishes_in_copy_costs_the_server(house: House):
    client, server = await house.pair()
    client.send(COPY)
    await server.answers(COPY_IN, to=COPY)
    await client.receives(COPY_IN)
    client.cut()
    await server.hears_the_end()


async def test_server_taken_from_a_client_that_vanished_is_lent_only_when_it_is_clean(house: House):
    client, server = await house.pair()
    await begin(client, server)
    other = await house.client()
    other.send(query("SELECT 1"))
    client.cut()
    await server.receives(query("ROLLBACK"))
    await server.hears_nothing()
    server.send(complete("ROLLBACK"))
    await server.hears_nothing()
    server.send(IDLE)
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)


async def test_server_that_does_not_become_clean_is_closed(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.cut()
    await server.receives(query("ROLLBACK"))
    server.send(complete("ROLLBACK"), INTRANS)
    await server.receives(TERMINATE)
    await server.hears_the_end()


async def begin(client: RawClient, server: Backend) -> None:
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)


async def is_rolled_back(house: House, server: Backend) -> None:
    await server.receives(query("ROLLBACK"))
    server.send(complete("ROLLBACK"), IDLE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def is_closed_unsynced(server: Backend) -> None:
    """Without a Sync, which would commit."""
    async_end = await server.reader.read()
    assert SYNC not in async_end
