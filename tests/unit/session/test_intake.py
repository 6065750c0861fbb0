"""What a client asks for, message by message, and what its server is sent (test_intake_waiting: without one)."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.wire import build
from dbproxy.wire.extended import statement_text
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
    sent,
)

READ = build.query("SELECT 1")
PARSE = build.parse("", "SELECT 1")
RUN = speech.bind() + speech.execute()


class Witness:
    """A server's transport that keeps the very objects that are written."""

    def __init__(self, server: Server) -> None:
        self.pieces: list[bytes] = []
        server.transport.write = self.pieces.append  # type: ignore[union-attr, method-assign]


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def server(client: Client) -> Server:
    """Idle."""
    return make_server(client.pool)


# --- forwarded ------------------------------------------------------------------------------------------------


def test_harmless_query_is_forwarded_as_the_object_that_came(client: Client, server: Server):
    witness = Witness(server)
    client.data_received(READ)
    assert len(witness.pieces) == 1
    assert witness.pieces[0] is READ


def test_request_is_forwarded_in_the_chunks_in_which_it_came(client: Client, server: Server):
    chunks = PARSE + speech.bind(), speech.execute(), speech.SYNC
    for chunk in chunks:
        ask(client, chunk)
        assert sent(server) == chunk


@pytest.mark.parametrize(
    "message",
    [
        PARSE,
        RUN,
        speech.function_call(1),
        build.describe_statement(""),
        speech.close_portal("p"),
        speech.SYNC,
    ],
)
def test_what_names_no_statement_is_forwarded_as_it_is(client: Client, server: Server, message: bytes):
    query(client, "BEGIN")
    server.data_received(BEGUN)
    sent(server)
    ask(client, PARSE)
    assert sent(server) == PARSE
    ask(client, message)
    assert sent(server) == message


def test_copy_data_go_where_the_copy_runs(client: Client):
    server = lend(client, "COPY t FROM STDIN")
    server.data_received(speech.COPY_IN)
    ask(client, speech.copy_data(b"row"))
    ask(client, speech.COPY_DONE)
    assert sent(server) == speech.copy_data(b"row") + speech.COPY_DONE


def test_named_statement_has_a_name_of_ours_on_servers(client: Client, server: Server):
    ask(client, build.parse("mine", "SELECT 1"), speech.bind("mine"), speech.execute(), speech.SYNC)
    parse, bind, *rest = speech.split(sent(server))
    assert parse[5:].startswith(b"dbproxy_")
    assert b"mine" not in parse + bind
    assert b"".join(rest) == speech.execute() + speech.SYNC


def test_what_comes_behind_an_error_is_not_looked_at_until_sync(client: Client, server: Server):
    ask(client, PARSE, speech.FLUSH)
    server.data_received(speech.error("42601", "syntax error"))
    ask(client, build.query("CREATE TEMP TABLE x ()"))
    assert server.dialogue.traces.effects == 0
    ask(client, speech.SYNC)
    server.data_received(speech.IDLE)
    assert client.server is None


def test_goodbye_waits_for_what_was_asked_before(client: Client, server: Server):
    ask(client, READ, speech.TERMINATE)
    assert sent(server) == READ
    assert not client.closed
    server.data_received(OK)
    assert client.closed
    assert sent(client) == OK


def test_flush_brings_answers_that_are_ours(client: Client, server: Server):
    parse = build.parse("s", "SELECT 1")
    ask(client, parse, speech.SYNC)
    server.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    other = make_client(client.pool)
    query(other, "BEGIN")
    server.data_received(BEGUN)
    sent(other)
    ask(other, parse, speech.FLUSH)
    assert sent(other) == speech.PARSE_COMPLETE


def test_request_is_logged_by_the_text_that_was_parsed_for_it(client: Client, server: Server):
    ask(client, PARSE, RUN, speech.SYNC)
    (request,) = server.dialogue.pipeline.notes_of(ord("S"))
    assert statement_text(request.chunk, request.at) == b"SELECT 1"


def test_copy_that_waits_for_data_lacks_no_flush(client: Client):
    lend(client, "COPY t FROM STDIN").data_received(speech.COPY_IN)
    assert not client.lending.lacks_flush()


# --- refused --------------------------------------------------------------------------------------------------


def test_refused_query_fails_where_it_would_have_run():
    client = make_client(refuse_pins=["temp"])
    server = make_server(client.pool)
    query(client, "CREATE TEMP TABLE x ()")
    assert b"TEMP" not in sent(server)
    fail(server)
    answer = sent(client)
    assert b"refused in transaction pooling" in answer
    assert answer.endswith(speech.IDLE)
    assert not client.closed


def test_refused_statement_is_not_prepared():
    client = make_client(refuse_pins=["temp"])
    server = make_server(client.pool)
    ask(client, build.parse("s", "CREATE TEMP TABLE x ()"), speech.SYNC)
    assert b"TEMP" not in sent(server)
    server.data_received(speech.error("42601", "syntax error") + speech.IDLE)
    assert b"refused in transaction pooling" in sent(client)
    assert not client.prepared.knows(b"s")


# --- what was asked for at login comes back -------------------------------------------------------------------


def test_reset_takes_a_setting_back_to_what_the_client_logged_in_with():
    client = make_client(start={"work_mem": "1MB"})
    server = lend(client)
    server.data_received(speech.rows("1MB") + speech.IDLE + OK)
    sent(client)
    query(client, "RESET work_mem")
    reset, behind = speech.split(sent(server))
    assert reset == build.query("RESET work_mem")
    assert b"'work_mem', '1MB'" in behind
    server.data_received(speech.complete("RESET") + speech.IDLE)
    assert sent(client) == speech.complete("RESET")  # not ready yet
    server.data_received(speech.rows("1MB") + speech.IDLE)
    assert sent(client) == speech.IDLE
    conclude(server, settings={"work_mem": "1MB"})
    assert client.settings.values == {"work_mem": "1MB"}


# --- floods, and silence --------------------------------------------------------------------------------------


def test_client_that_sends_more_than_it_is_answered_is_read_no_more(client: Client):
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    ask(client, PARSE * 10001)
    assert not client.transport.reading
    assert sent(server).endswith(speech.FLUSH)
    for _ in range(5500):  # half of them, and what a pipeline gives up only now and then
        server.data_received(speech.PARSE_COMPLETE)
    assert client.transport.reading


def test_half_a_batch_lacks_a_flush_until_it_was_sent_one(client: Client, server: Server):
    assert not client.lending.lacks_flush()
    ask(client, PARSE)
    assert client.lending.lacks_flush()
    sent(server)
    client.lending.flush()
    assert sent(server) == speech.FLUSH
    assert not client.lending.lacks_flush()


@pytest.mark.parametrize("message", [READ, PARSE + speech.SYNC, PARSE[:-1]])
def test_request_that_is_whole_or_half_a_message_lacks_none(client: Client, server: Server, message: bytes):
    ask(client, message)
    assert not client.lending.lacks_flush()


# --- what is no message ---------------------------------------------------------------------------------------


def test_what_was_asked_before_a_fault_is_answered_first(client: Client, server: Server):
    ask(client, READ, b"\0\0\0\0\4")
    assert sent(server) == READ
    assert not client.closed
    server.data_received(OK)
    assert client.closed
    answer = sent(client)
    assert answer.startswith(OK)
    assert b"invalid message type" in answer


def test_nothing_is_looked_at_behind_a_fault(client: Client, server: Server):
    ask(client, READ, b"\0\0\0\0\4")
    sent(server)
    ask(client, READ)
    assert sent(server) == b""
