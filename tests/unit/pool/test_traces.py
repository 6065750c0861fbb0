"""What is noted of a server's session."""

from typing import Any

import pytest

from dbproxy.pool.audit import SPOILING
from dbproxy.pool.traces import Traces
from dbproxy.sql.statement import LISTENS, LOADS, LOCAL


@pytest.mark.parametrize(("what", "value"), [("effects", 1), ("pins", frozenset({"temp"}))])
def test_session_is_dirty_until_it_is_cleared(what: str, value: Any):
    traces = Traces()
    assert not traces.is_dirty()
    setattr(traces, what, value)
    assert traces.is_dirty()
    traces.clear()
    assert not traces.is_dirty()


def test_what_is_of_no_interest_to_an_audit_is_remembered_for_the_loan_alone():
    traces = Traces()
    traces.note(LOCAL | LISTENS)
    assert (traces.effects, traces.local) == (LISTENS, True)


@pytest.mark.parametrize("pin", sorted(SPOILING))
def test_server_that_cannot_be_as_good_as_new_is_known_before_and_behind_the_audit(pin: str):
    traces = Traces()
    assert not traces.is_not_reusable()
    traces.pins = frozenset({pin})
    assert traces.is_not_reusable()
    traces.pins = frozenset()
    traces.note(LOADS)
    assert traces.is_not_reusable()
    traces.effects, traces.asked = 0, LOADS
    assert traces.is_not_reusable()
