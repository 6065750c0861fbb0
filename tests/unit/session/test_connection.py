"""A client's connection: what it sends while it waits, who is not read, and how it ends."""

import pytest

from dbproxy.errors import FeatureNotSupported, ProtocolViolation
from dbproxy.net.link import PARKED, PARTNER_FULL
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.wait import ANSWER, SERVER
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import BEGUN, OK, ask, lend, make_client, make_server, query, sent

READ = build.query("SELECT 1")
LIMIT = 65536  # bytes of a client that waits


@pytest.fixture
def client() -> Client:
    return make_client()


def parked(client: Client) -> Client:
    query(client, "SELECT 1")
    assert client.inbound.wait == SERVER
    return client


# --- waiting --------------------------------------------------------------------------------------------------


def test_client_that_waits_is_still_read_so_that_it_is_seen_to_leave(client: Client):
    parked(client)
    assert client.transport.reading
    client.connection_lost(None)
    assert client.closed
    assert not client.pool.waiting


def test_client_that_waits_is_read_no_more_once_it_has_sent_too_much(client: Client):
    parked(client)
    client.data_received(bytes(LIMIT))
    assert client.transport.reading
    client.data_received(b"\0")
    assert client.reasons == PARKED
    assert not client.transport.reading


def test_what_it_sends_while_it_waits_is_not_looked_at(client: Client):
    parked(client)
    client.data_received(b"no message at all")
    assert not client.closed


def test_all_that_came_counts_whether_it_was_looked_at_or_not(client: Client):
    parked(client)
    client.data_received(READ)
    assert client.pool.tenant.stats.bytes_received == 2 * len(READ)


def test_client_that_waits_behind_what_waits_goes_on_in_that_order(client: Client):
    framer = client.inbound.framer
    framer.scan(READ)
    client.park(SERVER, framer, 0)
    client.park(ANSWER, framer, 0)
    assert client.inbound.end_wait() == (ANSWER, framer, 0)
    assert client.inbound.wait == SERVER
    assert client.is_parked()
    client.inbound.end_wait()
    assert not client.is_parked()


# --- backpressure ---------------------------------------------------------------------------------------------


def test_client_that_does_not_take_its_answer_stops_its_server(client: Client):
    server = lend(client)
    client.pause_writing()
    assert server.reasons & PARTNER_FULL
    assert not client.transport.reading
    assert client.stalled_since > 0
    client.resume_writing()
    assert server.transport.reading
    assert client.transport.reading
    assert client.stalled_since == 0


# --- the end --------------------------------------------------------------------------------------------------


def test_half_closed_client_gets_what_is_due(client: Client):
    server = lend(client)
    assert client.eof_received()  # keep the transport
    assert not client.closed
    server.data_received(OK)
    assert sent(client) == OK
    assert client.closed


def test_half_closed_client_that_waits_for_a_server_has_gone(client: Client):
    parked(client)
    assert not client.eof_received()
    assert client.closed


@pytest.mark.parametrize(
    "half",
    [READ[:-1], build.parse("", "SELECT 1"), build.parse("", "SELECT 1") + speech.FLUSH],
)
def test_half_closed_client_to_which_nothing_will_come_has_gone(client: Client, half: bytes):
    make_server(client.pool)
    client.data_received(half)
    assert not client.eof_received()
    assert client.closed


def test_half_closed_client_in_a_transaction_has_gone(client: Client):
    lend(client, "BEGIN").data_received(BEGUN)
    assert not client.eof_received()


def test_client_that_is_lost_gives_its_server_up(client: Client):
    server = lend(client)
    client.connection_lost(ConnectionResetError())
    assert server.closed  # a query was running
    assert client.server is None


def test_client_leaves_once(client: Client):
    client.disconnect("first")
    client.disconnect("second")
    registry = client.state.house.registry
    assert registry.disconnects == {"first": 1}
    assert len(registry) == 0


def test_last_words_of_a_client_are_its_error(client: Client):
    client.disconnect("why", ProtocolViolation("what you did"))
    assert b"what you did" in sent(client)
    assert client.transport.closed


def test_no_last_words_stand_inside_a_message(client: Client):
    server = lend(client)
    server.data_received(speech.columns("a") + speech.row("x" * 100)[:50])
    sent(client)
    client.disconnect("why", ProtocolViolation("what you did"))
    assert sent(client) == b""


def test_bug_of_ours_costs_this_client_alone_and_tells_nothing(client: Client):
    client.fail(ZeroDivisionError("secret"))
    assert client.closed
    answer = sent(client)
    assert b"internal error in the proxy" in answer
    assert b"secret" not in answer


def test_error_for_the_client_is_told_as_it_is(client: Client):
    client.fail(FeatureNotSupported("not here"))
    assert b"not here" in sent(client)


def test_fault_of_a_client_that_waits_is_met_when_its_turn_comes(client: Client):
    ask(client, READ, b"\0\0\0\0\4")
    assert client.inbound.wait == SERVER
    assert not client.closed
    server: Server = make_server(client.pool)
    client.pool.match(0.0)
    assert sent(server) == READ
    server.data_received(OK)
    assert client.closed
    assert b"invalid message type" in sent(client)
