"""What is noted of requests that become spans: which, whose, how they went."""

from collections.abc import Awaitable, Callable

import pytest

from dbproxy.errors import ProxyError
from dbproxy.gates import Answer, Refuse
from dbproxy.observe.context import read_text
from dbproxy.observe.record import KEPT, SAMPLED, TAGGED, Record
from tests.protocol.test_gates import Gate
from tests.protocol.test_rescue import ANSWER, CONFLICT, READ, playing
from tests.protocol.test_waiting import free, hold
from tests.support.house import House
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    IDLE,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    error,
    execute,
    parse,
    query,
    row,
    rows,
)

PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
TAGGED_TEXT = f"SELECT 42 /*traceparent='{PARENT}'*/"
ONE = (rows("1"), IDLE)
EXECUTED = (PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), IDLE)
SETTINGS = {"tracing.mode": "on", "tracing.sample_rate": "0", "pool.size": 1, "pool.reserve_size": 0}

Enter = Callable[..., Awaitable[House]]


@pytest.fixture
async def house(enter: Enter) -> House:
    """Where nothing is sent: the thread does not run."""
    return await enter(SETTINGS)


def noted(house: House) -> list[Record]:
    return list(house.proxy.tracing.outbox.waiting)  # type: ignore[arg-type]  # no requests by HTTP


async def answer(server: Backend, last: bytes, *stream: bytes) -> None:
    """Whatever it is asked, up to this message."""
    await server.receive_until(last)
    server.send(*stream)


def parent_of(record: Record) -> str:
    context = read_text(record.text)[0] or record.context
    return context.span_id if context is not None else ""


@pytest.mark.parametrize(
    ("sent", "replies", "prepared"),
    [
        ((query(TAGGED_TEXT),), ONE, False),
        ((parse("", TAGGED_TEXT), bind(), execute(), SYNC), EXECUTED, False),
        ((parse("s", TAGGED_TEXT), bind("s"), execute(), SYNC), EXECUTED, True),
    ],
    ids=["simple", "unnamed", "named"],
)
async def test_request_with_a_sampled_parent_is_noted(
    house: House, sent: tuple[bytes, ...], replies: tuple[bytes, ...], prepared: bool
):
    client, server = await house.pair()
    client.send(*sent)
    await answer(server, sent[-1], *replies)
    await client.receives(*replies)
    (record,) = noted(house)
    assert (record.chosen, parent_of(record)) == (TAGGED | SAMPLED, PARENT[36:52])
    assert (record.failed, record.facts.rows, record.facts.batch) == (False, 1, 1)
    assert record.facts.prepared is prepared
    assert (record.facts.address, record.facts.port) == ("127.0.0.1", house.server.port)
    assert record.shape is not None
    assert record.shape.text == "SELECT $?"


async def test_request_that_nobody_picks_is_not_noted(house: House):
    client, server = await house.pair()
    for text in ("SELECT 1", f"SELECT 1 /*traceparent='{PARENT[:-2]}00'*/"):
        client.send(query(text))
        await server.answers(*ONE, to=query(text))
        await client.receives(*ONE)
    assert noted(house) == []


async def test_named_text_that_is_executed_again_gives_no_parent(house: House):
    client, server = await house.pair()
    client.send(parse("s", TAGGED_TEXT), bind("s"), execute(), SYNC)
    await answer(server, SYNC, *EXECUTED)
    await client.receives(*EXECUTED)
    client.send(bind("s"), execute(), SYNC)
    await answer(server, SYNC, BIND_COMPLETE, row("1"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("1"), complete(), IDLE)
    assert len(noted(house)) == 1


@pytest.mark.parametrize(("later", "count"), [(0.0, 2), (-2.0, 1)])
async def test_unnamed_text_that_is_executed_again_gives_a_parent_for_a_second(
    house: House, later: float, count: int
):
    client, server = await house.pair()
    client.send(parse("", TAGGED_TEXT), bind(), execute(), SYNC)
    await answer(server, SYNC, *EXECUTED)
    await client.receives(*EXECUTED)
    house.inside(client).translator.series.said.since += later
    client.send(bind(), execute(), SYNC)
    await answer(server, SYNC, BIND_COMPLETE, row("1"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("1"), complete(), IDLE)
    assert len(noted(house)) == count


async def test_failed_request_is_noted_with_its_sqlstate(house: House):
    client, server = await house.pair()
    failure = error("22012", "division by zero")
    client.send(query("SELECT 1 / 0"))
    await server.answers(failure, IDLE, to=query("SELECT 1 / 0"))
    await client.receives(failure, IDLE)
    (record,) = noted(house)
    assert (record.chosen, record.failed, record.facts.sqlstate) == (KEPT, True, "22012")


async def test_requests_of_one_chunk_are_told_apart(house: House):
    client, server = await house.pair()
    text = query(TAGGED_TEXT)
    client.send(text, query("SELECT 1"), text)
    await server.receives(text, query("SELECT 1"), text)
    server.send(rows("1", tag="SELECT 3"), IDLE, *ONE, complete("DELETE 5"), complete("SELECT 4"), IDLE)
    await client.receives(
        rows("1", tag="SELECT 3"), IDLE, *ONE, complete("DELETE 5"), complete("SELECT 4"), IDLE
    )
    first, second = noted(house)
    assert (first.facts.rows, first.facts.affected, first.facts.batch) == (3, -1, 1)
    assert (second.facts.rows, second.facts.affected, second.facts.batch) == (4, 5, 2)


async def test_statements_of_an_answer_that_comes_in_parts_are_all_counted(house: House):
    """Whose rows are not known then: what it said ahead of its last part is gone."""
    client, server = await house.pair()
    text = query(TAGGED_TEXT)
    client.send(text, text)
    await server.receives(text, text)
    for part in (rows("1", tag="SELECT 1"), complete("UPDATE 2")):
        server.send(part)
        await client.receives(part)
    server.send(complete("SELECT 3"), IDLE, columns("a"), row("1"))
    await client.receives(complete("SELECT 3"), IDLE, columns("a"), row("1"))
    server.send(complete("SELECT 4"), IDLE)
    await client.receives(complete("SELECT 4"), IDLE)
    several, one = noted(house)
    assert (several.facts.rows, several.facts.affected, several.facts.batch) == (-1, -1, 3)
    assert (one.facts.rows, one.facts.affected, one.facts.batch) == (4, -1, 1)


async def test_wait_for_a_server_is_told(house: House):
    holder, server = await hold(house)
    waiting = await house.client()
    waiting.send(query(TAGGED_TEXT))
    await house.until(lambda: len(house.pool.waiting) == 1)
    await free(holder, server)
    await server.answers(*ONE, to=query(TAGGED_TEXT))
    await waiting.receives(*ONE)
    (record,) = noted(house)
    assert 0 < record.facts.wait <= record.microseconds / 1e6


async def test_request_that_gets_no_server_is_noted(house: House):
    await hold(house)
    waiting = await house.client()
    waiting.send(query(TAGGED_TEXT))
    await house.until(lambda: len(house.pool.waiting) == 1)
    house.sweep(later=1000)
    await waiting.fails("53300", "query_wait_timeout")
    (record,) = noted(house)
    assert (record.chosen, record.facts.sqlstate) == (TAGGED | SAMPLED | KEPT, "53300")
    assert parent_of(record) == PARENT[36:52]


async def test_request_whose_server_is_lost_is_noted(house: House):
    client, server = await house.pair()
    client.send(query("DELETE FROM t"))
    await server.receives(query("DELETE FROM t"))
    server.cut()
    await client.fails("08007")
    (record,) = noted(house)
    assert (record.failed, record.facts.sqlstate) == (True, "08007")


@pytest.mark.parametrize(
    "judge", [lambda *_: Answer(rows("1")), lambda *_: Refuse(ProxyError("no", sqlstate="53400"))]
)
async def test_what_a_gate_answers_or_refuses_is_noted_once(house: House, judge: Callable[..., object]):
    client, _ = await house.pair()
    house.pool.tenant.gates = (Gate(judge),)  # type: ignore[arg-type]
    client.send(query(TAGGED_TEXT))
    await client.receive()
    await house.until(lambda: len(noted(house)) == 1)
    (record,) = noted(house)
    assert record.facts.sqlstate == ("53400" if record.failed else "")
    assert parent_of(record) == PARENT[36:52]


async def test_pin_is_told(house: House):
    client, server = await house.pair()
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)
    held = house.inside(client).server
    assert held is not None
    held.dialogue.traces.pins = frozenset({"temp"})
    client.send(query(TAGGED_TEXT))
    await server.answers(rows("1"), INTRANS, to=query(TAGGED_TEXT))
    await client.receives(rows("1"), INTRANS)
    assert noted(house)[0].facts.pins == {"temp"}


async def test_application_name_that_holds_a_parent(house: House):
    client = await house.client(parameters={"application_name": f"shop {PARENT}"})
    server = await house.server.accept()
    client.send(query("SELECT 1"))
    await server.receive()  # its settings
    await answer(server, query("SELECT 1"), *ONE, *ONE)
    await client.receives(*ONE)
    assert parent_of(noted(house)[0]) == PARENT[36:52]


async def test_tracing_is_turned_off_and_on_while_clients_are_there(house: House):
    client, server = await house.pair()
    tenant = house.pool.tenant
    for mode, count in (("off", 0), ("on", 1), ("observe", 1)):
        tracing = house.proxy.settings.tracing.model_copy(update={"mode": mode})
        house.proxy.apply(house.proxy.settings.model_copy(update={"tracing": tracing}))
        assert len(tenant.listeners) == (mode != "off")
        client.send(query(TAGGED_TEXT))
        await server.answers(*ONE, to=query(TAGGED_TEXT))
        await client.receives(*ONE)
        assert len(noted(house)) == count
    assert house.proxy.tracing.outbox.counts["observed"] == 1


async def test_read_that_is_rescued_tells_both_hosts():
    async with playing(**{"tracing.mode": "on", "tracing.sample_rate": "1"}) as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        name, replica = await scene.asked("replica1", "replica2")
        await replica.answers(CONFLICT, IDLE, to=query(READ))
        await primary.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        facts = noted(scene.house)[-1].facts
        assert facts.rescue is not None
        assert (facts.host, facts.role, facts.rescue.host) == ("primary", "primary", name)


async def test_host_and_reason_are_told():
    async with playing(**{"tracing.mode": "on", "tracing.sample_rate": "1"}) as scene:
        client, primary = await scene.enter()
        client.send(query(READ))
        name, replica = await scene.asked("replica1", "replica2")
        await replica.answers(*ANSWER, to=query(READ))
        await client.receives(*ANSWER)
        client.send(query("DELETE FROM t"))
        await primary.answers(complete("DELETE 1"), IDLE, to=query("DELETE FROM t"))
        await client.receives(complete("DELETE 1"), IDLE)
        read, write = (record.facts for record in noted(scene.house)[-2:])
        assert (read.host, read.role, read.reason, read.rows) == (name, "replica", "read", 1)
        assert (write.host, write.role, write.reason, write.affected) == (
            "primary",
            "primary",
            "not a read",
            1,
        )
