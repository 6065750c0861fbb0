"""One logged-in client: how it goes on after a wait, what is refused it, and how it is doing."""

import pytest

from dbproxy.errors import AdminShutdown, QueryWaitTimeout, ServerLost
from dbproxy.net.link import PARKED
from dbproxy.pool.prepared import Statement
from dbproxy.pool.server import Server
from dbproxy.session import wait
from dbproxy.session.client import Client
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import (
    BEGUN,
    OK,
    ask,
    fail,
    lend,
    make_client,
    make_router,
    make_server,
    query,
    refusal,
    routed,
    sent,
)

READ, NEXT = build.query("SELECT 1"), build.query("SELECT 2")
PARSE = build.parse("", "SELECT 1")
CHANGED = speech.error("0A000", "cached plan must not change result type", routine="RevalidateCachedQuery")


@pytest.fixture
def client() -> Client:
    return make_client()


def serve(client: Client) -> Server:
    """A server is there for who waits longest."""
    server = make_server(client.pool)
    client.pool.match(0.0)
    return server


# --- going on -------------------------------------------------------------------------------------------------


def test_client_goes_on_where_it_waited(client: Client):
    ask(client, speech.SYNC, READ, NEXT)
    assert sent(client) == speech.IDLE
    assert sent(serve(client)) == READ + NEXT
    assert not client.is_parked()


def test_what_came_while_it_waited_follows(client: Client):
    ask(client, READ)
    ask(client, NEXT)
    ask(client, PARSE[:-1])
    server = serve(client)
    assert sent(server) == READ + NEXT
    ask(client, PARSE[-1:])
    assert sent(server) == PARSE


def test_client_that_had_sent_too_much_is_read_again(client: Client):
    ask(client, READ)
    ask(client, build.query("x" * 70000))
    assert client.reasons == PARKED
    serve(client)
    assert client.transport.reading


def test_client_that_waits_again_is_read_no_more_than_before(client: Client):
    ask(client, READ)
    ask(client, build.query("EXECUTE it"), build.query("x" * 70000))
    serve(client)
    assert client.inbound.wait == wait.ANSWER
    assert not client.transport.reading


def test_fault_of_one_that_goes_on_is_not_that_of_who_calls_it():
    client = make_client()
    other = make_client(client.pool)
    server = lend(other)
    ask(client, READ, b"B\0\0\xff\xff" + b"x" * 5000)  # a Bind whose names do not end
    server.data_received(OK)
    assert client.closed
    assert not other.closed
    assert sent(other) == OK


def test_bug_met_as_it_goes_on_costs_nobody_else_anything(client: Client, monkeypatch: pytest.MonkeyPatch):
    def bug(*_: object) -> None:
        raise ZeroDivisionError

    other, third = make_client(client.pool), make_client(client.pool)
    server = lend(other)
    query(client, "SET work_mem = '1MB'")
    query(third, "SELECT 3")
    monkeypatch.setattr("dbproxy.session.state.find_refusal", bug)
    server.data_received(OK)
    assert client.closed
    assert b"internal error in the proxy" in sent(client)
    assert not other.closed
    assert third.inbound.wait == wait.SERVER


def test_client_that_has_left_does_not_go_on(client: Client):
    server = lend(client)
    query(client, "EXECUTE it")
    ask(client, READ)
    client.disconnect("gone")
    sent(server)
    client.resume(wait.ANSWERED)
    assert sent(server) == b""


def test_event_that_another_wait_is_about_ends_none(client: Client):
    """A client that waits for a server is not moved by a replica, the hub or an answer that is over."""
    query(client, "SELECT 1")
    assert client.inbound.wait == wait.SERVER
    for event in (wait.REPLAYED, wait.ANSWERED, wait.HEARD, wait.DONE):
        client.resume(event)
    client.replayed()
    client.ask_again()
    assert client.inbound.wait == wait.SERVER
    assert len(client.inbound.pending) == 1


def test_client_that_waits_for_no_server_is_refused_none(client: Client):
    server = lend(client)
    query(client, "EXECUTE it")
    assert client.inbound.wait == wait.ANSWER
    client.refuse(refusal())
    assert client.inbound.wait == wait.ANSWER
    assert client.server is server
    assert sent(client) == b""


def test_server_that_nobody_has_waited_for_is_not_held(client: Client):
    server = make_server(client.pool)
    client.serve(server, 0.0)
    assert server.closed
    assert client.server is None


# --- no server ------------------------------------------------------------------------------------------------


def refuse(client: Client, error: Exception) -> None:
    client.pool.waiting.remove(client)
    client.refuse(error)


def test_error_fails_the_request_and_no_more(client: Client):
    ask(client, READ)
    refuse(client, refusal())
    assert sent(client).endswith(speech.IDLE)
    query(client, "SELECT 2")
    assert client.inbound.wait == wait.SERVER


def test_what_fails_without_a_server_is_counted_by_its_sqlstate(client: Client):
    ask(client, READ)
    error = QueryWaitTimeout("no server")
    refuse(client, error)
    assert client.pool.tenant.stats.refusals == {"53300": 1}


def test_fatal_one_ends_the_connection(client: Client):
    ask(client, READ)
    error = AdminShutdown("bye")
    assert error.severity == "FATAL"
    refuse(client, error)
    assert client.closed
    assert b"bye" in sent(client)


def test_transaction_that_was_to_move_is_lost_with_its_server():
    client, primary, replica = routed()
    query(client, "BEGIN READ ONLY")
    replica.data_received(BEGUN)
    primary.close("gone")
    query(client, "SELECT nextval('s')")
    replica.data_received(speech.complete("ROLLBACK") + speech.IDLE)
    assert client.inbound.wait == wait.SERVER
    refuse(client, refusal("none to be had"))
    assert client.closed
    assert b"none to be had" in sent(client)


# --- a server that is lost ------------------------------------------------------------------------------------


def test_client_is_lost_with_its_server_and_told_why(client: Client):
    server = lend(client)
    client.server_lost(ServerLost("it broke"), told=False)
    assert client.closed
    assert b"it broke" in sent(client)
    assert not server.closed  # it has told us


def test_client_that_was_told_by_the_server_is_told_once(client: Client):
    lend(client)
    client.server_lost(ServerLost("it broke"), told=True)
    assert client.closed
    assert sent(client) == b""


# --- how it is doing ------------------------------------------------------------------------------------------


def test_client_is_idle_as_long_as_nothing_is_open(client: Client):
    assert client.is_idle()
    server = lend(client)
    assert not client.is_idle()
    server.data_received(OK)
    assert client.is_idle()
    lend(client, "BEGIN").data_received(BEGUN)
    assert not client.is_idle()


def test_client_that_waits_is_neither_idle_nor_silent(client: Client):
    ask(client, READ)
    assert not client.is_idle()
    assert not client.is_silent()


def test_client_is_silent_when_it_is_its_turn(client: Client):
    assert client.is_silent()
    server = lend(client, "BEGIN")
    assert not client.is_silent()
    server.data_received(BEGUN)
    assert client.is_silent()


def test_client_that_has_sent_half_a_message_is_silent(client: Client):
    lend(client, "BEGIN").data_received(BEGUN)
    ask(client, READ[:-1])
    assert client.is_silent()


def test_server_may_still_be_at_what_lacks_a_sync(client: Client):
    lend(client, "BEGIN").data_received(BEGUN)
    ask(client, PARSE)
    assert not client.is_silent()


def test_answer_counts_as_activity(client: Client):
    server = lend(client)
    asked = client.last_active()
    server.data_received(speech.columns("a"))
    server.data_received(BEGUN)
    assert client.last_active() > asked


# --- sending a request again ----------------------------------------------------------------------------------


@pytest.fixture
def prepared(client: Client) -> Client:
    """It has a statement, and knows its columns."""
    make_server(client.pool)
    ask(client, build.parse("s", "SELECT 1"), build.describe_statement("s"), speech.SYNC)
    client.pool.active.last.data_received(
        speech.PARSE_COMPLETE + speech.parameter_types() + speech.columns("a") + speech.IDLE
    )
    assert client.server is None
    sent(client)
    return client


def bind(client: Client, *behind: bytes) -> Server:
    ask(client, speech.bind("s"), speech.execute(), *behind)
    server = client.server
    sent(server)
    return server


def test_request_in_autocommit_is_possible_to_send_again_once(prepared: Client):
    bind(prepared, speech.SYNC)
    assert prepared.begin_retry(b"s", changed=False)
    assert prepared.inbound.wait == wait.RETRY
    assert not prepared.begin_retry(b"s", changed=False)


def test_client_that_knows_other_columns_gets_the_error(prepared: Client):
    bind(prepared, speech.SYNC)
    assert not prepared.begin_retry(b"s", changed=True)
    assert not prepared.is_parked()


def test_half_a_request_is_not_sent_again(prepared: Client):
    bind(prepared)
    assert not prepared.begin_retry(b"s", changed=False)


def test_request_in_a_transaction_is_not_sent_again(prepared: Client):
    query(prepared, "BEGIN")
    prepared.server.data_received(BEGUN)
    bind(prepared, speech.SYNC)
    assert not prepared.begin_retry(b"s", changed=False)


def test_columns_told_of_what_the_name_does_not_mean_any_more_say_nothing(prepared: Client):
    prepared.told(b"s", Statement(b"another\0\0\0"), 7)
    assert prepared.prepared.described[b"s"] != 7
    prepared.told(b"s", prepared.prepared.statements[b"s"], 7)
    assert prepared.prepared.described[b"s"] == 7


# --- by mode --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "by_hub"), [("transaction", True), ("statement", True), ("session", False)])
def test_notifications_come_by_the_hub_unless_the_server_is_its_own(mode: str, by_hub: bool):
    assert make_client(mode=mode).hears_by_hub() is by_hub


@pytest.mark.parametrize(
    "settings", [{"mode": "statement"}, {"mode": "session"}, {"max_prepared_statements": 0}]
)
def test_only_transaction_mode_with_shared_statements_routes(settings: dict):
    client = make_client(router=make_router(), **settings)
    server = make_server(client.pool)
    query(client, "SELECT 1")
    assert client.server is server


def test_error_of_the_client_is_not_rescued(client: Client):
    server = lend(client)
    fail(server)
    assert b"syntax error" in sent(client)
    assert client.server is None
