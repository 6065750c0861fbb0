"""PostgreSQL: "Simple Query", "Function Call", "Asynchronous Operations"."""

import pytest

from dbproxy.wire.build import notice_response
from tests.support.house import House
from tests.support.speech import (
    EMPTY,
    IDLE,
    INERROR,
    INTRANS,
    columns,
    complete,
    error,
    function_call,
    function_result,
    notice,
    parameter_status,
    query,
    row,
    rows,
)


async def test_query_and_answer(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_several_statements_in_one_query_have_one_ready(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1; SELECT 2; DELETE FROM t"))
    await server.receive()
    server.send(rows("1"))
    await client.receives(rows("1"))
    assert house.pool.counts()["active"] == 1
    server.send(rows("2"), complete("DELETE 3"), IDLE)
    await client.receives(rows("2"), complete("DELETE 3"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_empty_query(house: House):
    client, server = await house.pair()
    client.send(query(""))
    await server.answers(EMPTY, IDLE, to=query(""))
    await client.receives(EMPTY, IDLE)


async def test_error_leaves_the_connection_usable(house: House):
    client, server = await house.pair()
    refusal = error("42601", 'syntax error at or near "SELEC"')
    client.send(query("SELEC"))
    await server.answers(refusal, IDLE, to=query("SELEC"))
    await client.receives(refusal, IDLE)
    await server.answers_audit()  # what cannot be read might have done anything
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)


async def test_server_is_kept_for_a_transaction_and_no_longer(house: House):
    client, server = await house.pair()
    other = await house.client()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    other.send(query("SELECT 2"))
    await server.hears_nothing()
    client.send(query("SELECT 1/0"))
    await server.answers(error("22012", "division by zero"), INERROR, to=query("SELECT 1/0"))
    await client.receives(error("22012", "division by zero"), INERROR)
    await server.hears_nothing()
    client.send(query("ROLLBACK"))
    await server.answers(complete("ROLLBACK"), IDLE, to=query("ROLLBACK"))
    await client.receives(complete("ROLLBACK"), IDLE)
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


async def test_function_call(house: House):
    client, server = await house.pair()
    client.send(function_call(1598, b"\0"))
    await server.answers(function_result(b"\1"), IDLE, to=function_call(1598, b"\0"))
    await client.receives(function_result(b"\1"), IDLE)
    client.send(function_call(1, b""))
    await server.answers(error("42883", "no such function"), IDLE, to=function_call(1, b""))
    await client.receives(error("42883", "no such function"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_function_call_after_settings_were_adopted_keeps_its_result(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    other = await house.client(parameters={"application_name": "other"})
    other.send(function_call(1598, b"\0"))
    adopted = await server.receive()
    assert "application_name" in adopted.body.query
    server.send(rows("other"), IDLE)
    await server.answers(function_result(b"\1"), IDLE, to=function_call(1598, b"\0"))
    await other.receives(function_result(b"\1"), IDLE)


async def test_notices_and_parameter_status_come_at_any_time(house: House):
    client, server = await house.pair()
    answer = (
        notice("before"),
        columns("a"),
        row("1"),
        notice("between"),
        parameter_status("TimeZone", "Europe/Berlin"),
        row("2"),
        complete("SELECT 2"),
        notice("after"),
        IDLE,
    )
    client.send(query("SELECT f()"))
    await server.answers(*answer, to=query("SELECT f()"))
    await client.receives(*answer)
    await server.answers_audit(settings={"TimeZone": "Europe/Berlin"})
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_notice_about_our_own_statement_is_not_the_clients(house: House):
    _, server = await house.pair()
    other = await house.client(parameters={"application_name": "other"})
    other.send(query("SELECT 1"))
    await server.receive()
    server.send(notice("set"), rows("other"), parameter_status("application_name", "other"), IDLE)
    await server.answers(notice("theirs"), rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(notice("theirs"), rows("1"), IDLE)


async def test_notice_after_ready_that_comes_in_pieces_does_not_keep_the_server(house: House):
    client, server = await house.pair()
    late = notice_response("x" * 100)
    client.send(query("SELECT 1"))
    await server.receive()
    server.send(rows("1"), IDLE, late[:50])
    await client.receives(rows("1"), IDLE)
    server.send(late[50:])
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_what_an_idle_server_says_reaches_nobody(house: House):
    client, server = await house.pair()
    server.send(notice("nobody asked"), parameter_status("TimeZone", "Europe/Berlin"))
    await house.until(lambda: house.pool.welcome["TimeZone"] == "Europe/Berlin")
    await client.hears_nothing()
    assert (await house.client()).parameters["TimeZone"] == "Europe/Berlin"


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_messages_are_split_at_any_byte(house: House, size: int):
    client, server = await house.pair()
    requests = [query("SELECT 1"), function_call(7, b"x"), query("SELECT 2")]
    for request in requests:
        await client.send_in_crumbs(request, size=size)
        await server.receives(request)
        await server.send_in_crumbs(notice("n"), rows("1", "2"), IDLE, size=size)
        await client.receives(notice("n"), rows("1", "2"), IDLE)
    assert house.pool.stats.query_count == 3


async def test_many_messages_are_in_one_packet(house: House):
    client, server = await house.pair()
    requests = [query(f"SELECT {number}") for number in range(500)]
    client.send(*requests)
    await server.receives(*requests)
    server.send(*(rows(str(number)) + IDLE for number in range(500)))
    await client.receives(*(rows(str(number)) + IDLE for number in range(500)))
    assert house.pool.counts()["idle"] == 1
    assert house.pool.stats.query_count == 500


async def test_long_row_streams_through_in_the_pieces_in_which_it_comes(house: House):
    client, server = await house.pair()
    answer = columns("a") + row("x" * 100_000)
    client.send(query("SELECT long"))
    await server.receive()
    server.send(answer[:50_000])
    await client.receives_bytes(answer[:50_000])
    server.send(answer[50_000:], complete(), IDLE)
    await client.receives_bytes(answer[50_000:])
    await client.receives(complete(), IDLE)


async def test_long_query_streams_through_in_the_pieces_in_which_it_comes(house: House):
    client, server = await house.pair()
    long = query("SELECT '" + "x" * 150_000 + "'")
    client.send(long[:80_000])
    await server.receives_bytes(long[:80_000])
    client.send(long[80_000:])
    await server.receives_bytes(long[80_000:])
    server.send(rows("x"), IDLE)
    await client.receives(rows("x"), IDLE)
    await server.answers_audit()  # its beginning is not all that it may do
    await house.until(lambda: house.pool.counts()["idle"] == 1)
