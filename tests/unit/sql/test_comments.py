"""Comments that tell who asks are cut, and nothing else is: what is left is the same statement."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dbproxy.sql.comments import LIMIT, cut_comments, find_plan_hints, mark_values
from dbproxy.sql.shape import shape
from tests.unit.sql.test_likeness import TEXTS

TRACEPARENT = "/*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/"
VALUES = st.text(
    st.characters(codec="ascii", categories=["L", "N"], include_characters="%._~-+*()!/:"), max_size=8
)
PAIRS = st.tuples(st.from_regex(r"[a-z_]+", fullmatch=True), VALUES).map(lambda it: f"{it[0]}='{it[1]}'")
TAGS = (
    st.lists(PAIRS, min_size=1, max_size=4)
    .map(lambda pairs: f"/*{','.join(pairs)}*/".encode())
    .filter(lambda comment: b"*/" not in comment[:-2] and b"/*" not in comment[2:])
)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (f"SELECT 1 {TRACEPARENT}", "SELECT 1"),
        (f"SELECT 1{TRACEPARENT};", "SELECT 1;"),
        (f"SELECT 1; {TRACEPARENT}", "SELECT 1;"),
        (f"SELECT 1 {TRACEPARENT} /*a='1'*/", "SELECT 1"),
        (f"SELECT 1 /* why */ {TRACEPARENT}", "SELECT 1 /* why */"),
        (f"SELECT 1 -- why\n {TRACEPARENT};", "SELECT 1 -- why\n ;"),
        (r"SELECT 1 /*route='%2Fparam*d',db_driver='it\'s'*/", "SELECT 1"),
        ("SELECT 1 /* controller = 'index' , action='a%20b' */", "SELECT 1"),
        ("SELECT 1 /*dddbs='shop',dde='prod',ddps='web',ddpv='1.0'*/", "SELECT 1"),
        ("/*a='1'*/ SELECT 1", "          SELECT 1"),
        ("/*+ SeqScan(t) */ /*a='1'*/SELECT 1", "/*+ SeqScan(t) */          SELECT 1"),
        ("/*a='1'*//*b='2'*/SELECT 1/*c='3'*/", "                  SELECT 1"),
        (r"SELECT '\d', E'\'' /*a='1'*/", r"SELECT '\d', E'\''"),
        ("SELECT $$'$$ /*a='1'*/", "SELECT $$'$$"),
    ],
)
def test_who_asks_is_cut(text: str, cut: str) -> None:
    assert cut_comments(text.encode()).decode() == cut


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT 1 /* a comment */",
        "SELECT 1 /*+ SeqScan(t) */",
        "/*+ Set(a='1') */ SELECT 1",
        "/* dbproxy: replica */ SELECT 1",
        "SELECT 1 /*a='1', and more*/",
        "SELECT 1 /*a='1',*/",
        "SELECT 1 /*a=1*/",
        "SELECT 1 /*a='two words'*/",
        "SELECT 1 /*a='\u00e9'*/",
        "SELECT 1 /*a='1' /* b='2' */ */",
        "SELECT 1 /**/",
        "SELECT /*a='1'*/ 1",
        "SELECT 1; /*a='1'*/ SELECT 2",
        "SELECT '/*a=''1''*/",
        "SELECT '/*a=1*/'",
        "SELECT 1 AS \"/*a='1'*/",
        "SELECT 1 AS \"x /*a='1'*/\"",
        "SELECT $$ /*a='1'*/",
        "SELECT 1 -- /*a='1'*/",
        "SELECT 1 /*a='1'",
        r"SELECT '\' /*a='1'*/",  # with standard_conforming_strings off it is part of the string
        "SELECT 1 /*a='1'*/".rjust(LIMIT + 1),
    ],
)
def test_all_else_stays(text: str) -> None:
    given = text.encode()
    assert cut_comments(given) is given


@given(TEXTS, TAGS, TAGS)
def test_what_is_left_is_the_same_statement(text: bytes, ahead: bytes, behind: bytes) -> None:
    assume(text.strip() == text)
    tagged = ahead + text
    assert len(cut_comments(tagged)) <= len(tagged)
    assert shape(cut_comments(tagged)) == shape(tagged) == shape(text)
    assert shape(cut_comments(text + behind)) == shape(text + behind)


@given(TAGS, TAGS, st.sampled_from(["SELECT a FROM t", "SELECT 'x', $1;", 'SELECT "a""b" -- c\n', "é"]))
def test_positions_in_the_text_stay_what_they_are(ahead: bytes, behind: bytes, text: str) -> None:
    cut = cut_comments(ahead + text.encode() + behind)
    assert cut == b" " * len(ahead) + text.encode()


def test_values_are_marked_in_tags_alone() -> None:
    assert mark_values(b" /*a='1',b=''*/ -- c='2'\n /* d='3' e */", b"\3") == (
        b" /*a='\3',b='\3'*/ -- c='2'\n /* d='3' e */"
    )


def test_plan_hints_are_found_wherever_they_are() -> None:
    text = b"/*+ A(t) */ SELECT '/*+ no */' /* no *//*+B(t)*/, 1 -- /*+ no */"
    assert find_plan_hints(text) == [b"/*+ A(t) */", b"/*+B(t)*/"]
