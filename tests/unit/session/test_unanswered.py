"""Which request is open."""

from dbproxy.session.said import Said
from dbproxy.session.unanswered import find_text
from dbproxy.wire import build
from dbproxy.wire.framer import client_framer
from tests.support.speech import SYNC, bind, execute, parse, query
from tests.unit.session.fakes import ask, lend, make_client, make_server

PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
MINE = "SELECT 1 /*request_id='mine'*/"


def test_client_that_asks_nothing_has_no_request_open() -> None:
    client = make_client()
    assert client.describe_request() == client.identity.describe()


def test_request_at_a_server_is_open_until_it_is_answered() -> None:
    client = make_client()
    server = lend(client, MINE)
    assert client.describe_request()["request_id"] == "mine"
    server.data_received(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I")
    assert "request_id" not in client.describe_request()


def test_oldest_of_several_is_the_one() -> None:
    client = make_client()
    lend(client, MINE)
    ask(client, query("SELECT 2 /*request_id='other'*/"))
    assert client.describe_request()["request_id"] == "mine"


def test_request_that_waits_and_one_that_lacks_its_sync_are_open() -> None:
    client = make_client()
    ask(client, parse("", MINE), bind())
    assert client.describe_request()["request_id"] == "mine"
    client.serve(make_server(client.pool), 0.0)
    assert client.server is not None
    assert client.describe_request()["request_id"] == "mine"


def test_text_of_what_waits_is_found_by_its_first_message() -> None:
    said = Said()
    said.parsed(build.parse("s", MINE), 0, b"s")
    for messages, text in (
        ((query(MINE),), MINE),
        ((parse("", MINE), bind(), execute(), SYNC), MINE),
        ((bind("s"), execute(), SYNC), MINE),
        ((bind("other"), execute(), SYNC), ""),
        ((SYNC, query(MINE)), ""),
    ):
        framer = client_framer(1 << 20)
        framer.scan(b"".join(messages))
        assert find_text(framer, 0, said).decode() == text


def test_what_cannot_be_read_costs_the_line_its_ids_only() -> None:
    client = make_client()
    client.inbound.pending.append((0, None, 0))  # type: ignore[arg-type]  # a bug of ours
    assert client.describe_request() == client.identity.describe()
