"""Clients that break the protocol, flood or stall: each costs itself its connection and nobody else anything."""

import pytest

from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.speech import (
    BIND_COMPLETE,
    FLUSH,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    copy_data,
    describe,
    error,
    execute,
    parse,
    query,
    row,
    rows,
)

MEBIBYTE = 1 << 20


def header(kind: str, length: int) -> bytes:
    return kind.encode() + (length & 0xFFFFFFFF).to_bytes(4, "big")


BAD = {
    "unknown kind": (header("?", 4), "08P01"),
    "password after login": (header("p", 9) + b"x\0\0\0\0", "08P01"),
    "server's kind": (header("Z", 5) + b"I", "08P01"),
    "zero": (b"\0" * 5, "08P01"),
    "length 3": (header("Q", 3), "08P01"),
    "length 0": (header("S", 0), "08P01"),
    "length -1": (header("Q", -1), "08P01"),
    "over a gigabyte": (header("Q", 1 << 30), "08P01"),
    "long sync": (header("S", 10_001), "08P01"),
    "long execute": (header("E", 10_001), "08P01"),
    "parse over the limit": (header("P", 2000), "54000"),
}


@pytest.mark.parametrize("stage", ["idle", "in a transaction", "behind a query"])
@pytest.mark.parametrize(("bad", "sqlstate"), BAD.values(), ids=BAD)
async def test_bad_message_ends_that_client_alone(enter, bad: bytes, sqlstate: str, stage: str):
    house = await enter({"pool.size": 1, "listen.max_message_size": "1KiB"})
    client, server = await house.pair()
    other = await house.client()
    if stage == "in a transaction":
        client.send(query("BEGIN"))
        await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
        await client.receives(complete("BEGIN"), INTRANS)
    elif stage == "behind a query":
        client.send(query("SELECT 1"))
        await server.receives(query("SELECT 1"))
    other.send(query("SELECT 2"))
    client.send(bad)
    if stage == "behind a query":  # what was asked before is answered first
        await client.hears_nothing()
        server.send(rows("1"), IDLE)
        await client.receives(rows("1"), IDLE)
    failed = await client.fails(sqlstate)
    assert failed.body.fields["S"] == "FATAL"
    await client.hears_the_end()
    if stage == "in a transaction":
        await server.receives(query("ROLLBACK"))
        server.send(complete("ROLLBACK"), IDLE)
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


async def test_longest_message_is_allowed(enter):
    house = await enter({"pool.size": 1, "listen.max_message_size": "1KiB"})
    client, server = await house.pair()
    longest = parse("", "x" * (1024 - len(parse("", ""))))
    client.send(longest, describe("x" * (10_001 - len(describe("")))))
    await server.receives(longest)
    assert (await server.receive()).kind == "D"
    assert len(longest) == 1024


async def test_malformed_body_is_postgresqls_to_judge(house: House):
    client, server = await house.pair()
    for body in (
        header("P", 4),
        header("B", 4),
        header("P", 6) + b"xx",
        header("B", 6) + b"xx",
        header("D", 5) + b"S",
        header("C", 6) + b"Sx",
        header("E", 4),
        header("E", 5) + b"\0",
        header("E", 6) + b"x\0",
    ):
        client.send(body, SYNC)
        await server.receives_bytes(body + SYNC)
        server.send(error("08P01", "invalid string in message"), IDLE)
        await client.fails("08P01", "invalid string")
        await client.receives(IDLE)


async def test_query_without_a_text_is_postgresqls_to_judge(house: House):
    client, server = await house.pair()
    client.send(header("Q", 4))
    await server.receives_bytes(header("Q", 4))
    server.send(error("08P01", "invalid string in message"), IDLE)
    await client.fails("08P01", "invalid string")
    await client.receives(IDLE)


# --- floods and stalls --------------------------------------------------------------------------------------


async def test_client_that_never_reads_stops_being_read_for(house: House):
    """Promise 7: what it asked for fills two buffers, and no more."""
    client, server = await house.pair()
    client.reader._limit = 1000  # its end takes little
    client.send(query("SELECT long"))
    await server.receives(query("SELECT long"))
    inside = house.inside(client)
    server.send(columns("a"))
    sent = 0
    while not inside.full:
        server.send(row("x" * 10_000))
        sent += 1
        await let_others_run(5)
        assert sent < 10_000
    forwarded = house.pool.stats.bytes_sent
    server.send(row("x" * MEBIBYTE) * 8)
    await let_others_run(200)
    assert house.pool.stats.bytes_sent - forwarded < MEBIBYTE
    assert inside.transport.get_write_buffer_size() < MEBIBYTE
    client.reader._limit = MEBIBYTE
    await client.receives(columns("a"))
    for _ in range(sent):
        await client.receives(row("x" * 10_000))
    for _ in range(8):
        await client.receives(row("x" * MEBIBYTE))
    server.send(complete(), IDLE)
    await client.receives(complete(), IDLE)


async def test_others_go_on_beside_a_client_that_never_reads(enter):
    house = await enter({"pool.size": 2})
    client, server = await house.pair()
    other = await house.client()
    client.reader._limit = 1000
    client.send(query("SELECT long"))
    await server.receives(query("SELECT long"))
    server.send(columns("a"), row("x" * MEBIBYTE) * 16)
    await house.until(lambda: house.inside(client).full)
    other.send(query("SELECT 1"))
    second = await house.server.accept()
    await second.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)


async def test_client_that_keeps_a_server_by_not_reading_is_ended(house: House):
    client, server = await house.pair()
    client.reader._limit = 1000
    client.send(query("SELECT long"))
    await server.receives(query("SELECT long"))
    server.send(columns("a"), row("x" * MEBIBYTE) * 16)
    await house.until(lambda: house.inside(client).full)
    house.sweep(later=299)
    assert len(house.proxy.registry) == 1
    transport = house.inside(client).transport
    house.sweep(later=301)
    assert not len(house.proxy.registry)
    await house.until(lambda: transport.get_write_buffer_size() == 0)  # aborted: what is unread is gone
    await house.until(lambda: house.pool.size() == 0)


async def test_server_that_does_not_read_stops_its_client(house: House):
    client, server = await house.pair()
    server.reader._limit = 1000
    client.send(query("COPY t FROM STDIN"))
    await server.receive()
    client.send(copy_data(b"x" * MEBIBYTE) * 16)
    inside = house.inside(client)
    await house.until(lambda: inside.reasons != 0)
    received = house.pool.stats.bytes_received
    await let_others_run(200)
    assert house.pool.stats.bytes_received - received < MEBIBYTE
    server.reader._limit = MEBIBYTE
    for _ in range(16):
        await server.receives(copy_data(b"x" * MEBIBYTE))


async def test_flood_of_messages_is_read_as_it_is_answered(house: House):
    client, server = await house.pair()
    batch = parse("", "SELECT 1") + bind("") + execute()
    answer = PARSE_COMPLETE + BIND_COMPLETE + complete("SELECT 0")
    client.send(batch * 20_000, SYNC)
    inside = house.inside(client)
    await house.until(lambda: inside.reasons != 0)
    await let_others_run(200)
    (held,) = house.pool.lists[2]
    assert len(held.dialogue.pipeline) < 40_000
    asked, answered = b"", 0
    last = (SYNC, SYNC + FLUSH)  # the proxy flushes behind it if more than the limit is still due
    while not asked.endswith(last):
        asked += await server.reader.read(65536)
        server.send(answer * (asked.count(execute()) - answered))
        answered = asked.count(execute())
    server.send(IDLE)
    await client.receives_bytes(answer * 20_000 + IDLE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_message_that_must_be_whole_comes_byte_by_byte(enter):
    house = await enter({"pool.size": 1, "listen.max_message_size": "2KiB"})
    client, server = await house.pair()
    long = parse("", "x" * 1000)
    await client.send_in_crumbs(long[:-1])
    await server.hears_nothing()
    client.send(long[-1:], SYNC)
    await server.receives(long, SYNC)
