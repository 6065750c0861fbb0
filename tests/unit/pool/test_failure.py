"""What follows from an ErrorResponse."""

from typing import Any

import pytest

from dbproxy.errors import ProtocolViolation, SessionLost
from dbproxy.pool.dues import ADOPT, OPTIONAL, Give, new_bind, new_parse
from dbproxy.pool.failure import (
    ABORTED_ERROR,
    CHANGED_ERROR,
    ends_unlent,
    fail,
    is_stale,
    rescue,
    spell_error,
)
from dbproxy.pool.prepared import CHANGED, Statement
from dbproxy.pool.request import Refusal, Request, new_request
from dbproxy.pool.statements import UNKNOWN_STATEMENT
from dbproxy.sql.statement import RESETS, SETS
from dbproxy.wire.pipeline import SKIP
from tests.support.speech import PARSE_COMPLETE, error
from tests.unit.pool.fakes import FakeClient, make_answer

SYNTAX = error("42601", "syntax error")[5:]
STALE = error("0A000", "cached plan must not change result type", routine="RevalidateCachedQuery")[5:]
SHUTDOWN = error("57P01", "terminating connection", severity="FATAL")[5:]


class Patient(FakeClient):
    """Whose request may be sent again."""

    retried: tuple[bytes, bool] | None = None

    def begin_retry(self, name: bytes, changed: bool) -> bool:
        self.retried = (name, changed)
        return True

    def begin_rescue(self, fields: dict[str, str]) -> bool:
        return fields["C"] == "57P01" or fields["C"] == "40001"

    def hears_by_hub(self) -> bool:
        return True

    def knows(self, name: bytes) -> bool:
        return name == b"s"


def make_request() -> Request:
    return new_request(0.0)


def lend(answer: Any) -> Patient:
    client = Patient()
    answer.loan.begin(client, True, 0.0)
    return client


# --- a Query ------------------------------------------------------------------------------------------------


def test_query_that_fails_is_the_clients_to_see():
    answer = make_answer()
    answer.dialogue.traces.effects = SETS
    answer.dialogue.pipeline.expect(ord("Q"), make_request())
    assert not fail(answer, SYNTAX)
    assert answer.instead is None
    assert answer.tenant.stats.error_count == 1
    assert answer.dialogue.statements.unnamed == UNKNOWN_STATEMENT
    assert answer.dialogue.traces.effects == SETS | RESETS
    assert answer.dialogue.pipeline.peek() == ord("Q")


def test_refused_query_gets_our_error():
    answer, request = make_answer(), make_request()
    request.refusal = Refusal("temp", b"ours")
    answer.dialogue.pipeline.expect(ord("Q"), request)
    assert not fail(answer, SYNTAX)
    assert answer.instead == b"ours"
    assert answer.tenant.stats.refused_pin_counts == {"temp": 1}


def test_name_that_could_not_be_prepared_again_has_its_own_error():
    answer = make_answer()
    answer.dialogue.pipeline.skip(ord("P"), Give(b"s"))
    answer.dialogue.pipeline.skip(ord("S"))
    assert fail(answer, SYNTAX)
    answer.dialogue.pipeline.receive(ord("Z"))
    answer.dialogue.pipeline.expect(ord("Q"), make_request())
    assert not fail(answer, error("26000", 'prepared statement "s" does not exist')[5:])
    assert answer.instead == spell_error(SYNTAX)


def test_query_of_ours_says_whether_it_may_fail():
    answer = make_answer()
    answer.dialogue.pipeline.skip(ord("Q"), OPTIONAL)
    assert fail(answer, SYNTAX)
    answer.dialogue.pipeline.receive(ord("Z"))
    answer.dialogue.pipeline.skip(ord("Q"), ADOPT)
    with pytest.raises(SessionLost):
        fail(answer, SYNTAX)
    answer.dialogue.pipeline.receive(ord("Z"))
    answer.dialogue.pipeline.skip(ord("Q"))
    with pytest.raises(ProtocolViolation):
        fail(answer, SYNTAX)


def test_second_half_may_fail_as_the_transaction_has():
    answer = make_answer()
    answer.dialogue.pipeline.expect_halves(ord("Q"), make_request())
    assert not fail(answer, SYNTAX)
    answer.dialogue.pipeline.receive(ord("Z"))
    assert fail(answer, SYNTAX)


# --- a request of the extended protocol ---------------------------------------------------------------------


def bind(answer: Any, name: bytes = b"s", server_name: bytes | None = None) -> Statement:
    statement = Statement(b"SELECT 1\0\0\0")
    due = new_bind(name, server_name or statement.name, None if server_name else statement, False)
    answer.dialogue.pipeline.expect(ord("B"), due)
    answer.dialogue.pipeline.expect(ord("E"))
    answer.dialogue.pipeline.expect(ord("S"), make_request())
    return statement


def test_what_the_server_discards_has_not_happened():
    answer = make_answer()
    pipeline = answer.dialogue.pipeline
    pipeline.fake(ord("P"), new_parse(b"a", None, b"", None))
    pipeline.expect(ord("B"))
    pipeline.expect(ord("P"), new_parse(b"b", None, b"dbproxy_1", None))
    pipeline.expect(ord("Q"), make_request())
    pipeline.expect(ord("S"), make_request())
    assert not fail(answer, SYNTAX)
    assert answer.ahead == PARSE_COMPLETE
    assert answer.loan.client.calls == [("restore", b"b", None)]
    assert answer.dialogue.statements.unnamed == UNKNOWN_STATEMENT
    assert pipeline.peek() == ord("S")


def test_refused_parse_gets_our_error():
    answer, due = make_answer(), new_parse(b"", None, b"", None)
    due.refusal = Refusal("", b"ours")
    answer.dialogue.pipeline.expect(ord("P"), due)
    assert not fail(answer, SYNTAX)
    assert answer.instead == b"ours"
    assert answer.tenant.stats.refused_pin_counts == {}


def test_error_calls_a_statement_as_its_client_does():
    answer = make_answer()
    statement = bind(answer)
    ours = statement.name.decode()
    assert not fail(answer, error("08P01", f'bind message for "{ours}" is wrong')[5:])
    assert answer.instead == error("08P01", 'bind message for "s" is wrong')


def test_statement_that_cannot_be_given_in_a_failed_transaction_is_not_said_to_be_missing():
    answer = make_answer()
    lend(answer)
    answer.dialogue.status = ord("E")
    bind(answer, b"s", b"dbproxy/none")
    assert not fail(answer, error("26000", 'prepared statement "dbproxy/none" does not exist')[5:])
    assert answer.instead == ABORTED_ERROR


def test_changed_statement_is_refused_as_postgresql_does():
    answer = make_answer()
    bind(answer, b"s", CHANGED)
    assert not fail(answer, error("26000", f'prepared statement "{CHANGED.decode()}" does not exist')[5:])
    assert answer.instead == CHANGED_ERROR


def test_request_on_an_outdated_statement_is_sent_again():
    answer = make_answer()
    client = lend(answer)
    statement = bind(answer)
    name = statement.name
    assert fail(answer, STALE)
    assert answer.retrying
    assert client.retried == (b"s", True)
    assert statement.name != name
    assert answer.dialogue.pipeline.peek() == ord("S") | SKIP
    assert not answer.server.upkeep.condemned


def test_request_of_which_something_was_forwarded_is_not_sent_again():
    answer = make_answer()
    client = lend(answer)
    bind(answer)
    answer.forwarded = True
    assert not fail(answer, STALE)
    assert client.retried is None


def test_server_whose_statements_were_changed_unseen_is_not_lent_again():
    answer = make_answer()
    lend(answer)
    bind(answer)
    assert fail(answer, error("26000", "does not exist", routine="FetchPreparedStatement")[5:])
    assert answer.server.upkeep.condemned == "its prepared statements were changed unseen"


def test_statement_of_an_object_that_is_gone_is_outdated():
    assert is_stale({"C": "XX000", "M": "cache lookup failed for type 16411"})
    assert is_stale({"C": "42704", "M": "type with OID 16411 does not exist", "R": "lookup_type_cache"})
    assert not is_stale({"C": "42704", "M": 'type "mood" does not exist', "R": "typenameType"})
    assert not is_stale({"C": "XX000", "M": "unexpected chunk number"})
    assert not is_stale({"C": "0A000", "M": "cannot", "R": "elsewhere"})


# --- the end of a connection, and replicas ------------------------------------------------------------------


def test_last_words_are_the_clients_to_see():
    answer = make_answer()
    assert not fail(answer, SHUTDOWN)
    assert answer.loan.told


def test_last_words_behind_an_answer_need_not_be_known():
    answer = make_answer()
    assert not ends_unlent(answer, SHUTDOWN)
    lend(answer)
    assert not ends_unlent(answer, SYNTAX)
    assert ends_unlent(answer, SHUTDOWN)
    assert answer.server.upkeep.condemned == "PostgreSQL ends the connection"


def test_read_that_a_replica_could_not_answer_is_sent_elsewhere():
    answer = make_answer()
    client = lend(answer)
    conflict = error("40001", "canceling statement due to conflict with recovery")[5:]
    assert not rescue(answer, client, conflict)  # nothing is due
    bind(answer)
    assert not rescue(answer, client, SYNTAX)
    assert rescue(answer, client, conflict)
    assert answer.retrying
    assert answer.dialogue.pipeline.peek() == ord("S") | SKIP


def test_replica_that_was_asked_for_more_is_closed():
    answer = make_answer()
    client = lend(answer)
    bind(answer)
    bind(answer)
    assert rescue(answer, client, error("40001", "conflict with recovery")[5:])
    assert answer.server.closed_for == "a read is sent to the primary, with those behind it"
