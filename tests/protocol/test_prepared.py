"""Prepared statements under transaction pooling: DESIGN §6, the row on Parse, Bind, Describe and Close."""

import pytest

from dbproxy.pool.parameters import Parameters
from tests.support.house import House
from tests.support.peer import Peer
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    FLUSH,
    IDLE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    SYNC,
    bind,
    close,
    columns,
    complete,
    describe,
    describe_portal,
    error,
    execute,
    parameter_types,
    parse,
    query,
    row,
    rows,
)

RUN = (execute(), SYNC)
ANSWER = (row("1"), complete(), IDLE)
CHANGED = error("0A000", "cached plan must not change result type", routine="RevalidateCachedQuery")


def missing(name: str) -> bytes:
    return error("26000", f'prepared statement "{name}" does not exist', routine="FetchPreparedStatement")


async def prepare(client: RawClient, server: Backend, name: str, text: str) -> str:
    """Prepare a statement that no server has; the name that servers know it by."""
    client.send(parse(name, text), SYNC)
    parsed = await server.receive()
    assert (parsed.kind, parsed.body.query) == ("P", text)
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    return str(parsed.body.name)


async def begin(client: RawClient, server: Backend) -> None:
    """A transaction: the client keeps this server."""
    client.send(query("BEGIN"))
    await server.answers(complete("BEGIN"), INTRANS, to=query("BEGIN"))
    await client.receives(complete("BEGIN"), INTRANS)


async def run(client: RawClient, server: Peer, ours: str, theirs: str) -> None:
    """Execute a statement that this server has."""
    client.send(bind(theirs), *RUN)
    await server.receives(bind(ours), *RUN)
    server.send(BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


# --- between clients and servers ----------------------------------------------------------------------------


async def test_equal_statements_of_two_clients_are_one_on_the_server(house: House):
    client, server = await house.pair()
    other = await house.client()
    ours = await prepare(client, server, "s1", "SELECT 1")
    other.send(parse("mine", "SELECT 1"), bind("mine"), *RUN)
    await server.receives(bind(ours), *RUN)
    server.send(BIND_COMPLETE, *ANSWER)
    await other.receives(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await run(client, server, ours, "s1")


async def test_equal_names_of_two_clients_are_two_statements(house: House):
    client, server = await house.pair()
    other = await house.client()
    one = await prepare(client, server, "s", "SELECT 1")
    two = await prepare(other, server, "s", "SELECT 2")
    assert one != two
    await run(client, server, one, "s")
    await run(other, server, two, "s")


async def test_statement_is_prepared_on_demand_where_it_is_missing(enter):
    house = await enter({"pool.size": 2})
    client, one = await house.pair()
    ours = await prepare(client, one, "s1", "SELECT $1")
    other = await house.client()
    await begin(other, one)
    client.send(bind("s1", "x"), *RUN)
    two = await house.server.accept()
    await two.receives(parse(ours, "SELECT $1"), bind(ours, "x"), *RUN)
    two.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)
    await run(client, two, ours, "s1")


async def test_skipped_reply_is_never_seen_whatever_the_splitting(enter):
    house = await enter({"pool.size": 2})
    client, one = await house.pair()
    ours = await prepare(client, one, "s1", "SELECT $1")
    await begin(await house.client(), one)
    client.send(bind("s1", "x"), *RUN)
    two = await house.server.accept()
    await two.receives(parse(ours, "SELECT $1"), bind(ours, "x"), *RUN)
    await two.send_in_crumbs(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_known_statement_is_parsed_without_a_server(house: House):
    client, server = await house.pair()
    await prepare(client, server, "s1", "SELECT 1")
    await begin(client, server)
    other = await house.client()
    other.send(parse("mine", "SELECT 1"), close("other"), FLUSH)
    await other.receives(PARSE_COMPLETE, CLOSE_COMPLETE)
    other.send(SYNC)
    await other.receives(IDLE)
    await server.hears_nothing()


async def test_replies_without_a_server_come_before_those_of_the_server(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(close("s1"), parse("s2", "SELECT 1"), bind("s2"), *RUN)
    await server.receives(bind(ours), *RUN)
    server.send(BIND_COMPLETE, *ANSWER)
    await client.receives(CLOSE_COMPLETE, PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)


async def test_faked_replies_keep_their_place_among_real_ones(house: House):
    client, server = await house.pair()
    one = await prepare(client, server, "s1", "SELECT 1")
    client.send(bind("s1"), execute(), close("s1"), parse("s2", "SELECT 1"), bind("s2"), execute(), SYNC)
    await server.receives(bind(one), execute(), bind(one), execute(), SYNC)
    server.send(BIND_COMPLETE, row("1"), complete(), BIND_COMPLETE, row("2"), complete(), IDLE)
    await client.receives(BIND_COMPLETE, row("1"), complete(), CLOSE_COMPLETE, PARSE_COMPLETE)
    await client.receives(BIND_COMPLETE, row("2"), complete(), IDLE)


async def test_flush_brings_the_faked_replies_behind_a_real_one(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(bind("s1"), execute(), parse("s2", "SELECT 1"), close("s1"), FLUSH)
    await server.receives(bind(ours), execute(), FLUSH)
    server.send(BIND_COMPLETE, row("1"), complete())
    await client.receives(BIND_COMPLETE, row("1"), complete(), PARSE_COMPLETE, CLOSE_COMPLETE)
    client.send(SYNC)
    await server.answers(IDLE, to=SYNC)
    await client.receives(IDLE)


async def test_flush_does_not_bring_a_faked_reply_into_the_middle_of_another(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    answer = row("long")
    client.send(bind("s1"), execute(), parse("s2", "SELECT 1"), FLUSH)
    await server.receives(bind(ours), execute(), FLUSH)
    server.send(BIND_COMPLETE, answer[:10])
    await client.receives(BIND_COMPLETE)
    await client.receives_bytes(answer[:10])
    client.send(FLUSH)
    await server.receives(FLUSH)
    server.send(answer[10:], complete())
    await client.receives_bytes(answer[10:])
    await client.receives(complete(), PARSE_COMPLETE)


async def test_error_comes_behind_the_faked_replies_before_it(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(bind("s1", "x"), parse("s2", "SELECT 1"), bind("s2"), close("s2"), *RUN)
    await server.receives(bind(ours, "x"), bind(ours), *RUN)
    wrong = error("08P01", "bind message supplies 0 parameters")
    server.send(BIND_COMPLETE, wrong, IDLE)
    await client.receives(BIND_COMPLETE, PARSE_COMPLETE, wrong, IDLE)
    await run(client, server, ours, "s2")  # its Parse was carried out, its Close was not


async def test_faked_parse_behind_an_error_did_not_happen(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(bind("s1"), parse("s2", "SELECT 1"), close("s1"), *RUN)
    await server.receives(bind(ours), *RUN)
    wrong = error("08P01", "bind message supplies 0 parameters")
    server.send(wrong, IDLE)
    await client.receives(wrong, IDLE)
    await run(client, server, ours, "s1")
    client.send(bind("s2"), *RUN)
    refused = (await server.receive()).body.statement
    await server.receives(*RUN)
    server.send(missing(refused), IDLE)
    await client.fails("26000", '"s2"')
    await client.receives(IDLE)


# --- names --------------------------------------------------------------------------------------------------


async def test_duplicate_name_is_refused_by_its_own_name(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(parse("s1", "SELECT 2"), SYNC)
    *_, again, _sync = await server.receive_until(SYNC)
    assert again.body.query == "SELECT 2"
    name = again.body.name
    assert name != ours
    server.send(
        CLOSE_COMPLETE, PARSE_COMPLETE, error("42P05", f'prepared statement "{name}" already exists'), IDLE
    )
    assert (await client.receive()).text == 'prepared statement "s1" already exists'
    await client.receives(IDLE)
    await run(client, server, ours, "s1")


async def test_duplicate_name_with_a_wrong_text_is_refused_for_the_text(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(parse("s1", "SELEC"), SYNC)
    await server.receive_until(SYNC)
    server.send(CLOSE_COMPLETE, error("42601", "syntax error"), IDLE)
    await client.receives(error("42601", "syntax error"), IDLE)
    await run(client, server, ours, "s1")


async def test_unknown_name_is_refused_by_its_own_name(house: House):
    client, server = await house.pair()
    for request in (bind("nobody"), describe("nobody")):
        client.send(request, SYNC)
        message = await server.receive()
        name = message.body.statement if message.kind == "B" else message.body.name
        await server.receives(SYNC)
        server.send(missing(name), IDLE)
        assert (await client.receive()).text == 'prepared statement "nobody" does not exist'
        await client.receives(IDLE)


async def test_name_on_the_server_is_nobodys_to_use(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 'secret'")
    other = await house.client()
    other.send(bind(ours), *RUN)
    assert (await server.receive()).body.statement != ours


async def test_long_portal_name_does_not_carry_a_statement_name_past_us(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 'secret'")
    client.send(bind(ours, portal="p" * 5000)[:4500])
    await client.fails("54000", "Bind")
    await client.hears_the_end()
    await server.hears_the_end()


async def test_statement_that_does_not_parse_is_not_kept(house: House):
    client, server = await house.pair()
    client.send(parse("s1", "SELEC"), SYNC)
    await server.receive_until(SYNC)
    server.send(error("42601", "syntax error"), IDLE)
    await client.receives(error("42601", "syntax error"), IDLE)
    await prepare(client, server, "s1", "SELECT 1")


async def test_closed_statement_is_unknown_and_its_name_is_free(house: House):
    client, server = await house.pair()
    await prepare(client, server, "s1", "SELECT 1")
    client.send(close("s1"), SYNC)
    await client.receives(CLOSE_COMPLETE, IDLE)
    await prepare(client, server, "s1", "SELECT 2")


# --- the unnamed statement ----------------------------------------------------------------------------------


async def test_unnamed_statement_moves_with_its_client(enter):
    house = await enter({"pool.size": 2})
    client, one = await house.pair()
    client.send(parse("", "SELECT $1"), describe(""), SYNC)
    await one.receives(parse("", "SELECT $1"), describe(""), SYNC)
    one.send(PARSE_COMPLETE, parameter_types(25), columns("a"), IDLE)
    await client.receives(PARSE_COMPLETE, parameter_types(25), columns("a"), IDLE)
    await begin(await house.client(), one)
    client.send(bind("", "x"), *RUN)
    two = await house.server.accept()
    await two.receives(parse("", "SELECT $1"), describe(""), FLUSH)
    two.send(PARSE_COMPLETE, parameter_types(25), columns("a"))
    await two.receives(bind("", "x"), *RUN)
    two.send(BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_unnamed_statement_is_prepared_again_after_another_clients(house: House):
    client, server = await house.pair()
    other = await house.client()
    for peer, text in ((client, "SELECT 1"), (other, "SELECT 2")):
        peer.send(parse("", text), SYNC)
        await server.receives(parse("", text), SYNC)
        server.send(PARSE_COMPLETE, IDLE)
        await peer.receives(PARSE_COMPLETE, IDLE)
    client.send(bind(""), *RUN)
    await server.receives(parse("", "SELECT 1"), bind(""), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_unnamed_statement_of_another_is_never_bound(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 'secret'"), SYNC)
    await server.receives(parse("", "SELECT 'secret'"), SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    other = await house.client()
    other.send(bind(""), *RUN)
    await server.receives(close(""), bind(""), *RUN)
    refused = error("26000", "unnamed prepared statement does not exist")
    server.send(CLOSE_COMPLETE, refused, IDLE)
    await other.receives(refused, IDLE)


async def test_unnamed_statement_of_another_is_not_bound_when_its_close_was_discarded(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 'secret'"), SYNC)
    await server.receives(parse("", "SELECT 'secret'"), SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    other = await house.client()
    other.send(parse("s", "SELEC"), bind(""), *RUN)
    await server.receive_until(SYNC)
    server.send(error("42601", "syntax error"), IDLE)
    await other.receives(error("42601", "syntax error"), IDLE)
    other.send(bind(""), *RUN)
    await server.receives(close(""), bind(""), *RUN)


async def test_unnamed_statement_of_another_is_not_bound_behind_a_discarded_query(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 'secret'"), SYNC)
    await server.receives(parse("", "SELECT 'secret'"), SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    other = await house.client()
    other.send(parse("s", "SELEC"), query("SELECT 1"), SYNC)
    await server.receive_until(SYNC)
    server.send(error("42601", "syntax error"), IDLE)
    await other.receives(error("42601", "syntax error"), IDLE)
    other.send(bind(""), *RUN)
    await server.receives(close(""), bind(""), *RUN)


async def test_unnamed_statement_is_the_one_parsed_behind_a_request_that_failed(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELEC"), SYNC, parse("", "SELECT 2"), SYNC)
    await server.receives(parse("", "SELEC"), SYNC, parse("", "SELECT 2"), SYNC)
    server.send(error("42601", "no"), IDLE, PARSE_COMPLETE, IDLE)
    await client.fails("42601", "no")
    await client.receives(IDLE, PARSE_COMPLETE, IDLE)
    client.send(bind(), *RUN)
    await server.receives(parse("", "SELECT 2"), bind(), *RUN)


async def test_unnamed_statement_is_gone_behind_a_parse_that_failed(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), SYNC)
    await server.answers(PARSE_COMPLETE, IDLE, to=parse("", "SELECT 1") + SYNC)
    await client.receives(PARSE_COMPLETE, IDLE)
    client.send(parse("", "SELEC"), SYNC)
    await server.answers(error("42601", "no"), IDLE, to=parse("", "SELEC") + SYNC)
    await client.fails("42601", "no")
    await client.receives(IDLE)
    client.send(bind(), *RUN)
    await server.receives(close(""), bind(), *RUN)


async def test_query_ends_the_unnamed_statement(house: House):
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), SYNC, query("SELECT 2"), bind(""), *RUN)
    await server.receives(parse("", "SELECT 1"), SYNC, query("SELECT 2"), bind(""), *RUN)


async def test_unnamed_statement_is_prepared_again_after_settings_were_adopted(house: House):
    """The Query that adopts them ends it on the server."""
    client, server = await house.pair()
    other = await house.client(parameters={"application_name": "other"})
    client.send(parse("", "SELECT 1"), SYNC)
    await server.receives(parse("", "SELECT 1"), SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    other.send(execute(), SYNC)
    assert "application_name" in (await server.receive()).body.query
    await server.receives(execute(), SYNC)
    server.send(rows("other"), IDLE, complete(), IDLE)
    await other.receives(complete(), IDLE)
    client.send(bind(""), *RUN)
    assert (await server.receive()).kind == "Q"
    await server.receives(parse("", "SELECT 1"), bind(""), *RUN)


# --- bounds -------------------------------------------------------------------------------------------------


async def test_server_gives_up_the_statement_used_longest_ago(enter):
    house = await enter({"pool.size": 1, "pool.max_prepared_statements": 2})
    client, server = await house.pair()
    one = await prepare(client, server, "one", "SELECT 1")
    two = await prepare(client, server, "two", "SELECT 2")
    await run(client, server, one, "one")
    client.send(parse("three", "SELECT 3"), bind("three"), *RUN)
    await server.receives(close(two))
    three = (await server.receive()).body.name
    await server.receives(bind(three), *RUN)
    server.send(CLOSE_COMPLETE, PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await run(client, server, one, "one")
    client.send(bind("two"), *RUN)
    await server.receives(close(three), parse(two, "SELECT 2"), bind(two), *RUN)
    server.send(CLOSE_COMPLETE, PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_statement_whose_eviction_was_discarded_is_still_there(enter):
    house = await enter({"pool.size": 1, "pool.max_prepared_statements": 1})
    client, server = await house.pair()
    one = await prepare(client, server, "one", "SELECT 1")
    client.send(parse("", "SELEC"), parse("two", "SELECT 2"), SYNC)
    await server.receive_until(SYNC)
    server.send(error("42601", "syntax error"), IDLE)
    await client.receives(error("42601", "syntax error"), IDLE)
    await run(client, server, one, "one")


async def test_promises_without_a_server_are_bounded(house: House):
    client, server = await house.pair()
    client.send(close("x") * 20_000)
    await client.receives_bytes(CLOSE_COMPLETE * 10_001)
    client.send(SYNC)
    await server.receive_until(SYNC)
    server.send(IDLE)
    await client.receives_bytes(CLOSE_COMPLETE * 9_999 + IDLE)


# --- sending a request again --------------------------------------------------------------------------------


async def test_changed_result_type_is_never_seen(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(bind("s1"), describe("s1"), *RUN)
    await server.receives(bind(old), describe(old), *RUN)
    server.send(CHANGED, IDLE)
    parsed = await server.receive()
    new = parsed.body.name
    assert (parsed.body.query, new != old) == ("SELECT * FROM t", True)
    await server.receives(bind(new), describe(new), *RUN)
    answer = (BIND_COMPLETE, parameter_types(), columns("a", "b"), row("1", "2"), complete(), IDLE)
    server.send(PARSE_COMPLETE, *answer)
    await client.receives(*answer)
    await run(client, server, new, "s1")


@pytest.mark.parametrize(
    "dropped",
    [
        error("XX000", "cache lookup failed for type 16411", routine="getTypeOutputInfo"),
        error("42704", "type with OID 16411 does not exist", routine="lookup_type_cache"),  # a domain
    ],
)
async def test_statement_of_a_type_that_was_made_again_is_prepared_anew(house: House, dropped: bytes):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT a FROM t")
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(dropped, IDLE)
    new = (await server.receive()).body.name
    assert new != old
    await server.receives(bind(new), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_other_internal_error_is_the_clients_to_see(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT a FROM t")
    wrong = error("XX000", "unexpected chunk number 0 (expected 1)")
    client.send(bind("s1"), *RUN)
    await server.receives(bind(ours), *RUN)
    server.send(wrong, IDLE)
    await client.receives(wrong, IDLE)
    await run(client, server, ours, "s1")


async def test_statement_of_a_databases_own_type_is_parsed_for_each_client_and_then_shared(house: House):
    """Its number, which all clients would be told, is that of a type that may have been dropped since."""
    client, server = await house.pair()
    answer = (PARSE_COMPLETE, parameter_types(16411), columns("a"), IDLE)
    client.send(parse("s1", "SELECT $1"), describe("s1"), SYNC)
    shared = (await server.receive()).body.name
    await server.receives(describe(shared), SYNC)
    server.send(*answer)
    await client.receives(*answer)
    other = await house.client()
    other.send(parse("mine", "SELECT $1"), SYNC)
    twin = (await server.receive()).body.name
    await server.receives(describe(twin), SYNC)
    server.send(*answer)
    await other.receives(PARSE_COMPLETE, IDLE)
    await run(other, server, shared, "mine")


async def test_client_is_told_columns_also_by_a_statement_that_turns_out_to_be_shared(house: House):
    """It must not be given rows of another shape later."""
    client, server = await house.pair()
    answer = (PARSE_COMPLETE, parameter_types(16411), columns("a"), IDLE)
    client.send(parse("s1", "SELECT $1"), describe("s1"), SYNC)
    shared = (await server.receive()).body.name
    await server.receives(describe(shared), SYNC)
    server.send(*answer)
    await client.receives(*answer)
    other = await house.client()
    other.send(parse("mine", "SELECT $1"), bind("mine"), describe_portal(), *RUN)
    twin = (await server.receive()).body.name
    await server.receives(describe(twin), bind(twin), describe_portal(), *RUN)
    server.send(*answer[:-1], BIND_COMPLETE, columns("a"), *ANSWER)
    await other.receives(PARSE_COMPLETE, BIND_COMPLETE, columns("a"), *ANSWER)
    other.send(bind("mine"), *RUN)
    await server.receives(bind(shared), *RUN)
    server.send(CHANGED, IDLE)
    await other.receives(CHANGED, IDLE)


async def test_portal_tells_its_client_the_columns_of_its_statement(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(bind("s1"), describe_portal(), *RUN)
    await server.receives(bind(old), describe_portal(), *RUN)
    server.send(BIND_COMPLETE, columns("a"), *ANSWER)
    await client.receives(BIND_COMPLETE, columns("a"), *ANSWER)
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED, IDLE)
    await client.receives(CHANGED, IDLE)
    client.send(bind("s1"), describe_portal(), *RUN)  # it is told again
    new = (await server.receive()).body.name
    await server.receives(bind(new), describe_portal(), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, columns("a", "b"), *ANSWER)
    await client.receives(BIND_COMPLETE, columns("a", "b"), *ANSWER)
    await run(client, server, new, "s1")


async def test_pdo_is_refused_other_columns_though_it_asks_for_them_again(house: House):
    """It keeps to what it was told first."""
    client, server = await house.pair()
    old = await prepare(client, server, "pdo_stmt_00000001", "SELECT * FROM t")
    client.send(bind("pdo_stmt_00000001"), describe_portal(), *RUN)
    await server.receives(bind(old), describe_portal(), *RUN)
    server.send(BIND_COMPLETE, columns("a"), *ANSWER)
    await client.receives(BIND_COMPLETE, columns("a"), *ANSWER)
    client.send(bind("pdo_stmt_00000001"), describe_portal(), *RUN)
    await server.receives(bind(old), describe_portal(), *RUN)
    server.send(CHANGED, IDLE)
    await client.receives(CHANGED, IDLE)
    client.send(bind("pdo_stmt_00000001"), describe_portal(), *RUN)
    new = (await server.receive()).body.name
    await server.receives(describe(new), FLUSH)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a", "b"))
    await server.receives(bind("dbproxy/changed"), describe_portal(), *RUN)
    server.send(CHANGED, IDLE)
    await client.receives(CHANGED, IDLE)


async def test_retried_request_gets_the_replies_that_were_faked_once(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    other = await house.client()
    other.send(parse("mine", "SELECT * FROM t"), bind("mine"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED, IDLE)
    new = (await server.receive()).body.name
    await server.receives(bind(new), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await other.receives(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await run(other, server, new, "mine")


async def test_request_is_retried_whatever_the_splitting(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    await client.send_in_crumbs(bind("s1", "x"), *RUN, size=3)
    await server.receives(bind(old, "x"), *RUN)
    await server.send_in_crumbs(CHANGED, IDLE)
    new = (await server.receive()).body.name
    await server.receives(bind(new, "x"), *RUN)
    await server.send_in_crumbs(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_what_comes_during_a_retry_is_carried_out_behind_it(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED)
    await house.until(lambda: house.inside(client).is_parked())
    client.send(query("SELECT 2"))
    await server.hears_nothing()
    server.send(IDLE)
    new = (await server.receive()).body.name
    await server.receives(bind(new), *RUN, query("SELECT 2"))
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER, rows("2"), IDLE)
    await client.receives(BIND_COMPLETE, *ANSWER, rows("2"), IDLE)


async def test_client_that_knows_the_old_columns_gets_the_error(house: House):
    """It would read the new rows by them; its driver prepares the statement anew."""
    client, server = await house.pair()
    client.send(parse("s1", "SELECT * FROM t"), describe("s1"), SYNC)
    old = (await server.receive()).body.name
    await server.receives(describe(old), SYNC)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    await client.receives(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED, IDLE)
    await client.receives(CHANGED, IDLE)
    client.send(close("s1"), parse("s1", "SELECT * FROM t"), describe("s1"), SYNC)
    new = (await server.receive()).body.name
    assert new != old


async def test_lost_statement_is_prepared_again_and_the_server_is_not_trusted_further(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT 1")
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(missing(old), IDLE)
    new = (await server.receive()).body.name
    await server.receives(bind(new), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)
    await house.until(lambda: house.pool.size() == 0)


async def test_lost_statement_is_described_again_for_a_client_that_knows_its_columns(house: House):
    client, server = await house.pair()
    client.send(parse("s1", "SELECT 1"), describe("s1"), SYNC)
    old = (await server.receive()).body.name
    await server.receives(describe(old), SYNC)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    await client.receives(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(missing(old), IDLE)
    new = (await server.receive()).body.name
    await server.receives(describe(new), FLUSH)
    await server.hears_nothing()
    server.send(PARSE_COMPLETE, parameter_types(), columns("a"))
    await server.receives(bind(new), *RUN)
    server.send(BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_name_closed_before_its_columns_were_told_means_nothing_any_more(house: House):
    client, server = await house.pair()
    client.send(parse("s1", "SELECT 1"), describe("s1"), close("s1"), SYNC)
    one = (await server.receive()).body.name
    await server.receives(describe(one), SYNC)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    await client.receives(PARSE_COMPLETE, parameter_types(), columns("a"), CLOSE_COMPLETE, IDLE)
    two = await prepare(client, server, "s1", "SELECT 2")
    await run(client, server, two, "s1")


async def test_close_that_was_discarded_does_not_make_a_client_one_that_was_told_columns(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    client.send(describe("s1"), SYNC)
    await server.receives(describe(ours), SYNC)
    server.send(parameter_types(), columns("a"), IDLE)
    await client.receives(parameter_types(), columns("a"), IDLE)
    other = await house.client()
    other.send(parse("s1", "SELECT 1"), SYNC)
    await other.receives(PARSE_COMPLETE, IDLE)
    other.send(bind("nobody"), close("s1"), SYNC)
    await server.receives(bind("dbproxy/none"), SYNC)
    server.send(missing("dbproxy/none"), IDLE)
    await other.receives(missing("nobody"), IDLE)
    await run(other, server, ours, "s1")


async def test_lost_statement_with_other_columns_is_refused_as_postgresql_would(house: House):
    client, server = await house.pair()
    client.send(parse("s1", "SELECT * FROM t"), describe("s1"), SYNC)
    old = (await server.receive()).body.name
    await server.receives(describe(old), SYNC)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    await client.receives(PARSE_COMPLETE, parameter_types(), columns("a"), IDLE)
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(missing(old), IDLE)
    new = (await server.receive()).body.name
    await server.receives(describe(new), FLUSH)
    server.send(PARSE_COMPLETE, parameter_types(), columns("a", "b"))
    await server.receives(bind("dbproxy/changed"), *RUN)
    server.send(missing("dbproxy/changed"), IDLE)
    await client.receives(CHANGED, IDLE)


async def test_outdated_statement_in_a_transaction_is_the_clients_to_deal_with(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT * FROM t")
    await begin(client, server)
    client.send(bind("s1"), *RUN)
    await server.receives(bind(ours), *RUN)
    server.send(CHANGED, INERROR)
    await client.receives(CHANGED, INERROR)
    await server.hears_nothing()


async def test_request_is_not_retried_twice(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED, IDLE)
    await server.receive_until(SYNC)
    server.send(PARSE_COMPLETE, CHANGED, IDLE)
    await client.receives(CHANGED, IDLE)


async def test_request_is_not_retried_when_part_of_its_answer_was_seen(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(parse("", "SELECT 1"), bind(""), execute(), bind("s1"), *RUN)
    await server.receives(parse("", "SELECT 1"), bind(""), execute(), bind(ours), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), CHANGED, IDLE)
    await client.receives(PARSE_COMPLETE, BIND_COMPLETE, row("1"), complete(), CHANGED, IDLE)
    await server.hears_nothing()


async def test_request_is_not_retried_when_a_faked_reply_was_seen(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(bind("s1"), execute(), parse("s2", "SELECT * FROM t"), FLUSH)
    await server.receives(bind(old), execute(), FLUSH)
    server.send(BIND_COMPLETE, row("1"), complete())
    await client.receives(BIND_COMPLETE, row("1"), complete(), PARSE_COMPLETE)
    client.send(bind("s2"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED, IDLE)
    await client.receives(CHANGED, IDLE)


async def test_client_that_leaves_during_a_retry_costs_only_the_server(house: House):
    client, server = await house.pair()
    old = await prepare(client, server, "s1", "SELECT * FROM t")
    client.send(bind("s1"), *RUN)
    await server.receives(bind(old), *RUN)
    server.send(CHANGED)
    await house.until(lambda: house.inside(client).is_parked())
    client.cut()
    await server.hears_the_end()
    await house.until(lambda: not len(house.proxy.registry))


# --- DEALLOCATE ALL, DISCARD ALL ----------------------------------------------------------------------------


async def test_discard_all_forgets_what_was_prepared_before_and_not_what_behind(house: House):
    client, server = await house.pair()
    await prepare(client, server, "old", "SELECT 1")
    client.send(query("DISCARD ALL"), parse("new", "SELECT 2"), SYNC)
    # Whether the name is free is known once DISCARD ALL is answered.
    await server.receives(query("DISCARD ALL"), FLUSH)
    server.send(complete("DISCARD ALL"), IDLE)
    await client.receives(complete("DISCARD ALL"), IDLE)
    await server.answers_audit()
    ours = (await server.receive()).body.name
    await server.receives(SYNC)
    server.send(PARSE_COMPLETE, IDLE)
    await client.receives(PARSE_COMPLETE, IDLE)
    await run(client, server, ours, "new")
    client.send(bind("old"), *RUN)
    assert "none" in (await server.receive()).body.statement


async def test_discard_all_of_one_client_is_not_seen_by_another(house: House):
    client, server = await house.pair()
    ours = await prepare(client, server, "s1", "SELECT 1")
    other = await house.client()
    other.send(query("DISCARD ALL"))
    await server.answers(complete("DISCARD ALL"), IDLE, to=query("DISCARD ALL"))
    await other.receives(complete("DISCARD ALL"), IDLE)
    await server.answers_audit()
    client.send(bind("s1"), *RUN)
    await server.receives(parse(ours, "SELECT 1"), bind(ours), *RUN)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *ANSWER)
    await client.receives(BIND_COMPLETE, *ANSWER)


async def test_settings_of_the_login_are_given_back_ahead_of_a_query_if_no_sync_came(house: House):
    _, server = await house.pair()
    named = await house.client(parameters={"application_name": "named"})
    named.send(parse("", "DISCARD ALL"), bind(), execute(), FLUSH)
    await server.receive()
    await server.receives(parse("", "DISCARD ALL"), bind(), execute(), FLUSH)
    server.send(rows("named"), IDLE, PARSE_COMPLETE, BIND_COMPLETE, complete("DISCARD ALL"))
    await named.receives(PARSE_COMPLETE, BIND_COMPLETE, complete("DISCARD ALL"))
    named.send(query("SELECT 1"))
    await server.receives(
        query("SELECT pg_catalog.set_config('application_name', 'named', false)"), query("SELECT 1")
    )


async def test_settings_of_the_login_are_given_back_behind_discard_all(house: House):
    _, server = await house.pair()
    named = await house.client(parameters={"application_name": "named"})
    named.send(query("DISCARD ALL"))
    await server.receive()
    await server.receives(query("DISCARD ALL"))
    restored = query(Parameters({"application_name": "named"}).restoration())
    await server.receives(restored)  # as if it had logged in with it
    server.send(rows("named"), IDLE, complete("DISCARD ALL"), IDLE, rows("named"), IDLE)
    await named.receives(complete("DISCARD ALL"), IDLE)
    await server.answers_audit(settings={"application_name": "named"})
    named.send(query("SHOW application_name"))
    await server.receives(query("SHOW application_name"))


async def test_settings_of_the_login_are_given_back_behind_a_reset_that_execute_runs(house: House):
    _, server = await house.pair()
    named = await house.client(parameters={"application_name": "named"})
    named.send(parse("s1", "RESET ALL"), SYNC)
    await server.receive_until(SYNC)
    server.send(rows("named"), IDLE, PARSE_COMPLETE, IDLE)
    await named.receives(PARSE_COMPLETE, IDLE)
    named.send(query("EXECUTE s1"))
    await server.receives(parse("s1", "RESET ALL"), SYNC, query("EXECUTE s1"))
    restored = query(Parameters({"application_name": "named"}).restoration())
    await server.receives(restored)
    server.send(PARSE_COMPLETE, IDLE, complete("RESET"), IDLE, rows("named"), IDLE)
    await named.receives(complete("RESET"), IDLE)
