"""What a server is sent for a client's Parse, Bind, Describe and Close."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.wire import build
from dbproxy.wire.pipeline import CLOSE_COMPLETE, PARSE_COMPLETE
from tests.support import speech
from tests.support.scripted_server import findings
from tests.unit.session.fakes import BEGUN, OK, ask, conclude, lend, make_client, make_server, query, sent

PARSE, DESCRIBE = build.parse("s", "SELECT 1"), build.describe_statement("s")
RUN = speech.bind("s") + speech.execute()
RAN = speech.BIND_COMPLETE + speech.row("1") + speech.complete()


def prepare(client: Client, *behind: bytes, columns: str = "a") -> Server:
    """The client has prepared `s` and was told its columns, on the server that is idle."""
    server = make_server(client.pool)
    ask(client, PARSE, DESCRIBE, speech.SYNC)
    assert client.server is server
    server.data_received(PARSE_COMPLETE + speech.parameter_types() + speech.columns(columns) + speech.IDLE)
    assert client.server is None
    for link in (client, server):
        sent(link)
    return server


def kinds(data: bytes) -> str:
    return "".join(chr(message[0]) for message in speech.split(data))


@pytest.fixture
def client() -> Client:
    return make_client()


# --- read by settings that are not known yet -----------------------------------------------------------------

ROLE = "SET ROLE seeker"


@pytest.mark.parametrize("name", ["s", ""])
def test_parse_waits_until_it_is_known_what_the_session_has_changed(client: Client, name: str):
    server = lend(client, ROLE)
    server.data_received(OK)
    question = sent(server).decode(errors="replace")
    ask(client, build.parse(name, "SELECT 1"), speech.SYNC)
    assert sent(server) == speech.FLUSH
    assert client.pool.stats.client_parse_count == 0
    server.data_received(findings(question, settings={"role": "seeker"}) + speech.IDLE)
    assert kinds(sent(server)) == "PS"
    assert client.pool.stats.client_parse_count == 1
    scope = client.prepared.statements[b"s"].scope if name else client.prepared.unnamed.scope
    assert scope.path == (("role", "seeker"),)


def test_parse_waits_behind_the_change_that_is_under_way(client: Client):
    server = lend(client, ROLE)
    ask(client, PARSE, speech.SYNC)
    assert sent(server) == speech.FLUSH
    server.data_received(OK)
    conclude(server, settings={"role": "seeker"})
    assert kinds(sent(server)) == "PS"
    assert client.prepared.statements[b"s"].scope.path == (("role", "seeker"),)


def test_parse_waits_for_nothing_where_its_own_transaction_has_changed_the_settings(client: Client):
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    query(client, ROLE)
    ask(client, PARSE, speech.SYNC)
    assert kinds(sent(server)) == "QPS"


# --- named ----------------------------------------------------------------------------------------------------


def test_server_that_has_the_statement_is_not_sent_its_parse(client: Client):
    server = prepare(client)
    other = make_client(client.pool)
    ask(other, PARSE, RUN, speech.SYNC)
    assert kinds(sent(server)) == "BES"
    server.data_received(RAN + speech.IDLE)
    assert sent(other) == PARSE_COMPLETE + RAN + speech.IDLE


def test_name_that_there_is_not_is_refused_by_the_server(client: Client):
    server = make_server(client.pool)
    ask(client, RUN, build.describe_statement("s"), speech.SYNC)
    bind, _, describe, _ = speech.split(sent(server))
    assert b"dbproxy/none" in bind
    assert b"dbproxy/none" in describe


def test_name_that_is_in_use_is_refused_by_the_server_too(client: Client):
    server = prepare(client)
    ask(client, build.parse("s", "SELECT 2"), speech.SYNC)
    assert kinds(sent(server)) == "CPPS"  # the second Parse of a name of ours fails as the client's would


def test_error_behind_a_parse_takes_its_name_back(client: Client):
    server = make_server(client.pool)
    ask(client, build.parse("bad", "SELEC"), PARSE, speech.SYNC)
    server.data_received(speech.error("42601", "syntax error") + speech.IDLE)
    assert not client.prepared.knows(b"bad")
    assert not client.prepared.knows(b"s")


def test_error_behind_a_close_brings_the_name_back(client: Client):
    server = prepare(client)
    ask(client, build.parse("", "SELEC"), build.close_statement("s"), speech.SYNC)
    assert not client.prepared.knows(b"s")
    server.data_received(speech.error("42601", "syntax error") + speech.IDLE)
    assert client.prepared.knows(b"s")


def test_close_is_answered_without_the_server_which_others_may_share(client: Client):
    server = prepare(client)
    query(client, "BEGIN")
    server.data_received(BEGUN)
    for link in (client, server):
        sent(link)
    ask(client, build.close_statement("s"), speech.SYNC)
    assert sent(server) == speech.SYNC
    server.data_received(speech.INTRANS)
    assert sent(client) == CLOSE_COMPLETE + speech.INTRANS


def test_parse_in_a_failed_transaction_is_judged_by_the_server(client: Client):
    server = prepare(client)
    query(client, "BEGIN")
    server.data_received(speech.complete("BEGIN") + speech.INERROR)
    sent(server)
    ask(client, build.parse("t", "SELECT 1"), speech.SYNC)
    assert "P" in kinds(sent(server))


def test_server_gives_up_what_was_used_longest_ago():
    client = make_client(max_prepared_statements=1)
    server = prepare(client)
    ask(client, build.parse("t", "SELECT 2"), speech.SYNC)
    assert kinds(sent(server)) == "CPS"


def test_discard_all_leaves_no_name(client: Client):
    server = prepare(client)
    query(client, "DISCARD ALL")
    assert client.prepared.knows(b"s")
    server.data_received(speech.complete("DISCARD ALL") + speech.IDLE)
    assert not client.prepared.knows(b"s")


# --- not shared -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"mode": "session"}, {"max_prepared_statements": 0}])
def test_statements_that_are_not_shared_keep_their_names(settings: dict):
    client = make_client(**settings)
    server = make_server(client.pool)
    ask(client, PARSE, DESCRIBE, RUN, build.close_statement("s"), speech.SYNC)
    assert sent(server) == PARSE + DESCRIBE + RUN + build.close_statement("s") + speech.SYNC


# --- unnamed --------------------------------------------------------------------------------------------------


def test_unnamed_statement_is_forwarded_as_it_is(client: Client):
    server = make_server(client.pool)
    request = (
        build.parse("", "SELECT 1")
        + build.describe_statement("")
        + speech.bind()
        + speech.execute()
        + speech.SYNC
    )
    ask(client, request)
    assert sent(server) == request


def test_close_of_the_unnamed_statement_ends_it(client: Client):
    server = make_server(client.pool)
    ask(client, build.parse("", "SELECT 1"), build.close_statement(""), speech.SYNC)
    assert client.prepared.unnamed.body is None
    assert sent(server).endswith(build.close_statement("") + speech.SYNC)


def test_query_ends_the_unnamed_statement(client: Client):
    server = make_server(client.pool)
    ask(client, build.parse("", "SELECT 1"), speech.SYNC, build.query("SELECT 2"))
    assert client.prepared.unnamed.body is None
    assert server.dialogue.statements.unnamed is None


# --- what is counted ------------------------------------------------------------------------------------------


def test_parses_are_counted_where_they_are_carried_out(client: Client):
    prepare(client)
    other = make_client(client.pool)
    stats = client.pool.stats
    clients, servers = stats.client_parse_count, stats.server_parse_count
    ask(other, PARSE, speech.SYNC)
    assert (stats.client_parse_count, stats.server_parse_count) == (clients + 1, servers)
