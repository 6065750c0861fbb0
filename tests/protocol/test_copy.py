"""PostgreSQL: "COPY Operations"."""

import pytest

from tests.support.house import House
from tests.support.speech import (
    BIND_COMPLETE,
    COPY_DONE,
    COPY_IN,
    COPY_OUT,
    FLUSH,
    IDLE,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    complete,
    copy_data,
    copy_fail,
    error,
    execute,
    parse,
    query,
    rows,
)

IN, OUT = query("COPY t FROM STDIN"), query("COPY t TO STDOUT")
EXTENDED = (parse("", "COPY t FROM STDIN"), bind(""), execute())
EXTENDED_ANSWERED = (PARSE_COMPLETE, BIND_COMPLETE, COPY_IN)
WRONG = error("22P04", "extra data after last expected column")


async def test_copy_out(house: House):
    client, server = await house.pair()
    client.send(OUT)
    await server.receives(OUT)
    answer = (COPY_OUT, copy_data(b"1\n"), copy_data(b"x" * 70_000), COPY_DONE, complete("COPY 2"), IDLE)
    server.send(*answer)
    await client.receives(*answer)
    assert house.pool.counts()["idle"] == 1


async def test_copy_out_that_fails_in_the_middle(house: House):
    client, server = await house.pair()
    client.send(OUT)
    await server.receives(OUT)
    answer = (COPY_OUT, copy_data(b"1\n"), error("57014", "canceling statement"), IDLE)
    server.send(*answer)
    await client.receives(*answer)
    assert house.pool.counts()["idle"] == 1


async def test_copy_in(house: House):
    client, server = await house.pair()
    client.send(IN)
    await server.answers(COPY_IN, to=IN)
    await client.receives(COPY_IN)
    data = (copy_data(b"1\n"), copy_data(b"x" * 70_000), copy_data(b""), COPY_DONE)
    client.send(*data)
    await server.receives(*data)
    server.send(complete("COPY 3"), IDLE)
    await client.receives(complete("COPY 3"), IDLE)
    assert house.pool.counts()["idle"] == 1


@pytest.mark.parametrize("size", [1, 4, 9])
async def test_copy_is_split_at_any_byte(house: House, size: int):
    client, server = await house.pair()
    await client.send_in_crumbs(IN, size=size)
    await server.receives(IN)
    await server.send_in_crumbs(COPY_IN, size=size)
    await client.receives(COPY_IN)
    data = (copy_data(b"1\n"), copy_data(b"Q\0\0\0\4"), COPY_DONE)
    await client.send_in_crumbs(*data, size=size)
    await server.receives(*data)
    await server.send_in_crumbs(complete("COPY 2"), IDLE, size=size)
    await client.receives(complete("COPY 2"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_client_that_gives_copy_up(house: House):
    client, server = await house.pair()
    client.send(IN)
    await server.answers(COPY_IN, to=IN)
    client.send(copy_fail("no more"))
    failed = error("57014", "COPY from stdin failed: no more")
    await server.answers(failed, IDLE, to=copy_fail("no more"))
    await client.receives(COPY_IN, failed, IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_two_copies_in_one_query(house: House):
    client, server = await house.pair()
    client.send(query("COPY t FROM STDIN; COPY u FROM STDIN"))
    await server.receive()
    for tag in ("COPY 1", "COPY 2"):
        server.send(COPY_IN)
        await client.receives(COPY_IN)
        client.send(copy_data(b"1\n"), COPY_DONE)
        await server.receives(copy_data(b"1\n"), COPY_DONE)
        server.send(complete(tag))
        await client.receives(complete(tag))
        assert house.pool.counts()["active"] == 1
    server.send(IDLE)
    await client.receives(IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_data_after_a_failed_copy_are_dropped_and_take_no_server(house: House):
    client, server = await house.pair()
    client.send(IN)
    await server.answers(COPY_IN, to=IN)
    client.send(copy_data(b"1\t2\n"))
    await server.answers(WRONG, IDLE, to=copy_data(b"1\t2\n"))
    await client.receives(COPY_IN, WRONG, IDLE)
    assert house.pool.counts()["idle"] == 1
    client.send(copy_data(b"2\n"), copy_data(b"3\n"), COPY_DONE)
    await server.hears_nothing()
    assert house.pool.stats.server_assignment_count == 2  # the login's and this one
    other = await house.client()
    other.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)
    client.send(query("SELECT 2"))
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await client.receives(rows("2"), IDLE)


async def test_data_cut_in_two_by_the_failure_are_finished_before_anybody_else_is_served(house: House):
    """The server has the header and waits for the rest: it would take the next client's query for it."""
    client, server = await house.pair()
    other = await house.client()
    client.send(IN)
    await server.answers(COPY_IN, to=IN)
    late = copy_data(b"x" * 1000)
    client.send(copy_data(b"1\t2\n"), late[:500])
    await server.receives(copy_data(b"1\t2\n"))
    await server.receives_bytes(late[:500])
    server.send(WRONG, IDLE)
    await client.receives(COPY_IN, WRONG, IDLE)
    other.send(query("SELECT 1"))
    await server.hears_nothing()
    client.send(late[500:], copy_data(b"never"), COPY_DONE)
    await server.receives_bytes(late[500:])
    if (message := await server.receive()).kind != "Q":  # what came with it may go with it: it is ignored
        assert message.raw == copy_data(b"never")
        await server.receives(COPY_DONE, query("SELECT 1"))
    server.send(rows("1"), IDLE)
    await other.receives(rows("1"), IDLE)


async def test_query_behind_data_cut_in_two_by_the_failure(house: House):
    client, server = await house.pair()
    client.send(IN)
    await server.answers(COPY_IN, to=IN)
    late = copy_data(b"x" * 1000)
    client.send(late[:500])
    await server.receives_bytes(late[:500])
    server.send(WRONG, IDLE)
    await client.receives(COPY_IN, WRONG, IDLE)
    client.send(late[500:], COPY_DONE, query("SELECT 1"))
    await server.receives_bytes(late[500:])
    await server.receives(COPY_DONE, query("SELECT 1"))
    server.send(rows("1"), IDLE)
    await client.receives(rows("1"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_client_that_leaves_data_cut_in_two_costs_the_server(house: House):
    client, server = await house.pair()
    client.send(IN)
    await server.answers(COPY_IN, to=IN)
    late = copy_data(b"x" * 1000)
    client.send(late[:500])
    await server.receives_bytes(late[:500])
    server.send(WRONG, IDLE)
    await client.receives(COPY_IN, WRONG, IDLE)
    client.cut()
    await server.hears_the_end()


async def test_extended_copy_with_sync_behind_its_end(house: House):
    client, server = await house.pair()
    client.send(*EXTENDED, FLUSH)
    await server.receives(*EXTENDED, FLUSH)
    server.send(*EXTENDED_ANSWERED)
    await client.receives(*EXTENDED_ANSWERED)
    client.send(copy_data(b"1\n"), COPY_DONE, SYNC)
    await server.receives(copy_data(b"1\n"), COPY_DONE, SYNC)
    server.send(complete("COPY 1"), IDLE)
    await client.receives(complete("COPY 1"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_sync_sent_before_the_data_is_owed_no_answer(house: House):
    """As libpq does: it cannot know that the statement is a COPY; PostgreSQL ignores that Sync."""
    client, server = await house.pair()
    client.send(*EXTENDED, SYNC)
    await server.receives(*EXTENDED, SYNC)
    server.send(*EXTENDED_ANSWERED)
    await client.receives(*EXTENDED_ANSWERED)
    client.send(copy_data(b"1\n"), SYNC, COPY_DONE, SYNC)
    await server.receives(copy_data(b"1\n"), SYNC, COPY_DONE, SYNC)
    server.send(complete("COPY 1"), IDLE)
    await client.receives(complete("COPY 1"), IDLE)
    assert house.pool.counts()["idle"] == 1
    other = await house.client()
    other.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)


async def test_sync_among_the_data_of_a_simple_copy_is_owed_no_answer(house: House):
    client, server = await house.pair()
    data = (copy_data(b"1\n"), SYNC, COPY_DONE)
    client.send(IN, *data)
    await server.receives(IN, *data)
    server.send(COPY_IN, complete("COPY 1"), IDLE)
    await client.receives(COPY_IN, complete("COPY 1"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_data_sent_before_the_server_has_asked_for_them(house: House):
    client, server = await house.pair()
    request = (*EXTENDED, copy_data(b"1\n"), COPY_DONE, SYNC)
    client.send(*request)
    await server.receives(*request)
    answer = (*EXTENDED_ANSWERED, complete("COPY 1"), IDLE)
    server.send(*answer)
    await client.receives(*answer)
    assert house.pool.counts()["idle"] == 1


async def test_extended_copy_that_fails_is_discarded_to_sync(house: House):
    client, server = await house.pair()
    client.send(*EXTENDED, SYNC)
    await server.receives(*EXTENDED, SYNC)
    server.send(*EXTENDED_ANSWERED, WRONG)
    await client.receives(*EXTENDED_ANSWERED, WRONG)
    client.send(copy_data(b"2\n"), COPY_DONE)
    await server.receives(copy_data(b"2\n"), COPY_DONE)
    assert house.pool.counts()["active"] == 1
    client.send(SYNC)
    await server.answers(IDLE, to=SYNC)
    await client.receives(IDLE)
    # Had it failed before it read the first Sync, an answer to that would now be on its way.
    await server.receives(TERMINATE)
    await server.hears_the_end()


async def test_extended_copy_that_fails_while_its_sync_is_on_the_way(house: House):
    client, server = await house.pair()
    client.send(*EXTENDED, FLUSH)
    await server.receives(*EXTENDED, FLUSH)
    server.send(*EXTENDED_ANSWERED)
    await client.receives(*EXTENDED_ANSWERED)
    client.send(copy_data(b"2\n"), COPY_DONE, SYNC)
    await server.receives(copy_data(b"2\n"), COPY_DONE, SYNC)
    server.send(WRONG, IDLE)
    await client.receives(WRONG, IDLE)
    assert house.pool.counts()["idle"] == 1
