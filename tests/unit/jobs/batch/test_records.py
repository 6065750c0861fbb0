"""Records are cut where PostgreSQL ends them."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbproxy.jobs.batch import records
from dbproxy.jobs.batch.records import Cut, Splitter

WHOLE = 1 << 30


def split(
    text: str, quote: str = '"', escape: str = '"', records: int = WHOLE, size: int = WHOLE
) -> list[str]:
    data = text.encode()
    splitter, found = Splitter(quote, escape), []
    while cut := splitter.extend(Cut(), bytearray(data), 1, size):
        if not cut.records:
            break
        found.append(data[: cut.size].decode())
        data = data[cut.size :]
    return [*found, data.decode()]


def read(text: str, quote: str, escape: str) -> int:
    """How many whole records there are, as COPY's own loop counts them (CopyReadLineText)."""
    within, escaped, found = False, False, 0
    escape = "" if escape == quote else escape
    for letter in text:
        if escape and letter == escape and within:
            escaped = not escaped
        if letter == quote and not escaped:
            within = not within
        if letter != escape:
            escaped = False
        found += letter == "\n" and not within
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\nc,d\n", ["a,b\n", "c,d\n", ""]),
        ('a,"b\nc"\nd\n', ['a,"b\nc"\n', "d\n", ""]),
        ('"a""\n""b"\n"\n\n"\n', ['"a""\n""b"\n', '"\n\n"\n', ""]),
        ('a,"b\nc\n', ['a,"b\nc\n']),
        ("a\r\nb", ["a\r\n", "b"]),
        ("\n\n", ["\n", "\n", ""]),
    ],
)
def test_newline_within_quotes_ends_no_record(text: str, found: list[str]):
    assert split(text) == found


@given(st.text('ab"\\\n,', max_size=60), st.sampled_from(['"', "\\"]), st.integers(1, 9))
@example('x\\"\n"\\"\n"\n', "\\", 1)
@example('"\n"\n\n', '"', 2)
def test_records_are_those_that_copy_reads(text: str, escape: str, wanted: int):
    data, splitter = bytearray(text.encode()), Splitter('"', escape)
    cut = splitter.extend(Cut(), data, WHOLE, WHOLE)
    assert cut.records == read(text, '"', escape)
    assert read(text[: cut.size], '"', escape) == cut.records
    assert text[cut.size - 1 : cut.size] in ("", "\n")
    some = splitter.extend(Cut(), data, wanted, WHOLE)
    assert some.records == min(wanted, cut.records) == read(text[: some.size], '"', escape)


@given(
    st.lists(st.lists(st.text('a"\n,é', max_size=8), min_size=1, max_size=3), max_size=30), st.integers(1, 64)
)
def test_size_of_what_is_looked_at_together_does_not_matter(rows: list[list[str]], block: int):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    data = bytearray(out.getvalue().encode())
    before, records.BLOCK = records.BLOCK, block
    try:
        cut = Splitter('"', '"').extend(Cut(), data, WHOLE, WHOLE)
    finally:
        records.BLOCK = before
    assert cut == Cut(len(data), len(rows))


def test_chunk_is_no_larger_than_it_may_be_unless_by_one_record():
    data = bytearray(b"aaaa\nbbbb\n" + b"c" * 50 + b"\n")
    splitter = Splitter('"', '"')
    assert splitter.extend(Cut(), data, WHOLE, 12) == Cut(10, 2)
    assert splitter.extend(Cut(), data[10:], WHOLE, 12) == Cut(51, 1)


def test_looking_goes_on_where_it_was():
    data = bytearray(b'a\nb\n"c\n')
    splitter = Splitter('"', '"')
    cut = splitter.extend(Cut(), data, WHOLE, WHOLE)
    data += b'd"\ne\n'
    assert splitter.extend(cut, data, WHOLE, WHOLE) == Cut(len(data), 4)
