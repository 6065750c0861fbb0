"""Clients that go on after they have waited, with a broken message behind what waited.

Whoever let them go on (a server that came free, the janitor, a cancel request, the hub) has nothing to do with it: the
broken message costs its client the connection, after what was asked ahead of it is answered or refused.
"""

from time import monotonic
from typing import Any

import pytest

from tests.protocol.test_waiting import free, hold
from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.raw_client import RawClient
from tests.support.speech import (
    BIND_COMPLETE,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    execute,
    parse,
    query,
    rows,
)

GARBAGE = b"\0\0\0\0\0"
BATCH = (parse("", "SELECT 1"), bind(""), execute(), SYNC)
BATCH_ANSWER = (PARSE_COMPLETE, BIND_COMPLETE, complete(), IDLE)


async def wait_with_garbage(house: House, together: bool, *request: bytes) -> RawClient:
    """A client that waits, with garbage behind its request: in one read with it, or in the next."""
    waiting = await house.client()
    if together:
        waiting.send(*request, GARBAGE)
        await house.until(lambda: len(house.pool.waiting) == 1)
    else:
        waiting.send(*request)
        await house.until(lambda: len(house.pool.waiting) == 1)
        waiting.send(GARBAGE)
        await let_others_run()
    return waiting


@pytest.mark.parametrize("together", [True, False])
async def test_waiter_with_garbage_behind_its_query_is_served_first(house: House, together: bool):
    client, server = await hold(house)
    waiting = await wait_with_garbage(house, together, query("SELECT 1"))
    await free(client, server)
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await waiting.receives(rows("1"), IDLE)
    await waiting.fails("08P01")
    await waiting.hears_the_end()
    client.send(query("SELECT 2"))  # and neither the server nor who had it is harmed
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await client.receives(rows("2"), IDLE)


@pytest.mark.parametrize("together", [True, False])
async def test_waiter_with_garbage_behind_its_batch_is_served_first(house: House, together: bool):
    client, server = await hold(house)
    waiting = await wait_with_garbage(house, together, *BATCH)
    await free(client, server)
    await server.receives(*BATCH)
    server.send(*BATCH_ANSWER)
    await waiting.receives(*BATCH_ANSWER)
    await waiting.fails("08P01")
    await waiting.hears_the_end()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("request_", [(query("SELECT 1"),), BATCH])
async def test_waiter_with_garbage_that_waits_too_long_is_refused_and_then_disconnected(
    house: House, together: bool, request_: tuple[bytes, ...]
):
    client, server = await hold(house)
    waiting = await wait_with_garbage(house, together, *request_)
    other = await house.client()
    other.send(query("SELECT 2"))
    await house.until(lambda: len(house.pool.waiting) == 2)
    house.sweep(later=121)
    await waiting.fails("53300", "query_wait_timeout")
    await waiting.receives(IDLE)
    await waiting.fails("08P01")
    await waiting.hears_the_end()
    await other.fails("53300", "query_wait_timeout")
    await other.receives(IDLE)
    await free(client, server)


@pytest.mark.parametrize("together", [True, False])
async def test_waiter_with_garbage_that_is_cancelled_is_told_so_and_then_disconnected(
    house: House, together: bool
):
    await hold(house)
    waiting = await wait_with_garbage(house, together, query("SELECT 1"))
    canceler = await waiting.cancel()
    await canceler.hears_the_end()
    await waiting.fails("57014")
    await waiting.receives(IDLE)
    await waiting.fails("08P01")
    await waiting.hears_the_end()


@pytest.mark.parametrize("together", [True, False])
async def test_garbage_behind_a_listen_is_met_once_the_hub_hears(house: House, together: bool):
    client, server = await house.pair()
    client.send(query("LISTEN news"), *[GARBAGE] * together)
    hub = await house.server.accept()
    if not together:
        client.send(GARBAGE)
        await let_others_run()
    await hub.answers(complete("LISTEN"), IDLE, to=query('LISTEN "news"'))
    while (await server.receive()).body.query != "LISTEN news":
        server.send(complete("SET"), IDLE)
    server.send(complete("LISTEN"), IDLE)
    await server.answers_audit(channels=["news"])
    await client.receives(complete("LISTEN"), IDLE)
    await server.answers(complete("UNLISTEN"), IDLE, to=query("UNLISTEN *"))
    await client.fails("08P01")
    await client.hears_the_end()


async def test_garbage_in_one_read_with_queries_is_met_when_they_are_answered(house: House):
    client, server = await house.pair()
    client.send(query("SELECT 1"), query("SELECT 2"), GARBAGE)
    await server.receives(query("SELECT 1"), query("SELECT 2"))
    server.send(rows("1"), IDLE)
    await client.receives(rows("1"), IDLE)
    client.send(query("SELECT 3"))  # is part of the garbage
    await server.hears_nothing()
    server.send(rows("2"), IDLE)
    await client.receives(rows("2"), IDLE)
    await client.fails("08P01")
    await client.hears_the_end()
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_garbage_behind_half_a_batch_commits_nothing(house: House):
    client, server = await house.pair()
    client.send(*BATCH[:-1], GARBAGE)
    await client.fails("08P01")
    await client.hears_the_end()
    assert SYNC not in await server.reader.read()


async def test_bug_met_as_one_goes_on_costs_nobody_else_anything(
    house: House, monkeypatch: pytest.MonkeyPatch, log: list[Any]
):
    """What a client asks for runs on behalf of whoever gave the server back."""
    client, server = await hold(house)
    waiting, patient = await house.client(), await house.client()
    waiting.send(query("SET work_mem = '1MB'"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    patient.send(query("SELECT 2"))
    await house.until(lambda: len(house.pool.waiting) == 2)
    monkeypatch.setattr("dbproxy.session.state.find_refusal", broken)
    await free(client, server)
    await waiting.fails("XX000", "internal error")
    await waiting.hears_the_end()
    await server.answers(IDLE, to=query(""))  # the janitor's sign of life
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await patient.receives(rows("2"), IDLE)
    (line,) = [line for line in log if line["event"] == "internal error"]
    assert str(line["exc_info"]) == "a bug"
    log.clear()  # it is no fault of the proxy


async def test_bug_in_one_pool_stops_no_other_deadline(
    house: House, monkeypatch: pytest.MonkeyPatch, log: list[Any]
):
    await hold(house)
    other = await house.client(database="other")
    held = await house.server.accept()
    other.send(query("BEGIN"))
    await held.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await other.receives(complete("BEGIN"), INTRANS)
    waiting = await house.client(database="other")
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.proxy.pools["other", "app"].waiting) == 1)
    assert list(house.proxy.pools) == [("shop", "app"), ("other", "app")]
    monkeypatch.setattr(house.pool.tenant, "settings", None)  # its deadlines are looked at first
    house.janitor.sweep(monotonic() + 121, clients=True)
    await waiting.fails("53300", "query_wait_timeout")
    await waiting.receives(IDLE)
    monkeypatch.undo()
    assert {line["event"] for line in log if line["log_level"] == "error"} == {"internal error"}
    log.clear()


def broken(*_: object, **__: object) -> bytes:
    raise RuntimeError("a bug")
