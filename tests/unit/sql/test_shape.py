"""The statement without its literals, in whichever build (interpreted or compiled) is installed."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dbproxy.sql.shape import redact, shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT abalance FROM t WHERE aid = 4711", "SELECT abalance FROM t WHERE aid = $?"),
        ("SELECT 'it''s', 'a\\'", "SELECT $?, $?"),
        (r"SELECT E'it\'s '' \\', e'x'", "SELECT $?, $?"),
        (r"SELECT U&'d\0061t' UESCAPE '!', N'x'", "SELECT $? UESCAPE $?, $?"),
        ("SELECT B'0101', x'1F', b''", "SELECT $?, $?, $?"),
        ("SELECT $$it's$$, $a$ $$ $b$ $a$", "SELECT $?, $?"),
        ('SELECT "a ""1"" b", U&"d\\0061t", t1.c2, é5', 'SELECT "a ""1"" b", U&"d\\0061t", t1.c2, é5'),
        ("SELECT $1, $22::int4, a$1, b$$", "SELECT $1, $22::int4, a$1, b$$"),
        ("SELECT 1.5e-7+.5-1e5*0x1F/1_000, 7.", "SELECT $?+$?-$?*$?/$?, $?"),
        ("SELECT a[1:2], x->>0, y @> '{}'", "SELECT a[$?:$?], x->>$?, y @> $?"),
        ("SELECT /* a /* 1 */ 'b */ 2 -- 3\n, 4", "SELECT $? , $?"),
        ("  SELECT\t\n 1 ;\n", "SELECT $? ;"),
        ("SELECT doc ? 'key' FROM t", "SELECT doc ? $? FROM t"),
        ("SELECT date'2020-01-01', 'a'1", "SELECT date $?, $?$?"),
        ("SELECT 'a'\n  'b', 'c' -- d\n 'e'", "SELECT $?, $?"),
        ("SELECT E'a'\n'b\\'c', 1", "SELECT $?, $?"),
        ("SELECT 1e", "SELECT $?e"),
        ("", ""),
        (";", ";"),
    ],
)
def test_literals_and_comments_go_and_all_else_stays(text: str, expected: str) -> None:
    assert shape(text.encode()) == expected.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT x FROM t WHERE a IN (1,2, -3) AND b in('x')",
            "SELECT x FROM t WHERE a IN ($?, ...) AND b in ($?, ...)",
        ),
        ("INSERT INTO t VALUES (1, 'a', NULL), (2, DEFAULT, true);", "INSERT INTO t VALUES ($?, ...);"),
        ("SELECT ANY(ARRAY[1, 2])", "SELECT ANY(ARRAY[$?, ...])"),
        ("VALUES (1), /* x */ (2)", "VALUES ($?, ...)"),
        ("SELECT f(1, 2), g(1), a IN (1, b)", "SELECT f($?, $?), g($?), a IN ($?, b)"),
        ("INSERT INTO t VALUES (1, now()), (2, now())", "INSERT INTO t VALUES ($?, now()), ($?, now())"),
    ],
)
def test_lists_of_values_fold_to_one_shape(text: str, expected: str) -> None:
    assert shape(text.encode()) == expected.encode()


@pytest.mark.parametrize(
    "text",
    ["'secret", "'a''secret", "E'a\\'secret", "$t$secret", "$t$secret$t", '"secret', '"a""secret',
     "/* secret", "/* /* */ secret", "-- secret", "U&'secret", "'a'\n'secret", "x'secret"],
)  # fmt: skip
def test_what_has_no_end_is_not_shown(text: str) -> None:
    assert b"secret" not in shape(f"SELECT {text}".encode())


def test_a_backslash_escapes_in_plain_strings_when_told_so() -> None:
    assert shape(rb"SELECT 'it\'s secret', 1") == b"SELECT $?s secret $?"
    assert shape(rb"SELECT 'it\'s secret', 1", backslashes=True) == b"SELECT $?, $?"
    assert shape(rb"SELECT N'\'', B'1', 2", backslashes=True) == b"SELECT $?, $?, $?"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SET app.key = hunter2", "SET app.key = $?"),
        ('set local "a b" . c TO hunter2, x; SELECT a', 'set local "a b" . c TO $?; SELECT a'),
        ("BEGIN; SET SESSION app.key=hunter2", "BEGIN; SET SESSION app.key=$?"),
        ("ALTER ROLE r IN DATABASE d SET app.key = hunter2", "ALTER ROLE r IN DATABASE d SET app.key = $?"),
        ("SET search_path = a, b", "SET search_path = a, b"),
        ("UPDATE t SET a.b = c WHERE d", "UPDATE t SET a.b = c WHERE d"),
    ],
)
def test_redact_leaves_out_values_of_settings_of_the_applications_own(text: str, shown: str) -> None:
    assert redact(text.encode()) == shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ALTER USER x WITH PASSWORD hunter2", "ALTER USER x WITH PASSWORD $?"),
        ('ALTER ROLE "a;b" PASSWORD hunter2', 'ALTER ROLE "a;b" PASSWORD $?'),
        ('ALTER ROLE r" PASSWORD "hunter2"', 'ALTER ROLE r" PASSWORD $?'),
        (
            'SELECT 1; create role x login\npassword  "hunter 2" ',
            "SELECT $?; create role x login password $?",
        ),
        ('ALTER USER x PASSWORD"hunter 2"', "ALTER USER x PASSWORD$?"),
        ("CREATE ROLE x PASSWORD hunter;2!", "CREATE ROLE x PASSWORD $?"),
        (
            "CREATE ROLE x PASSWORD 'hunter2' VALID UNTIL 'infinity'",
            "CREATE ROLE x PASSWORD $? VALID UNTIL $?",
        ),
        ("ALTER ROLE x PASSWORD NULL LOGIN", "ALTER ROLE x PASSWORD NULL LOGIN"),
        ("CREATE TABLE users (password text)", "CREATE TABLE users (password text)"),
    ],
)
def test_redact_leaves_out_a_password_that_lacks_its_quotes(text: str, shown: str) -> None:
    assert redact(text.encode()) == shown.encode()


def test_redact_ends_where_the_two_readings_of_a_backslash_part() -> None:
    assert redact(rb"SELECT 'it\'s secret', 1") == "SELECT $?…".encode()
    assert redact(rb"SELECT a LIKE 'x!' ESCAPE '\'") == b"SELECT a LIKE $? ESCAPE $?"
    assert redact(rb"SELECT 'it''s', 'a\b'") == b"SELECT $?, $?"


def test_hostile_nesting_takes_linear_time() -> None:
    for piece in (b"/*", b"$a", b"$a$b", b'"', b"''", b"'\n", b"(", b"IN (1,", b"-", b"VALUES (1),"):
        assert len(shape(piece * 100_000)) <= 3 * len(piece) * 100_000


# --- properties -------------------------------------------------------------------------------------------

WORDS = ["SELECT", "select_1", "FROM", "a_b", "$1", "IN", "VALUES", "ARRAY", '"q ""1"" \'x"']
HARMLESS = [*WORDS, "<>", "||", "::", "->", "*", "?", "(", ")", "[", "]", ",", ";", ".", "="]
SECRET = "Zq7"  # in every literal below, in nothing that is kept

inner = st.text(st.sampled_from(f'{SECRET} a$"-/*\n;(é'), max_size=8).map(lambda s: f"{SECRET}{s}")


def escape(text: str) -> str:
    return "E'" + re.sub(r"(['\\])", r"\\\1", text) + "'"


literal = st.one_of(
    inner.map(lambda s: f"'{s}''x'"),
    inner.map(lambda s: f"'{s}\\'"),
    inner.map(lambda s: escape(s + "'\\")),
    inner.map(lambda s: f"U&'{s}'"),
    inner.map(lambda s: f"x'{s}'"),
    inner.map(lambda s: "$t$" + s.replace("$t$", "") + "$ $t$"),
    inner.map(lambda s: f"'{s}'\n '{s}'"),
    st.sampled_from(["98765", "9876.5", ".98765", "98765e-4", "0x98765", "9_8765"]),
)
gap = st.one_of(
    st.sampled_from([" ", "\t", "\n", "  \r\n", "/**/", "--\n"]),
    inner.map(lambda s: "/*" + s.replace("*", "") + " 98765 */"),
    inner.map(lambda s: "--" + s.replace("\n", "") + "\n"),
)
kept = st.sampled_from(HARMLESS)


@st.composite
def tokens(draw: st.DrawFn) -> list[str]:
    """Words and literals, no two literals in a row: with a newline between they would be one."""
    return [part for item in draw(st.lists(kept | literal, max_size=12)) for part in (item, "=")]


def joined(parts: list[str], gaps: list[str]) -> bytes:
    return "".join(part + gaps[i % len(gaps)] for i, part in enumerate(parts)).encode()


gaps = st.lists(gap, min_size=1, max_size=5)


@given(tokens(), gaps)
def test_no_text_of_a_literal_or_comment_survives(parts: list[str], between: list[str]) -> None:
    found = shape(joined(parts, between))
    assert SECRET.encode() not in found
    assert b"8765" not in found
    assert redact(joined(parts, between)).count(SECRET.encode()) == 0


@given(tokens(), gaps, gaps)
def test_white_space_and_comments_do_not_change_the_shape(
    parts: list[str], one: list[str], other: list[str]
) -> None:
    assert shape(joined(parts, one)) == shape(joined(parts, other))


@given(st.lists(literal | st.sampled_from(["NULL", "-1"]), min_size=1, max_size=5), gaps)
def test_lists_fold_whatever_their_length_and_white_space(values: list[str], between: list[str]) -> None:
    parts = [part for value in [*values, "2"] for part in (",", value)][1:]
    assert shape(joined(["a", "IN", "(", *parts, ")"], between)) == b"a IN ($?, ...)"


@given(tokens(), gaps)
def test_words_and_operators_stay_in_order(parts: list[str], between: list[str]) -> None:
    expected = [part if part in HARMLESS else "$?" for part in parts]
    assert shape(joined(parts, between)) == " ".join(expected).encode()


@given(st.one_of(st.binary(), st.text("'\"$eEuU&xX01.-/*\\\n aI(N),?").map(str.encode)))
@example(b"$'x'")
@example(b"foo'x'$$")
@example(b"$?$?")
@example(b"1'x'..2$a$")
def test_any_bytes_give_an_idempotent_shape(text: bytes) -> None:
    found = shape(text)
    assert shape(found) == found


@given(tokens(), gaps, st.integers(0, 200))
def test_no_text_of_a_literal_survives_where_the_statement_was_cut(
    parts: list[str], between: list[str], end: int
) -> None:
    found = shape(joined(parts, between)[:end])
    assert SECRET.encode() not in found
    assert b"8765" not in found
