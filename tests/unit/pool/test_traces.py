"""What is noted of a server's session."""

from typing import Any

import pytest

from dbproxy.pool.traces import Traces


@pytest.mark.parametrize(
    ("what", "value"),
    [("effects", 1), ("pins", frozenset({"temp"})), ("named", {b"s": []})],
)
def test_session_is_dirty_until_it_is_cleared(what: str, value: Any):
    traces = Traces()
    assert not traces.dirty()
    setattr(traces, what, value)
    assert traces.dirty()
    traces.clear()
    assert not traces.dirty()


def test_leftovers_are_taken_away_once():
    traces = Traces()
    traces.listens = True
    traces.named[b'odd "name"'] = []
    assert traces.leftovers() == 'UNLISTEN *; DEALLOCATE "odd ""name"""'
    assert (traces.listens, traces.named) == (False, {})
