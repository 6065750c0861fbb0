"""What a client asks for at once, judged as one."""

import pytest

from dbproxy.routing.router import AT_PRIMARY, NO_SUCH, NOT_STANDBY, READ_ONLY, READS
from dbproxy.session.client import Client
from dbproxy.session.judging import NO_CALL, NO_STATEMENT, NOT_READABLE, PART, text_of
from dbproxy.session.opening import Request
from dbproxy.sql.identity import NO_SHAPE
from dbproxy.wire import build
from dbproxy.wire.framer import client_framer
from tests.support import speech
from tests.unit.session.fakes import make_client, make_router, make_server

READ, WRITE = build.query("SELECT 1"), build.query("INSERT INTO t VALUES (1)")
HINTED = build.query("/* dbproxy: primary */ SELECT 1")
BEGIN, END = build.query("BEGIN READ ONLY"), build.query("COMMIT")
RUN = speech.bind() + speech.execute()
LONG = 70000  # bytes, more than are kept


@pytest.fixture
def client() -> Client:
    """Which has prepared a read and a write."""
    own = make_router()
    client = make_client(own.primary, router=own)
    server = make_server(own.primary)
    for name, sql in {"read": "SELECT 1", "write": "DELETE FROM t"}.items():
        client.data_received(build.parse(name, sql) + speech.SYNC)
        server.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    assert client.server is None
    return client


def judge(client: Client, *messages: bytes) -> str:
    """What came in one chunk."""
    framer = client_framer(100000)
    framer.scan(b"".join(messages))
    client.route.judge.forget()
    return client.route.judge.judge(framer, 0)


def requests(client: Client, *messages: bytes) -> list[Request]:
    framer = client_framer(100000)
    framer.scan(b"".join(messages))
    return client.route.judge.list_requests(framer, 0)


# --- one verdict for all --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        (READ,),
        (READ, READ),
        (speech.bind("read"), speech.execute(), speech.SYNC),
        (build.parse("", "SELECT 1"), RUN, speech.SYNC),
        (build.parse("new", "SELECT 1"), speech.bind("new"), speech.execute(), speech.SYNC),
        (READ, build.parse("", "SELECT 1"), RUN, speech.FLUSH, speech.SYNC),
    ],
)
def test_what_is_nothing_but_reads_is_a_read(client: Client, messages: tuple[bytes, ...]):
    assert judge(client, *messages) == READS


@pytest.mark.parametrize(
    "messages",
    [
        (WRITE,),
        (READ, WRITE),
        (WRITE, READ),
        (speech.bind("read"), speech.execute(), speech.bind("write"), speech.execute(), speech.SYNC),
        (build.parse("", "DELETE FROM t"), RUN, speech.SYNC),
        (build.parse("new", "DELETE FROM t"), speech.bind("new"), speech.execute(), speech.SYNC),
        (speech.bind("unheard_of"), speech.execute(), speech.SYNC),
    ],
)
def test_one_write_makes_all_of_it_a_write(client: Client, messages: tuple[bytes, ...]):
    assert judge(client, *messages) not in (READS, READ_ONLY)


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((speech.bind("read"), speech.execute()), PART),
        ((READ, build.parse("", "SELECT 1")), PART),
        ((READ, WRITE[:-1]), READS),  # of what is not there yet nothing is seen
        ((speech.SYNC,), NO_CALL),
        ((build.parse("new", "DELETE FROM t"), speech.SYNC), NO_CALL),
        ((speech.execute(), speech.SYNC), NO_CALL),  # of a portal that is not there
        ((READ, speech.copy_fail("no")), NO_STATEMENT),
        ((speech.function_call(1), READ), NO_STATEMENT),
        ((build.query("SELECT 1 --" + "x" * LONG),), PART),
        ((b"B\0\0\0\x06\0x", speech.SYNC), NO_SUCH),  # a portal, and no statement
        ((b"P\0\0\0\x05x", speech.SYNC), NOT_READABLE),
    ],
)
def test_what_cannot_be_sent_again_as_it_is_goes_to_the_primary(
    client: Client, messages: tuple[bytes, ...], why: str
):
    assert judge(client, *messages) == why


@pytest.mark.parametrize("messages", [(HINTED,), (READ, HINTED), (HINTED, READ)])
def test_read_that_is_to_be_answered_by_the_primary_takes_all_with_it(
    client: Client, messages: tuple[bytes, ...]
):
    assert judge(client, *messages) in AT_PRIMARY


def test_name_that_is_in_use_cannot_be_prepared_on_a_replica(client: Client):
    assert judge(client, build.parse("read", "SELECT 1"), speech.SYNC) not in (READS, READ_ONLY)
    assert judge(client, build.parse("free", "SELECT 1"), speech.bind("free"), speech.SYNC) == READS


def test_statement_that_is_called_unnamed_is_the_one_that_was_parsed_last(client: Client):
    assert judge(client, RUN, speech.SYNC) != READS  # there is none
    server = make_server(client.pool)
    client.data_received(build.parse("", "SELECT 1") + speech.SYNC)
    client.server.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    assert judge(client, RUN, speech.SYNC) == READS
    assert server.dialogue.only_ours()


# --- transactions that only read ------------------------------------------------------------------------------


def test_transaction_that_says_so_only_reads(client: Client):
    assert judge(client, BEGIN) == READ_ONLY
    assert judge(client, BEGIN, READ, END) == READ_ONLY


def test_transaction_that_asks_for_what_no_standby_does_is_for_the_primary(client: Client):
    assert judge(client, BEGIN, build.query("SET TRANSACTION READ WRITE"), WRITE) == NOT_STANDBY


def test_write_that_fails_anywhere_may_fail_on_a_replica(client: Client):
    assert judge(client, BEGIN, WRITE) == READ_ONLY


def test_what_follows_its_end_is_judged_by_itself(client: Client):
    assert judge(client, BEGIN, END, READ) == READ_ONLY
    assert judge(client, BEGIN, END, WRITE) not in (READS, READ_ONLY)


def test_statements_are_noted_in_the_order_of_their_execution(client: Client):
    judge(client, build.query("SELECT now()"), speech.bind("read"), speech.execute(), speech.SYNC)
    first, second = client.route.judge.judged
    assert "now" in first.text
    assert second is client.prepared.statements[b"read"].shape


def test_each_request_has_one_read_that_stands_for_it(client: Client):
    """Which of them has failed is known by how many requests were answered."""
    two = speech.bind("read") + speech.execute() + build.parse("", "SELECT 2") + RUN + speech.SYNC
    assert judge(client, two, speech.SYNC, READ) == READS
    first, nothing, last = client.route.judge.judged
    assert (first.text, nothing, last.text) == ("SELECT $?", NO_SHAPE, "SELECT $?")


# --- requests one by one --------------------------------------------------------------------------------------


def test_request_ends_with_a_query_or_a_sync(client: Client):
    extended = build.parse("", "SELECT 2") + RUN + speech.SYNC
    found = requests(client, READ, extended, READ)
    assert [request.at for request in found] == [0, len(READ), len(READ + extended)]
    assert [text for request in found for _, text in request.statements] == [
        b"SELECT 1", b"SELECT 2", b"SELECT 1",
    ]  # fmt: skip
    assert all(request.whole for request in found)


def test_request_that_lacks_its_sync_is_not_whole(client: Client):
    (found,) = requests(client, speech.bind("read"), speech.execute())
    assert not found.whole


def test_transaction_may_end_inside_a_request(client: Client):
    end = build.parse("", "COMMIT") + RUN
    found = requests(client, end, speech.bind("read"), speech.execute(), speech.SYNC)
    assert [request.at for request in found] == [0, len(end)]


@pytest.mark.parametrize(
    ("name", "text"), [("read", b"SELECT 1"), ("write", b"DELETE FROM t"), ("unheard_of", b"")]
)
def test_bound_statement_is_told_by_its_text(client: Client, name: str, text: bytes):
    (found,) = requests(client, speech.bind(name), speech.execute(), speech.SYNC)
    ((shape, said),) = found.statements
    assert said == text
    assert (shape is None) is (not text)


def test_function_call_is_not_known(client: Client):
    (found,) = requests(client, speech.function_call(1))
    assert found.statements == [(None, b"")]


def test_text_of_a_parse_ends_ahead_of_its_types():
    assert text_of(b"SELECT $1\0\0\x01\0\0\0\x17") == b"SELECT $1"
    assert text_of(b"SELECT 1") == b"SELECT 1"
