"""Who waits for a server is told who holds it: in the error, in the log, on the console; never a literal."""

import re
from typing import Any

from dbproxy.admin.show import SHOWS
from tests.protocol.test_waiting import hold
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
    execute,
    parse,
    query,
    row,
    rows,
)
from tests.unit.admin.house import records

SECRET = "hunter2"


def show(house: House, what: str) -> list[dict[str, Any]]:
    return records(SHOWS[what](house.proxy))


async def update(client: RawClient, server: Backend) -> None:
    """In its transaction, with a literal."""
    text = f"UPDATE t SET word = '{SECRET}' WHERE id = 7"
    client.send(query(text))
    await server.answers(complete("UPDATE 1"), INTRANS, to=query(text))
    await client.receives(complete("UPDATE 1"), INTRANS)


async def test_wait_that_timed_out_names_who_holds_the_server(house: House, log: list[Any]):
    client, server = await hold(house)
    await update(client, server)
    waiting = await house.client()
    waiting.send(query(f"SELECT '{SECRET}'"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    failed = await waiting.fails("53300", "query_wait_timeout")
    detail = failed.body.fields["D"]
    number = house.inside(client).id
    assert detail.startswith(
        f'pool shop/app: 1 connection, all in use; held longest by client {number} "" for 12'
    )
    assert "idle in transaction for 12" in detail
    assert "last: UPDATE t SET word = $? WHERE id = $?" in detail
    (line,) = [line for line in log if line.get("limit") == "query_wait_timeout"]
    assert (line["refused"], line["clients"]) == (1, [house.inside(waiting).id])
    assert "UPDATE t SET word = $?" in line["holders"][0]
    assert SECRET not in f"{failed}{log}"


async def test_three_holders_at_most_are_named_the_longest_first(enter):
    house = await enter({"pool.size": 5, "pool.reserve_size": 0})
    holders = [await house.client() for _ in range(5)]
    for number, holder in enumerate(holders):
        holder.send(query("BEGIN"))
        server = await house.server.accept()
        await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
        await holder.receives(complete("BEGIN"), INTRANS)
        assert len(house.pool.active) == number + 1
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    failed = await waiting.fails("53300")
    named = [int(number) for number in re.findall(r"client (\d+) ", failed.body.fields["D"])]
    assert named == [house.inside(holder).id for holder in holders[:3]]
    assert "5 connections, all in use" in failed.body.fields["D"]


async def test_too_many_waiting_name_the_holders_too(enter, log: list[Any]):
    house = await enter({"pool.size": 1, "pool.reserve_size": 0, "pool.max_waiting": 1})
    client, server = await hold(house)
    await update(client, server)
    waiting = [await house.client() for _ in range(2)]
    for number, other in enumerate(waiting, 1):
        other.send(query("SELECT 1"))
        await house.until(lambda number=number: len(house.pool.waiting) == number)
    house.sweep()
    failed = await waiting[1].fails("53300", "max_waiting")
    assert "UPDATE t SET word = $?" in failed.body.fields["D"]
    assert [line["refused"] for line in log if line.get("limit") == "max_waiting"] == [1]


async def test_a_query_that_runs_is_shown_with_its_state(house: House):
    client, server = await house.pair()
    client.send(query(f"SELECT pg_sleep(60), '{SECRET}'"))
    await server.receives(query(f"SELECT pg_sleep(60), '{SECRET}'"))
    (holder,) = show(house, "holders")
    assert (holder["state"], holder["statement"]) == ("active", "SELECT pg_sleep($?), $?")
    assert (holder["client"], holder["waiting"]) == (house.inside(client).id, 0)


async def test_a_batch_without_its_sync_is_shown_as_a_transaction(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 'x'"), bind(""), execute(), FLUSH)
    await server.receives(parse("", "SELECT 'x'"), bind(""), execute(), FLUSH)
    (holder,) = show(house, "holders")
    assert (holder["state"], holder["statement"]) == ("active", "SELECT $?")
    server.send(PARSE_COMPLETE, BIND_COMPLETE, row("x"), complete())
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("x"), complete())
    (holder,) = show(house, "holders")
    assert (holder["state"], holder["statement"]) == ("idle in transaction", "SELECT $?")


async def test_waits_join_who_waits_with_who_holds(house: House):
    client, server = await hold(house)
    await update(client, server)
    first, second = await house.client(), await house.client(parameters={"application_name": "second"})
    first.send(query(f"SELECT '{SECRET}' FROM t"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    second.send(parse("", "DELETE FROM t WHERE id = 5"), bind(""), execute(), SYNC)
    await house.until(lambda: len(house.pool.waiting) == 2)
    one, two = show(house, "waits")
    assert [line["client"] for line in (one, two)] == [house.inside(first).id, house.inside(second).id]
    assert [line["position"] for line in (one, two)] == [1, 2]
    assert (one["statement"], two["statement"]) == ("SELECT $? FROM t", "DELETE FROM t WHERE id = $?")
    assert two["application_name"] == "second"
    for line in (one, two):
        assert (line["waits_for"], line["holders"], line["holder"]) == ("server", 1, house.inside(client).id)
        assert line["holder_state"] == "idle in transaction"
        assert line["holder_statement"] == "UPDATE t SET word = $? WHERE id = $?"
        assert line["server_pid"] == server.pid
    assert SECRET not in str((one, two))


async def test_prepared_statement_that_waits_is_shown_by_its_text(house: House):
    waiting, server = await house.pair()
    waiting.send(parse("s", "SELECT 5"), SYNC)
    assert "".join([(await server.receive()).kind for _ in range(2)]) == "PS"
    server.send(PARSE_COMPLETE, IDLE)
    await waiting.receives(PARSE_COMPLETE, IDLE)
    client = await house.client()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    waiting.send(bind("s"), execute(), SYNC)
    await house.until(lambda: len(house.pool.waiting) == 1)
    (line,) = show(house, "waits")
    assert line["statement"] == "SELECT $?"


async def test_nobody_waits_and_nobody_holds(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    assert show(house, "waits") == show(house, "holders") == []


async def test_paused_pool_says_so_to_who_waited_too_long(house: House):
    client = await house.client()
    house.proxy.pause("")
    client.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=121)
    failed = await client.fails("53300")
    assert failed.body.fields["D"] == "pool shop/app: paused by an administrator"
