"""What the command tags of an answer say, and which request executes a named statement."""

from types import SimpleNamespace
from typing import Any

import pytest

import dbproxy
from dbproxy.pool.request import new_request
from dbproxy.session.outcome import count_kept_rows, count_rows, is_prepared
from dbproxy.wire import build
from dbproxy.wire.framer import server_framer
from tests.support.speech import IDLE, complete, rows


def count(*answers: bytes) -> tuple[int, int, int]:
    """Of the last of the answers that are in one chunk."""
    framer = server_framer()
    framer.scan(b"".join(answers))
    relay: Any = SimpleNamespace(framer=framer, ready_at=len(b"".join(answers)) - len(IDLE))
    return count_rows(relay)


@pytest.mark.skipif(not dbproxy.PURE, reason="compiled, it takes nothing but a relay")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((rows("1", "2"),), (2, -1, 1)),
        ((complete("INSERT 0 5"),), (-1, 5, 1)),
        ((complete("SELECT 3"), complete("FETCH 4"), complete("COPY 2")), (7, 2, 3)),
        ((complete("BEGIN"), complete("CREATE TABLE")), (-1, -1, 2)),
        ((complete("SELECT 9"), IDLE, complete("SELECT 0")), (0, -1, 1)),
        ((), (-1, -1, 0)),
    ],
)
def test_command_tags_are_added_up_from_the_last_answer_on(
    answer: tuple[bytes, ...], told: tuple[int, int, int]
):
    assert count(*answer, IDLE) == told


@pytest.mark.parametrize(
    ("chunk", "at", "prepared"),
    [
        (build.query("SELECT 1"), 0, False),
        (build.parse("", "SELECT 1"), 0, False),
        (build.parse("s", "SELECT 1"), 0, True),
        (b"SELECT 1\0\0\0", -1, True),
        (b"", -1, False),
    ],
)
def test_named_statements(chunk: bytes, at: int, prepared: bool):
    request = new_request(0.0)
    request.note_text(chunk, at)
    assert is_prepared(request) is prepared


@pytest.mark.parametrize(
    ("data", "rows_told"),
    [
        (rows("1", "2"), 2),
        (rows("1", "2") + b"3\0\0\0\4", 2),
        (complete("SELECT 0"), 0),
        (b"3\0\0\0\4", -1),
        (b"", -1),
        (b"D\0\0\0\x0cC\0\0\0\xff12", -1),
    ],
)
def test_rows_of_an_answer_that_no_server_has_given(data: bytes, rows_told: int):
    assert count_kept_rows(data) == rows_told
