"""PostgreSQL: "Canceling Requests in Progress"; DESIGN §5, promise 4."""

from time import monotonic

from dbproxy.admin.connections import show_servers
from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    complete,
    error,
    execute,
    parse,
    query,
    rows,
)
from tests.unit.admin.house import records

CANCELED = error("57014", "canceling statement due to user request")
SLEEP = query("SELECT pg_sleep(100)")


async def begin(client: RawClient, server: Backend) -> None:
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)


async def test_cancel_reaches_the_server_that_the_client_holds(house: House):
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    messenger = await client.cancel()
    cancel = await house.server.cancelled()
    assert (cancel.pid, cancel.key) == (server.pid, server.key)
    server.send(CANCELED, IDLE)
    await client.receives(CANCELED, IDLE)
    cancel.finish()
    await messenger.hears_the_end()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_server_is_lent_to_nobody_until_the_cancel_has_been_dealt_with(house: House):
    client, server = await house.pair()
    other = await house.client()
    client.send(SLEEP)
    await server.receives(SLEEP)
    await client.cancel()
    cancel = await house.server.cancelled()
    server.send(rows("slept"), IDLE)  # it ended by itself: the signal is still to come
    await client.receives(rows("slept"), IDLE)
    other.send(query("SELECT 2"))
    await server.hears_nothing()
    assert house.pool.counts()["being_canceled"] == 1
    cancel.finish()
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


async def test_wrong_key_cancels_nothing(house: House):
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    messenger = await client.cancel(b"no!!")
    await messenger.hears_the_end()
    assert not house.server.asked_to_cancel
    server.send(rows("slept"), IDLE)
    await client.receives(rows("slept"), IDLE)


async def test_key_of_the_servers_own_is_not_the_clients(house: House):
    client, server = await house.pair()
    assert (client.pid, client.key) != (server.pid, server.key)
    client.pid, client.key = server.pid, server.key
    messenger = await client.cancel()
    await messenger.hears_the_end()
    assert not house.server.asked_to_cancel


async def test_cancel_of_an_idle_client_goes_nowhere(house: House):
    client, server = await house.pair()
    messenger = await client.cancel()
    await messenger.hears_the_end()
    await begin(client, server)
    messenger = await client.cancel()
    await messenger.hears_the_end()
    assert not house.server.asked_to_cancel


async def test_late_cancel_does_not_hit_the_next_client_of_the_server(house: House):
    client, server = await house.pair()
    other = await house.client()
    client.send(SLEEP)
    await server.answers(rows("slept"), IDLE, to=SLEEP)
    await client.receives(rows("slept"), IDLE)
    other.send(query("SELECT 2"))
    await server.receives(query("SELECT 2"))
    messenger = await client.cancel()
    await messenger.hears_the_end()
    assert not house.server.asked_to_cancel


async def test_cancel_of_a_client_that_waits(house: House):
    client, server = await house.pair()
    await begin(client, server)
    waiting = await house.client()
    waiting.send(SLEEP)
    await house.until(lambda: len(house.pool.waiting) == 1)
    messenger = await waiting.cancel()
    await messenger.hears_the_end()
    await waiting.receives(CANCELED, IDLE)
    assert not house.pool.waiting
    assert not house.server.asked_to_cancel
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    waiting.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await waiting.receives(rows("1"), IDLE)


async def test_cancel_of_a_batch_that_waits_discards_it_to_sync(house: House):
    client, server = await house.pair()
    await begin(client, server)
    waiting = await house.client()
    waiting.send(parse("", "SELECT 1"), bind(""), execute(), SYNC, query("SELECT 2"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    await waiting.cancel()
    await waiting.fails("57014")
    await waiting.receives(IDLE)
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await waiting.receives(rows("2"), IDLE)


async def test_client_may_go_on_in_its_transaction_after_a_cancel(house: House):
    client, server = await house.pair()
    await begin(client, server)
    client.send(SLEEP)
    await server.receives(SLEEP)
    await client.cancel()
    (await house.server.cancelled()).finish()
    server.send(CANCELED, INERROR)
    await client.receives(CANCELED, INERROR)
    client.send(query("ROLLBACK"))
    await server.answers(complete("ROLLBACK"), IDLE, to=query("ROLLBACK"))
    await client.receives(complete("ROLLBACK"), IDLE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_two_cancels_are_both_waited_for(house: House):
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    await client.cancel()
    await client.cancel()
    first, second = await house.server.cancelled(), await house.server.cancelled()
    server.send(CANCELED, IDLE)
    await client.receives(CANCELED, IDLE)
    first.finish()
    await let_others_run()
    assert house.pool.counts()["being_canceled"] == 1
    second.finish()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_server_of_a_cancel_that_was_never_confirmed_is_not_lent_again(enter):
    house = await enter({"pool.size": 1, "pool.cancel_wait_timeout": "50ms"})
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    await client.cancel()
    await house.server.cancelled()
    server.send(CANCELED, IDLE)
    await client.receives(CANCELED, IDLE)
    await server.receives(TERMINATE)
    await server.hears_the_end()
    client.send(query("SELECT 1"))
    fresh = await house.server.accept()
    await fresh.receives(query("SELECT 1"))


async def test_messenger_that_leaves_at_once_has_delivered_its_message(house: House):
    client, server = await house.pair()
    client.send(SLEEP)
    await server.receives(SLEEP)
    messenger = await client.cancel()
    cancel = await house.server.cancelled()
    messenger.cut()
    server.send(CANCELED, IDLE)
    await client.receives(CANCELED, IDLE)
    assert house.pool.counts()["being_canceled"] == 1
    cancel.finish()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_cancel_during_a_pipeline_ends_one_batch(house: House):
    client, server = await house.pair()
    batch = (parse("", "SELECT 1"), bind(""), execute(), SYNC)
    client.send(*batch, *batch)
    await server.receives(*batch, *batch)
    await client.cancel()
    (await house.server.cancelled()).finish()
    server.send(PARSE_COMPLETE, CANCELED, IDLE)
    await client.receives(PARSE_COMPLETE, CANCELED, IDLE)
    assert house.pool.counts()["active"] == 1


async def test_process_id_over_2_to_the_31_is_cancelled_named_and_shown(house: House):
    """PgBouncer behind us makes such up. To libpq, and in columns of PostgreSQL, they are negative."""
    house.server.logins = 2**32 - 3
    client, server = await house.pair()
    assert server.pid == 2**32 - 2
    assert 0 < client.pid < 2**31
    client.send(SLEEP)
    await server.receives(SLEEP)
    messenger = await client.cancel()
    cancel = await house.server.cancelled()
    assert (cancel.pid, cancel.key) == (server.pid, server.key)
    server.send(CANCELED, IDLE)
    await client.receives(CANCELED, IDLE)
    cancel.finish()
    await messenger.hears_the_end()
    (backend,) = [one.backend for one in house.pool.servers()]
    assert house.proxy.hubs.senders.find(backend.address, server.pid, monotonic() + 1) == client.pid
    (shown,) = records(show_servers(house.proxy))
    assert shown["remote_pid"] == -2
