"""PostgreSQL: "Extended Query", "Pipelining"."""

import pytest

from tests.support.house import House
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    EMPTY,
    FLUSH,
    IDLE,
    INERROR,
    INTRANS,
    NO_DATA,
    PARSE_COMPLETE,
    SUSPENDED,
    SYNC,
    bind,
    close,
    close_portal,
    columns,
    complete,
    describe,
    describe_portal,
    error,
    execute,
    notification,
    parameter_types,
    parse,
    query,
    row,
    rows,
)

ONCE = (parse("", "SELECT $1"), bind("", "x"), describe_portal(), execute(), SYNC)
ONCE_ANSWERED = (PARSE_COMPLETE, BIND_COMPLETE, columns("a"), row("x"), complete(), IDLE)


async def test_one_statement_at_once(house: House):
    client, server = await house.pair()
    client.send(*ONCE)
    await server.receives(*ONCE)
    server.send(*ONCE_ANSWERED)
    await client.receives(*ONCE_ANSWERED)
    assert house.pool.counts()["idle"] == 1


async def test_flush_without_sync_keeps_the_server_only_once_something_is_bound(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT $1"), describe(""), FLUSH)
    await server.receives(parse("", "SELECT $1"), describe(""), FLUSH)
    server.send(PARSE_COMPLETE, parameter_types(25), columns("a"))
    await client.receives(PARSE_COMPLETE, parameter_types(25), columns("a"))
    await server.receives(SYNC)  # ours: only to prepare, as asyncpg does, is no reason to keep the server
    server.send(IDLE)
    client.send(bind("", "x"), execute("", 1), FLUSH)
    await server.receives(bind("", "x"), execute("", 1), FLUSH)
    server.send(BIND_COMPLETE, row("x"), SUSPENDED)
    await client.receives(BIND_COMPLETE, row("x"), SUSPENDED)
    assert house.pool.counts()["active"] == 1
    client.send(execute(), close_portal(), SYNC)
    await server.receives(execute(), close_portal(), SYNC)
    server.send(complete("SELECT 0"), CLOSE_COMPLETE, IDLE)
    await client.receives(complete("SELECT 0"), CLOSE_COMPLETE, IDLE)
    assert house.pool.counts()["idle"] == 1


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "DISCARD ALL"])
async def test_what_ends_the_transaction_before_its_sync_frees_the_server(house: House, end: str):
    client, server = await house.pair()
    client.send(parse("", end), bind(), execute(), FLUSH)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete(end))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete(end))
    await server.answers(IDLE, to=SYNC)
    if end == "DISCARD ALL":
        await server.answers_audit()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_savepoint_is_rolled_back_to_in_its_transaction(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    client.send(parse("", "ROLLBACK TO a"), bind(), execute(), FLUSH)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("ROLLBACK"))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("ROLLBACK"))
    await server.hears_nothing()
    assert house.pool.counts()["active"] == 1


@pytest.mark.parametrize("known", [False, True])
async def test_notification_waits_for_the_sync_though_the_server_is_free(house: House, known: bool):
    client, server = await house.pair()
    client.send(parse("s1", "SELECT 1"), FLUSH)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE)
    await client.receives(PARSE_COMPLETE)
    await server.answers(IDLE, to=SYNC)
    if known:  # then no server is asked
        client.send(SYNC, parse("s2", "SELECT 1"), FLUSH)
        await client.receives(IDLE, PARSE_COMPLETE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)
    news = notification("news", "heard by the hub")
    house.inside(client).notify(news)
    await client.hears_nothing()
    client.send(SYNC)
    await client.receives(news, IDLE)
    house.inside(client).notify(news)
    await client.receives(news)


async def test_pipeline_of_many_batches_is_answered_batch_by_batch(house: House):
    client, server = await house.pair()
    client.send(*ONCE * 50)
    await server.receives(*ONCE * 50)
    for _ in range(49):
        server.send(*ONCE_ANSWERED)
        await client.receives(*ONCE_ANSWERED)
        assert house.pool.counts()["active"] == 1
    server.send(*ONCE_ANSWERED)
    await client.receives(*ONCE_ANSWERED)
    assert house.pool.counts()["idle"] == 1


@pytest.mark.parametrize("size", [1, 5, 13])
async def test_pipeline_is_split_at_any_byte(house: House, size: int):
    client, server = await house.pair()
    await client.send_in_crumbs(*ONCE * 2, size=size)
    await server.receives(*ONCE * 2)
    await server.send_in_crumbs(*ONCE_ANSWERED * 2, size=size)
    await client.receives(*ONCE_ANSWERED * 2)
    assert house.pool.counts()["idle"] == 1


async def test_error_in_a_pipeline_discards_to_sync_and_the_next_batch_goes_on(house: House):
    client, server = await house.pair()
    bad = (parse("", "SELEC"), bind(""), execute(), SYNC)
    client.send(*ONCE, *bad, *ONCE)
    await server.receives(*ONCE, *bad, *ONCE)
    answer = (*ONCE_ANSWERED, error("42601", "syntax error"), IDLE, *ONCE_ANSWERED)
    server.send(*answer)
    await client.receives(*answer)
    await server.answers_audit()  # what cannot be read might have done anything
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_what_is_sent_between_an_error_and_sync_is_owed_no_answer(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELEC"), FLUSH)
    await server.receives(parse("", "SELEC"), FLUSH)
    server.send(error("42601", "syntax error"))
    await client.receives(error("42601", "syntax error"))
    ignored = (bind(""), execute(), query("SELECT 1"), describe_portal())
    client.send(*ignored)
    await client.hears_nothing()
    client.send(SYNC)
    await server.receive_until(SYNC)
    server.send(IDLE)
    await client.receives(IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_statement_parsed_after_an_error_was_not_parsed(house: House):
    """PostgreSQL ignores that Parse: the name is free, and the statement is on no server."""
    client, server = await house.pair()
    client.send(parse("", "SELEC"), FLUSH)
    await server.receives(parse("", "SELEC"), FLUSH)
    server.send(error("42601", "syntax error"))
    await client.receives(error("42601", "syntax error"))
    client.send(parse("s1", "SELECT 1"), SYNC)
    await server.receive_until(SYNC)
    server.send(IDLE)
    await client.receives(IDLE)
    client.send(parse("s1", "SELECT 1"), bind("s1"), execute(), SYNC)
    parsed = await server.receive()
    assert (parsed.kind, parsed.body.query) == ("P", "SELECT 1")
    await server.receives(bind(parsed.body.name), execute(), SYNC)


async def test_statement_closed_after_an_error_was_not_closed(house: House):
    client, server = await house.pair()
    name = await prepare(client, server, "s1", "SELECT 1")
    client.send(parse("", "SELEC"), FLUSH)
    await server.receives(parse("", "SELEC"), FLUSH)
    server.send(error("42601", "syntax error"))
    await client.receives(error("42601", "syntax error"))
    client.send(close("s1"), SYNC)
    await server.receive_until(SYNC)
    server.send(IDLE)
    await client.receives(IDLE)
    client.send(bind("s1"), execute(), SYNC)
    await server.receives(bind(name), execute(), SYNC)


async def test_error_at_sync_is_that_of_the_commit(house: House):
    client, server = await house.pair()
    client.send(*ONCE)
    await server.receives(*ONCE)
    answer = (*ONCE_ANSWERED[:-1], error("23503", "violates foreign key constraint"), IDLE)
    server.send(*answer)
    await client.receives(*answer)
    assert house.pool.counts()["idle"] == 1


async def test_describe_of_statement_portal_and_nothing(house: House):
    client, server = await house.pair()
    client.send(parse("s", "DELETE FROM t WHERE a = $1"), describe("s"), SYNC)
    name = (await server.receive()).body.name
    await server.receives(describe(name), SYNC)
    server.send(PARSE_COMPLETE, parameter_types(25), NO_DATA, IDLE)
    await client.receives(PARSE_COMPLETE, parameter_types(25), NO_DATA, IDLE)
    client.send(bind("s", "1"), describe_portal(), execute(), SYNC)
    await server.receives(bind(name, "1"), describe_portal(), execute(), SYNC)
    server.send(BIND_COMPLETE, NO_DATA, complete("DELETE 1"), IDLE)
    await client.receives(BIND_COMPLETE, NO_DATA, complete("DELETE 1"), IDLE)


async def test_empty_statement(house: House):
    client, server = await house.pair()
    client.send(parse("", ""), bind(""), execute(), SYNC)
    await server.receives(parse("", ""), bind(""), execute(), SYNC)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, EMPTY, IDLE)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, EMPTY, IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_sync_alone_needs_no_server(house: House):
    client, server = await house.pair()
    client.send(SYNC, FLUSH, SYNC)
    await client.receives(IDLE, IDLE)
    await server.hears_nothing()


async def test_sync_in_a_transaction_is_answered_by_the_server(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    client.send(SYNC)
    await server.answers(INTRANS, to=SYNC)
    await client.receives(INTRANS)


async def test_query_behind_a_batch_that_lacks_its_sync(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), bind(""), execute(), query("SELECT 2"))
    await server.receives(parse("", "SELECT 1"), bind(""), execute(), query("SELECT 2"))
    answer = (PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), rows("2"), IDLE)
    server.send(*answer)
    await client.receives(*answer)
    assert house.pool.counts()["idle"] == 1


async def test_cut_transaction_fails_until_rollback(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    aborted = error("25P02", "current transaction is aborted")
    client.send(parse("s1", "SELEC"), SYNC)
    await server.receive_until(SYNC)
    server.send(error("42601", "syntax error"), INERROR)
    await client.receives(error("42601", "syntax error"), INERROR)
    client.send(parse("s1", "SELECT 1"), SYNC)
    await server.receive_until(SYNC)
    server.send(aborted, INERROR)
    await client.receives(aborted, INERROR)
    client.send(query("ROLLBACK"))
    await server.answers(complete("ROLLBACK"), IDLE, to=query("ROLLBACK"))
    await client.receives(complete("ROLLBACK"), IDLE)


async def prepare(client, server, name: str, text: str) -> str:
    """Prepare a statement; the name that the server knows it by."""
    client.send(parse(name, text), SYNC)
    ours = (await server.receive()).body.name
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    return str(ours)
