"""The integers that a request has for the places of its statement."""

from struct import pack

import pytest

from dbproxy.cache.values import read_values
from dbproxy.sql.rows import Place
from dbproxy.wire import build
from tests.support.speech import bind

ONE = (Place(parameter=1),)


def spell(value: bytes | None, binary: bool) -> bytes:
    values = pack("!h", 1) + (pack("!i", -1) if value is None else pack("!i", len(value)) + value)
    body = b"\0s\0" + pack("!hh", 1, binary) + values + b"\0\0"
    return b"B" + pack("!i", 4 + len(body)) + body


def read(value: bytes | None, binary: bool = False, types: tuple[int, ...] = ()) -> list[int] | None:
    message = spell(value, binary)
    body = b"text $1\0" + pack(f"!h{len(types)}I", len(types), *types)
    return read_values(ONE, b"S\0\0\0\4" + message, 5, 5 + len(message), body)


@pytest.mark.parametrize("value", [b"5", b"+5", b"005"])
def test_text_that_is_digits_is_that_integer(value: bytes) -> None:
    assert read(value) == [5]
    assert read(value, types=(20, 25)) == [5]


@pytest.mark.parametrize(
    "value", [b"", b"-", b" 5", b"5 ", b"5.0", b"5e0", b"0x5", b"1_0", b"9" * 19, b"\xd9\xa5", None]
)
def test_text_that_others_might_read_otherwise_is_not_known(value: bytes | None) -> None:
    assert read(value) is None


@pytest.mark.parametrize(("layout", "oid"), [("!h", 21), ("!i", 23), ("!q", 20), ("!q", 0)])
def test_binary_integer_of_any_width_is_known(layout: str, oid: int) -> None:
    assert read(pack(layout, -7), binary=True, types=(oid,)) == [-7]


@pytest.mark.parametrize("oid", [701, 1700, 25, 16, 700, 1082])
def test_parameter_that_its_parse_declares_something_else_is_not_known(oid: int) -> None:
    assert read(b"5", types=(oid,)) is None
    assert read(pack("!q", 5), binary=True, types=(oid,)) is None


@pytest.mark.parametrize("value", [b"", b"5", b"12345678 and more", None])
def test_binary_value_of_another_size_is_not_known(value: bytes | None) -> None:
    assert read(value, binary=True) is None


def test_bind_of_a_statement_without_a_parse_is_not_known() -> None:
    message = spell(b"5", binary=False)
    assert read_values(ONE, message, 0, len(message), b"") is None


def test_parameter_that_is_missing_is_not_known() -> None:
    message = bind()
    assert read_values(ONE, message, 0, len(message), b"text\0\0\0") is None


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_message_that_is_not_all_there_is_not_known(cut: int) -> None:
    for message in (spell(b"5", binary=False), build.query("SELECT 1 WHERE id = 5")):
        assert read_values((Place(parameter=1),), message, 0, len(message) - cut, b"text\0\0\0") is None


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("5", 5),
        ("'5'", 5),
        ("'-5'", -5),
        ("0005", 5),
        ("5.0", None),
        ("0x5", None),
        ("1_0", None),
        ("E'5'", None),
        ("'5\n'", None),
        ("''", None),
        ("B'101'", None),
        ("$$5$$", None),
        ("'5'\n'6'", None),
        ("9" * 19, None),
    ],
)
def test_literal_is_known_if_it_is_digits(literal: str, value: int | None) -> None:
    message = build.query(f"SELECT 'a' WHERE id = {literal}")
    expected = None if value is None else [value]
    assert read_values((Place(literal=2),), message, 0, len(message), b"") == expected
