"""What a client is told when its server goes, and that nobody else is (DESIGN §5, promises 3 and 5)."""

import os

import pytest

from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.speech import (
    FLUSH,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    error,
    execute,
    parse,
    query,
    row,
    rows,
)

SHUTDOWN = error("57P01", "terminating connection due to administrator command", severity="FATAL")


async def test_server_lost_while_idle_is_replaced_unseen(house: House):
    client, server = await house.pair()
    server.cut()
    await house.until(lambda: house.pool.size() == 0)
    client.send(query("SELECT 1"))
    fresh = await house.server.accept()
    await fresh.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)


async def test_last_words_of_an_idle_server_reach_nobody(house: House):
    client, server = await house.pair()
    server.send(SHUTDOWN)
    server.writer.close()
    await house.until(lambda: house.pool.size() == 0)
    await client.hears_nothing()


async def test_server_whose_last_words_are_not_read_yet_is_not_lent(enter):
    house = await enter({"pool.size": 1})
    client, server = await house.pair()
    inside = next(iter(house.pool.idle))
    inside.upkeep.used_at -= 1  # it has been quiet for a while
    client.send(query("SELECT 1"))
    os.write(server.writer.get_extra_info("socket").fileno(), SHUTDOWN)  # it is there before the query is
    server.writer.close()
    fresh = await house.server.accept()
    await fresh.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)


async def test_lost_in_a_transaction(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    server.cut()
    await client.fails("08006", "lost")
    await client.hears_the_end()


@pytest.mark.parametrize("politely", [True, False])
async def test_lost_with_a_query_open_leaves_its_fate_unknown(house: House, politely: bool):
    client, server = await house.pair()
    client.send(query("COMMIT"))
    await server.receives(query("COMMIT"))
    server.writer.close() if politely else server.cut()
    lost = await client.fails("08007", "lost")
    assert lost.body.fields["S"] == "FATAL"
    assert "not known" in lost.body.fields["D"]
    await client.hears_the_end()


async def test_lost_between_two_rows(house: House):
    client, server = await house.pair()
    client.send(query("SELECT a"))
    await server.receives(query("SELECT a"))
    server.send(columns("a"), row("1"))
    await client.receives(columns("a"), row("1"))
    server.cut()
    await client.fails("08007")
    await client.hears_the_end()


async def test_lost_inside_a_row_nothing_is_written_into_the_row(house: House):
    """The client would take an error for the rest of the row."""
    client, server = await house.pair()
    client.send(query("SELECT a"))
    await server.receives(query("SELECT a"))
    half = row("x" * 1000)[:500]
    server.send(columns("a"), half)
    await client.receives(columns("a"))
    await client.receives_bytes(half)
    server.cut()
    await client.hears_the_end()


async def test_deadline_inside_a_row_writes_nothing_into_the_row(house: House):
    client, server = await house.pair()
    client.send(query("SELECT a"))
    await server.receives(query("SELECT a"))
    half = row("x" * 1000)[:500]
    server.send(half)
    await client.receives_bytes(half)
    inside = house.inside(client)
    inside.pause_writing()
    house.sweep(later=301)
    await client.hears_the_end()


async def test_last_words_are_passed_on_once_and_nothing_is_added(house: House):
    client, server = await house.pair()
    client.send(query("SELECT pg_sleep(100)"))
    await server.receives(query("SELECT pg_sleep(100)"))
    server.send(SHUTDOWN)
    server.writer.close()
    await client.receives(SHUTDOWN)
    await client.hears_the_end()


async def test_last_words_of_a_server_whose_reply_would_be_skipped_are_passed_on(house: House):
    await house.pair()
    named = await house.client(parameters={"application_name": "named"})
    server = next(iter(house.server.backends))
    named.send(query("SELECT 1"))
    await server.receive_until(query("SELECT 1"))
    server.send(SHUTDOWN)
    server.writer.close()
    await named.receives(SHUTDOWN)
    await named.hears_the_end()


@pytest.mark.parametrize(
    "nonsense",
    [b"Z\0\0\0\5I", PARSE_COMPLETE, b"?\0\0\0\4", b"D\0\0\0\3", b"HTTP/1.1 400 Bad Request\r\n"],
    ids=["ready twice", "reply to nothing", "unknown kind", "short", "another protocol"],
)
async def test_server_that_breaks_the_protocol_is_closed_and_its_client_told(house: House, nonsense: bytes):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    server.send(nonsense)
    await client.fails("08006")
    await client.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)


async def test_ready_twice_never_reaches_the_next_client(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    server.send(rows("1"), IDLE, IDLE)
    await house.until(lambda: house.pool.size() == 0)
    await client.fails("08006", "owed no reply")
    await client.hears_the_end()


async def test_reply_out_of_turn(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), bind(""), execute(), SYNC)
    await server.receive_until(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.fails("08007", "out of turn")
    await client.hears_the_end()


async def test_those_who_wait_get_another_server_when_one_is_lost(house: House):
    client, server = await house.pair()
    other = await house.client()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    other.send(query("SELECT 2"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    server.cut()
    await client.fails("08006")
    fresh = await house.server.accept()
    await fresh.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


async def test_failure_of_our_own_statement_costs_the_server_and_its_client(house: House):
    await house.pair()
    named = await house.client(parameters={"application_name": "named"})
    server = next(iter(house.server.backends))
    named.send(query("SELECT 1"))
    await server.receive_until(query("SELECT 1"))
    server.send(error("22023", "invalid value"), IDLE, rows("1"), IDLE)
    await named.fails("22023", "settings cannot be given to another server connection: invalid value")
    await named.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)


async def test_server_lost_in_a_retry(house: House):
    client, server = await house.pair()
    client.send(parse("s", "SELECT 1"), bind("s"), execute(), SYNC)
    await server.receive_until(SYNC)
    server.send(error("26000", "gone", routine="FetchPreparedStatement"))
    await let_others_run()
    server.cut()
    await client.fails("08007")
    await client.hears_the_end()


async def test_flush_only_client_of_a_lost_server(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), bind(""), execute(), FLUSH)
    await server.receive_until(FLUSH)
    server.cut()
    await client.fails("08007")
    await client.hears_the_end()
