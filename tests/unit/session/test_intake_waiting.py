"""Which messages need a server, and what becomes of a request that waits for one, or gets none."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.wait import ANSWER, HUB, NOT, SERVER
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import (
    OK,
    ask,
    lend,
    make_client,
    make_server,
    query,
    refusal,
    sent,
)

READ = build.query("SELECT 1")
PARSE = build.parse("", "SELECT 1")
RUN = speech.bind() + speech.execute()


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def server(client: Client) -> Server:
    """Idle."""
    return make_server(client.pool)


# --- without a server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        READ,
        PARSE,
        speech.bind(),
        speech.execute(),
        build.describe_statement(""),
        build.close_statement(""),
        speech.function_call(1),
    ],
)
def test_what_only_a_server_can_answer_waits_for_one(client: Client, message: bytes):
    ask(client, message)
    assert client.inbound.wait == SERVER
    assert list(client.pool.waiting) == [client]


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (speech.SYNC, speech.IDLE),
        (speech.FLUSH, b""),
        (speech.COPY_DONE, b""),
        (speech.copy_fail("no"), b""),
        (speech.copy_data(b"row"), b""),
    ],
)
def test_what_asks_for_nothing_needs_no_server(client: Client, server: Server, message: bytes, answer: bytes):
    ask(client, message)
    assert client.inbound.wait == NOT
    assert client.server is None
    assert (sent(client), sent(server)) == (answer, b"")


def test_client_that_says_goodbye_needs_no_server(client: Client, server: Server):
    ask(client, speech.TERMINATE)
    assert client.closed
    assert sent(server) == b""


def test_statement_that_servers_have_accepted_is_promised_without_one(client: Client, server: Server):
    ask(client, build.parse("s", "SELECT 1"), speech.SYNC)
    server.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    other = make_client(client.pool)
    server.close("gone")
    ask(other, build.parse("mine", "SELECT 1"), speech.SYNC)
    assert sent(other) == speech.PARSE_COMPLETE + speech.IDLE
    assert not client.pool.waiting


def test_copy_data_that_come_too_late_reach_nobody(client: Client, server: Server):
    ask(client, speech.copy_data(b"row"), READ)
    assert sent(server) == READ


# --- parked ---------------------------------------------------------------------------------------------------


def test_request_that_has_waited_is_sent_once_with_what_came_behind_it(client: Client):
    other = make_client(client.pool)
    server = lend(other)
    ask(client, READ)
    ask(client, speech.SYNC)
    server.data_received(OK)
    assert sent(server) == READ + speech.SYNC


def test_query_that_depends_on_an_answer_waits_behind_a_flush(client: Client):
    server = lend(client)
    query(client, "EXECUTE it")
    assert client.inbound.wait == ANSWER
    assert sent(server) == speech.FLUSH


def test_listen_waits_until_its_channel_is_heard(client: Client, server: Server):
    ask(client, READ, build.query("LISTEN news"))
    assert client.inbound.wait == HUB
    assert sent(server) == READ  # what is ahead of it does not wait


def test_request_that_got_no_server_fails_and_the_client_goes_on(client: Client):
    ask(client, READ)
    client.pool.waiting.remove(client)
    client.refuse(refusal("no server"))
    (error, ready) = speech.split(sent(client))
    assert b"no server" in error
    assert ready == speech.IDLE
    assert not client.closed
    assert client.inbound.wait == NOT


def test_extended_request_that_got_no_server_is_discarded_up_to_its_sync(client: Client):
    ask(client, PARSE, RUN)
    client.pool.waiting.remove(client)
    client.refuse(refusal())
    assert len(speech.split(sent(client))) == 1
    ask(client, PARSE)
    assert not client.pool.waiting
    ask(client, speech.SYNC)
    assert sent(client) == speech.IDLE
    ask(client, PARSE)
    assert client.pool.waiting


def test_query_behind_one_that_got_no_server_is_asked_anew(client: Client):
    ask(client, READ, READ)
    client.pool.waiting.remove(client)
    client.refuse(refusal())
    assert list(client.pool.waiting) == [client]
    server = make_server(client.pool)
    client.pool.match(0.0)
    assert sent(server) == READ
