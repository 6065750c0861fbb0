"""A statement is found again by its text or its shape, and always says what `classify` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.sql import cache
from dbproxy.sql.access import Access
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape
from dbproxy.sql.parser import UNREADABLE, classify, examine
from dbproxy.sql.statement import CREATES_TEMP, SETS, UNKNOWN, Statement

TEMPLATES = """
SELECT a FROM t WHERE b = {}
SELECT a FROM t WHERE b IN ({}, {}) AND f({})
INSERT INTO t VALUES ({}, {}), (nextval('s'), {})
UPDATE t SET a = {} WHERE b = {}
SELECT set_config({}, {}, false)
SELECT set_config({}, 'x', {}), pg_advisory_lock(1)
SET search_path = {}
SET my.setting = {}
SET TIME ZONE {}
LISTEN a; SELECT {}
SELECT {}; LISTEN "b"
DO {}
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS {}
PREPARE p AS SELECT {}; EXECUTE p({})
CREATE TYPE e AS ENUM ({})
SELECT U&"a!0062" UESCAPE {}, {}
EXPLAIN (ANALYZE) SELECT f({})
SELECT {} UNION SELECT g({}); DISCARD ALL
CREATE TEMP TABLE t AS SELECT {} AS a
COPY t FROM {}
SELECT query_to_xml({}, true, true, {})
SELECT current_setting({}), {}
SELECT a FROM t WHERE b = {} AND c = {} /* dbproxy: replica(r1) */
/* dbproxy: primary */ SELECT {}
""".strip().splitlines()

LITERALS = st.one_of(
    st.sampled_from(
        [
            "'a.b'", "'search_path'", "'pg_temp, x'", "'t'", "true", "'SET a.b = 1'", "'BEGIN PERFORM g(); END'",
            "$$SELECT set_config('c.d', 'x', false)$$", "$1", "NULL", "'!'", "E'a\\'b'", "''", "/* c */ 'x' -- d\n",
            "'é'", "U&'\\0061'", "B'01'", "-1", "1.5e3", "b", "lower('x')",
        ]
    ),
    st.integers(0, 10**6).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0'"), max_size=8).map(lambda it: f"'{it}'"),
)  # fmt: skip
TEXTS = st.tuples(st.sampled_from(TEMPLATES), st.lists(LITERALS, min_size=3, max_size=3)).map(
    lambda it: it[0].format(*it[1]).encode()
)


def total(texts: dict[bytes, Shape]) -> int:
    return sum(map(len, texts))


@given(st.lists(TEXTS, min_size=1, max_size=40))
def test_a_text_is_found_to_do_what_it_does(texts: list[bytes]) -> None:
    statements = StatementCache(16)
    for text in texts:
        expected = classify(text)
        if expected is not UNREADABLE:  # else the server refuses it, and what is said of it does not matter
            assert statements.find(text).effects == expected
            assert statements.find(text).effects == expected


def test_a_shape_is_classified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    classified = count_classified(monkeypatch)
    statements = StatementCache(100)
    for number in range(1000):
        assert statements.find(b"SELECT a FROM t WHERE b = %d" % number).effects.harmless
    assert len(classified) == 1


def test_a_text_whose_literals_decide_is_classified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    classified = count_classified(monkeypatch)
    statements = StatementCache(100)
    for name in (b"a", b"b", b"a", b"b"):
        found = statements.find(b"SELECT set_config('%s', 'x', false)" % name).effects
        assert (found.effects, found.settings) == (SETS, {name.decode()})
    assert len(classified) == 2


def test_a_bad_literal_does_not_spoil_the_shape() -> None:
    statements = StatementCache(100)
    assert statements.find(rb"SELECT U&'\zzzz'").effects.effects == UNKNOWN
    assert statements.find(rb"SELECT U&'\0061'").effects.harmless


def test_a_text_over_the_limit_is_not_looked_at() -> None:
    statements = StatementCache(100, parse_limit=40)
    assert statements.find(b"SELECT 1".ljust(40)).effects.harmless
    assert statements.find(b"SELECT 1".ljust(41)).effects is UNREADABLE
    assert not statements.find(b"SELECT 1".ljust(41)).effects.single


def test_a_backslash_that_may_escape_makes_a_text_unknown() -> None:
    statements = StatementCache(100)
    text = rb"SELECT '\'; SET a = '1"
    assert statements.find(text, True).effects is UNREADABLE
    statements.find(rb"SELECT '\'")
    assert statements.find(rb"SELECT '\'", True).effects is UNREADABLE
    assert statements.find(b"CREATE TEMP TABLE t (a int)", True).effects.effects & CREATES_TEMP


@pytest.mark.parametrize("length", [0, 900, 1100, 9000])
def test_memory_is_bounded_in_texts_and_bytes(length: int) -> None:
    statements = StatementCache(8)
    filling = b"x" * length
    for number in range(100):
        statements.find(b"SELECT %d, '%s'" % (number, filling))
        statements.find(b"SELECT a%d, '%s'" % (number, filling))
        statements.find(b'SELECT a%d, "%s"' % (number, filling))
        statements.find(b"SELECT set_config('a%d', '%s', false)" % (number, filling))
        for kept in (statements.texts, statements.shapes, statements.unread):
            for generation in (kept.young, kept.old):
                assert len(generation) <= 8
                assert total(generation) <= 8 * 1024 + 16384


def test_what_is_used_survives_a_flood_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = StatementCache(8)
    statements.find(b"SELECT set_config('a', 'x', false)")
    classified = count_classified(monkeypatch)
    for number in range(200):
        statements.find(b"SELECT %d" % number)
        statements.find(b"SELECT set_config('a', 'x', false)")
    assert classified == [b"SELECT 0"]


def count_classified(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    classified: list[bytes] = []

    def examine_and_note(text: bytes) -> tuple[Statement, Access]:
        classified.append(text)
        return examine(text)

    monkeypatch.setattr(cache, "examine", examine_and_note)
    return classified
