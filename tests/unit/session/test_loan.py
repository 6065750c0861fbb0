"""How a client borrows a server, how long it keeps it, and how it gives it back."""

import pytest

from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.server import Server
from dbproxy.pool.states import IDLE
from dbproxy.session.client import Client
from dbproxy.session.wait import ANSWER
from dbproxy.sql.statement import WRITES
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import (
    BEGUN,
    OK,
    ask,
    conclude,
    fail,
    lend,
    make_client,
    make_server,
    query,
    routed,
    sent,
)

FLUSHED = build.parse("", "SELECT 1") + speech.FLUSH


def adopts(server: Server) -> bool:
    """Whether settings went ahead of what it was sent."""
    return b"set_config" in sent(server)


# --- begin ----------------------------------------------------------------------------------------------------


def test_server_is_given_the_settings_of_its_client():
    client = make_client(start={"work_mem": "1MB"})
    server = make_server(client.pool)
    query(client, "SELECT 1")
    first, second = speech.split(sent(server))
    assert b"'work_mem', '1MB'" in first
    assert second == build.query("SELECT 1")


def test_server_that_has_them_is_not_given_them_again():
    client = make_client(start={"work_mem": "1MB"})
    server = lend(client)
    server.data_received(speech.rows("1MB") + speech.IDLE + OK)
    query(client, "SELECT 1")
    assert not adopts(server)


def test_whoever_is_full_stops_the_other_from_being_read():
    client = make_client()
    server = make_server(client.pool)
    server.full = True
    client.full = True
    query(client, "SELECT 1")
    assert client.reasons & PARTNER_FULL
    assert server.reasons & PARTNER_FULL


def test_what_a_write_may_have_left_is_asked_for_where_positions_count():
    client, primary, _ = routed()
    client.pool.tenant.commits.asks = True
    query(client, "INSERT INTO t VALUES (1)")
    assert primary.dialogue.traces.effects & WRITES


# --- finish ---------------------------------------------------------------------------------------------------


def test_server_is_given_back_with_the_answer():
    client = make_client()
    server = lend(client)
    server.data_received(OK)
    assert client.server is None
    assert server.state == IDLE


def test_server_is_kept_as_long_as_a_transaction_is_open():
    client = make_client()
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    assert client.server is server
    query(client, "COMMIT")
    server.data_received(speech.complete("COMMIT") + speech.IDLE)
    assert client.server is None


def test_server_is_kept_for_what_pins_it():
    client = make_client()
    server = lend(client)
    server.dialogue.traces.pins = frozenset({"temp"})
    server.data_received(OK)
    assert client.server is server


def test_server_is_kept_for_good_in_session_mode():
    client = make_client(mode="session")
    server = lend(client)
    server.data_received(OK)
    assert client.server is server


def test_no_transaction_may_be_opened_in_statement_mode():
    client = make_client(mode="statement")
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    assert client.closed
    assert b"statement pooling mode" in sent(client)


def test_server_is_kept_until_it_was_asked_what_is_left():
    client = make_client()
    server = lend(client, "SET work_mem = '1MB'")
    server.data_received(speech.complete("SET") + speech.IDLE)
    assert client.server is server
    assert b"pg_catalog" in sent(server)  # the question


def test_server_that_has_answered_half_a_message_is_kept_until_the_rest_is_there():
    client = make_client()
    server = make_server(client.pool)
    call = speech.function_call(1, b"x" * 100)
    client.data_received(call[:-1])
    fail(server)  # without having read to the end
    assert client.lending.late
    assert client.server is server
    client.data_received(call[-1:])
    assert client.server is None
    assert server.state == IDLE


def test_client_that_waits_for_the_answer_goes_on():
    client = make_client()
    server = lend(client)
    query(client, "EXECUTE it")
    assert client.inbound.wait == ANSWER
    sent(server)
    server.data_received(OK)
    assert client.server is server
    assert sent(server).endswith(build.query("EXECUTE it"))


# --- end ------------------------------------------------------------------------------------------------------


def test_client_that_sends_no_more_leaves_with_its_answer():
    client = make_client()
    server = lend(client)
    assert client.eof_received()
    server.data_received(OK)
    assert client.closed
    assert sent(client) == OK
    assert server.state == IDLE


def test_client_that_sends_no_more_in_a_transaction_leaves_too():
    client = make_client()
    server = lend(client, "BEGIN")
    client.eof_received()
    server.data_received(BEGUN)
    assert client.closed
    assert sent(server) == build.query("ROLLBACK")


def test_server_whose_timeouts_could_cut_off_what_is_ours_is_not_lent_again():
    client = make_client(start={"statement_timeout": "5ms"})
    server = lend(client)
    server.data_received(speech.rows("5ms") + speech.IDLE + OK)
    assert server.closed


def test_host_that_has_answered_is_not_busy_with_it_any_more():
    client, _, replica = routed()
    query(client, "SELECT 1")
    host = client.route.host
    assert host.load.active == 1
    assert client.lending.request_time == client.inbound.arrived
    replica.data_received(OK)
    assert host.load.active == 0


@pytest.mark.parametrize("unseen", [True, False])
def test_settings_that_functions_may_make_are_not_left_to_the_next_client(unseen: bool):
    client = make_client()
    client.pool.tenant.routines.sets_unseen = unseen
    server = lend(client)
    server.data_received(OK)
    assert server.dialogue.traces.has_unlisted_settings is unseen


def test_client_is_read_again_once_its_server_is_gone():
    client = make_client()
    server = lend(client)
    server.pause_writing()
    assert not client.transport.reading
    server.data_received(OK)
    assert client.transport.reading


def test_server_of_who_called_nextval_is_claimed():
    client = make_client()
    server = lend(client, "SELECT nextval('s')")
    assert client.lending.claims
    server.data_received(speech.rows("1") + speech.IDLE)
    conclude(server)
    assert server.trail.claimed_by is client


# --- catch_up: answered behind a Flush ------------------------------------------------------------------------


@pytest.fixture
def client() -> Client:
    """It has asked for a statement to be parsed, and no Sync is sent yet."""
    client = make_client()
    make_server(client.pool)
    return client


def test_who_only_prepares_does_not_keep_the_server(client: Client):
    ask(client, FLUSHED)
    server = client.server
    sent(server)
    server.data_received(speech.PARSE_COMPLETE)
    assert sent(server) == speech.SYNC  # ours
    server.data_received(speech.IDLE)
    assert client.server is None
    assert sent(client) == speech.PARSE_COMPLETE  # and nobody has sent the client a ReadyForQuery


def test_its_own_sync_is_answered_without_a_server(client: Client):
    ask(client, FLUSHED)
    client.server.data_received(speech.PARSE_COMPLETE)
    client.server.data_received(speech.IDLE)
    sent(client)
    ask(client, speech.SYNC)
    assert client.server is None
    assert sent(client) == speech.IDLE


def test_who_executes_keeps_it(client: Client):
    ask(client, build.parse("", "SELECT 1"), speech.bind(), speech.execute(), speech.FLUSH)
    server = client.server
    sent(server)
    server.data_received(speech.PARSE_COMPLETE + speech.BIND_COMPLETE + speech.complete())
    assert sent(server) == b""
    assert client.server is server


def test_who_has_failed_keeps_it_until_its_sync(client: Client):
    ask(client, FLUSHED)
    server = client.server
    sent(server)
    server.data_received(speech.error("42601", "syntax error"))
    assert sent(server) == b""
    assert client.server is server


def test_who_has_sent_half_of_the_next_message_keeps_it(client: Client):
    ask(client, FLUSHED, speech.function_call(1, b"x" * 100)[:-1])
    server = client.server
    sent(server)
    server.data_received(speech.PARSE_COMPLETE)
    assert sent(server) == b""


def test_who_is_pinned_keeps_it(client: Client):
    ask(client, FLUSHED)
    server = client.server
    server.dialogue.traces.pins = frozenset({"temp"})
    sent(server)
    server.data_received(speech.PARSE_COMPLETE)
    assert sent(server) == b""


def test_who_is_in_a_transaction_keeps_it(client: Client):
    query(client, "BEGIN")
    server = client.server
    server.data_received(BEGUN)
    ask(client, FLUSHED)
    sent(server)
    server.data_received(speech.PARSE_COMPLETE)
    assert sent(server) == b""
