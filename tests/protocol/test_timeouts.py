"""`query_timeout` and `transaction_timeout`: what is overdue is cancelled or ended, and nothing else."""

from tests.support.house import House
from tests.support.speech import (
    BIND_COMPLETE,
    FLUSH,
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    error,
    execute,
    parse,
    query,
    rows,
)

CANCELED = error("57014", "canceling statement due to user request")
SLEEP = query("SELECT pg_sleep(100)")
LIMIT = {
    "pool.size": 1,
    "pool.reserve_size": 0,
    "pool.query_timeout": "10s",
    "pool.cancel_wait_timeout": "5s",
}


async def test_query_that_is_overdue_is_cancelled_once_and_its_client_stays(enter):
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    house.sweep(later=9)
    assert not house.server.asked_to_cancel
    house.sweep(later=11)
    house.sweep(later=12)
    cancel = await house.server.cancelled()
    assert (cancel.pid, cancel.key) == (server.pid, server.key)
    server.send(CANCELED, IDLE)
    message = await client.fails("57014", "canceling statement due to query timeout")
    assert message.body.fields["D"] == "query_timeout is 10 s."
    await client.receives(IDLE)
    cancel.finish()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    assert house.pool.stats.limits == {"query_timeout": 1}
    assert not house.server.asked_to_cancel


async def test_extended_query_in_a_transaction_fails_by_the_same_words(enter):
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    client.send(parse("", "SELECT pg_sleep(100)"), bind(""), execute(), SYNC)
    await server.receive_until(SYNC)
    house.sweep(later=11)
    (await house.server.cancelled()).finish()
    server.send(PARSE_COMPLETE, BIND_COMPLETE, CANCELED, INERROR)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE)
    await client.fails("57014", "canceling statement due to query timeout")
    await client.receives(INERROR)


async def test_cancel_of_the_clients_own_keeps_postgresqls_words(enter):
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    house.sweep(later=9)
    await client.cancel()
    (await house.server.cancelled()).finish()
    server.send(CANCELED, IDLE)
    await client.receives(CANCELED, IDLE)


async def test_query_that_fails_by_itself_meanwhile_tells_its_own_error(enter):
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    house.sweep(later=11)
    failure = error("22012", "division by zero")
    server.send(failure, IDLE)
    await client.receives(failure, IDLE)


async def test_client_of_a_server_that_does_not_obey_is_disconnected_and_the_server_closed(enter):
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    house.sweep(later=11)
    house.sweep(later=15)
    await client.hears_nothing()
    house.sweep(later=17)
    message = await client.fails("57014", "canceling statement due to query timeout")
    assert message.body.fields["S"] == "FATAL"
    await client.hears_the_end()
    await server.hears_the_end()


async def test_each_query_of_a_transaction_has_its_own_time(enter):
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    house.sweep(later=60)
    await client.hears_nothing()
    assert not house.server.asked_to_cancel


async def test_half_a_batch_that_is_carried_out_is_its_clients_silence(enter):
    """The server is asked for what it has done."""
    house: House = await enter(LIMIT)
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), bind(""), execute())
    await server.receive()
    house.sweep(later=11)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("SELECT 1"))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("SELECT 1"))
    for later in (12, 17, 60):
        house.sweep(later=later)
    await client.hears_nothing()
    assert not house.server.asked_to_cancel


async def test_query_that_waits_for_a_server_is_overdue_by_the_same_words(enter):
    house: House = await enter(LIMIT)
    holder, server = await house.pair()
    holder.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await holder.receives(complete("BEGIN"), INTRANS)
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=9)
    await waiting.hears_nothing()
    house.sweep(later=11)
    await waiting.fails("57014", "canceling statement due to query timeout")
    await waiting.receives(IDLE)


async def test_transaction_that_is_overdue_ends_its_client_and_is_rolled_back(enter):
    house: House = await enter({"pool.size": 1, "pool.transaction_timeout": "10s"})
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    house.sweep(later=9)
    await client.hears_nothing()
    house.sweep(later=11)
    await client.fails("25P04", "terminating connection due to transaction timeout")
    await client.hears_the_end()
    await server.receives(query("ROLLBACK"))
    assert house.pool.stats.limits == {"transaction_timeout": 1}


async def test_query_of_an_overdue_transaction_is_cancelled_with_its_client(enter):
    house: House = await enter({"pool.size": 1, "pool.transaction_timeout": "10s"})
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    house.sweep(later=11)
    await client.fails("25P04")
    (await house.server.cancelled()).finish()
    await server.hears_the_end()


async def test_session_without_a_transaction_is_not_overdue(enter):
    house: House = await enter({"pool.mode": "session", "pool.size": 1, "pool.transaction_timeout": "10s"})
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    house.sweep(later=60)
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    house.sweep(later=69)  # it has begun behind the sweep before
    await client.hears_nothing()
    house.sweep(later=71)
    await client.fails("25P04")
