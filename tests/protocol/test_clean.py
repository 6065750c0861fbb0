"""A server is lent clean or not at all (promises 2 and 3 of docs/architecture.md)."""

import asyncio

from dbproxy.pool.parameters import Parameters
from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    FLUSH,
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    close,
    complete,
    error,
    execute,
    parameter_status,
    parse,
    query,
    rows,
)

WRITE = (parse("", "INSERT INTO t VALUES (1)"), bind(""), execute())
WRITTEN = (PARSE_COMPLETE, BIND_COMPLETE, complete("INSERT 0 1"))
TIME = {"timezone": "Asia/Tokyo"}
ADOPT = "SELECT pg_catalog.set_config('timezone', 'Asia/Tokyo', false)"
RESTORE = Parameters(TIME).restoration()


async def test_block_that_only_a_flush_began_is_rolled_back_and_not_synced(house: House):
    client, server = await house.pair()
    await query_behind_flush(client, server)
    client.cut()
    await server.receives(query("ROLLBACK"))  # a Sync would commit
    server.send(complete("ROLLBACK"), IDLE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_server_after_a_sync_that_ended_a_block_is_not_lent_again(house: House):
    """PostgreSQL 18 would fail the next command: "StartTransactionCommand: unexpected state STARTED"."""
    client, server = await house.pair()
    await query_behind_flush(client, server)
    client.send(SYNC)
    await server.answers(IDLE, to=SYNC)
    await client.receives(IDLE)
    await server.receives(TERMINATE)
    await server.hears_the_end()


async def query_behind_flush(client: RawClient, server: Backend) -> None:
    client.send(*WRITE, FLUSH)
    await server.receives(*WRITE, FLUSH)
    server.send(*WRITTEN)
    await client.receives(*WRITTEN)
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), INTRANS, to=query("SELECT 1"))
    await client.receives(rows("1"), INTRANS)


async def test_settings_are_undone_once_for_the_next_client_and_come_back_with_their_own(house: House):
    one, other, third = [await house.client() for _ in range(3)]
    server = await house.server.accept()
    await asks(one, server, "SET work_mem = '9MB'", complete("SET"))
    await server.answers_audit(settings={"work_mem": "9MB"})
    other.send(query("SELECT 1"))
    await server.answers(complete("RESET"), IDLE, to=query('RESET "work_mem"'))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await other.receives(rows("1"), IDLE)
    await asks(third, server, "SELECT 2", rows("2"))
    one.send(query("SHOW work_mem"))
    replayed = query("SELECT pg_catalog.set_config('work_mem', '9MB', false)")
    await server.answers(rows("9MB"), IDLE, to=replayed)
    await server.answers(rows("9MB"), IDLE, to=query("SHOW work_mem"))
    await one.receives(rows("9MB"), IDLE)


async def test_setting_that_was_not_left_is_not_replayed(house: House):
    """An error, a rollback: the server says what has become of it."""
    one, other = await house.client(), await house.client()
    server = await house.server.accept()
    await asks(one, server, "SET work_mem = '1'", error("22023", "1 kB is outside the valid range"))
    await server.answers_audit()
    await asks(other, server, "SELECT 1", rows("1"))
    await asks(one, server, "SELECT 2", rows("2"))


async def test_reset_gives_back_what_its_client_asked_for_at_its_login(house: House):
    one = asyncio.ensure_future(house.client(parameters=TIME))
    server = await house.server.accept()
    await server.answers(parameter_status("TimeZone", "Asia/Tokyo"), complete(), IDLE, to=query(ADOPT))
    first, other = await one, await house.client(parameters=TIME)
    first.send(query("RESET TimeZone"))
    await server.receives(query("RESET TimeZone"), query(RESTORE))
    server.send(complete("RESET"), parameter_status("TimeZone", "Etc/UTC"), IDLE)
    server.send(rows("Asia/Tokyo"), parameter_status("TimeZone", "Asia/Tokyo"), IDLE)
    await first.receives(complete("RESET"), IDLE)
    await server.answers_audit(settings={"TimeZone": "Asia/Tokyo"})
    await asks(other, server, "SELECT 1", rows("1"))  # it has the same


async def test_setting_that_a_failed_reset_has_changed_is_told(house: House):
    one = asyncio.ensure_future(house.client(parameters=TIME))
    server = await house.server.accept()
    tokyo, kabul = (parameter_status("TimeZone", zone) for zone in ("Asia/Tokyo", "Asia/Kabul"))
    await server.answers(tokyo, complete(), IDLE, to=query(ADOPT))
    client = await one
    client.send(query("BEGIN; SET TimeZone = 'Asia/Kabul'"))
    await server.receives(query("BEGIN; SET TimeZone = 'Asia/Kabul'"))
    server.send(complete("BEGIN"), complete("SET"), kabul, INTRANS)
    await client.receives(complete("BEGIN"), complete("SET"), kabul, INTRANS)
    client.send(query("DISCARD ALL"))
    await server.receives(query("DISCARD ALL"), query(RESTORE))
    refused = error("25001", "DISCARD ALL cannot run inside a transaction block")
    server.send(refused, tokyo, INERROR, error("25P02", "aborted"), INERROR)
    await client.receives(refused, tokyo, INERROR)


async def test_rolled_back_settings_of_a_client_that_left_are_told_to_nobody(house: House):
    client, server = await house.pair()
    named = parameter_status("application_name", "mine")
    await asks(client, server, "SET application_name = 'mine'", named + complete("SET"))
    await server.answers_audit(settings={"application_name": "mine"})
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    client.cut()
    await server.answers(named, complete("ROLLBACK"), IDLE, to=query("ROLLBACK"))
    await house.until(lambda: house.pool.counts()["idle"] == 1)
    assert "application_name" not in (await house.client()).parameters


async def test_unnamed_statement_that_an_unreadable_query_did_not_end_is_not_left_to_the_next_client(
    house: House,
):
    client, server = await house.pair()
    client.send(parse("", "SELECT 'mine'"), SYNC)
    await server.answers(PARSE_COMPLETE, IDLE, to=parse("", "SELECT 'mine'") + SYNC)
    unreadable = query("SELECT 'x'").replace(b"x", b"\xff")
    wrong = error("22021", "invalid byte sequence")
    client.send(unreadable)
    await server.answers(wrong, IDLE, to=unreadable)
    await client.receives(PARSE_COMPLETE, IDLE, wrong, IDLE)
    other = await house.client()
    other.send(bind(""), SYNC)
    await server.receives(close(""), bind(""), SYNC)


async def asks(client: RawClient, server: Backend, sql: str, answer: bytes) -> None:
    client.send(query(sql))
    await server.answers(answer, IDLE, to=query(sql))
    await client.receives(answer, IDLE)
