"""A client's unnamed statement on a server that has another one."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.unnamed import BY_PORTAL
from dbproxy.session.wait import ANSWER, NOT
from dbproxy.wire import build
from dbproxy.wire.reply import columns_key
from tests.support import speech
from tests.unit.session.fakes import OK, ask, lend, make_client, make_server, sent

PARSE, DESCRIBE = build.parse("", "SELECT 1"), build.describe_statement("")
RUN = speech.bind() + speech.execute()
DESCRIBED = speech.parameter_types() + speech.columns("a")


def make(described: bool) -> tuple[Client, Server]:
    """A client with an unnamed statement, and a server that has none."""
    client = make_client()
    first = make_server(client.pool)
    ask(client, PARSE, DESCRIBE if described else b"", speech.SYNC)
    first.data_received(speech.PARSE_COMPLETE + (DESCRIBED if described else b"") + speech.IDLE)
    first.close("gone")
    sent(client)
    return client, make_server(client.pool)


def test_it_is_prepared_there_again():
    client, server = make(described=False)
    ask(client, RUN, speech.SYNC)
    assert sent(server) == PARSE + RUN + speech.SYNC
    server.data_received(speech.PARSE_COMPLETE + speech.BIND_COMPLETE + OK)
    assert sent(client) == speech.BIND_COMPLETE + OK


def test_server_that_has_it_is_not_sent_it_again():
    client, server = make(described=False)
    for parse in (PARSE, b""):
        ask(client, RUN, speech.SYNC)
        assert sent(server) == parse + RUN + speech.SYNC
        server.data_received((speech.PARSE_COMPLETE if parse else b"") + speech.BIND_COMPLETE + OK)


def test_server_that_has_an_earlier_one_of_the_same_text_is_sent_it_again():
    """Names may have meant something else at that Parse, and its columns may have been others."""
    client = make_client()
    other = make_client(client.pool)
    first = make_server(client.pool)
    ask(client, PARSE, speech.SYNC)
    first.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    ask(other, build.parse("s", "SELECT 2"), speech.SYNC)  # it has the first one meanwhile
    second = make_server(client.pool)
    ask(client, PARSE, speech.SYNC)
    second.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    second.close("gone")
    first.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    sent(first)
    ask(client, RUN, speech.SYNC)
    assert sent(first) == PARSE + RUN + speech.SYNC


def test_statement_of_another_is_not_run_for_a_client_without_one():
    client = make_client()
    server = make_server(client.pool)
    ask(client, PARSE, speech.SYNC)
    server.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    other = make_client(client.pool)
    sent(server)
    ask(other, RUN, speech.SYNC)
    assert sent(server) == build.close_statement("") + RUN + speech.SYNC


def test_who_was_told_its_columns_waits_for_them():
    client, server = make(described=True)
    ask(client, RUN, speech.SYNC)
    assert client.inbound.wait == ANSWER
    assert sent(server) == PARSE + DESCRIBE + speech.FLUSH
    server.data_received(speech.PARSE_COMPLETE + DESCRIBED)
    assert client.inbound.wait == NOT
    assert sent(server) == RUN + speech.SYNC


def test_who_was_told_other_columns_is_not_given_rows():
    client, server = make(described=True)
    ask(client, RUN, speech.SYNC)
    sent(server)
    server.data_received(speech.PARSE_COMPLETE + speech.parameter_types() + speech.columns("a", "b"))
    assert b"dbproxy/changed" in sent(server)


@pytest.mark.parametrize(
    "asks", [DESCRIBE + RUN, speech.bind() + speech.describe_portal() + speech.execute()]
)
def test_who_asks_for_them_anew_does_not_wait(asks: bytes):
    client, server = make(described=True)
    ask(client, asks, speech.SYNC)
    assert client.inbound.wait == NOT
    assert sent(server) == PARSE + asks + speech.SYNC


def test_what_it_was_told_by_a_portal_counts():
    client = make_client()
    server = lend(client)
    server.data_received(OK)
    own = client.prepared.unnamed
    own.told, own.portal_columns = BY_PORTAL, speech.columns("a")
    for columns, changed in ((speech.columns("a"), False), (speech.columns("b"), True)):
        own.learn(columns_key(b"", columns, 0), 99, renewed=True)
        assert own.changed is changed


def test_portal_that_failed_ahead_of_its_describe_has_told_nothing():
    own = make_client().prepared.unnamed
    own.portal_columns = speech.columns("a")
    own.become(b"SELECT 1\0\0\0", own.shape, own.scope)
    own.told = BY_PORTAL
    own.learn(7, 8, renewed=True)
    assert not own.changed


def test_what_the_client_itself_asked_is_what_it_knows():
    own = make_client().prepared.unnamed
    own.changed = True
    own.learn(7, 8, renewed=False)
    assert (own.told, own.changed) == (8, False)
    own.learn(7, 9, renewed=True)
    assert own.changed
    own.learn(7, 8, renewed=True)
    assert not own.changed
