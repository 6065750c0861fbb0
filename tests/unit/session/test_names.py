"""Statement names that SQL uses, too: what a server is given under them, and who says what they mean."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session import names
from dbproxy.session.client import Client
from dbproxy.session.wait import ANSWER, NOT
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import BEGUN, ask, conclude, make_client, make_server, query, sent

PREPARE = "PREPARE it AS SELECT 1"


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def server(client: Client) -> Server:
    """Idle."""
    return make_server(client.pool)


def prepared_by_sql(client: Client, server: Server) -> None:
    """The client has said PREPARE, and its server was asked what there is."""
    query(client, PREPARE)
    server.data_received(speech.complete("PREPARE") + speech.IDLE)
    conclude(server, prepared={"it": [True, PREPARE]})
    server.data_received(speech.complete("DEALLOCATE") + speech.IDLE)
    assert client.server is None
    for link in (client, server):
        sent(link)


def prepared_by_protocol(client: Client, server: Server) -> None:
    ask(client, build.parse("it", "SELECT 1"), speech.SYNC)
    server.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    for link in (client, server):
        sent(link)


# --- before SQL that names statements -------------------------------------------------------------------------


def test_what_execute_names_is_prepared_under_that_name_first(client: Client, server: Server):
    prepared_by_protocol(client, server)
    query(client, "EXECUTE it")
    parse, sync, execute = speech.split(sent(server))
    assert parse == build.parse("it", "SELECT 1")
    assert (sync, execute) == (speech.SYNC, build.query("EXECUTE it"))


def test_text_with_many_prepares_is_read_once(
    client: Client, server: Server, monkeypatch: pytest.MonkeyPatch
):
    """Each time it takes milliseconds, in which nobody is served."""
    read = []
    monkeypatch.setattr(
        names, "find_prepares", lambda text: read.append(text) or {"a": b"PREPARE a", "b": b"PREPARE b"}
    )
    text = "PREPARE a AS SELECT 1; PREPARE b AS SELECT 2"
    query(client, text)
    server.data_received(speech.complete("PREPARE") * 2 + speech.IDLE)
    conclude(server, prepared={"a": [True, text], "b": [True, text]})
    assert read == [text.encode()]
    assert client.prepared.by_sql == {b"a": b"PREPARE a", b"b": b"PREPARE b"}


def test_what_was_prepared_by_sql_is_prepared_by_sql_again(client: Client, server: Server):
    prepared_by_sql(client, server)
    query(client, "EXECUTE it")
    data = sent(server)
    assert PREPARE.encode() in data
    assert data.endswith(speech.SYNC + build.query("EXECUTE it"))


def test_name_that_nobody_has_is_given_to_nobody(client: Client, server: Server):
    query(client, "EXECUTE it")
    assert sent(server) == build.query("EXECUTE it")


def test_name_is_given_once_a_loan(client: Client, server: Server):
    prepared_by_protocol(client, server)
    query(client, "BEGIN")
    server.data_received(BEGUN)
    query(client, "EXECUTE it")
    server.data_received(speech.PARSE_COMPLETE + speech.INTRANS + speech.complete() + speech.INTRANS)
    sent(server)
    query(client, "EXECUTE it")
    assert sent(server) == build.query("EXECUTE it")


def test_prepare_of_a_name_that_the_client_has_is_refused_by_the_server(client: Client, server: Server):
    prepared_by_protocol(client, server)
    query(client, PREPARE)
    held, _, prepare = speech.split(sent(server))
    assert held == build.parse("it", "")  # the name is all that is needed
    assert prepare == build.query(PREPARE)


def test_nothing_is_given_in_a_failed_transaction(client: Client, server: Server):
    prepared_by_protocol(client, server)
    query(client, "BEGIN")
    server.data_received(speech.complete("BEGIN") + speech.INERROR)
    sent(server)
    query(client, "EXECUTE it")
    assert sent(server) == build.query("EXECUTE it")


def test_who_looks_at_all_statements_sees_its_own_and_none_of_ours(client: Client, server: Server):
    prepared_by_protocol(client, server)
    query(client, "SELECT name FROM pg_prepared_statements")
    close, parse, *_ = speech.split(sent(server))
    assert close.startswith(b"C")
    assert b"dbproxy_" in close
    assert parse == build.parse("it", "SELECT 1")


# --- messages of the protocol that use such a name ------------------------------------------------------------


def test_name_of_a_prepare_goes_to_the_server_as_it_is(client: Client, server: Server):
    prepared_by_sql(client, server)
    request = speech.bind("it") + speech.execute() + speech.SYNC
    ask(client, request)
    data = sent(server)
    assert PREPARE.encode() in data
    assert data.endswith(request)
    assert client.translator.series.said.chunk == PREPARE.encode()  # for the log


def test_what_a_name_means_is_waited_for(client: Client, server: Server):
    query(client, PREPARE)
    ask(client, speech.bind("it"), speech.execute(), speech.SYNC)
    assert client.inbound.wait == ANSWER
    assert sent(server).endswith(build.query(PREPARE) + speech.FLUSH)
    server.data_received(speech.complete("PREPARE") + speech.IDLE)
    conclude(server, prepared={"it": [True, PREPARE]})
    server.data_received(speech.complete("DEALLOCATE") + speech.IDLE)
    assert client.inbound.wait == NOT


def test_nothing_is_waited_for_where_all_is_answered(client: Client, server: Server):
    names = client.translator.names
    assert not names.must_wait(server)
    query(client, "SELECT 1")
    assert names.must_wait(server)


def test_close_of_what_was_not_given_need_not_be_given(client: Client, server: Server):
    prepared_by_sql(client, server)
    ask(client, build.close_statement("it"), speech.bind(), speech.execute(), speech.SYNC)
    assert PREPARE.encode() not in sent(server)
    assert not client.prepared.knows(b"it")


# --- after the transaction ------------------------------------------------------------------------------------


def test_what_the_server_has_is_what_there_is(client: Client, server: Server):
    prepared_by_sql(client, server)
    assert client.prepared.by_sql == {b"it": PREPARE.encode()}


def test_what_the_server_does_not_have_any_more_is_gone(client: Client, server: Server):
    prepared_by_sql(client, server)
    query(client, "DEALLOCATE it")
    server.data_received(speech.PARSE_COMPLETE + speech.IDLE + speech.complete("DEALLOCATE") + speech.IDLE)
    conclude(server, prepared={})
    assert not client.prepared.knows(b"it")


def test_prepare_that_was_rolled_back_has_not_been(client: Client, server: Server):
    query(client, PREPARE)
    server.data_received(speech.error("42P05", "exists") + speech.IDLE)
    conclude(server, prepared={})
    assert not client.prepared.knows(b"it")


def test_text_is_the_prepare_and_not_all_that_it_stood_in(client: Client, server: Server):
    text = f"SELECT 1; {PREPARE}; SELECT 2"
    query(client, text)
    server.data_received(speech.complete() + speech.complete("PREPARE") + speech.complete() + speech.IDLE)
    conclude(server, prepared={"it": [True, text]})
    assert client.prepared.by_sql[b"it"].strip() == PREPARE.encode()


def test_next_client_finds_none_of_them(client: Client, server: Server):
    query(client, PREPARE)
    server.data_received(speech.complete("PREPARE") + speech.IDLE)
    conclude(server, prepared={"it": [True, PREPARE]})
    assert b'DEALLOCATE "it"' in sent(server)
