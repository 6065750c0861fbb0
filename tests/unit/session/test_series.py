"""How far a client's extended-query messages have come, up to their Sync."""

import pytest

from dbproxy.pool.request import NO_TEXT
from dbproxy.session.client import Client
from dbproxy.session.series import Series
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import OK, ask, make_client, make_server, query


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def series(client: Client) -> Series:
    make_server(client.pool)
    return client.translator.series


def test_nothing_is_open_at_first():
    series = Series()
    assert (series.begun, series.executes, series.waits) == (False, False, False)


def test_parse_begins_a_transaction_and_sync_ends_it(client: Client, series: Series):
    ask(client, build.parse("", "SELECT 1"))
    assert (series.begun, series.executes) == (True, False)
    ask(client, speech.bind(), speech.execute())
    assert (series.begun, series.executes) == (True, True)
    ask(client, speech.SYNC)
    assert (series.begun, series.executes) == (False, False)


def test_close_begins_none(client: Client, series: Series):
    ask(client, build.close_statement("s"))
    assert not series.begun


def test_query_does_not_end_what_execute_has_begun(client: Client, series: Series):
    ask(client, build.parse("", "SELECT 1"), speech.bind(), speech.execute())
    query(client, "SELECT 1")
    assert (series.begun, series.executes) == (False, True)
    client.server.data_received(speech.PARSE_COMPLETE + speech.BIND_COMPLETE + speech.complete() + OK)
    assert not series.executes


def test_what_is_promised_without_a_server_begins_one_too(client: Client):
    body = b"SELECT 1\0\0\0"
    client.prepared.define(b"t", body)
    client.prepared.statements[b"t"].parsed = True
    ask(client, build.parse("s", "SELECT 1"))
    assert client.server is None
    assert client.translator.series.begun


def test_text_of_the_request_is_where_it_was_seen_last(client: Client, series: Series):
    parse = build.parse("s", "SELECT 1")
    ask(client, parse)
    assert (series.said.chunk, series.said.at) == (parse, 0)
    ask(client, speech.bind("s"), speech.bind("s"))
    assert (series.said.chunk, series.said.at) == (b"SELECT 1\0\0\0", NO_TEXT)


def test_text_of_an_unnamed_statement_that_is_bound_again_is_its_own(client: Client, series: Series):
    ask(client, build.parse("", "SELECT 1"), build.parse("s", "SELECT 2"), speech.bind("s"), speech.bind())
    assert (series.said.chunk, series.said.at) == (b"SELECT 1\0\0\0", NO_TEXT)
