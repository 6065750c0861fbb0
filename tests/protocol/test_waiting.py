"""Clients that wait for a server: in which order, how long, and what becomes of what they sent."""

from collections.abc import Awaitable, Callable

from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    FLUSH,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    copy_data,
    execute,
    function_call,
    parse,
    query,
    row,
    rows,
)


async def hold(house: House) -> tuple[RawClient, Backend]:
    """A client that keeps the only server."""
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    return client, server


async def free(client: RawClient, server: Backend) -> None:
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await client.receives(complete("COMMIT"), IDLE)


async def test_first_come_first_served(house: House):
    client, server = await hold(house)
    others = [await house.client() for _ in range(5)]
    for number, other in enumerate(others):
        other.send(query(f"SELECT {number}"))
        await house.until(lambda number=number: len(house.pool.waiting) == number + 1)
    await free(client, server)
    client.send(query("SELECT 'again'"))
    for number, other in enumerate(others):
        await server.answers(rows("x"), IDLE, to=query(f"SELECT {number}"))
        await other.receives(rows("x"), IDLE)
    await server.receives(query("SELECT 'again'"))


async def test_pipeline_behind_the_message_that_waits_is_intact(house: House):
    client, server = await hold(house)
    waiting = await house.client()
    request = (parse("", "SELECT 1"), bind(""), execute(), SYNC, query("SELECT 2"))
    await waiting.send_in_crumbs(*request, size=7)
    await server.hears_nothing()
    await free(client, server)
    await server.receives(*request)
    answer = (PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), IDLE, rows("2"), IDLE)
    server.send(*answer)
    await waiting.receives(*answer)


async def test_message_whose_end_comes_while_it_waits(house: House):
    client, server = await hold(house)
    waiting = await house.client()
    long = query("SELECT '" + "x" * 150_000 + "'")
    waiting.send(long[:80_000])
    await house.until(lambda: len(house.pool.waiting) == 1)
    waiting.send(long[80_000:])
    await free(client, server)
    await server.receives(long)


async def test_query_that_waits_too_long_fails_and_the_connection_goes_on(house: House):
    client, server = await hold(house)
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=119)
    await waiting.hears_nothing()
    house.sweep(later=121)
    failed = await waiting.fails("53300", "query_wait_timeout")
    assert failed.body.fields["S"] == "ERROR"
    await waiting.receives(IDLE)
    await free(client, server)
    waiting.send(query("SELECT 2"))
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await waiting.receives(rows("2"), IDLE)


async def test_batch_that_waits_too_long_is_discarded_to_sync_and_what_follows_waits_anew(house: House):
    client, server = await hold(house)
    waiting = await house.client()
    waiting.send(
        parse("s", "SELECT 1"), bind("s"), execute(), FLUSH, query("ignored"), SYNC, query("SELECT 2")
    )
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    await waiting.fails("53300")
    await waiting.receives(IDLE)
    await waiting.hears_nothing()
    assert len(house.pool.waiting) == 1
    await free(client, server)
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await waiting.receives(rows("2"), IDLE)
    waiting.send(bind("s"), execute(), SYNC)
    assert "none" in (await server.receive()).body.statement  # its Parse was discarded


async def test_batch_that_was_discarded_is_discarded_until_its_sync_comes(house: House):
    client, server = await hold(house)
    waiting = await house.client()
    waiting.send(parse("", "SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    await waiting.fails("53300")
    await free(client, server)
    waiting.send(bind(""), execute(), query("SELECT 2"))
    await server.hears_nothing()
    waiting.send(SYNC, query("SELECT 3"))
    await waiting.receives(IDLE)
    await server.receives(query("SELECT 3"))


async def test_long_message_that_waited_too_long_is_dropped_whole(house: House):
    client, server = await hold(house)
    waiting = await house.client()
    long = query("SELECT '" + "x" * 150_000 + "'")
    waiting.send(long[:80_000])
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    await waiting.fails("53300")
    await waiting.receives(IDLE)
    await free(client, server)
    waiting.send(long[80_000:], query("SELECT 2"))
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await waiting.receives(rows("2"), IDLE)


async def test_function_call_that_waits_too_long(house: House):
    await hold(house)
    waiting = await house.client()
    waiting.send(function_call(1, b""))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    await waiting.fails("53300")
    await waiting.receives(IDLE)


async def test_waiting_client_is_not_read_for_ever(house: House):
    """Promise 7: what it sends meanwhile is bounded."""
    client, server = await hold(house)
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    inside = house.inside(waiting)
    flood = copy_data(b"x" * 1_000_000) * 16
    waiting.send(flood)
    await house.until(lambda: inside.reasons != 0)
    received = house.pool.stats.bytes_received
    assert received < 2_000_000
    await waiting.hears_nothing()
    assert house.pool.stats.bytes_received == received
    await free(client, server)
    await server.receives(query("SELECT 1"))
    await server.read(len(flood))


async def test_reserve_is_for_those_who_have_waited(enter):
    house = await enter({"pool.size": 1, "pool.reserve_size": 1})
    await hold(house)
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=4)
    assert house.pool.size() == 1
    house.sweep(later=6)
    reserve = await house.server.accept()
    await reserve.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await waiting.receives(rows("1"), IDLE)


async def test_paused_pool_lends_nothing_and_goes_on_where_it_was(house: House):
    client, server = await hold(house)
    other = await house.client()
    house.proxy.pause("")
    other.send(query("SELECT 1"))
    await free(client, server)
    assert house.pool.size() == 0
    await other.hears_nothing()
    house.proxy.resume("")
    fresh = await house.server.accept()
    await fresh.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)


async def test_clients_that_wait_are_served_in_turns_where_that_is_wanted(
    enter: Callable[..., Awaitable[House]],
):
    house = await enter(
        {"pool.size": 1, "pool.reserve_timeout": "0s", "pool.fair_by": "user", "databases.shop.user": "app"}
    )
    holder, server = await hold(house)
    noisy = [await house.client("noisy") for _ in range(3)]
    quiet = await house.client("quiet")
    for number, client in enumerate(noisy):
        client.send(query(f"SELECT 'noisy {number}'"))
        await house.until(lambda number=number: len(house.pool.waiting) == number + 1)
    quiet.send(query("SELECT 'quiet'"))
    await house.until(lambda: len(house.pool.waiting) == 4)
    await free(holder, server)
    for text in ("noisy 0", "quiet", "noisy 1", "noisy 2"):
        await server.answers(rows("1"), IDLE, to=query(f"SELECT '{text}'"))
