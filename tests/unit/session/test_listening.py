"""What a client listens to, and which notifications it is to be told."""

import pytest

from dbproxy.pool.audit import MARK, Findings
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.listening import Listening
from dbproxy.sql.statement import DISCARDED, LISTENS, Statement
from dbproxy.wire.codes import Backend
from dbproxy.wire.messages import BACKEND_MESSAGE, build
from tests.unit.session.fakes import lend, make_client, make_server, sent


@pytest.fixture
def client() -> Client:
    client = make_client()
    client.state.house.hub.heard.update({"a", "b"})
    return client


@pytest.fixture
def listening(client: Client) -> Listening:
    return client.state.listening


@pytest.fixture
def server(client: Client) -> Server:
    return make_server(client.pool)


def told(channel: str, pid: int = 1) -> bytes:
    body = {"pid": pid, "channel": channel, "payload": ""}
    return build(BACKEND_MESSAGE, Backend.NOTIFICATION_RESPONSE, body)


def statement(listening: Listening, text: str) -> Statement:
    return listening.client.state.classify(text.encode())


def say(listening: Listening, server: Server, text: str) -> bytes:
    """What goes ahead of a LISTEN or UNLISTEN."""
    return listening.spell_ahead(server, statement(listening, text), simple=True)


def conclude(listening: Listening, *channels: str, kept: bool = True, effects: int = LISTENS) -> None:
    """What the server listens to at the end; `kept`: the last LISTEN or UNLISTEN was committed."""
    named = {MARK: listening.uncommitted.mark if kept else ""}
    listening.conclude(Findings(channels=frozenset(channels), named=named), effects)


# --- what counts ----------------------------------------------------------------------------------------------


def test_listen_counts_once_the_server_says_so(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    assert not listening.channels
    conclude(listening, "a")
    assert listening.channels == {"a"}


def test_hub_hears_the_channel_before_that(client: Client, listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    assert client.state.house.hub.channels_of(client) == {"a"}
    conclude(listening)
    assert client.state.house.hub.channels_of(client) == set()


def test_server_is_told_first_what_the_client_listens_to(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    assert b'LISTEN "a"' in say(listening, server, "UNLISTEN *")
    assert b'LISTEN "a"' not in say(listening, server, "UNLISTEN *")  # given up in this transaction


def test_unlisten_that_was_rolled_back_changes_nothing(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    say(listening, server, "UNLISTEN a")
    conclude(listening, kept=False)
    assert listening.channels == {"a"}


def test_unlisten_that_was_committed_counts(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    say(listening, server, "UNLISTEN a")
    conclude(listening)
    assert not listening.channels


def test_discard_all_gives_all_of_them_up(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    listening.discard()
    conclude(listening, kept=False, effects=DISCARDED)
    assert not listening.channels


def test_server_that_was_not_asked_says_nothing(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    listening.conclude(Findings(), 0)
    assert listening.channels == {"a"}


# --- notifications in between ---------------------------------------------------------------------------------


def test_what_comes_on_a_channel_it_listens_to_is_told(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    assert not listening.takes(told("a"))
    say(listening, server, "LISTEN b")
    assert not listening.takes(told("a"))


def test_what_comes_before_a_listen_was_committed_is_not_for_this_client(
    client: Client, listening: Listening, server: Server
):
    say(listening, server, "LISTEN a")
    assert listening.takes(told("a"))
    conclude(listening, "a")
    assert sent(client) == b""


def test_its_own_comes_behind_its_commit(client: Client, listening: Listening, server: Server):
    own = told("a", client.identity.pid)
    say(listening, server, "LISTEN a")
    assert listening.takes(own)
    assert sent(client) == b""
    conclude(listening, "a")
    assert sent(client) == own


def test_transaction_that_is_over_counts_as_committed_if_nothing_has_failed(
    client: Client, listening: Listening, server: Server
):
    own = told("a", client.identity.pid)
    say(listening, server, "LISTEN a")
    listening.takes(own)
    listening.count_early(failed=False)
    assert client.news.messages == [own]
    assert not listening.takes(told("a"))


@pytest.mark.parametrize(("channels", "heard"), [(("a",), True), ((), False)])
def test_where_something_has_failed_only_the_server_knows(
    client: Client, listening: Listening, server: Server, channels: tuple[str, ...], heard: bool
):
    say(listening, server, "LISTEN a")
    listening.count_early(failed=True)
    assert listening.takes(told("a"))
    conclude(listening, *channels)
    assert sent(client) == (told("a") if heard else b"")


@pytest.mark.parametrize(("kept", "heard"), [(True, False), (False, True)])
def test_what_comes_behind_an_unlisten_is_told_only_if_that_was_rolled_back(
    client: Client, listening: Listening, server: Server, kept: bool, heard: bool
):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    say(listening, server, "UNLISTEN a")
    assert listening.takes(told("a"))
    conclude(listening, kept=kept)
    assert sent(client) == (told("a") if heard else b"")


# --- what the hub must hear first -----------------------------------------------------------------------------


def ask_hub(listening: Listening, text: str) -> bool:
    found = statement(listening, text)
    return listening.ask_hub(found, found.effects)


def test_new_channel_is_waited_for(listening: Listening):
    assert ask_hub(listening, "LISTEN unheard_of")


def test_channel_that_the_hub_hears_is_waited_for_once(listening: Listening):
    assert ask_hub(listening, "LISTEN a")  # what was notified ahead of it is to have come
    listening.heard()
    assert not ask_hub(listening, "LISTEN a")


def test_statement_that_listens_to_nothing_waits_for_nothing(listening: Listening):
    assert not ask_hub(listening, "UNLISTEN a")
    assert not ask_hub(listening, "NOTIFY a")


def test_who_has_notified_waits_before_it_gives_a_channel_up(listening: Listening, server: Server):
    say(listening, server, "LISTEN a")
    conclude(listening, "a")
    assert not ask_hub(listening, "UNLISTEN a")
    listening.note_notify(server)
    assert ask_hub(listening, "UNLISTEN a")
    listening.heard()
    assert not ask_hub(listening, "UNLISTEN a")


def test_server_knows_whose_notify_ran_there(client: Client, listening: Listening):
    server = lend(client)
    listening.note_notify(server)
    assert server.trail.notifier is client
    assert not listening.notifies  # it hears nothing
    listening.find_hub()
    listening.note_notify(server)
    assert listening.notifies
