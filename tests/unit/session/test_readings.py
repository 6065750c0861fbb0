"""What statements were read by at their Parse, and preparing them again under just that."""

import json

import pytest

from dbproxy.pool.scopes import Scopes
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.readings import Readings
from tests.support import speech
from tests.unit.session.fakes import ask, make_client, make_server, query, sent

DATE = b"SELECT '1.2.2000'::date\0\0\0"  # read by datestyle
PLAIN = b"SELECT 1\0\0\0"
GERMAN = {"datestyle": "German"}


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def readings(client: Client) -> Readings:
    return client.translator.readings


@pytest.fixture
def server(client: Client) -> Server:
    return make_server(client.pool)


def under(readings: Readings, server: Server, settings: dict[str, str]) -> bytes:
    return readings.under(server, Scopes.of(settings).full, lambda: b"<it>")


# --- preparing again ------------------------------------------------------------------------------------------


def test_what_was_read_by_the_sessions_own_settings_is_prepared_as_it_is(readings: Readings, server: Server):
    assert under(readings, server, {}) == b"<it>"


def test_other_settings_stand_around_it_and_are_taken_back(readings: Readings, server: Server):
    ahead, behind = under(readings, server, GERMAN).split(b"<it>")
    assert b"German" in ahead
    assert b"datestyle" in behind
    assert b"German" not in behind


def test_nothing_is_set_in_a_failed_transaction(readings: Readings, server: Server):
    server.dialogue.status = ord("E")
    assert under(readings, server, GERMAN) == b"<it>"


def test_text_that_settings_do_not_concern_is_prepared_without_them(readings: Readings, server: Server):
    scope = Scopes.of(GERMAN).full
    assert b"German" not in readings.parse(server, scope, None, b"", PLAIN)  # type: ignore[arg-type]
    assert b"German" in readings.parse(server, scope, None, b"", DATE)  # type: ignore[arg-type]


# --- what only the server knows -------------------------------------------------------------------------------


def test_what_a_transaction_has_changed_is_asked_for_once(client: Client, readings: Readings, server: Server):
    client.prepared.share_no_more(GERMAN)
    scope = client.prepared.scope
    assert b"dbproxy" in readings.note(server, scope, simple=False)
    assert readings.note(server, scope, simple=False) == b""


def test_what_is_known_is_not_asked_for(client: Client, readings: Readings, server: Server):
    assert readings.note(server, client.prepared.scope, simple=False) == b""


def test_answer_says_what_it_was_read_by(client: Client, readings: Readings, server: Server):
    client.prepared.share_no_more(GERMAN)
    scope = client.prepared.scope
    readings.note(server, scope, simple=False)
    (name,) = readings.unread
    readings.conclude({name: json.dumps({"scope": str(scope.serial), **GERMAN})})
    client.prepared.asked()
    client.prepared.settle({})
    assert not readings.are_lost(scope)
    assert scope.read == (("datestyle", "German"),)


def test_answer_about_what_came_before_leaves_the_question_open(
    client: Client, readings: Readings, server: Server
):
    client.prepared.share_no_more(GERMAN)
    scope = client.prepared.scope
    readings.note(server, scope, simple=False)
    (name,) = readings.unread
    readings.conclude({"datestyle": "German"})
    client.prepared.share_no_more(GERMAN)
    readings.note(server, client.prepared.scope, simple=False)
    readings.conclude({name: json.dumps({"scope": str(scope.serial), **GERMAN})})
    assert scope.read == (("datestyle", "German"),)
    assert list(readings.unread.values()) == [client.prepared.scope]


def test_what_was_rolled_back_is_lost(client: Client, readings: Readings, server: Server):
    client.prepared.share_no_more(GERMAN)
    scope = client.prepared.scope
    readings.note(server, scope, simple=False)
    assert not readings.are_lost(scope)  # as long as the transaction is open
    readings.conclude(dict.fromkeys(readings.unread))
    client.prepared.asked()
    client.prepared.settle({})
    assert readings.are_lost(scope)


def test_statement_whose_reading_is_lost_is_to_be_prepared_anew_by_its_client(client: Client, server: Server):
    client.prepared.share_no_more(GERMAN)
    client.prepared.define(b"s", DATE)
    client.prepared.asked()
    client.prepared.settle({})
    ask(client, speech.bind("s"), speech.execute(), speech.SYNC)
    assert b"dbproxy/changed" in sent(server)


# --- those made by PREPARE ------------------------------------------------------------------------------------


def test_prepare_is_read_by_what_the_session_had(client: Client, readings: Readings, server: Server):
    query(client, "PREPARE it AS SELECT 1")
    scope = client.prepared.scope
    client.prepared.settle(GERMAN)
    readings.follow({b"it": b"", b"unseen": b""})
    assert readings.by_sql == {b"it": scope, b"unseen": client.prepared.scope}


def test_those_that_are_gone_are_forgotten(readings: Readings):
    readings.follow({b"it": b""})
    readings.follow({})
    assert readings.by_sql == {}


def test_prepare_is_carried_out_again_under_what_it_was_read_by(
    client: Client, readings: Readings, server: Server
):
    prepare = b"PREPARE it AS SELECT '1.2.2000'::date"
    readings.by_sql[b"it"] = Scopes.of(GERMAN).full
    data = readings.prepare_by_sql(server, b"it", prepare)
    assert data.index(b"German") < data.index(prepare)
