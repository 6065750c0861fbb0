"""What makes an answer differ although data, role and settings are the same is found at any depth."""

import pytest

from dbproxy.sql.access import CASCADES, DELETES, INSERTS, REFRESHES, TRUNCATES, UPDATES
from dbproxy.sql.constants import may_be_moment
from dbproxy.sql.parser import examine
from dbproxy.sql.steadiness import is_steady


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT * FROM t WHERE a = $1 AND b::date = $2::date", ""),
        ("SELECT current_user, session_user, current_role, current_schema, current_catalog, user", ""),
        ("SELECT lower(a), a || b, count(*), max(c) OVER w FROM t WINDOW w AS (ORDER BY d)", ""),
        ("SELECT extract(day FROM a), a AT TIME ZONE 'UTC', a::timestamptz, date_trunc('day', a) FROM t", ""),
        ("SELECT own(), s.own(), coalesce(a, b), greatest(a, b), json_object('a': b), xmlelement(name a) FROM t", ""),
        ("SELECT substring(a FROM 1), overlay(a PLACING b FROM 1), a LIKE b ESCAPE 'c', a IS NFC NORMALIZED", ""),
        ("SELECT age(a, b), now, t.today FROM t", ""),
        ("SELECT 1 WHERE EXISTS (SELECT FROM t WHERE a > now())", "function now() depends on the time"),
        ("WITH x AS (SELECT CURRENT_DATE) TABLE x", "CURRENT_DATE"),
        ("SELECT LOCALTIMESTAMP(0)", "LOCALTIMESTAMP"),
        ("SELECT CURRENT_TIME", "CURRENT_TIME"),
        ("SELECT pg_catalog.random()", "function random() is volatile"),
        ("SELECT a FROM t ORDER BY age(b)", "function age() depends on the time"),
        ("SELECT pg_catalog.no_such()", "function no_such() depends on the server's state"),
        ("SELECT format_type(1, 2)", "function format_type() depends on the server's state"),
        ("SELECT to_regclass('t')", "function to_regclass() depends on the server's state"),
        ("SELECT pg_stat_get_numscans(1)", "function pg_stat_get_numscans() depends on the server's state"),
        ("SELECT $1::regtype", "a cast to regtype depends on the server's state"),
        ("SELECT a::time with time zone FROM t", "a cast to timetz depends on the time"),
        ("SELECT (t).xmin FROM t", "column xmin"),
        ("SELECT * FROM t WHERE ctid = '(0,1)'", "column ctid"),
        ("SELECT * FROM t TABLESAMPLE bernoulli (1) REPEATABLE (2)", "TABLESAMPLE"),
        ("SHOW TimeZone", "SHOW"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN"),
        ("COPY (SELECT 1) TO STDOUT", "COPY"),
    ],
)  # fmt: skip
def test_an_answer_is_steady_or_it_is_said_why(text: str, reason: str) -> None:
    assert examine(text.encode())[1].unsteady == reason


def test_a_function_that_is_not_known_is_not_steady() -> None:
    assert is_steady("lower")
    assert is_steady("to_char")
    assert not any(
        map(is_steady, ("now", "random", "pg_get_viewdef", "has_table_privilege", "of_a_newer_server"))
    )


@pytest.mark.parametrize(
    ("text", "opaque"),
    [
        ("SELECT f()", ""), ("BEGIN", ""), ("COMMIT", ""), ("SET a.b = 1", ""), ("VACUUM FULL t", ""), ("", ""),
        ("CREATE TEMP TABLE t (a int)", ""), ("SELECT 1 AS a INTO TEMP t", ""), ("CREATE TEMP TABLE t AS SELECT 1", ""),
        ("EXPLAIN EXECUTE p", ""), ("PREPARE TRANSACTION 'x'", ""), ("ROLLBACK PREPARED 'x'", ""),
        ("EXPLAIN ANALYZE EXECUTE p", "EXECUTE"), ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
        ("CREATE TABLE t (a int)", "CREATE"), ("CREATE TABLE t AS SELECT 1", "CREATE TABLE AS"),
        ("CREATE MATERIALIZED VIEW t AS SELECT 1", "CREATE TABLE AS"), ("SELECT 1 INTO t", "CREATE TABLE AS"),
        ("ALTER TABLE t ADD a int", "ALTER TABLE"), ("GRANT SELECT ON t TO u", "GRANT"), ("GRANT a TO b", "GRANT ROLE"),
        ("SELECT 1; DROP TABLE t", "DROP"), ("CALL p()", "CALL"), ("DO 'x'", "DO"), ("EXECUTE p", "EXECUTE"),
        ("ALTER ROLE a SET b.c = 'd'", "ALTER ROLE SET"), ("SELEC 1", "a text that is not read"),
    ],
)  # fmt: skip
def test_what_may_change_more_than_it_names_is_opaque(text: str, opaque: str) -> None:
    assert examine(text.encode())[1].opaque == opaque


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("SELECT 1", 0),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", INSERTS),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1", INSERTS | UPDATES),
        ("COPY t FROM STDIN", INSERTS),
        ("COPY t TO STDOUT", 0),
        ("WITH x AS (DELETE FROM t RETURNING *) UPDATE u SET a = 1", DELETES | UPDATES),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", INSERTS | UPDATES | DELETES),
        ("TRUNCATE t", TRUNCATES),
        ("TRUNCATE t, u CASCADE", TRUNCATES | CASCADES),
        ("REFRESH MATERIALIZED VIEW v", REFRESHES),
        ("EXPLAIN DELETE FROM t", 0),
    ],
)
def test_what_is_done_to_the_targets_is_told(text: str, events: int) -> None:
    assert examine(text.encode())[1].events == events


def test_operators_are_told_without_their_schema() -> None:
    text = b"SELECT a |+| b, a OPERATOR(s.|->) c, a = ANY (SELECT 1), a IN (2) FROM t ORDER BY a USING <"
    assert examine(text)[1].operators == {"|+|", "|->", "=", "<"}


@pytest.mark.parametrize(
    "value", [b"now", b"NOW", b" today ", b"yesterday 12:00", b"[now,tomorrow)", b'{"now"}', b"now1"]
)
def test_a_value_that_the_clock_decides_is_known(value: bytes) -> None:
    assert may_be_moment(value)


@pytest.mark.parametrize(
    "value", [b"", b"2020-01-01", b"epoch", b"infinity", b"nowhere", b"knows", b"allballs", b"\0\1\2"]
)
def test_other_values_are_constants(value: bytes) -> None:
    assert not may_be_moment(value)
