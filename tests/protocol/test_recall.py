"""What sequences gave out is asked of the server behind an INSERT, and answers `lastval` wherever that runs."""

from typing import Any

from dbproxy.wire.extended import OWN
from tests.support.house import House
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend, findings
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    IDLE,
    PARSE_COMPLETE,
    SYNC,
    bind,
    complete,
    error,
    execute,
    parse,
    query,
    row,
    rows,
)

INSERT = query("INSERT INTO t VALUES (1)")
LASTVAL = query("SELECT lastval()")
ANSWERED = "SELECT (SELECT CASE WHEN true THEN '42'::pg_catalog.int8 ELSE lastval() END AS lastval)"
UNDEFINED = error("55000", "lastval is not yet defined in this session")


async def recalls_in_vain(client: RawClient, server: Backend) -> None:
    client.send(LASTVAL)
    await server.answers(UNDEFINED, IDLE, to=LASTVAL)
    await client.receives(UNDEFINED, IDLE)
    await server.answers_audit()


async def inserts(client: RawClient, server: Backend) -> None:
    client.send(INSERT)
    await server.answers(complete("INSERT 0 1"), IDLE, to=INSERT)
    await client.receives(complete("INSERT 0 1"), IDLE)


async def test_nobody_is_asked_where_nobody_recalls(house: House):
    client, server = await house.pair()
    await inserts(client, server)
    await house.until(lambda: house.pool.counts()["idle"] == 1)
    await server.hears_nothing()


async def test_query_is_sent_with_its_answer(house: House):
    client, server = await house.pair()
    await recalls_in_vain(client, server)
    await inserts(client, server)
    await server.answers_audit(recalled="42 16385 42")
    client.send(LASTVAL)
    await server.answers(rows("42"), IDLE, to=query(ANSWERED))
    await client.receives(rows("42"), IDLE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)


async def test_bind_runs_a_statement_of_ours_with_its_answer(house: House):
    client, server = await house.pair()
    await recalls_in_vain(client, server)
    await inserts(client, server)
    await server.answers_audit(recalled="42 16385 42")
    client.send(parse("", "SELECT lastval()"), bind(), execute(), SYNC)
    sent = await server.receive_until(SYNC)
    assert [message.kind for message in sent] == list("PCPBES")
    assert sent[2].body.query == ANSWERED
    assert sent[3].body.statement == OWN.decode()
    server.send(PARSE_COMPLETE, CLOSE_COMPLETE, PARSE_COMPLETE, BIND_COMPLETE, row("42"), complete(), IDLE)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("42"), complete(), IDLE)


async def test_recall_waits_for_the_answer_that_is_under_way(house: House):
    client, server = await house.pair()
    await recalls_in_vain(client, server)
    await inserts(client, server)
    question = await server.audited()
    client.send(LASTVAL)
    await server.receive()  # Flush
    await server.hears_nothing()
    server.send(findings(question, recalled="42 16385 42"), IDLE)
    await server.answers(rows("42"), IDLE, to=query(ANSWERED))
    await client.receives(rows("42"), IDLE)


async def test_sequences_of_one_client_are_discarded_ahead_of_the_next(house: House):
    client, server = await house.pair()
    await recalls_in_vain(client, server)
    await inserts(client, server)
    await server.answers_audit(recalled="42 16385 42")
    other = await house.client()
    other.send(INSERT)
    await server.answers(complete("DISCARD SEQUENCES"), IDLE, to=query("DISCARD SEQUENCES"))
    await server.answers(complete("INSERT 0 1"), IDLE, to=INSERT)
    await other.receives(complete("INSERT 0 1"), IDLE)
    await server.answers_audit(recalled=None)
    other.send(LASTVAL)
    await server.answers(UNDEFINED, IDLE, to=LASTVAL)
    await other.receives(UNDEFINED, IDLE)


async def test_server_that_cannot_be_asked_is_kept_by_who_recalls(house: House, log: list[Any]):
    client, server = await house.pair()
    client.send(LASTVAL)
    await server.answers(rows("7"), IDLE, to=LASTVAL)
    await client.receives(rows("7"), IDLE)
    await server.audited()
    server.send(error("42501", "permission denied for language plpgsql"), IDLE)
    await house.until(lambda: house.pool.counts()["idle"] == 1)
    await inserts(client, server)
    client.send(LASTVAL)
    await server.answers(rows("8"), IDLE, to=LASTVAL)
    await client.receives(rows("8"), IDLE)
    await server.answers_audit()
    await house.until(lambda: house.inside(client).state.pins.keys() == {"sequence"})
    assert sum(line["event"].startswith("currval and lastval pin") for line in log) == 1
