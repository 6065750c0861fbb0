"""What gates are told of a request, and what holds for its client once one of them has answered it."""

from typing import Any

import pytest

from dbproxy.config import PoolSettings
from dbproxy.gates import GO, Answer, Verdict
from dbproxy.observe.querystats import CACHE, QueryStats
from dbproxy.pool.pool import Pool
from dbproxy.pool.query import Query
from dbproxy.pool.tenant import Tenant
from dbproxy.session.client import Client
from dbproxy.session.gateway import Gateway
from dbproxy.wire import build
from dbproxy.wire.extended import statement_text
from dbproxy.wire.framer import Framer, client_framer
from tests.support import speech
from tests.unit.session.fakes import ask, lend, make_client, sent

CANNED = speech.rows("1") + speech.IDLE
READ = build.query("SELECT 1")


class Gate:
    """Answers what is whole."""

    def before(self, request: Query, session: Any, now: float) -> Verdict:
        return Answer(speech.rows("1")) if request.whole else GO

    def after(self, request: Query) -> None: ...


class Listener:
    def __init__(self) -> None:
        self.heard: list[Query] = []

    def hear(self, request: Query) -> None:
        self.heard.append(request)


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def gateway(client: Client) -> Gateway:
    return client.intake.gateway


def scan(*messages: bytes) -> Framer:
    framer = client_framer(1 << 20)
    framer.scan(b"".join(messages))
    return framer


def read(gateway: Gateway, *messages: bytes) -> Query:
    return gateway.queries.read(scan(*messages), 0, 1.0)


# --- what is asked for ----------------------------------------------------------------------------------------


def test_request_ends_with_its_query_or_sync(gateway: Gateway):
    first = (build.parse("", "SELECT 1"), speech.bind(), speech.execute(), speech.SYNC)
    query = read(gateway, *first, READ)
    assert (query.kinds, query.messages) == (b"PBES", b"".join(first))
    assert query.whole
    assert read(gateway, READ, READ).messages == READ


@pytest.mark.parametrize(
    "messages",
    [
        (build.parse("", "SELECT 1"), speech.bind(), speech.execute()),  # no Sync yet
        (speech.function_call(1),),
        (build.parse("taken", "SELECT 2"), speech.SYNC),  # PostgreSQL refuses it
        (READ[:-3],),
    ],
)
def test_what_only_a_server_can_answer_is_not_whole(
    client: Client, gateway: Gateway, messages: tuple[bytes, ...]
):
    client.prepared.define(b"taken", b"SELECT 1\0\0\0")
    assert not read(gateway, *messages).whole


def test_text_is_that_of_the_first_statement_that_is_executed(client: Client, gateway: Gateway):
    client.prepared.define(b"s", b"SELECT 1\0\0\0")
    for messages, text in {
        (READ,): b"SELECT 1",
        (build.parse("a", "SELECT 2"), build.parse("b", "SELECT 3"), speech.bind("b")): b"SELECT 3",
        (speech.bind("s"), speech.execute(), speech.SYNC): b"SELECT 1",
        (build.parse("a", "SELECT 2"), speech.SYNC): b"SELECT 2",
        (speech.bind("unheard_of"), speech.SYNC): b"",
    }.items():
        query = read(gateway, *messages)
        assert statement_text(query.chunk, query.at) == text


# --- answered -------------------------------------------------------------------------------------------------


def test_answered_request_needs_no_server(client: Client):
    client.pool.tenant.gates = (Gate(),)
    ask(client, READ)
    assert sent(client) == CANNED
    assert client.server is None
    assert client.pool.stats.query_count == 1
    assert client.inbound.passage is None


def test_answered_request_is_a_call_of_its_statement_that_no_host_had_to_do_with():
    stats = QueryStats(10, 1 << 20, 0.0)
    tenant = Tenant("shop", "app", PoolSettings(), query_stats=stats)
    client = make_client(Pool(tenant, lambda _: None, lambda _: None))
    listener = Listener()
    tenant.listeners = (listener,)
    tenant.gates = (Gate(),)
    ask(client, READ)
    (entry,) = stats.ring
    assert (entry.text, entry.role, entry.running.calls, entry.running.rows) == ("SELECT $?", CACHE, 1, 1)
    (query,) = listener.heard
    assert query.facts is not None
    assert query.facts.role == "cache"


def test_what_its_messages_mean_for_the_clients_statements_holds(client: Client):
    client.pool.tenant.gates = (Gate(),)
    client.prepared.define(b"old", b"SELECT 1\0\0\0")
    ask(
        client,
        build.close_statement("old"),
        build.parse("new", "SELECT 2"),
        build.parse("", "SELECT 3"),
        speech.bind(),
        speech.execute(),
        speech.SYNC,
    )
    assert not client.prepared.knows(b"old")
    assert client.prepared.statements[b"new"].body.startswith(b"SELECT 2")
    assert client.prepared.unnamed.body == b"SELECT 3\0\0\0"
    assert not client.translator.series.begun


# --- over -----------------------------------------------------------------------------------------------------


def test_listener_hears_of_what_no_gate_was_asked_about(client: Client):
    heard: list[Query] = []

    class Listener:
        def hear(self, request: Query) -> None:
            heard.append(request)

    client.pool.tenant.listeners = (Listener(),)
    server = lend(client)
    server.data_received(speech.complete() + speech.IDLE)
    (query,) = heard
    assert statement_text(query.chunk, query.at) == b"SELECT 1"
    assert not query.failed
