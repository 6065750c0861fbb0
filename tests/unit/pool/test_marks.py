"""What is noted of a server's session."""

from typing import Any

import pytest

from dbproxy.pool.marks import Marks


@pytest.mark.parametrize(
    ("what", "value"),
    [("effects", 1), ("pins", frozenset({"temp"})), ("named", {b"s": []})],
)
def test_session_is_dirty_until_it_is_cleared(what: str, value: Any):
    marks = Marks()
    assert not marks.dirty()
    setattr(marks, what, value)
    assert marks.dirty()
    marks.clear()
    assert not marks.dirty()


def test_leftovers_are_taken_away_once():
    marks = Marks()
    marks.listens = True
    marks.named[b'odd "name"'] = []
    assert marks.leftovers() == 'UNLISTEN *; DEALLOCATE "odd ""name"""'
    assert (marks.listens, marks.named) == (False, {})
