"""PostgreSQL's grammar reads a statement in a process of its own, as it would here."""

import sys

import pytest

from dbproxy.jobs.batch import grammar
from dbproxy.sql import placeholder
from dbproxy.sql.chunked import Unreadable

GOOD = "UPDATE t SET n = 'é' WHERE {chunk} AND n <> 'é'"


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not here."""
    monkeypatch.delitem(sys.modules, "dbproxy.sql.placeholder")


def test_answer_is_what_it_would_be_here(apart: None):
    assert grammar.read(GOOD) == placeholder.read(GOOD)


@pytest.mark.parametrize(
    "text", ["UPDATE t SET n = 1 WHERE {chunk} OR true", "UPDATE \udcff WHERE {chunk}", ""]
)
def test_what_is_wrong_is_told_in_the_same_words(apart: None, text: str):
    with pytest.raises(Unreadable) as here:
        placeholder.read(text)
    with pytest.raises(Unreadable) as there:
        grammar.read(text)
    assert str(here.value) == str(there.value)


def test_interrupt_of_the_terminal_is_not_for_the_process(apart: None, monkeypatch: pytest.MonkeyPatch):
    answer = "import os; assert os.getpgrp() == os.getpid(); " + grammar.ANSWER
    monkeypatch.setattr(grammar, "ANSWER", answer)
    assert grammar.read(GOOD) == placeholder.read(GOOD)


def test_process_that_fails_is_no_answer(apart: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grammar, "ANSWER", "import os; os.abort()")
    with pytest.raises(Unreadable, match="gives up"):
        grammar.read(GOOD)
