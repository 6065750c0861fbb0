"""What a client's statement names mean, and what is dealt with before there is a server."""

import pytest

from dbproxy.pool.pool import Pool
from dbproxy.pool.prepared import Statement
from dbproxy.session.client import Client
from dbproxy.session.vocabulary import Vocabulary, constants_of, cut_body
from dbproxy.sql.statement import HARMLESS, READS_SETTINGS
from dbproxy.wire import build
from dbproxy.wire.pipeline import CLOSE_COMPLETE, PARSE_COMPLETE
from tests.support import speech
from tests.unit.session.fakes import ask, make_client, make_server, sent

BODY = b"SELECT 1\0\0\0"
OTHER = b"SELECT 2\0\0\0"
LIMIT = 10000  # promises


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def own(client: Client) -> Vocabulary:
    return client.prepared


def twin(own: Vocabulary) -> Vocabulary:
    """Of another client of the same pool."""
    return make_client(own.pool).prepared


def accepted(pool: Pool, body: bytes = BODY) -> Statement:
    """A server has parsed it."""
    own = make_client(pool).prepared
    statement = own.find(body, own.state.find_shape(body))
    statement.parsed = True
    return statement


# --- what they mean -------------------------------------------------------------------------------------------


def test_equal_texts_are_one_statement_whoever_prepares_them(own: Vocabulary):
    own.define(b"a", BODY)
    other = twin(own)
    other.define(b"b", BODY)
    assert own.statements[b"a"] is other.statements[b"b"]


@pytest.mark.parametrize(
    ("text", "settings", "one"),
    [
        ("SELECT '2000-01-02'::date", {"datestyle": "German"}, False),
        ("SELECT 1", {"datestyle": "German"}, True),
        ("SELECT 1", {"search_path": "other"}, False),
        ("SELECT '2000-01-02'::date", {"work_mem": "1MB"}, True),
    ],
)
def test_equal_texts_are_two_where_settings_make_them_mean_two_things(text: str, settings: dict, one: bool):
    own = make_client()
    other = make_client(own.pool, start=settings)
    body = text.encode() + b"\0\0\0"
    for client in (own, other):
        client.prepared.define(b"s", body)
    assert (own.prepared.statements[b"s"] is other.prepared.statements[b"s"]) is one


def test_what_a_text_executes_is_its_clients_own(own: Vocabulary):
    other = twin(own)
    for client in (own, other):
        client.define(b"s", b"EXECUTE it\0\0\0")
    assert own.statements[b"s"] is not other.statements[b"s"]


def test_moment_of_a_parse_is_shared_with_nobody(own: Vocabulary):
    other = twin(own)
    for client in (own, other):
        client.define(b"s", b"SELECT 'now'::timestamp\0\0\0")
    assert own.statements[b"s"] is not other.statements[b"s"]


def test_statement_with_types_of_the_database_is_parsed_for_each_client_until_it_is_known(own: Vocabulary):
    shared = accepted(own.pool, b"SELECT $1\0\0\0")
    own.define(b"s", b"SELECT $1\0\0\0")
    statement = own.statements[b"s"]
    assert statement.twin is shared
    own.merge(statement, shared)
    assert own.statements[b"s"] is shared


def test_name_that_is_called_again_means_what_it_means_by_then(own: Vocabulary):
    def call(name: bytes) -> bytes | None:
        found = own.find_called(b"--" + name + b"\0", 2, 2 + len(name))
        assert own.called == name
        return found.body if found is not None else None

    own.define(b"a", BODY)
    own.define(b"b", OTHER)
    assert [call(name) for name in (b"a", b"a", b"b", b"a", b"c", b"c")] == [
        BODY,
        BODY,
        OTHER,
        BODY,
        None,
        None,
    ]
    own.define(b"c", BODY)
    assert call(b"c") == BODY
    own.define(b"c", OTHER)
    assert call(b"c") == OTHER
    before = own.forget(b"c")
    assert call(b"c") is None
    own.restore(b"c", before)
    assert call(b"c") == OTHER
    own.forget_all(spared=set())
    assert call(b"c") is None


def test_columns_that_were_told_are_forgotten_with_the_name(own: Vocabulary):
    own.define(b"s", BODY)
    own.described[b"s"] = 7
    statement = own.statements[b"s"]
    assert own.forget(b"s") == (statement, 7)
    assert not own.knows(b"s")
    assert own.meaning(b"s") is None
    own.define(b"s", BODY)
    assert own.meaning(b"s") == (statement, 0)


def test_name_that_means_the_same_keeps_what_was_told(own: Vocabulary):
    own.define(b"s", BODY)
    own.described[b"s"] = 7
    own.define(b"s", BODY)
    assert own.described[b"s"] == 7
    own.define(b"s", OTHER)
    assert b"s" not in own.described


def test_what_did_not_happen_is_as_it_was(own: Vocabulary):
    own.define(b"s", BODY)
    own.described[b"s"] = 7
    before = own.forget(b"s")
    own.restore(b"s", before)
    assert own.meaning(b"s") == before
    own.restore(b"new", None)
    assert not own.knows(b"new")
    own.restore(b"sql", b"PREPARE sql AS SELECT 1")
    assert own.by_sql == {b"sql": b"PREPARE sql AS SELECT 1"}


def test_unnamed_statement_that_comes_back_has_its_text_and_nothing_that_was_told(own: Vocabulary):
    own.unnamed.told = 7
    own.restore(b"", BODY)
    assert (own.unnamed.body, own.unnamed.told) == (BODY, 0)
    assert own.unnamed.shape is own.state.find_shape(BODY)
    own.restore(b"", None)
    assert own.unnamed.body is None
    assert own.unnamed.shape.effects is HARMLESS


def test_deallocate_all_spares_what_was_prepared_since(own: Vocabulary):
    own.define(b"old", BODY)
    own.define(b"new", BODY)
    own.by_sql[b"sql"] = b"PREPARE sql AS SELECT 1"
    own.forget_all({b"new"})
    assert [own.knows(name) for name in (b"old", b"new", b"sql")] == [False, True, False]


# --- settings that change in a transaction ---------------------------------------------------------------------


def test_settings_that_change_what_words_mean_end_sharing_until_they_are_known(own: Vocabulary):
    own.share_no_more({"search_path"})
    own.define(b"s", BODY)
    assert not own.statements[b"s"].shared
    own.asked()
    own.settle({})
    own.define(b"t", BODY)
    assert own.statements[b"t"].shared


def test_settings_that_change_behind_the_question_are_not_known_by_its_answer(own: Vocabulary):
    own.share_no_more({"search_path"})
    own.asked()
    own.share_no_more({"search_path"})
    own.settle({"search_path": "first"})
    own.define(b"s", BODY)
    assert not own.statements[b"s"].shared
    own.asked()
    own.settle({"search_path": "second"})
    own.define(b"t", BODY)
    assert own.statements[b"t"].scope.path == (("search_path", "second"),)


def test_other_settings_do_not(own: Vocabulary):
    own.share_no_more({"work_mem"})
    own.define(b"s", BODY)
    assert own.statements[b"s"].shared


def test_next_loan_begins_with_the_sessions_own(own: Vocabulary):
    before = own.scope
    own.share_no_more({"datestyle"})
    assert own.scope is not before
    own.borrow(make_server(own.pool))
    assert own.scope is before


# --- promises -------------------------------------------------------------------------------------------------


def promise(own: Vocabulary, message: bytes) -> bool:
    return own.promise(message[0], message, 0)


def test_what_servers_have_accepted_is_promised(own: Vocabulary):
    statement = accepted(own.pool)
    assert promise(own, build.parse("s", "SELECT 1"))
    assert own.statements[b"s"] is statement
    assert own.keep_promises() == PARSE_COMPLETE
    assert own.keep_promises() == b""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "SELECT 1"),  # the unnamed one is the server's at hand
        ("s", "SELECT 3"),  # which no server has judged
        ("taken", "SELECT 1"),
        ("sql", "SELECT 1"),
        ("s", "LISTEN news"),
        ("s", "EXECUTE it"),
    ],
)
def test_what_a_server_must_judge_is_not(own: Vocabulary, name: str, text: str):
    accepted(own.pool)
    own.define(b"taken", OTHER)
    own.by_sql[b"sql"] = b"PREPARE sql AS SELECT 1"
    assert not promise(own, build.parse(name, text))
    assert not own.promised


def test_close_of_a_name_is_promised_whether_there_is_one_or_not(own: Vocabulary):
    own.define(b"s", BODY)
    assert promise(own, build.close_statement("s"))
    assert promise(own, build.close_statement("unheard_of"))
    assert not own.knows(b"s")
    assert own.keep_promises() == CLOSE_COMPLETE * 2


@pytest.mark.parametrize(
    "message", [build.close_statement(""), build.close_statement("sql"), speech.close_portal("s")]
)
def test_close_of_what_only_a_server_has_is_not(own: Vocabulary, message: bytes):
    own.by_sql[b"sql"] = b"PREPARE sql AS SELECT 1"
    assert not promise(own, message)


def test_nobody_promises_without_end(own: Vocabulary):
    close = build.close_statement("s")
    assert all(promise(own, close) for _ in range(LIMIT))
    assert not promise(own, close)


def test_promises_are_answered_in_their_turn(client: Client):
    accepted(client.pool)
    server = make_server(client.pool)
    ask(
        client,
        build.parse("s", "SELECT 1"),
        build.close_statement("s"),
        speech.bind(),
        speech.execute(),
        speech.SYNC,
    )
    assert b"SELECT 1" not in sent(server)
    server.data_received(speech.error("34000", "no such portal") + speech.IDLE)
    first, second, *_ = speech.split(sent(client))
    assert (first, second) == (PARSE_COMPLETE, CLOSE_COMPLETE)


def test_what_was_promised_can_be_said_again(own: Vocabulary):
    accepted(own.pool)
    parse, close = build.parse("s", "SELECT 1"), build.close_statement("s")
    promise(own, parse)
    promise(own, close)
    own.borrow(make_server(own.pool))
    assert own.spell_faked() == parse + close
    own.end_request()
    assert own.spell_faked() == b""


# --- texts ----------------------------------------------------------------------------------------------------


def test_tags_of_who_asks_make_no_other_statement():
    one, other = (b"SELECT 1 /*route='%s'*/\0\0\0" % route for route in (b"a", b"b"))
    assert cut_body(one) == cut_body(other)
    assert cut_body(b"SELECT '/*route=*/'\0\0\0") == b"SELECT '/*route=*/'\0\0\0"


def test_function_may_read_settings(own: Vocabulary):
    for text, reads in {b"SELECT own()": True, b"SELECT 1": False, b"SELECT 1::date": False}.items():
        shape = own.state.find_shape(text)
        assert bool(constants_of(text + b"\0\0\0", shape.effects) & READS_SETTINGS) is reads, text
