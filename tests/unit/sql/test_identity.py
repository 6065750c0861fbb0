"""Equal statements are one Shape, however they are found; its hash is the same everywhere and for ever."""

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbproxy.sql.cache import StatementCache
from dbproxy.sql.parser import UNREADABLE
from tests.unit.sql.test_cache import TEXTS
from tests.unit.sql.test_comments import TAGS

LONG = b"SELECT '" + b"x" * 40_000


def test_equal_shapes_are_one_however_they_are_found() -> None:
    statements = StatementCache(100)
    first = statements.find(b"SELECT a FROM t WHERE b = 1")
    by_text = statements.find(b"SELECT a FROM t WHERE b = 1")
    by_shape = statements.find(b"SELECT  a FROM t WHERE b = 1.5 -- c")
    by_likeness = statements.find(b"SELECT  a FROM t WHERE b = 3.5 -- c")
    by_likeness_in_a_chunk = [
        statements.find(b"SELECT a FROM t WHERE b = %d" % number) for number in range(3)
    ]
    assert {first, by_text, by_shape, by_likeness, *by_likeness_in_a_chunk} == {first}
    assert first is not statements.find(b"SELECT a FROM t WHERE c = 1")


def test_the_hash_is_the_same_in_every_process() -> None:
    found = StatementCache(8).find(b"SELECT a FROM t WHERE b = 'it''s' AND c IN (1, 2)")
    assert found.text == "SELECT a FROM t WHERE b = $? AND c IN ($?, ...)"
    assert found.name() == "76cf78abe2fee42f"


def test_texts_whose_literals_decide_have_one_identity_and_a_verdict_each() -> None:
    statements = StatementCache(8)
    one, two = (statements.find(b"SELECT set_config('%s', 'x', false)" % name) for name in (b"a", b"b"))
    assert (one.effects.settings, two.effects.settings) == ({"a"}, {"b"})
    assert one.identity() is two.identity()
    assert (one.hash, one.text) == (two.hash, two.text)
    one.count()
    two.count()
    statements.find(b"SELECT set_config('a', 'x', false)").count()
    assert one.identity().calls == 3
    assert [found.calls for found in statements.list_shapes()] == [3]


@given(TEXTS, TAGS, TAGS)
def test_who_asks_is_no_part_of_a_statement(text: bytes, ahead: bytes, behind: bytes) -> None:
    statements = StatementCache(64)
    found = statements.find(text)
    for tagged in (ahead + text, text + behind, ahead + text + behind, text + behind, ahead + text):
        other = statements.find(tagged)
        assert other.identity() is found.identity()
        assert other.hash == found.hash
        assert other.effects == found.effects


def test_a_text_that_tells_who_asks_is_classified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = StatementCache(64)
    statements.find(b"SELECT a FROM t /*traceparent='0'*/")
    monkeypatch.setattr("dbproxy.sql.cache.examine", None)
    for number in range(200):
        statements.find(b"SELECT a FROM t /*traceparent='%d'*/" % number).count()
    assert [found.calls for found in statements.list_shapes()] == [200]
    assert len(statements.texts.young) < 3
    assert statements.alike.find(b"SELECT a FROM t /*traceparent='x'*/", 0, 35) is not None


def test_nothing_hides_behind_a_value_of_a_comment() -> None:
    statements = StatementCache(64)
    for _ in range(3):
        statements.find(b"SELECT 1 /*a='1'*/")
    assert statements.find(b"SELECT 1 /*a='*/; DELETE FROM t; /*'*/").targets == {"t"}


def test_hints_are_part_of_a_statement() -> None:
    statements = StatementCache(64)
    texts = [
        b"SELECT a FROM t",
        b"/*+ SeqScan(t) */ SELECT a FROM t",
        b"/*+ IndexScan(t i) */ SELECT a FROM t",
        b"/* dbproxy: replica */ SELECT a FROM t",
    ]
    found = [statements.find(text) for text in texts * 3]
    assert len({one.hash for one in found}) == len(set(found)) == 4
    assert [one.text for one in found[:4]] == [text.decode() for text in texts]


def test_texts_over_the_limit_that_differ_at_the_end_are_two() -> None:
    statements = StatementCache(8)
    one, other, longer = (statements.find(LONG + end) for end in (b"1'", b"2'", b"11'"))
    assert len({one.hash, other.hash, longer.hash}) == 3
    assert statements.find(LONG + b"1'") is one
    assert statements.find(b" " + LONG + b"1' /*traceparent='1'*/") is one
    assert one.effects is UNREADABLE
    assert "x" not in one.text


def test_what_somebody_holds_stays_the_one() -> None:
    statements = StatementCache(8)
    held = statements.find(b"SELECT a FROM held WHERE b = 1")
    held.count()
    for number in range(100):
        statements.find(b"SELECT a%d" % number)
    assert statements.find(b"SELECT a FROM held WHERE b = 1.5") is held


def test_what_nobody_holds_is_forgotten() -> None:
    statements = StatementCache(8)
    statements.find(b"SELECT a FROM held WHERE b = 1").count()
    for number in range(100):
        statements.find(b"SELECT a%d" % number)
    gc.collect()
    assert statements.find(b"SELECT a FROM held WHERE b = 1").calls == 0


@settings(max_examples=8)  # each collects the garbage of the whole test run
@given(st.lists(st.integers(0, 400), max_size=300))
def test_shapes_are_bounded(numbers: list[int]) -> None:
    statements = StatementCache(8)
    for number in numbers:
        statements.find(b"SELECT a%d" % number)
        statements.find(b"SELECT set_config('a', b%d, false)" % number)
        statements.find(b'SELECT "%s%d"' % (b"x" * 17_000, number))
    gc.collect()
    bound = 2 * (statements.texts.size + statements.shapes.size + statements.unread.size)
    assert len(statements.list_shapes()) <= bound


def test_a_backslash_that_may_escape_makes_a_statement_of_its_own() -> None:
    statements = StatementCache(8)
    one = statements.find(rb"SELECT '\'; SET a = '1", True)
    assert statements.find(rb"SELECT '\'; SET a = '2", True) is one
    assert one.text == "SELECT $?…"
