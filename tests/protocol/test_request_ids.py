"""Every log line about a request has its ids: those that its client wrote into the text, else one of ours."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dbproxy.errors import ProxyError
from dbproxy.gates import Refuse
from tests.protocol.test_rescue import ANSWER, CONFLICT, playing
from tests.protocol.test_waiting import hold
from tests.support.house import House
from tests.support.speech import (
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    error,
    execute,
    parse,
    query,
)

PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
TAGGED = f"SELECT 42 /*request_id='mine',route='%2Fitems',traceparent='{PARENT}'*/"
IDS = {"request_id": "mine", "route": "/items", "traceparent": PARENT, "trace_id": PARENT[3:35]}
NAMED = (parse("s", TAGGED), bind("s"), execute(), SYNC)
UNNAMED = (parse("", TAGGED), bind(), execute(), SYNC)
FORMS = pytest.mark.parametrize(
    "request_of", [(query(TAGGED),), UNNAMED, NAMED], ids=["simple", "unnamed", "named"]
)

Log = list[Any]
Enter = Callable[..., Awaitable[House]]


def ids(line: dict[str, Any]) -> dict[str, Any]:
    return {key: line.get(key) for key in IDS}


def only(log: Log, event: str) -> dict[str, Any]:
    (line,) = [line for line in log if line["event"] == event]
    return dict(line)


@FORMS
async def test_query_wait_timeout(house: House, log: Log, request_of: tuple[bytes, ...]):
    await hold(house)
    waiting = await house.client()
    waiting.send(*request_of)
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=1000)
    await waiting.fails("53300", "query_wait_timeout")
    line = only(log, "request refused")
    assert ids(line) == IDS
    assert (line["sqlstate"], line["user"], line["log_level"]) == ("53300", "app", "warning")


async def test_statement_that_was_prepared_in_a_request_of_its_own(house: House, log: Log):
    """As psycopg does: Parse and Sync, which need no server, then Bind, Execute and Sync."""
    client, server = await house.pair()
    client.send(parse("known", "SELECT 42"), SYNC)
    await server.receive()
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    waiting = await house.client()
    waiting.send(parse("s", TAGGED), SYNC)
    await waiting.receives(PARSE_COMPLETE, IDLE)
    waiting.send(bind("s"), execute(), SYNC)
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=1000)
    await waiting.fails("53300")
    assert ids(only(log, "request refused")) == IDS


async def test_request_without_ids_has_one_of_ours_on_all_its_lines(house: House, log: Log):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    server.send(error("57P01", "terminating connection", severity="FATAL"))
    server.cut()
    await house.until(lambda: any(line["event"] == "client disconnected" for line in log))
    told, left = only(log, "server error"), only(log, "client disconnected")
    assert told["request_id"] == left["request_id"]
    assert told["request_id"].startswith(f"{told['client']}-")


@FORMS
async def test_client_that_leaves_in_a_request(house: House, log: Log, request_of: tuple[bytes, ...]):
    client, server = await house.pair()
    client.send(*request_of)
    await server.receive()
    client.cut()
    await house.until(lambda: any(line["event"] == "client disconnected" for line in log))
    assert ids(only(log, "client disconnected")) == IDS


async def test_client_that_leaves_behind_its_answer_leaves_no_request(house: House, log: Log):
    client, server = await house.pair()
    client.send(query(TAGGED))
    await server.answers(*ANSWER, to=query(TAGGED))
    await client.receives(*ANSWER)
    client.cut()
    await house.until(lambda: any(line["event"] == "client disconnected" for line in log))
    assert ids(only(log, "client disconnected")) == dict.fromkeys(IDS)


@pytest.mark.parametrize("extended", [False, True])
async def test_refused_pin(enter: Enter, log: Log, extended: bool):
    house = await enter({"pool.size": 1, "pool.refuse_pins": "lock"})
    client, server = await house.pair()
    text = "SELECT pg_advisory_lock(1) /*request_id='mine'*/"
    client.send(*((parse("", text), bind(), execute(), SYNC) if extended else (query(text),)))
    await server.receive()
    server.send(error("42601", "syntax error"))
    await client.fails("0A000")
    line = only(log, "request refused")
    assert (line["request_id"], line["sqlstate"]) == ("mine", "0A000")


async def test_refused_by_a_gate(house: House, log: Log):
    class Gate:
        def before(self, *_: object) -> Refuse:
            return Refuse(ProxyError("too many", sqlstate="53400"))

        def after(self, _: object) -> None: ...

    client, _ = await house.pair()
    house.pool.tenant.gates = (Gate(),)
    client.send(query(TAGGED))
    await client.fails("53400")
    assert ids(only(log, "request refused")) == IDS


@FORMS
async def test_read_that_is_answered_by_another_host(log: Log, request_of: tuple[bytes, ...]):
    async with playing() as scene:
        client, primary = await scene.enter()
        client.send(*request_of)
        host, replica = await scene.asked("replica1", "replica2")
        await replica.receive()
        replica.send(CONFLICT, IDLE)
        await primary.receive()
        line = only(log, "read rescued")
        assert ids(line) == IDS
        assert (line["host"], line["log_level"]) == (host, "info")
