"""What fits a text's pattern has the text's shape, and texts that differ in their values only do fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.sql.access import UNSEEN
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.sql.likeness import LIMIT, Likenesses, fits
from dbproxy.sql.shape import find_pattern, shape
from dbproxy.sql.statement import HARMLESS

PIECES = [
    *("0", "7", "42", "1_000", "0x1F", "1e5", "1.5", ".5", "5.", "$1", "a5", "e", "x", "E", "U&", "N"),
    *("$$", "$t$", "_", "'a'", "''", "'5'", "'a''b'", "'\\'", "E'\\''", '"a5"', '"', "'", "-", "--", "\n"),
    *("/*a='1'*/", "/*a='", "',b='x'*/", "--a=''", "/*+ a='1' */"),
    *("/*", "*/", "*", ".", "..", "+", " ", ",", "(", ")", "IN", "é", "\0", ";"),
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "".join(pieces).encode())
VALUES = st.sampled_from(["*/", "0", "7", "42", "", "x", "5'", "'", "a", "''", "\\", "\n", "e", "-"])


@st.composite
def variants(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A text, and its pattern with anything at all in the place of its values."""
    text = draw(TEXTS)
    pattern = find_pattern(text)
    return text, b"".join(draw(VALUES).encode() if byte in (1, 2, 3) else bytes([byte]) for byte in pattern)


@given(variants())
def test_what_fits_has_the_same_shape(pair: tuple[bytes, bytes]) -> None:
    text, other = pair
    if fits(find_pattern(text), other, 0, len(other)):
        assert shape(other) == shape(text)


@given(TEXTS, TEXTS)
def test_no_other_text_fits(text: bytes, other: bytes) -> None:
    if fits(find_pattern(text), other, 0, len(other)):
        assert shape(other) == shape(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (b"SELECT 1", b"SELECT 4711"),
        (b"SELECT 'a', 2;", b"SELECT '', 3;"),
        (b"SELECT ''", b"SELECT 'text'"),
        (b"SELECT '1'", b"SELECT '2'"),
        (b"SELECT a FROM t1 WHERE a IN (1, 2) -- 3", b"SELECT a FROM t1 WHERE a IN (30, 40) -- 3"),
        (b"SELECT 1..2", b"SELECT 1..2"),
        ("SELECT 'ä'".encode(), "SELECT 'öß'".encode()),
    ],
)
def test_texts_that_differ_in_values_fit(text: bytes, other: bytes) -> None:
    assert fits(find_pattern(text), other, 0, len(other))
    assert fits(find_pattern(text), b"Q" + other + b"\0", 1, 1 + len(other))


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (b"SELECT 1", b"SELECT 1x"),
        (b"SELECT 1", b"SELECT "),
        (b"SELECT 1", b"SELECT 1 "),
        (b"SELECT 1", b"SELECT 1.5"),
        (b"SELECT a FROM t1", b"SELECT a FROM t2"),
        (b"SELECT $1", b"SELECT $2"),
        (b"SELECT 'a'", b"SELECT 'a''b'"),
        (b"SELECT 'a'", b"SELECT 'a"),
        (b"SELECT 'a'", b"SELECT '\\'"),
        (b"SELECT E'a'", b"SELECT E'b'"),
        (b"SELECT $$a$$", b"SELECT $$b$$"),
        (b'SELECT "a"', b'SELECT "b"'),
        (b"SELECT 1 -- 2", b"SELECT 1 -- 3"),
    ],
)
def test_other_texts_do_not_fit(text: bytes, other: bytes) -> None:
    assert not fits(find_pattern(text), other, 0, len(other))


def test_a_text_like_one_before_is_found_in_its_chunk() -> None:
    likenesses = Likenesses()
    one, two = (Shape(number, "", HARMLESS, UNSEEN) for number in (1, 2))
    likenesses.add(b"SELECT 1", one)
    likenesses.add(b"UPDATE t SET a = 'x'", two)
    for _ in range(2):
        assert likenesses.find(b"..SELECT 25..", 2, 11) is one
        assert likenesses.find(b"UPDATE t SET a = 'it is 5'", 0, 26) is two
        assert likenesses.find(b"UPDATE t SET b = 'it is 5'", 0, 26) is None


@pytest.mark.parametrize(
    "text", [rb"SELECT '\'", b"SELECT \1", b"SELECT \2", b"SELECT \3", b"SELECT ".ljust(LIMIT + 1)]
)
def test_what_can_be_read_in_two_ways_or_is_long_is_not_remembered(text: bytes) -> None:
    likenesses = Likenesses()
    likenesses.add(text, NO_SHAPE)
    assert likenesses.find(text, 0, len(text)) is None
