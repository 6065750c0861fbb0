"""How long a client keeps its server: pool_mode session and statement; deadlines; what a pool keeps open."""

from tests.support.house import House
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    FLUSH,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    close,
    columns,
    complete,
    describe,
    execute,
    parameter_types,
    parse,
    query,
    row,
    rows,
)

ONE = {"pool.size": 1, "pool.reserve_size": 0}


async def test_session_mode_keeps_the_server_and_cleans_it_afterwards(enter):
    house = await enter({**ONE, "pool.mode": "session"})
    client, server = await house.pair()
    other = await house.client()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    other.send(query("SELECT 2"))
    await server.hears_nothing()
    client.send(TERMINATE)
    await server.receives(query("DISCARD ALL"))
    await server.hears_nothing()
    server.send(complete("DISCARD ALL"), IDLE)
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


async def test_session_mode_rolls_back_before_it_cleans(enter):
    house = await enter({**ONE, "pool.mode": "session"})
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    client.cut()
    await server.receives(query("ROLLBACK"), query("DISCARD ALL"))


async def test_session_mode_leaves_statement_names_alone(enter):
    house = await enter({**ONE, "pool.mode": "session"})
    client, server = await house.pair()
    request = (parse("s1", "SELECT 1"), bind("s1"), execute(), close("s1"), SYNC)
    client.send(*request)
    await server.receives(*request)
    answer = (PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), CLOSE_COMPLETE, IDLE)
    server.send(*answer)
    await client.receives(*answer)


async def test_session_mode_adopts_settings_again_for_the_next_session(enter):
    house = await enter({**ONE, "pool.mode": "session"})
    await house.pair()
    server = house.server.backends[0]
    for _ in range(2):
        client = await house.client(parameters={"application_name": "named"})
        client.send(query("SELECT 1"))
        assert "application_name" in (await server.receive()).body.query
        await server.receives(query("SELECT 1"))
        server.send(rows("named"), IDLE, rows("1"), IDLE)
        await client.receives(rows("1"), IDLE)
        client.send(TERMINATE)
        await server.receives(query("DISCARD ALL"))
        server.send(complete("DISCARD ALL"), IDLE)
        await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_statement_mode_gives_the_server_back_after_each(enter):
    house = await enter({**ONE, "pool.mode": "statement"})
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    assert house.pool.counts()["idle"] == 1


async def test_statement_mode_allows_no_transaction(enter):
    house = await enter({**ONE, "pool.mode": "statement"})
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    await client.fails("0A000", "statement pooling mode")
    await client.hears_the_end()
    await server.receives(query("ROLLBACK"))


async def test_server_is_free_again_when_a_client_only_prepared(house: House):
    """As asyncpg does: Parse, Describe, Flush, and nothing for a while."""
    client, server = await house.pair()
    client.send(parse("s1", "SELECT 1"), describe("s1"), FLUSH)
    ours = (await server.receive()).body.name
    await server.receives(describe(ours), FLUSH)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a"))
    await client.receives(PARSE_COMPLETE, parameter_types(), columns("a"))
    await server.answers(IDLE, to=SYNC)
    await client.hears_nothing()
    assert house.pool.counts()["idle"] == 1
    client.send(SYNC)
    await client.receives(IDLE)


async def test_next_request_meets_the_sync_of_ours_on_its_way(house: House):
    client, server = await house.pair()
    client.send(parse("s1", "SELECT 1"), FLUSH)
    ours = (await server.receive()).body.name
    await server.receives(FLUSH)
    server.send(PARSE_COMPLETE)
    await client.receives(PARSE_COMPLETE)
    await server.receives(SYNC)
    client.send(bind("s1"), execute(), SYNC)
    await server.receives(bind(ours), execute(), SYNC)
    server.send(IDLE, BIND_COMPLETE, row("1"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("1"), complete(), IDLE)
    assert house.pool.counts()["idle"] == 1


# --- deadlines ----------------------------------------------------------------------------------------------


async def test_idle_client_is_ended(enter):
    house = await enter({"pool.client_idle_timeout": "10s"})
    client, _ = await house.pair()
    house.sweep(later=9)
    await client.hears_nothing()
    house.sweep(later=11)
    await client.fails("57P05", "idle-session timeout")
    await client.hears_the_end()


async def test_client_idle_in_a_transaction_is_ended_and_rolled_back(enter):
    house = await enter({"pool.idle_transaction_timeout": "10s"})
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    house.sweep(later=9)
    await client.hears_nothing()
    house.sweep(later=11)
    await client.fails("25P03", "idle-in-transaction timeout")
    await client.hears_the_end()
    await server.receives(query("ROLLBACK"))


async def test_client_that_does_not_sync_is_idle_in_a_transaction(enter):
    house = await enter({"pool.idle_transaction_timeout": "10s"})
    client, server = await house.pair()
    client.send(parse("", "INSERT INTO t VALUES (1)"), bind(""), execute(), FLUSH)
    await server.receive_until(FLUSH)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
    house.sweep(later=11)
    await client.fails("25P03")
    assert SYNC not in await server.reader.read()


async def test_client_that_waits_for_its_answer_is_not_idle(enter):
    house = await enter({"pool.client_idle_timeout": "10s", "pool.idle_transaction_timeout": "10s", **ONE})
    client, server = await house.pair()
    waiting = await house.client()
    client.send(query("SELECT pg_sleep(100)"))
    await server.receive()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=60)
    await client.hears_nothing()
    await waiting.hears_nothing()


async def test_idle_server_is_closed_and_the_fewest_are_kept(enter):
    house = await enter({"pool.size": 3, "pool.min_pool_size": 1, "pool.server_check_delay": "0s"})
    first, one = await house.pair()
    second = await house.client()
    first.send(query("SELECT 1"))
    await one.receives(query("SELECT 1"))
    second.send(query("SELECT 2"))
    two = await house.server.accept()
    await two.answers(rows("2"), IDLE, to=query("SELECT 2"))
    one.send(rows("1"), IDLE)
    await first.receives(rows("1"), IDLE)
    await second.receives(rows("2"), IDLE)
    assert house.pool.counts()["idle"] == 2
    house.sweep(later=601)
    assert house.pool.counts()["idle"] == 1
    await two.receives(TERMINATE)  # the one idle for longer
    house.sweep(later=601)
    assert house.pool.counts()["idle"] == 1


async def test_old_server_is_closed_when_it_comes_back(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    (lent,) = house.pool.lists[2]
    lent.upkeep.expires_at = 0.0
    house.sweep()
    server.send(rows("1"), IDLE)
    await client.receives(rows("1"), IDLE)
    await server.receives(TERMINATE)
    await server.hears_the_end()


async def test_quiet_server_is_asked_for_a_sign_of_life(house: House):
    _, server = await house.pair()
    house.sweep(later=29)
    await server.hears_nothing()
    house.sweep(later=31)
    assert house.pool.counts()["tested"] == 1
    house.sweep(later=45)  # it has server_connect_timeout for its answer
    await server.answers(IDLE[:0], to=query(""))
    assert house.pool.counts()["tested"] == 1
    house.sweep(later=47)
    assert house.pool.size() == 0


async def test_quiet_server_that_answers_is_lent_again(house: House):
    client, server = await house.pair()
    house.sweep(later=31)
    client.send(query("SELECT 1"))
    await server.receives(query(""))
    await server.hears_nothing()
    server.send(b"I\0\0\0\4", IDLE)
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
