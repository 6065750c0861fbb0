"""What a server is sent for a client's Bind: its statement, and what has to go ahead of that or is put into it."""

import pytest

from dbproxy.errors import MessageTooLarge
from dbproxy.session.binding import asks_again, shows_names
from dbproxy.session.client import Client
from dbproxy.session.wait import ANSWER, NOT
from dbproxy.wire import build
from dbproxy.wire.pipeline import CLOSE_COMPLETE, PARSE_COMPLETE
from tests.support import speech
from tests.unit.session.fakes import OK, ask, make_client, make_server, sent
from tests.unit.session.test_translator import RAN, RUN, kinds, prepare

DESCRIBED = speech.parameter_types() + speech.columns("a")


@pytest.fixture
def client() -> Client:
    return make_client()


# --- columns --------------------------------------------------------------------------------------------------


def test_server_that_has_not_gets_it_when_it_is_bound(client: Client):
    prepare(client).close("gone")
    server = make_server(client.pool)
    ask(client, RUN, speech.SYNC)
    assert kinds(sent(server)) == "PDH"
    assert client.inbound.wait == ANSWER  # whether its columns are what the client was told


def test_bind_goes_on_once_the_columns_are_those_that_were_told(client: Client):
    prepare(client).close("gone")
    server = make_server(client.pool)
    ask(client, RUN, speech.SYNC)
    sent(server)
    server.data_received(PARSE_COMPLETE + DESCRIBED)
    assert client.inbound.wait == NOT
    assert kinds(sent(server)) == "BES"
    server.data_received(RAN + speech.IDLE)
    assert sent(client) == RAN + speech.IDLE


def test_client_that_was_told_other_columns_is_not_given_rows(client: Client):
    prepare(client).close("gone")
    server = make_server(client.pool)
    ask(client, RUN, speech.SYNC)
    for _ in range(2):  # under the name with other columns, too
        assert kinds(sent(server)) == "PDH"
        server.data_received(PARSE_COMPLETE + speech.parameter_types() + speech.columns("a", "b"))
    bind = speech.split(sent(server))[0]
    assert b"dbproxy/changed" in bind


def test_bind_that_comes_again_is_counted_once(client: Client):
    prepare(client).close("gone")
    server = make_server(client.pool)
    before = client.pool.stats.bind_count
    ask(client, RUN, speech.SYNC)
    server.data_received(PARSE_COMPLETE + DESCRIBED)
    assert client.pool.stats.bind_count == before + 1


def test_who_asks_for_the_columns_anew_does_not_wait(client: Client):
    prepare(client).close("gone")
    server = make_server(client.pool)
    ask(client, speech.bind("s") + speech.describe_portal() + speech.execute(), speech.SYNC)
    assert client.inbound.wait == NOT
    assert kinds(sent(server)) == "PDBDES"


def test_pdo_keeps_to_the_columns_that_it_was_told_first():
    behind = speech.describe_portal()
    assert asks_again(b"s", behind, 0)
    assert not asks_again(b"pdo_stmt_1", behind, 0)
    assert not asks_again(b"s", speech.execute(), 0)


# --- what its statement may do ----------------------------------------------------------------------------------


def test_statement_that_shows_names_sees_those_of_the_client(client: Client):
    find = client.state.find_shape
    assert shows_names(find(b"SELECT name FROM pg_prepared_statements"))
    assert not shows_names(find(b"SELECT 1"))


def test_answer_of_ours_is_put_into_a_statement_for_this_once(client: Client):
    """Who cancels itself means the backend that it is on."""
    server = make_server(client.pool)
    parse = build.parse("", f"SELECT pg_cancel_backend({client.identity.pid})")
    ask(client, parse, speech.bind(), speech.execute(), speech.SYNC)
    data = sent(server)
    assert kinds(data) == "PCPBES"
    assert b"pg_backend_pid()" in speech.split(data)[2]


def test_setting_that_was_asked_for_at_login_comes_back_behind_a_reset():
    client = make_client(start={"work_mem": "1MB"})
    server = make_server(client.pool)
    ask(client, build.parse("", "RESET work_mem"), speech.bind(), speech.execute(), speech.SYNC)
    data = sent(server)
    assert b"1MB" in data[data.index(speech.execute()) :]
    assert client.translator.series.restores is None


def test_reset_that_was_bound_and_not_run_is_followed_by_nothing():
    client = make_client(start={"work_mem": "1MB"})
    server = make_server(client.pool)
    ask(client, build.parse("", "RESET work_mem"), speech.bind(), speech.SYNC)
    server.data_received(speech.complete("SELECT 1") + speech.IDLE)
    server.data_received(PARSE_COMPLETE + speech.BIND_COMPLETE + speech.IDLE)
    sent(server)
    ask(client, build.parse("", "SELECT 1"), speech.bind(), speech.execute(), speech.SYNC)
    assert b"1MB" not in sent(server)


def test_columns_of_what_was_answered_are_not_those_of_the_statement_before(client: Client):
    server = make_server(client.pool)
    behind = speech.bind("s") + speech.describe_portal() + speech.execute()
    ask(client, build.parse("s", "SELECT a FROM t"), behind, speech.SYNC)
    server.data_received(PARSE_COMPLETE + speech.BIND_COMPLETE + speech.columns("a") + OK)
    told = client.prepared.described[b"s"]
    parse = build.parse("", f"SELECT pg_cancel_backend({client.identity.pid})")
    ask(client, parse, speech.bind(), speech.describe_portal(), speech.execute(), speech.SYNC)
    assert kinds(sent(server)).endswith("PCPBDES")
    server.data_received(PARSE_COMPLETE + CLOSE_COMPLETE + PARSE_COMPLETE + speech.BIND_COMPLETE)
    server.data_received(speech.columns("pg_cancel_backend"))
    assert client.prepared.described[b"s"] == told


def test_name_that_is_too_long_to_be_read_ends_the_connection(client: Client):
    server = make_server(client.pool)
    bind = speech.bind("s")
    with pytest.raises(MessageTooLarge):
        client.translator.translate(server, ord("B"), bind, 0, 6)
