"""An answer as it is kept, and as it is told again."""

import random

import pytest

from dbproxy.cache.value import Value, read_answer
from tests.support.speech import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    EMPTY,
    IDLE,
    INERROR,
    INTRANS,
    NO_DATA,
    PARSE_COMPLETE,
    SUSPENDED,
    columns,
    complete,
    error,
    notice,
    notification,
    parameter_status,
    row,
    split,
)

COLUMNS, ROWS = columns("a", "b"), row("1", "2") + row("3", "4")
DONE = complete("SELECT 2")


@pytest.mark.parametrize(
    ("kinds", "heard"),
    [
        (b"Q", COLUMNS + ROWS + DONE + IDLE),
        (b"PBDES", PARSE_COMPLETE + BIND_COMPLETE + COLUMNS + ROWS + DONE + IDLE),
        (b"PBDEHS", PARSE_COMPLETE + BIND_COMPLETE + COLUMNS + ROWS + DONE + IDLE),
        (b"BDES", BIND_COMPLETE + COLUMNS + ROWS + DONE + IDLE),
    ],
)
def test_answers_to_all_forms_are_told_from_any_of_them(kinds: bytes, heard: bytes):
    value = read_answer(heard)
    assert isinstance(value, Value)
    assert (value.columns, value.rows) == (COLUMNS, ROWS + DONE)
    assert value.spell(kinds) + IDLE == heard
    assert value.spell(b"Q") == COLUMNS + ROWS + DONE
    assert value.spell(b"BES") == BIND_COMPLETE + ROWS + DONE
    assert value.size() == len(COLUMNS + ROWS + DONE)


def test_answer_inside_a_transaction_is_the_same_outside():
    value = read_answer(COLUMNS + ROWS + DONE + INTRANS)
    assert isinstance(value, Value)
    assert value.spell(b"Q") == COLUMNS + ROWS + DONE


def test_columns_that_nobody_has_asked_for_are_not_made_up():
    value = read_answer(BIND_COMPLETE + ROWS + DONE + IDLE)
    assert isinstance(value, Value)
    assert value.columns == b""
    assert value.spell(b"Q") is None
    assert value.spell(b"BDES") is None
    assert value.spell(b"PBES") == PARSE_COMPLETE + BIND_COMPLETE + ROWS + DONE


def test_answer_without_rows_is_one():
    value = read_answer(COLUMNS + complete("SELECT 0") + IDLE)
    assert isinstance(value, Value)
    assert value.spell(b"Q") == COLUMNS + complete("SELECT 0")


@pytest.mark.parametrize(
    "heard",
    [
        b"",
        COLUMNS,
        COLUMNS + ROWS + DONE,
        COLUMNS + ROWS + DONE + INERROR,
        COLUMNS + ROWS + DONE + DONE + IDLE,
        COLUMNS + ROWS + DONE + COLUMNS + ROWS + DONE + IDLE,
        COLUMNS + ROWS + DONE + IDLE + IDLE,
        COLUMNS + ROWS + SUSPENDED + IDLE,
        COLUMNS + ROWS + error("22012", "division by zero") + IDLE,
        error("57014", "canceled") + IDLE,
        notice("take care") + COLUMNS + ROWS + DONE + IDLE,
        COLUMNS + ROWS + notice("take care") + DONE + IDLE,
        COLUMNS + ROWS + DONE + parameter_status("TimeZone", "UTC") + IDLE,
        COLUMNS + ROWS + DONE + notification("a", "b") + IDLE,
        COLUMNS + ROWS + DONE + IDLE[:-1],
        COLUMNS + ROWS[:-1] + DONE + IDLE,
        ROWS + COLUMNS + DONE + IDLE,
        NO_DATA + complete("INSERT 0 1") + IDLE,
        EMPTY + IDLE,
        PARSE_COMPLETE + IDLE,
        COLUMNS + ROWS + DONE + CLOSE_COMPLETE + IDLE,
    ],
)
def test_what_is_not_one_whole_answer_is_not_kept(heard: bytes):
    found = read_answer(heard)
    assert isinstance(found, str)
    assert found


def test_whatever_is_kept_of_random_messages_was_one_whole_answer():
    """Of what is no answer nothing is ever kept, whatever order it comes in and wherever it is cut."""
    chance = random.Random(15)
    pieces = [COLUMNS, row("x"), DONE, IDLE, INTRANS, PARSE_COMPLETE, BIND_COMPLETE, CLOSE_COMPLETE, SUSPENDED, NO_DATA,
              notice("n"), error("XX000", "e"), parameter_status("a", "b")]  # fmt: skip
    kept = 0
    for _ in range(30_000):
        chosen = chance.choices(
            pieces, weights=[4, 4, 4, 6, 1, 2, 2, 1, 1, 1, 1, 1, 1], k=chance.randint(1, 7)
        )
        if chance.random() < 0.5:
            chosen.append(IDLE)
        heard = b"".join(chosen)
        if chance.random() < 0.1:
            heard = heard[: chance.randint(0, len(heard))]
        found = read_answer(heard)
        if isinstance(found, str):
            continue
        kept += 1
        asides = (PARSE_COMPLETE, BIND_COMPLETE)
        rest = [piece for piece in split(heard) if piece not in asides]
        described = rest[:1] == [COLUMNS]
        body = rest[described:]
        assert body[-1] in (IDLE, INTRANS)
        assert body[-2] == DONE
        assert all(piece == row("x") for piece in body[:-2])
        assert (found.columns, found.rows) == (COLUMNS if described else b"", b"".join(body[:-1]))
    assert kept > 400
