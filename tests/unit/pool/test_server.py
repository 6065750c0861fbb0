"""What pool and client rely on of a server connection: lending, what is done between loans, and its end."""

from typing import Any

import pytest

from dbproxy.cache.entry import Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.fill import Fill
from dbproxy.errors import SessionLost
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.request import new_request
from dbproxy.pool.server import Server
from dbproxy.pool.states import ACTIVE, IDLE, TESTED
from dbproxy.sql.identity import NO_SHAPE
from dbproxy.sql.statement import LOADS, LOCKS
from tests.support import speech
from tests.support.speech import (
    BIND_COMPLETE,
    INERROR,
    INTRANS,
    PARSE_COMPLETE,
    TERMINATE,
    columns,
    complete,
    error,
    parameter_status,
    query,
    row,
)
from tests.unit.pool.fakes import FakeClient, FakePool, FakeTransport

READY = speech.IDLE
FATAL = error("57P01", "terminating connection", severity="FATAL")
CLEAN = b'{"named": {}, "locks": false}'


class Line:
    """A pool of one server, which is lent to `client`."""

    def __init__(self, client: FakeClient | None = None, **settings: Any) -> None:
        self.fake = FakePool(size=1, reserve_size=0, **settings)
        self.client = client or FakeClient()
        self.client.settings = NOTHING
        self.client.attach(FakeTransport())  # type: ignore[arg-type]
        self.fake.lend(self.client)
        self.server = self.fake.connect()
        self.transport: Any = self.server.transport
        self.dialogue = self.server.dialogue

    def ask(self, kinds: str = "Q") -> None:
        for kind in kinds:
            note = new_request(0.0) if kind in "QS" else None
            self.dialogue.pipeline.expect(ord(kind), note)

    def hear(self, *messages: bytes) -> None:
        self.server.data_received(b"".join(messages))

    def run(self, status: bytes = READY) -> None:
        """The client's Query, which leaves the session in this state; the client stays."""
        self.client.stays = True
        self.ask()
        self.hear(complete(), status)

    def wait(self) -> FakeClient:
        """Another client, which waits for the server."""
        waiting = FakeClient("waiting")
        assert self.fake.lend(waiting) is None
        return waiting


def make_server(fake: FakePool) -> Server:
    """One that logs in."""
    server = Server(fake.pool)
    server.connection_made(FakeTransport())  # type: ignore[arg-type]
    return server


def answer(text: bytes) -> bytes:
    """To an audit."""
    return columns("encode") + row(text.hex()) + complete() + READY


# --- while it logs in ---------------------------------------------------------------------------------------


def test_mailbox_gets_whole_messages():
    server = make_server(FakePool())
    mailbox: Any = server.backend.mailbox
    status = parameter_status("TimeZone", "UTC")
    server.data_received(status[:7])
    assert mailbox.empty()
    server.data_received(status[7:] + READY)
    assert [mailbox.get_nowait(), mailbox.get_nowait()] == [(ord("S"), status[5:]), (ord("Z"), b"I")]
    assert mailbox.empty()


def test_whoever_logs_in_is_told_of_the_end_and_the_pool_is_not():
    fake = FakePool(min_pool_size=1)
    server = make_server(fake)
    mailbox: Any = server.backend.mailbox
    server.connection_lost(None)
    assert mailbox.get_nowait() is None
    assert server.closed
    assert fake.launched == 0  # whoever logs in says what became of it


# --- a loan -------------------------------------------------------------------------------------------------


def test_server_goes_back_when_its_client_is_done():
    line = Line()
    line.ask()
    line.hear(complete(), READY)
    assert line.client.replies == complete() + READY
    assert (line.server.state, line.server.loan.client) == (IDLE, None)


def test_client_that_is_not_done_keeps_its_server():
    line = Line()
    line.run(INTRANS)
    assert line.client.calls == [("finished", "T")]
    assert (line.server.state, line.server.loan.client) == (ACTIVE, line.client)


def test_client_is_told_when_all_is_answered_ahead_of_a_sync():
    line = Line()
    line.ask("PB")
    line.hear(PARSE_COMPLETE)
    assert line.client.calls == []
    line.hear(BIND_COMPLETE)
    assert line.client.calls == [("caught_up",)]


def test_request_that_is_to_be_sent_again_is_the_clients_to_send_once_its_answer_is_over():
    line = Line()
    line.ask()
    line.server.relay.answer.retrying = True
    line.hear(complete(), READY)
    assert line.client.calls == [("retry",)]
    line.ask()
    line.hear(complete(), READY)
    assert line.client.calls == [("retry",), ("finished", "I")]


def test_what_was_of_one_loan_only_is_not_of_the_next():
    line = Line()
    line.dialogue.traces.local = line.dialogue.given.contested = True
    line.server.relay.answer.flushing = True
    line.server.release(1.0)
    assert line.fake.lend(line.client) is line.server
    assert (line.dialogue.traces.local, line.dialogue.given.contested) == (False, False)
    assert not line.server.relay.answer.flushing


def test_released_server_is_read_again_and_goes_to_whoever_waits():
    line = Line()
    waiting = line.wait()
    line.server.hold(PARTNER_FULL)
    assert not line.transport.reading
    line.server.release(1.0)
    assert line.transport.reading
    assert waiting.server is line.server
    assert line.server.loan.client is waiting


def test_client_is_not_read_while_its_server_takes_no_more():
    line = Line()
    transport: Any = line.client.transport
    line.server.pause_writing()
    assert not transport.reading
    line.server.resume_writing()
    assert transport.reading


# --- its client's settings ----------------------------------------------------------------------------------


def test_server_that_has_the_settings_is_sent_nothing():
    line = Line()
    assert line.server.adopt(NOTHING) == b""
    assert line.dialogue.pipeline.empty()


def test_settings_are_given_once_and_the_client_sees_nothing_of_it():
    line = Line()
    settings = line.fake.pool.tenant.parameter_sets.find({"timezone": "UTC"})
    line.dialogue.statements.unnamed = b"SELECT 1\0\0\0"
    assert line.server.adopt(settings) == query(settings.difference(NOTHING))
    assert line.dialogue.settings is settings
    assert line.dialogue.statements.unnamed is None  # as behind every Query
    assert line.server.adopt(settings) == b""
    assert line.fake.pool.stats.replay_count == 1
    line.ask()
    line.hear(columns("set_config"), row("UTC"), complete(), READY, complete("BEGIN"), INTRANS)
    assert line.client.replies == complete("BEGIN") + INTRANS


def test_settings_that_cannot_be_listed_are_reset_for_another_client():
    line = Line()
    line.dialogue.traces.has_unlisted_settings = True
    assert b"RESET ALL" in line.server.adopt(NOTHING)
    assert line.server.adopt(NOTHING) == b""


def test_settings_that_cannot_be_listed_stay_for_the_client_that_made_them():
    line = Line()
    line.ask()
    line.hear(complete(), READY)
    line.dialogue.traces.has_unlisted_settings = True
    assert line.fake.lend(line.client) is line.server
    assert line.server.adopt(NOTHING) == b""


def test_settings_that_cannot_be_listed_are_reset_where_the_answer_may_be_given_to_others():
    line = Line()
    line.ask()
    line.hear(complete(), READY)
    line.dialogue.traces.has_unlisted_settings = True
    assert line.fake.lend(line.client) is line.server
    line.server.loan.fill = Fill(b"", NO_SHAPE, Moment(Fence(), []), 1, lambda _: None)
    assert b"RESET ALL" in line.server.adopt(NOTHING)
    assert not line.dialogue.traces.has_unlisted_settings


def test_client_whose_settings_are_refused_is_told_why():
    line = Line()
    line.server.adopt(line.fake.pool.tenant.parameter_sets.find({"role": "gone"}))
    line.ask()
    line.hear(error("22023", 'role "gone" does not exist'), READY)
    assert line.server.closed
    assert isinstance(line.client.loss, SessionLost)
    assert line.client.loss.sqlstate == "22023"


# --- cancelling ---------------------------------------------------------------------------------------------


def test_request_that_runs_can_be_cancelled():
    line = Line()
    line.ask()
    assert line.server.cancel()


def test_client_that_has_its_answers_cancels_nothing_of_ours():
    line = Line()
    assert not line.server.cancel()
    line.server.send_ours("SELECT 1")
    assert not line.server.cancel()
    line.hear(complete(), READY)
    assert line.fake.cancelled == []


def test_request_behind_a_query_of_ours_is_cancelled_when_that_is_over():
    line = Line()
    line.server.send_ours("SELECT 1")
    line.ask()
    assert not line.server.cancel()
    assert line.fake.cancelled == []
    line.hear(complete(), READY)
    assert line.fake.cancelled == [line.server]


# --- a client that leaves -----------------------------------------------------------------------------------


def test_server_of_a_client_that_left_is_lent_again_once_it_has_answered():
    line = Line()
    line.run()
    waiting = line.wait()
    line.server.hold(PARTNER_FULL)
    line.dialogue.statements.unnamed = b"SELECT 1\0\0\0"
    line.server.abandon(half_sent=False)
    assert line.transport.take() == query("")
    assert line.transport.reading
    assert line.dialogue.statements.unnamed is None  # as behind every Query
    assert (line.server.state, waiting.server) == (TESTED, None)
    line.hear(speech.EMPTY, READY)
    assert waiting.server is line.server
    assert line.client.loss is None


def test_transaction_of_a_client_that_left_is_rolled_back():
    line = Line()
    line.run(INTRANS)
    line.server.abandon(half_sent=False)
    assert line.transport.take() == query("ROLLBACK")
    line.hear(complete("ROLLBACK"), READY)
    assert line.server.state == IDLE
    assert line.server.upkeep.used_at > 0  # by that client: it has not been idle for long


def test_what_a_client_left_in_the_session_is_discarded():
    line = Line()
    line.run(INERROR)
    line.dialogue.traces.pins = frozenset({"temp"})
    line.server.abandon(half_sent=False)
    assert line.transport.take() == query("ROLLBACK") + query("DISCARD ALL")
    assert not line.dialogue.is_dirty()


@pytest.mark.parametrize("half_sent", [True, False])
def test_request_of_a_client_that_left_is_cancelled_with_its_connection(half_sent: bool):
    line = Line()
    if not half_sent:
        line.ask()
    line.server.abandon(half_sent=half_sent)
    assert line.fake.cancelled == [line.server]
    assert (line.transport.ended, line.transport.written) == ("abort", b"")
    assert (line.server.closed, line.client.loss) == (True, None)


def test_server_amid_a_message_is_not_kept():
    line = Line()
    line.ask()
    line.hear(row("long")[:8])
    line.server.abandon(half_sent=False)
    assert line.server.closed


def test_server_with_a_request_that_is_to_be_sent_again_is_not_kept():
    line = Line()
    line.ask()
    line.dialogue.pipeline.skip_oldest()
    line.server.relay.answer.retrying = True
    line.server.abandon(half_sent=False)
    assert line.server.closed


@pytest.mark.parametrize("heard", [error("42601", "syntax error"), PARSE_COMPLETE + BIND_COMPLETE])
def test_server_that_waits_for_a_sync_is_closed(heard: bytes):
    """A Sync of ours would commit what the client did not."""
    line = Line()
    line.ask("PB")
    line.hear(heard)
    line.server.abandon(half_sent=False)
    assert line.server.closed
    assert line.fake.cancelled == []


def test_server_that_cannot_be_cleaned_is_closed():
    line = Line()
    line.run()
    line.dialogue.traces.note(LOADS)
    line.server.abandon(half_sent=False)
    assert line.server.closed


def test_server_that_is_closed_already_is_no_matter():
    line = Line()
    line.ask()
    line.server.close("lost")
    line.server.abandon(half_sent=True)
    assert line.fake.cancelled == []


def test_server_that_nobody_has_is_not_lent_in_a_transaction():
    line = Line()
    line.run()
    line.server.run_ours("BEGIN")
    line.hear(complete("BEGIN"), INTRANS)
    assert line.server.closed


# --- what was left behind -----------------------------------------------------------------------------------


def test_nothing_is_asked_where_nothing_was_left():
    line = Line()
    line.run()
    assert not line.server.settle()
    assert line.transport.take() == b""


def test_server_is_asked_and_its_client_told_what_was_left():
    line = Line()
    line.run()
    line.dialogue.traces.note(LOCKS)
    assert line.server.settle()
    assert b"pg_locks" in line.transport.take()
    replies = line.client.replies
    line.hear(answer(b'{"named": {}, "locks": true}'))
    assert line.client.replies == replies
    assert line.dialogue.traces.pins == {"lock"}
    (_, audited, finished) = line.client.calls
    assert (audited[0], finished) == ("audited", ("finished", "I"))


def test_question_that_was_hit_by_a_cancel_is_asked_again_when_nobody_has_the_server():
    line = Line()
    line.run()
    line.dialogue.traces.note(LOCKS)
    line.server.settle()
    question = line.transport.take()
    line.server.loan.end()
    line.hear(error("57014", "canceling statement due to user request"), READY)
    assert line.transport.take() == question
    line.hear(answer(CLEAN))
    assert line.server.state == IDLE


def test_answer_that_is_none_closes_the_server():
    line = Line()
    line.run()
    line.dialogue.traces.note(LOCKS)
    line.server.settle()
    line.hear(answer(b"not JSON"))
    assert line.server.closed
    assert line.client.loss is not None


@pytest.mark.parametrize(("host", "asked"), [(None, True), ("replica", False)])
def test_primary_alone_is_asked_what_sequences_gave_out(host: str | None, asked: bool):
    line = Line(host=host)
    line.run()
    line.dialogue.traces.sequences.advance()
    assert line.server.settle() is asked
    assert (b"lastval" in line.transport.take()) is asked


def test_nobody_is_asked_what_sequences_gave_out_where_that_is_in_vain():
    line = Line()
    line.run()
    line.fake.pool.tenant.recall.give_up()
    line.dialogue.traces.sequences.advance()
    assert not line.server.settle()


def test_channels_and_names_are_taken_away():
    line = Line()
    line.run()
    line.dialogue.traces.listens = True
    line.dialogue.given.names[b"s"] = [b"SELECT 1"]
    assert line.server.settle()
    assert line.transport.take() == query('UNLISTEN *; DEALLOCATE "s"')
    line.hear(complete("UNLISTEN"), complete("DEALLOCATE"), READY)
    assert not line.server.settle()


@pytest.mark.parametrize("why", ["pinned", "condemned"])
def test_channels_stay_where_the_server_is_not_lent_to_others(why: str):
    line = Line()
    line.run()
    line.dialogue.traces.listens = True
    if why == "pinned":
        line.dialogue.traces.pins = frozenset({"temp"})
    else:
        line.server.condemn("in doubt")
    assert not line.server.settle()
    assert line.transport.take() == b""


# --- the end ------------------------------------------------------------------------------------------------


def test_server_that_owes_nothing_is_told_goodbye():
    line = Line()
    line.server.release(1.0)
    line.server.close("server_lifetime")
    assert (line.transport.written, line.transport.ended) == (TERMINATE, "close")


@pytest.mark.parametrize("why", ["owes", "takes no more"])
def test_server_that_owes_an_answer_or_takes_no_more_is_cut_off(why: str):
    line = Line()
    if why == "owes":
        line.ask()
    else:
        line.server.pause_writing()
    line.server.close("lost")
    assert (line.transport.written, line.transport.ended) == (b"", "abort")


def test_loss_is_told_once_and_the_pool_opens_another():
    line = Line()
    line.wait()
    launched, commits = line.fake.launched, line.fake.pool.tenant.commits
    line.dialogue.traces.unplaced, commits.pending = True, 2
    line.server.connection_lost(ConnectionResetError("reset"))
    line.server.connection_lost(None)
    assert line.client.calls == [("server_lost", False)]
    assert (line.fake.launched, commits.pending) == (launched + 1, 1)
    assert "db.internal:5432 was lost: connection lost: reset" in str(line.client.loss)


@pytest.mark.parametrize(("asked", "sqlstate"), [("", "08006"), ("Q", "08007")])
def test_loss_says_whether_the_outcome_is_known(asked: str, sqlstate: str):
    line = Line()
    line.ask(asked)
    line.server.connection_lost(None)
    assert line.client.loss is not None
    assert line.client.loss.sqlstate == sqlstate


@pytest.mark.parametrize(("last", "told"), [(b"", False), (FATAL, True), (row("long")[:8], True)])
def test_client_that_has_the_last_words_or_part_of_a_message_is_sent_no_more(last: bytes, told: bool):
    line = Line()
    line.ask()
    line.hear(last)
    line.server.connection_lost(None)
    assert line.client.calls == [("server_lost", told)]


def test_server_that_breaks_the_protocol_is_closed():
    line = Line()
    line.ask()
    line.hear(PARSE_COMPLETE)
    assert (line.server.closed, line.transport.ended) == (True, "abort")
    assert "out of turn" in str(line.client.loss)


def test_bug_of_ours_closes_its_own_server_alone():
    class Broken(FakeClient):
        def reply(self, data: bytes) -> None:
            raise ZeroDivisionError

    line = Line(Broken())
    line.ask()
    line.hear(complete(), READY)
    assert line.server.closed
    assert "internal error" in str(line.client.loss)
