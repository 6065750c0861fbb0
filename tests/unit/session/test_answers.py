"""What a statement asks of its session that no server can answer."""

import pytest

from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session.answers import answer
from dbproxy.session.client import Client
from tests.unit.session.fakes import House, make_client, make_server


@pytest.fixture
def client() -> Client:
    client = make_client(house=House())
    client.pool.tenant.recall.able = True
    return client


@pytest.fixture
def server(client: Client) -> Server:
    return make_server(client.pool)


def cancel(client: Client) -> bytes:
    return b"SELECT pg_cancel_backend(%d)" % client.identity.pid


def said(client: Client, server: Server, text: bytes) -> bytes | Refusal | None:
    return answer(client.identity, client.state.house, client.state.recollection, server, text, ())


def test_text_without_such_a_call_is_sent_as_it_is(client: Client, server: Server):
    assert said(client, server, b"SELECT 1") is None
    assert said(client, server, b"SELECT pg_cancel_backend(1)") is None


def test_answer_is_put_in_around_the_call(client: Client, server: Server):
    other = make_client(client.pool, house=client.state.house)
    found = said(client, server, cancel(other))
    assert isinstance(found, bytes)
    assert b"CASE WHEN true THEN true" in found
    assert b"pg_cancel_backend" in found  # the call gives the column its type and name


def test_what_is_refused_is_refused_as_a_whole(client: Client, server: Server):
    stranger = make_client(client.pool, house=client.state.house, user="somebody")
    assert isinstance(said(client, server, cancel(stranger)), Refusal)


def test_nothing_is_answered_or_done_in_a_failed_transaction(client: Client, server: Server):
    other = make_client(client.pool, house=client.state.house)
    server.dialogue.status = ord("E")
    assert said(client, server, cancel(other)) is None
    assert client.state.house.cancelled == []


def test_what_a_sequence_gave_out_elsewhere_is_answered(client: Client, server: Server):
    client.state.recollection.conclude(make_server(client.pool), (5,), 0)
    found = said(client, server, b"SELECT lastval()")
    assert isinstance(found, bytes)
    assert b"'5'" in found


def test_server_that_has_given_out_another_since_answers_itself(client: Client, server: Server):
    client.state.recollection.conclude(server, (5,), 0)
    server.dialogue.traces.sequences.advance()
    assert client.state.answer(server, b"SELECT lastval()") is None


def test_what_nobody_knows_is_asked_for_behind_the_transaction(client: Client, server: Server):
    assert said(client, server, b"SELECT lastval()") is None
    assert server.dialogue.traces.sequences.advanced
