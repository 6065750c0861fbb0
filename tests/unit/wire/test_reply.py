from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire import messages
from dbproxy.wire.build import command_complete
from dbproxy.wire.codes import Backend
from dbproxy.wire.reply import NO_ROWS, columns_key, read_rows, read_sqlstate, row_values
from tests.support.speech import error


@pytest.mark.parametrize(
    ("tag", "rows"),
    [
        ("SELECT 12", 12),
        ("INSERT 0 3456", 3456),
        ("COPY 0", 0),
        ("BEGIN", NO_ROWS),
        ("CREATE TABLE", NO_ROWS),
        ("MERGE 7", 7),
    ],
)
def test_rows_of_a_tag(tag: str, rows: int):
    assert read_rows(b"xx" + command_complete(tag), 2) == rows


def test_state_of_an_error():
    assert read_sqlstate(error("57014", "no")[5:]) == "57014"
    assert read_sqlstate(b"SERROR\0\0") == "XX000"


@given(st.lists(st.none() | st.binary(max_size=20), max_size=5))
def test_values_of_a_row_are_read_and_null_is_empty(values: list[bytes | None]):
    row = messages.build(messages.BACKEND_MESSAGE, Backend.DATA_ROW, {"values": values})
    assert row_values(row[5:]) == [value or b"" for value in values]


def described(*columns: tuple[str, int, int, int]) -> bytes:
    """A RowDescription of columns as (name, table, type, modifier)."""
    body = b"".join(
        name.encode() + b"\0" + pack("!IhIhih", table, 1, kind, 4, modifier, 0)
        for name, table, kind, modifier in columns
    )
    return b"T" + pack("!IH", len(body) + 6, len(columns)) + body


NO_DATA = b"n\0\0\0\4"
ONE_INT, NO_PARAMETERS = b"t\0\0\0\x0a\0\1\0\0\0\x17", b"t\0\0\0\6\0\0"


def test_columns_of_another_table_with_the_same_names_and_types_are_equal():
    key = columns_key(ONE_INT, described(("id", 1, 23, -1), ("name", 1, 25, -1)), 0)
    assert (
        columns_key(ONE_INT, b"before" + described(("id", 2, 23, -1), ("name", 2, 25, -1)) + b"behind", 6)
        == key
    )


def test_whatever_a_reader_goes_by_makes_columns_differ():
    answers = [
        (ONE_INT, NO_DATA),
        (NO_PARAMETERS, NO_DATA),
        (NO_PARAMETERS, described()),
        (NO_PARAMETERS, described(("id", 1, 23, -1))),
        (ONE_INT, described(("id", 1, 23, -1))),
        (ONE_INT, described(("id", 1, 20, -1))),
        (ONE_INT, described(("id", 1, 23, 7))),
        (ONE_INT, described(("di", 1, 23, -1))),
        (ONE_INT, described(("id", 1, 23, -1), ("id", 1, 23, -1))),
    ]
    keys = {columns_key(parameters, columns, 0) for parameters, columns in answers}
    assert len(keys) == len(answers) - 1  # no columns are no columns, whoever says so
    assert 0 not in keys


@pytest.mark.parametrize("state", [b"", b"570", b"570145", b"\xe9\xe9\xe9\xe9\xe9", b'a\nb"c'])
def test_what_is_no_state_is_told_as_an_internal_error(state: bytes):
    assert read_sqlstate(b"SERROR\0C" + state + b"\0\0") == "XX000"
