"""What a client hears beside its answers, and when it is told that it is ready."""

import pytest

from dbproxy.errors import ProxyError
from dbproxy.session.client import Client
from dbproxy.session.wait import HUB, NOT, SERVER
from dbproxy.wire import build
from dbproxy.wire.codes import Backend
from dbproxy.wire.messages import BACKEND_MESSAGE
from dbproxy.wire.messages import build as spell
from tests.support import speech
from tests.unit.session.fakes import (
    BEGUN,
    OK,
    House,
    ask,
    conclude,
    lend,
    make_client,
    make_server,
    query,
    sent,
)

OTHERS = 1  # process id of a backend


def told(pid: int = OTHERS, channel: str = "news") -> bytes:
    body = {"pid": pid, "channel": channel, "payload": ""}
    return spell(BACKEND_MESSAGE, Backend.NOTIFICATION_RESPONSE, body)


@pytest.fixture
def client() -> Client:
    return make_client()


# --- notifications --------------------------------------------------------------------------------------------


def test_client_that_does_nothing_is_told_at_once(client: Client):
    client.notify(told())
    assert sent(client) == told()


def test_client_in_a_transaction_is_told_at_its_end(client: Client):
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    sent(client)
    client.notify(told())
    assert sent(client) == b""
    query(client, "COMMIT")
    server.data_received(speech.complete("COMMIT") + speech.IDLE)
    assert sent(client) == speech.complete("COMMIT") + told() + speech.IDLE


def test_client_that_waits_for_an_answer_is_told_ahead_of_its_end(client: Client):
    server = lend(client)
    server.data_received(speech.columns("a"))
    sent(client)
    client.notify(told())
    assert sent(client) == b""
    server.data_received(OK)
    assert sent(client) == speech.complete() + told() + speech.IDLE


def test_client_that_waits_for_a_server_is_told_with_its_answer(client: Client):
    query(client, "SELECT 1")
    assert client.inbound.wait == SERVER
    client.notify(told())
    assert sent(client) == b""


def test_client_that_has_parsed_and_not_synced_is_told_later(client: Client):
    server = make_server(client.pool)
    ask(client, build.parse("", "SELECT 1"), speech.FLUSH)
    server.data_received(speech.PARSE_COMPLETE)
    server.data_received(speech.IDLE)  # of a Sync of ours
    assert client.server is None
    sent(client)
    client.notify(told())
    assert sent(client) == b""
    ask(client, speech.SYNC)
    assert sent(client) == told() + speech.IDLE


def test_its_own_is_told_with_the_end_of_its_transaction_whatever_has_begun_since(client: Client):
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    sent(client)
    client.notify(told(OTHERS))
    client.notify(told(client.identity.pid))
    assert sent(client) == told(OTHERS) + told(client.identity.pid)  # in the order in which they came


def test_its_own_does_not_break_a_row_in_two(client: Client):
    server = lend(client)
    row = speech.row("x" * 100)
    server.data_received(speech.columns("a") + row[:50])
    sent(client)
    client.notify(told(client.identity.pid))
    assert sent(client) == b""
    server.data_received(row[50:] + OK)
    assert sent(client) == row[50:] + speech.complete() + told(client.identity.pid) + speech.IDLE


def test_client_that_leaves_its_transaction_open_does_not_fill_the_memory(client: Client):
    server = lend(client, "BEGIN")
    server.data_received(BEGUN)
    for _ in range(10000):
        client.notify(told())
    assert not client.closed
    client.notify(told())
    assert client.closed
    assert b"10000 notifications" in sent(client)


# --- ReadyForQuery --------------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Client:
    """It listens to `news`."""
    house = House()
    house.hub.heard.add("news")
    client = make_client(house=house)
    server = make_server(client.pool)
    query(client, "LISTEN news")
    assert client.inbound.wait == HUB
    house.hub.callbacks.pop()()
    server.data_received(speech.complete("SET") + speech.IDLE + speech.complete("LISTEN") + speech.IDLE)
    conclude(server, channels=["news"])
    server.data_received(OK)  # UNLISTEN
    assert client.server is None
    assert sent(client) == speech.complete("LISTEN") + speech.IDLE
    return client


def test_listen_counts_before_the_client_is_told_that_it_is_ready():
    house = House()
    house.hub.heard.add("news")
    client = make_client(house=house)
    server = make_server(client.pool)
    query(client, "LISTEN news")
    house.hub.callbacks.pop()()
    server.data_received(speech.complete("SET") + speech.IDLE + speech.complete("LISTEN") + speech.IDLE)
    assert sent(client) == speech.complete("LISTEN")
    assert client.ear.owes_ready
    conclude(server, channels=["news"])
    assert sent(client) == speech.IDLE
    assert client.state.listening.channels == {"news"}


def test_what_it_has_notified_itself_of_is_told_before_it_is_ready(listener: Client):
    server = listener.pool.idle.last
    hub = listener.state.house.hub
    query(listener, "NOTIFY news")
    server.data_received(speech.complete("NOTIFY") + speech.IDLE)
    assert sent(listener) == speech.complete("NOTIFY")
    listener.notify(told(listener.identity.pid))
    hub.callbacks.pop()()
    assert sent(listener) == told(listener.identity.pid) + speech.IDLE


def test_who_asks_more_is_told_first_that_it_was_ready(listener: Client):
    server = listener.pool.idle.last
    query(listener, "NOTIFY news")
    server.data_received(speech.complete("NOTIFY") + speech.IDLE)
    sent(listener)
    query(listener, "SELECT 1")
    assert sent(listener) == speech.IDLE
    listener.state.house.hub.callbacks.pop()()  # too late
    assert sent(listener) == b""


# --- the hub --------------------------------------------------------------------------------------------------


def test_hub_does_not_wake_who_waits_for_something_else(client: Client):
    query(client, "SELECT 1")
    client.state.listening.heard()
    assert client.inbound.wait == SERVER
    assert not client.closed


def test_client_goes_on_once_the_hub_hears_its_channel(client: Client):
    server = make_server(client.pool)
    query(client, "LISTEN news")
    assert client.inbound.wait == HUB
    assert b"LISTEN" not in sent(server)
    client.state.house.hub.heard.add("news")
    client.state.listening.heard()
    assert client.inbound.wait == NOT
    assert sent(server).endswith(build.query("LISTEN news"))


def test_channel_that_cannot_be_heard_costs_its_client_the_connection(client: Client):
    make_server(client.pool)
    query(client, "LISTEN news")
    client.state.listening.heard(ProxyError("no hub"))
    assert client.closed
    assert b"no hub" in sent(client)


def test_client_that_has_gone_hears_nothing(client: Client):
    make_server(client.pool)
    query(client, "LISTEN news")
    client.disconnect("gone")
    client.state.listening.heard(ProxyError("no hub"))
    assert sent(client) == b""


# --- other defaults -------------------------------------------------------------------------------------------


def test_session_keeps_what_it_began_with_and_is_told_the_rest(client: Client):
    before = {"TimeZone": "UTC", "application_name": "a"}
    client.keep_defaults({"timezone": "UTC"}, before, {"TimeZone": "CET", "application_name": "b"})
    assert client.settings.values == {"timezone": "UTC"}
    ask(client, speech.SYNC)
    assert sent(client) == build.parameter_status("application_name", "b") + speech.IDLE
