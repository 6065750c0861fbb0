"""Gates and listeners: what may intervene before a request is given a server, and what hears of one that is over."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from dbproxy.errors import AdminShutdown, ProxyError
from dbproxy.gates import GO, Answer, Await, Delay, Refuse, Verdict
from dbproxy.pool.query import Query
from dbproxy.wire.extended import statement_text
from tests.protocol.test_rescue import ANSWER, CONFLICT, READ, playing
from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    FLUSH,
    IDLE,
    INTRANS,
    NO_DATA,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    describe,
    error,
    execute,
    function_call,
    parse,
    query,
    row,
    rows,
)

CANNED = "SELECT 'canned'"
ONE = (rows("1"), IDLE)
EXTENDED = (parse("", "SELECT 1"), bind(), execute(), SYNC)
EXTENDED_ANSWER = (PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), IDLE)


class Counter:
    """A listener."""

    def __init__(self) -> None:
        self.heard: list[Query] = []

    def hear(self, request: Query) -> None:
        self.heard.append(request)

    def texts(self) -> list[str]:
        return [statement_text(request.chunk, request.at).decode() for request in self.heard]


class Gate:
    """Says what `judge` does of a request, and counts."""

    def __init__(self, judge: Callable[[Query, float], Verdict] = lambda *_: GO) -> None:
        self.judge = judge
        self.asked: list[Query] = []
        self.over: list[Query] = []

    def before(self, request: Query, session: Any, now: float) -> Verdict:
        assert session is request.session
        self.asked.append(request)
        return self.judge(request, now)

    def after(self, request: Query) -> None:
        self.over.append(request)

    def texts(self) -> list[str]:
        return [statement_text(request.chunk, request.at).decode() for request in self.asked]


def answer_canned(request: Query, now: float) -> Verdict:
    """A result for one shape, as often as it is executed."""
    if not request.whole or request.shape is None or "canned" not in request.shape.relations:
        return GO
    if request.kinds == b"Q":
        return Answer(rows("canned"))
    replies = {"P": PARSE_COMPLETE, "B": BIND_COMPLETE, "D": NO_DATA, "E": row("canned") + complete()}
    return Answer(b"".join(replies.get(chr(kind), b"") for kind in request.kinds))


def put(house: House, *gates: Gate) -> Counter:
    counter = Counter()
    house.pool.tenant.gates = gates
    house.pool.tenant.listeners = (counter,)
    return counter


async def ask(client: RawClient, server: Backend, text: str = "SELECT 1") -> None:
    client.send(query(text))
    await server.answers(*ONE, to=query(text))
    await client.receives(*ONE)


# --- a gate that does nothing, a listener that counts ---


async def test_gate_that_lets_all_go_is_asked_once_for_each_request_and_hears_that_each_is_over(house: House):
    client, server = await house.pair()
    gate = Gate()
    put(house, gate)
    for number in range(3):
        await ask(client, server, f"SELECT {number}")
    assert gate.texts() == ["SELECT 0", "SELECT 1", "SELECT 2"]
    assert gate.over == gate.asked
    assert [(request.whole, request.kinds, request.database, request.user) for request in gate.asked] == [
        (True, b"Q", "shop", "app")
    ] * 3


async def test_listener_hears_of_each_request_simple_extended_and_pipelined(house: House):
    client, server = await house.pair()
    counter = put(house)
    await ask(client, server)
    client.send(*EXTENDED)
    for message in EXTENDED:
        await server.receives(message)
    server.send(*EXTENDED_ANSWER)
    await client.receives(*EXTENDED_ANSWER)
    client.send(query("SELECT 2"), *EXTENDED, query("SELECT broken"))
    for message in (query("SELECT 2"), *EXTENDED, query("SELECT broken")):
        await server.receives(message)
    server.send(*ONE, *EXTENDED_ANSWER, error("42703", "no such column"), IDLE)
    await client.receives(*ONE, *EXTENDED_ANSWER, error("42703", "no such column"), IDLE)
    assert counter.texts() == ["SELECT 1", "SELECT 1", "SELECT 2", "SELECT 1", "SELECT broken"]
    assert [request.failed for request in counter.heard] == [False] * 4 + [True]
    assert len(counter.heard) == house.pool.stats.query_count
    hashes = {request.shape.hash for request in counter.heard[:4] if request.shape is not None}
    assert len(hashes) == 1


async def test_statement_that_is_called_by_name_has_its_shape(house: House):
    client, server = await house.pair()
    gate = Gate()
    counter = put(house, gate)
    client.send(parse("s", "SELECT * FROM items"), SYNC)
    name = (await server.receive()).body.name
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(bind("s"), execute(), SYNC)
    await server.receives(bind(name), execute(), SYNC)
    server.send(BIND_COMPLETE, row("1"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("1"), complete(), IDLE)
    assert [request.kinds for request in gate.asked] == [b"PS", b"BES"]
    assert counter.texts() == ["SELECT * FROM items"] * 2
    assert all(request.shape and request.shape.relations == {"items"} for request in counter.heard)


async def test_what_goes_along_with_a_request_that_has_a_server_is_not_asked_about(house: House):
    client, server = await house.pair()
    gate = Gate()
    counter = put(house, gate)
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    client.send(query("SELECT 1"), query("COMMIT"))
    await server.receives(query("SELECT 1"), query("COMMIT"))
    server.send(rows("1"), INTRANS, complete("COMMIT"), IDLE)
    await client.receives(rows("1"), INTRANS, complete("COMMIT"), IDLE)
    assert (gate.texts(), gate.over, len(counter.heard)) == (["BEGIN"], gate.asked, 3)
    await ask(client, server)
    assert gate.texts() == ["BEGIN", "SELECT 1"]


async def test_request_that_comes_in_pieces_is_not_whole(house: House):
    client, server = await house.pair()
    gate = Gate()
    put(house, gate)
    client.send(*EXTENDED[:2])
    await server.receives(*EXTENDED[:2])
    client.send(*EXTENDED[2:])
    await server.receives(*EXTENDED[2:])
    server.send(*EXTENDED_ANSWER)
    await client.receives(*EXTENDED_ANSWER)
    assert [(request.kinds, request.whole) for request in gate.asked] == [(b"PB", False)]
    assert gate.over == gate.asked


async def test_request_that_a_flush_ends_is_over(house: House):
    client, server = await house.pair()
    gate = Gate()
    put(house, gate)
    client.send(parse("", "SELECT 1"), describe(""), FLUSH)
    await server.receives(parse("", "SELECT 1"), describe(""), FLUSH)
    server.send(PARSE_COMPLETE, NO_DATA)
    await client.receives(PARSE_COMPLETE, NO_DATA)
    await server.answers(IDLE, to=SYNC)
    await house.until(lambda: gate.over == gate.asked != [])


async def test_request_that_a_replica_fails_is_asked_about_once():
    async with playing() as scene:
        client, primary = await scene.enter()
        gate = Gate()
        put(scene.house, gate)
        client.send(query(READ))
        _, replica = await scene.asked("replica1", "replica2")
        assert gate.over == []
        await replica.answers(CONFLICT, IDLE, to=query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        assert (len(gate.asked), gate.over) == (1, gate.asked)


# --- one that answers ---


async def test_answer_of_a_gate_needs_no_server(house: House):
    client, server = await house.pair()
    before, gate = Gate(), Gate(answer_canned)
    counter = put(house, before, gate)
    count = house.pool.stats.query_count
    client.send(query("SELECT * FROM canned"))
    await client.receives(rows("canned"), IDLE)
    client.send(parse("", "SELECT * FROM canned"), bind(), execute(), SYNC)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("canned"), complete(), IDLE)
    await server.hears_nothing()
    assert len(counter.heard) == house.pool.stats.query_count - count == 2
    assert (before.over, gate.over) == (before.asked, [])


async def test_what_comes_behind_an_answered_request_is_judged_anew(house: House):
    client, server = await house.pair()
    put(house, Gate(answer_canned))
    canned = query("SELECT * FROM canned")
    client.send(canned, query("SELECT 1"), canned)
    await server.receives(query("SELECT 1"))
    await client.receives(rows("canned"), IDLE)
    await server.receives(canned)  # it is not the first of its loan
    server.send(*ONE, rows("2"), IDLE)
    await client.receives(*ONE, rows("2"), IDLE)
    client.send(canned, canned, *EXTENDED)
    await client.receives(rows("canned"), IDLE, rows("canned"), IDLE)
    await server.receives(*EXTENDED)


async def test_statement_that_only_a_gate_has_parsed_can_be_called(house: House):
    client, server = await house.pair()
    gate = Gate(answer_canned)
    put(house, gate)
    text = "SELECT * FROM canned"
    for name in ("", "s"):
        client.send(parse(name, text), bind(name), execute(), SYNC)
        await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("canned"), complete(), IDLE)
    house.pool.tenant.gates = ()
    for name in ("", "s"):
        client.send(parse("", text) if not name else b"", bind(name), execute(), SYNC)
        parsed = (await server.receive()).body
        assert parsed.query == text
        await server.receives(bind(parsed.name), execute(), SYNC)
        server.send(PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), IDLE)
        await client.receives(
            *([PARSE_COMPLETE] if not name else []), BIND_COMPLETE, row("1"), complete(), IDLE
        )


async def test_unnamed_statement_that_only_a_gate_has_parsed_can_be_bound(house: House):
    client, server = await house.pair()
    put(house, Gate(answer_canned))
    client.send(parse("", "SELECT * FROM canned"), bind(), execute(), SYNC)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("canned"), complete(), IDLE)
    house.pool.tenant.gates = ()
    client.send(bind(), execute(), SYNC)
    await server.receives(parse("", "SELECT * FROM canned"), bind(), execute(), SYNC)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("1"), complete(), IDLE)


async def test_request_that_only_a_server_can_answer_is_not_whole(house: House):
    client, server = await house.pair()
    gate = Gate()
    put(house, gate)
    client.send(function_call(1))
    await server.receives(function_call(1))
    assert [request.whole for request in gate.asked] == [False]


# --- one that refuses ---


def refuse(request: Query, now: float) -> Verdict:
    text = statement_text(request.chunk, request.at)
    return Refuse(ProxyError("too many of these", sqlstate="53400")) if b"refused" in text else GO


async def test_refused_request_fails_and_the_connection_goes_on(house: House):
    client, server = await house.pair()
    first, gate = Gate(), Gate(refuse)
    put(house, first, gate)
    client.send(query("SELECT refused"), query("SELECT 1"))
    await client.fails("53400", "too many of these")
    await client.receives(IDLE)
    await server.answers(*ONE, to=query("SELECT 1"))
    await client.receives(*ONE)
    assert (first.over, len(gate.over)) == (first.asked, 1)


async def test_what_follows_a_refused_message_is_discarded_up_to_sync(house: House):
    client, server = await house.pair()
    put(house, Gate(refuse))
    client.send(parse("", "SELECT refused"), bind(), execute(), SYNC, *EXTENDED)
    await client.fails("53400")
    await client.receives(IDLE)
    await server.receives(*EXTENDED)
    server.send(*EXTENDED_ANSWER)
    await client.receives(*EXTENDED_ANSWER)


async def test_refusal_that_is_fatal_ends_the_connection(house: House):
    client, server = await house.pair()
    first = Gate()
    put(house, first, Gate(lambda *_: Refuse(AdminShutdown("no more of you"))))
    client.send(query("SELECT 1"), query("SELECT 2"))
    await client.fails("57P01", "no more of you")
    await client.hears_the_end()
    assert first.over == first.asked
    await server.hears_nothing()


# --- one that has it wait ---


async def test_delayed_request_is_asked_about_again_and_what_follows_waits(house: House):
    client, server = await house.pair()
    times: list[float] = []

    def delay(request: Query, now: float) -> Verdict:
        times.append(now)
        return Delay(now + 0.02) if len(times) == 1 else GO

    counter = put(house, Gate(delay))
    client.send(query("SELECT 1"), query("SELECT 2"))
    await server.receives(query("SELECT 1"), query("SELECT 2"))
    server.send(*ONE, *ONE)
    await client.receives(*ONE, *ONE)
    assert len(times) == 2
    assert counter.heard[0].microseconds >= 1e6 * (times[1] - times[0]) - 1


async def test_request_waits_for_work_beside_the_path(house: House):
    client, server = await house.pair()
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    gate = Gate(lambda *_: GO if done.done() else Await(done))
    put(house, gate)
    client.send(query("SELECT 1"))
    await house.until(lambda: house.inside(client).is_parked())
    await server.hears_nothing()
    done.set_result(None)
    await server.answers(*ONE, to=query("SELECT 1"))
    await client.receives(*ONE)
    assert (len(gate.asked), len(gate.over)) == (2, 1)


@pytest.mark.parametrize(
    ("failure", "sqlstate", "text"),
    [
        (ProxyError("overloaded", sqlstate="53000"), "53000", "overloaded"),
        (ValueError("secret"), "XX000", "ValueError"),
    ],
)
async def test_work_that_fails_refuses_the_request(
    house: House, failure: Exception, sqlstate: str, text: str
):
    client, server = await house.pair()

    async def work() -> None:
        raise failure

    first = Gate()
    put(house, first, Gate(lambda request, _: Await(work()) if request.kinds[:1] == b"P" else GO))
    client.send(*EXTENDED, query("SELECT 1"))
    message = await client.fails(sqlstate, text)
    assert "secret" not in message.text
    await client.receives(IDLE)
    await server.answers(*ONE, to=query("SELECT 1"))
    await client.receives(*ONE)
    assert first.over == first.asked


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("it")


async def test_cancel_request_ends_a_wait_and_leaves_nothing_behind(house: House):
    client, server = await house.pair()
    ended: list[str] = []
    first = Gate()
    put(house, first, Gate(lambda request, _: Await(forever(ended)) if b"waits" in request.chunk else GO))
    client.send(query("SELECT waits"))
    await house.until(lambda: house.inside(client).is_parked())
    await let_others_run()
    await client.cancel()
    await client.fails("57014")
    await client.receives(IDLE)
    assert (ended, first.over, house.inside(client).inbound.passage) == (["it"], first.asked, None)
    await ask(client, server)


@pytest.mark.parametrize(
    "waits", [lambda ended: Delay(monotonic() + 1e6), lambda ended: Await(forever(ended))]
)
async def test_client_that_leaves_while_it_waits_leaves_nothing_behind(
    house: House, waits: Callable[[list[str]], Verdict]
):
    client, server = await house.pair()
    ended: list[str] = []
    first = Gate()
    put(house, first, Gate(lambda request, _: waits(ended) if b"waits" in request.chunk else GO))
    client.send(query("SELECT waits"))
    await house.until(lambda: house.inside(client).is_parked())
    inside = house.inside(client)
    passage = inside.inbound.passage
    await let_others_run()
    client.cut()
    await house.until(lambda: inside.closed)
    await let_others_run()
    assert (passage.alarm, passage.work, passage.waiting) == (None, None, {})
    assert first.over == first.asked
    other = await house.client()
    await ask(other, server)


async def test_request_goes_on_to_a_server_if_its_gates_are_taken_away_while_it_waits(house: House):
    client, server = await house.pair()
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    gate = Gate(lambda request, _: Await(done) if b"waits" in request.chunk else GO)
    put(house, gate)
    waiting = await house.client()
    waiting.send(query("SELECT waits"))
    await house.until(lambda: house.inside(waiting).is_parked())
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    house.pool.tenant.gates = ()
    done.set_result(None)
    await house.until(lambda: len(house.pool.waiting) == 1)
    waiting.cut()
    await house.until(lambda: not house.pool.waiting)
    assert (len(gate.asked), len(gate.over)) == (2, 0)
    server.send(*ONE)
    await client.receives(*ONE)


async def test_request_that_is_given_up_in_the_queue_for_a_server_is_over(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    gate = Gate()
    put(house, gate)
    waiting = await house.client()
    waiting.send(query("SELECT 1"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    assert gate.over == []
    await waiting.cancel()
    await waiting.fails("57014")
    assert gate.over == gate.asked


async def test_request_that_its_server_has_lost_is_over(house: House):
    client, server = await house.pair()
    gate = Gate()
    put(house, gate)
    client.send(query("DELETE FROM t"))
    await server.receives(query("DELETE FROM t"))
    server.writer.close()
    await client.fails("08007")
    await house.until(lambda: gate.over == gate.asked != [])
