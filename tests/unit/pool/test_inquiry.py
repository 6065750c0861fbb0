"""Asking a server what was left behind, and what follows from its answer or from there being none."""

from typing import Any

import pytest

from dbproxy.errors import ProtocolViolation
from dbproxy.pool.audit import Audit, Findings
from dbproxy.pool.inquiry import TRIES, Inquiry, conclude, inquire
from dbproxy.pool.parameters import NOTHING
from dbproxy.sql.statement import ADVANCES, LISTENS, LOCKS, RESETS, SETS, WRITES
from dbproxy.wire.build import query
from dbproxy.wire.pipeline import SKIP
from tests.unit.pool.fakes import make_answer

REFUSED = {"C": "42501", "M": "permission denied for function pg_current_wal_insert_lsn"}
CANCELLED = {"C": "57014", "M": "canceling statement due to user request"}


def ask(answer: Any, effects: int, *touched: str) -> tuple[bytes, Audit]:
    """The question about these effects, and the audit that waits for its answer."""
    answer.dialogue.traces.effects = effects
    answer.dialogue.traces.touched = set(touched)
    question = inquire(answer.dialogue, answer.tenant)
    return question, answer.dialogue.pipeline.notes[-1].audit


def tell(answer: Any, audit: Audit, findings: Findings | None = None) -> bytes:
    """The server has answered so, or not at all; what is sent next."""
    audit.answer = findings
    answer.dialogue.pipeline.receive(ord("Z"))
    return conclude(answer.dialogue, answer.tenant, answer.loan.client, audit)


def refuse(answer: Any, audit: Audit, fields: dict[str, str]) -> bytes:
    """The question has failed; what is sent next."""
    Inquiry(audit).failed(answer, fields)
    return tell(answer, audit)


# --- the question -------------------------------------------------------------------------------------------


def test_question_is_asked_once_and_nobody_sees_its_answer():
    answer = make_answer()
    question, audit = ask(answer, LOCKS | SETS, "jit")
    traces = answer.dialogue.traces
    assert question == query(audit.spell())
    assert "'jit'" in audit.spell()
    assert (traces.effects, traces.touched, traces.asked) == (0, set(), LOCKS | SETS)
    assert answer.dialogue.pipeline.peek() == ord("Q") | SKIP
    assert answer.tenant.stats.audit_count == 1


def test_question_ends_the_unnamed_statement():
    answer = make_answer()
    answer.dialogue.statements.unnamed = b"SELECT 1\0\0\0"
    ask(answer, LOCKS)
    assert answer.dialogue.statements.unnamed is None


def test_custom_settings_are_asked_for_by_name_as_they_are_not_listed():
    answer = make_answer()
    answer.dialogue.settings = answer.tenant.parameter_sets.find({"app.tenant": "7", "jit": "off"})
    assert "app.tenant" in ask(answer, RESETS)[1].names
    assert "app.tenant" not in ask(answer, LOCKS)[1].names


# --- its answer ---------------------------------------------------------------------------------------------


def test_settings_become_those_that_others_with_equal_ones_have():
    answer = make_answer()
    equal = answer.tenant.parameter_sets.find({"jit": "off"})
    assert answer.dialogue.settings is NOTHING
    _, audit = ask(answer, SETS, "jit")
    assert tell(answer, audit, Findings(named={"jit": "off"})) == b""
    assert answer.dialogue.settings is equal


def test_client_hears_what_it_has_left():
    answer, findings = make_answer(), Findings(locks=True, channels=frozenset({"jobs"}))
    _, audit = ask(answer, LOCKS | LISTENS)
    assert tell(answer, audit, findings) == b""
    assert answer.loan.client.calls == [("audited", findings, LOCKS | LISTENS)]
    assert answer.dialogue.traces.pins == {"lock"}
    assert answer.dialogue.traces.listens
    assert answer.dialogue.traces.asked == 0


def test_whether_it_listens_is_known_as_long_as_it_was_not_asked_again():
    answer = make_answer()
    answer.dialogue.traces.listens = True
    tell(answer, ask(answer, LOCKS)[1], Findings(locks=False))
    assert answer.dialogue.traces.listens
    tell(answer, ask(answer, LISTENS)[1], Findings(channels=frozenset()))
    assert not answer.dialogue.traces.listens


@pytest.mark.parametrize(
    "left",
    [Findings(locks=True), Findings(prepared={"s": (True, "")}), Findings(channels=frozenset({"jobs"}))],
)
def test_what_is_left_of_a_client_that_has_gone_is_discarded(left: Findings):
    answer = make_answer(lent=False)
    _, audit = ask(answer, LOCKS)
    assert tell(answer, audit, left) == query("DISCARD ALL")
    assert answer.dialogue.pipeline.peek() == ord("Q") | SKIP
    assert answer.dialogue.traces.pins == frozenset()


def test_server_on_which_a_client_that_has_gone_left_nothing_is_asked_for_no_more():
    answer = make_answer(lent=False)
    _, audit = ask(answer, LOCKS)
    assert tell(answer, audit, Findings(locks=False)) == b""
    assert answer.dialogue.pipeline.empty()


@pytest.mark.parametrize(("recalled", "known"), [((7, 16385, 7), True), ((), False), (None, True)])
def test_whether_the_session_knows_sequences_is_what_the_server_said(
    recalled: tuple[int, ...] | None, known: bool
):
    answer = make_answer()
    answer.dialogue.traces.sequences.advance()
    _, audit = ask(answer, ADVANCES)
    tell(answer, audit, Findings(recalled=recalled))
    assert answer.dialogue.traces.sequences.known is known
    assert not answer.dialogue.traces.sequences.advanced


# --- where a commit is --------------------------------------------------------------------------------------


def test_commit_is_placed_and_its_client_told():
    answer = make_answer()
    _, audit = ask(answer, WRITES)
    assert (answer.tenant.commits.pending, answer.dialogue.traces.unplaced) == (1, True)
    assert answer.dialogue.traces.asked == 0  # it is no effect on the session
    assert tell(answer, audit, Findings(position=42)) == b""
    assert (answer.tenant.commits.pending, answer.tenant.commits.newest) == (0, 42)
    assert not answer.dialogue.traces.unplaced
    assert answer.loan.client.calls == [("committed", 42)]


def test_question_for_the_commit_alone_says_nothing_of_the_session():
    answer = make_answer()
    answer.dialogue.traces.pins = frozenset({"lock"})
    settings = answer.dialogue.settings = answer.tenant.parameter_sets.find({"jit": "off"})
    tell(answer, ask(answer, WRITES)[1], Findings(position=42))
    assert answer.dialogue.traces.pins == {"lock"}
    assert answer.dialogue.settings is settings


def test_commit_that_is_asked_for_again_is_pending_once():
    answer = make_answer()
    refuse(answer, ask(answer, WRITES)[1], CANCELLED)
    _, audit = ask(answer, answer.dialogue.traces.effects)
    assert answer.tenant.commits.pending == 1
    tell(answer, audit, Findings(position=42))
    assert answer.tenant.commits.pending == 0


def test_commit_that_the_server_does_not_tell_is_lost_and_not_asked_for_again():
    answer = make_answer()
    _, audit = ask(answer, WRITES | LOCKS)
    refuse(answer, audit, REFUSED)
    commits = answer.tenant.commits
    assert commits.pending == 0
    assert commits.lost_at
    assert answer.loan.client.calls == [("misplaced",)]
    assert not answer.tenant.tells_positions
    assert not answer.dialogue.traces.unplaced
    assert answer.dialogue.traces.effects == LOCKS  # that is


def test_nothing_is_asked_again_where_only_the_commit_was():
    answer = make_answer(lent=False)
    assert refuse(answer, ask(answer, WRITES)[1], REFUSED) == b""
    assert answer.dialogue.pipeline.empty()
    assert answer.dialogue.traces.tries == 0


# --- no answer ----------------------------------------------------------------------------------------------


def test_clients_next_request_goes_ahead_of_the_question_that_is_asked_again():
    answer = make_answer()
    assert refuse(answer, ask(answer, SETS, "jit")[1], CANCELLED) == b""
    assert answer.dialogue.traces.effects == SETS
    assert answer.dialogue.traces.touched == {"jit"}


def test_question_about_a_server_that_is_nobodys_is_asked_again_at_once():
    answer = make_answer(lent=False)
    question, audit = ask(answer, SETS, "jit")
    assert refuse(answer, audit, CANCELLED) == question
    assert answer.dialogue.traces.asked == SETS
    assert answer.dialogue.traces.effects == 0


def test_server_that_does_not_answer_is_given_up():
    answer = make_answer(lent=False)
    _, audit = ask(answer, LOCKS)
    for _ in range(TRIES - 1):
        refuse(answer, audit, CANCELLED)
    with pytest.raises(ProtocolViolation, match="57014"):
        refuse(answer, audit, CANCELLED)


def test_only_failures_in_a_row_count():
    answer = make_answer()
    for _ in range(TRIES + 1):
        refuse(answer, ask(answer, LOCKS)[1], CANCELLED)
        tell(answer, ask(answer, LOCKS)[1], Findings(locks=False))
    assert answer.dialogue.traces.tries == 0


def test_sequences_are_not_asked_for_without_the_language_to_ask_in():
    answer = make_answer()
    _, audit = ask(answer, ADVANCES | LOCKS)
    refuse(answer, audit, {"C": "42501", "M": "permission denied for language plpgsql"})
    assert not answer.tenant.recall.asks
    assert answer.dialogue.traces.effects == LOCKS
