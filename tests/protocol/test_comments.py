"""Comments that tell who asks: no part of a shared prepared statement, left in a Query; both are counted."""

import pytest

from dbproxy.sql.identity import Shape
from tests.protocol.test_prepared import ANSWER, RUN, begin, prepare, run
from tests.support.house import House
from tests.support.speech import BIND_COMPLETE, IDLE, PARSE_COMPLETE, SYNC, bind, complete, parse, query, row


def shape_of(house: House, text: str) -> Shape:
    return house.pool.tenant.classifier.find(text.encode())


async def test_statements_that_differ_in_who_asks_are_one_on_the_server(house: House):
    client, server = await house.pair()
    client.send(parse("s0", "SELECT 1 /*traceparent='0'*/"), SYNC)
    parsed = await server.receive()
    assert parsed.body.query == "SELECT 1"
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    other = await house.client()
    for number in range(1, 20):
        other.send(parse(f"s{number}", f"SELECT 1 /*traceparent='{number}'*/"), bind(f"s{number}"), *RUN)
        await server.receives(bind(parsed.body.name), *RUN)
        server.send(BIND_COMPLETE, *ANSWER)
        await other.receives(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    assert shape_of(house, "SELECT 1").calls == 19


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("/*a='1'*/ SELECT x", "          SELECT x"),
        ("/*+ SeqScan(t) */ SELECT 1", "/*+ SeqScan(t) */ SELECT 1"),
        ("/* dbproxy: primary */ SELECT 1", "/* dbproxy: primary */ SELECT 1"),
        ("SELECT 1 /* a='1', else */", "SELECT 1 /* a='1', else */"),
        ("SELECT '/*a=''1''*/'", "SELECT '/*a=''1''*/'"),
    ],
)
async def test_what_is_sent_of_a_comment(house: House, text: str, sent: str):
    client, server = await house.pair()
    client.send(parse("s1", text), SYNC)
    assert (await server.receive()).body.query == sent


async def test_a_statement_known_without_its_comment_is_parsed_without_a_server(house: House):
    client, server = await house.pair()
    await prepare(client, server, "s1", "SELECT 1")
    await begin(client, server)
    other = await house.client()
    other.send(parse("mine", "SELECT 1 /*traceparent='1'*/"), SYNC)
    await other.receives(PARSE_COMPLETE, IDLE)
    await server.hears_nothing()


async def test_a_statement_that_is_not_shared_goes_as_it_came(house: House):
    client, server = await house.pair()
    for number in range(3):
        request = (parse("", f"SELECT 1 /*traceparent='{number}'*/"), bind(), *RUN)
        client.send(*request)
        await server.receives(*request)
        server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
        await client.receives(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    assert shape_of(house, "SELECT 1").calls == 3


async def test_a_query_goes_as_it_came_and_is_counted_with_those_like_it(house: House):
    client, server = await house.pair()
    for number in range(5):
        asked = query(f"SELECT {number} /*traceparent='{number}'*/")
        client.send(asked)
        await server.answers(row("1"), complete(), IDLE, to=asked)
        await client.receives(row("1"), complete(), IDLE)
    assert shape_of(house, "SELECT 7").calls == 5
    assert shape_of(house, "SELECT 7").identity() in house.pool.tenant.classifier.list_shapes()


async def test_a_query_that_waited_is_counted_once(house: House):
    client, server = await house.pair()
    await begin(client, server)
    waiting = await house.client()
    waiting.send(query("SELECT waits"))
    await house.until(lambda: len(house.pool.waiting) == 1)
    assert shape_of(house, "SELECT waits").calls == 0
    client.send(query("COMMIT"))
    await server.answers(complete("COMMIT"), IDLE, to=query("COMMIT"))
    await server.answers(*ANSWER, to=query("SELECT waits"))
    await waiting.receives(*ANSWER)
    assert shape_of(house, "SELECT waits").calls == 1
    assert shape_of(house, "begin").calls == 0  # keywords are kept as they are written
    assert shape_of(house, "BEGIN").calls == 1


async def test_executions_of_a_prepared_statement_are_its_calls(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT prepared")
    assert shape_of(house, "SELECT prepared").calls == 0
    for _ in range(3):
        await run(client, server, ours, "s1")
    assert shape_of(house, "SELECT prepared").calls == 3


async def test_long_queries_that_differ_at_the_end_are_two(house: House):
    client, server = await house.pair()
    texts = [f"SELECT '{'x' * 40_000}{end}'" for end in ("1", "2", "1")]
    for text in texts:
        client.send(query(text))
        await server.answers(*ANSWER, to=query(text))
        await client.receives(*ANSWER)
        await server.answers_audit()
    assert [shape_of(house, text).calls for text in texts] == [2, 1, 2]
