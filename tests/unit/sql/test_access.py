"""What a text reads and writes is found at any depth, by the names that it is written with."""

import pytest

from dbproxy.sql.access import UNSEEN, Access
from dbproxy.sql.parser import examine


def access(text: str) -> Access:
    return examine(text.encode())[1]


@pytest.mark.parametrize(
    ("text", "reads", "writes"),
    [
        ("SELECT * FROM a, s.b JOIN c USING (d)", "a s.b c", ""),
        ("INSERT INTO s.t SELECT * FROM a", "a", "s.t"),
        ("INSERT INTO t VALUES ((SELECT 1 FROM a)) ON CONFLICT (b) DO UPDATE SET b = (SELECT 1 FROM c)", "a c", "t"),
        ("UPDATE ONLY t SET a = 1 FROM x WHERE EXISTS (TABLE y)", "x y", "t"),
        ("DELETE FROM t USING x", "x", "t"),
        ("MERGE INTO s.t USING (SELECT * FROM x) q ON true WHEN MATCHED THEN DELETE", "x", "s.t"),
        ("COPY s.t FROM STDIN", "", "s.t"),
        ("COPY t TO STDOUT", "t", ""),
        ("COPY (DELETE FROM t USING x RETURNING *) TO STDOUT", "x", "t"),
        ("TRUNCATE a, s.b CASCADE", "", "a s.b"),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY s.v", "", "s.v"),
        ("SELECT * INTO s.n FROM o", "o", "s.n"),
        ("CREATE TABLE s.n AS SELECT * FROM o", "o", "s.n"),
        ("CREATE MATERIALIZED VIEW n AS TABLE o", "o", "n"),
        ("CREATE TABLE n AS EXECUTE p", "", "n"),
        ("PREPARE p AS INSERT INTO t SELECT * FROM a", "a", "t"),
        ("EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t", "", "t"),
        ("EXPLAIN ANALYZE CREATE TABLE n AS TABLE o", "o", "n"),
        ("EXPLAIN INSERT INTO t TABLE a", "t a", ""),
        ("EXPLAIN (ANALYZE off) DELETE FROM t", "t", ""),
        ("DECLARE c CURSOR FOR SELECT * FROM t", "t", ""),
        ("WITH x AS (INSERT INTO t TABLE a RETURNING *), y AS (TABLE x) UPDATE u SET b = 1 FROM y", "a", "t u"),
        ("SELECT * FROM (WITH x AS (DELETE FROM t RETURNING *) TABLE x) q", "", "t"),
        ("WITH t AS (TABLE t) TABLE t", "t", ""),
        ("WITH RECURSIVE t AS (SELECT 1 UNION TABLE t) TABLE t", "", ""),
        ("WITH t AS (SELECT 1) INSERT INTO t TABLE t", "", "t"),
        ("WITH t AS (SELECT 1) SELECT * FROM s.t", "s.t", ""),
        ("LOCK TABLE t", "", ""),
        ("CREATE TABLE t (a int DEFAULT f())", "", ""),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u", "", ""),
        ("INSERT INTO a VALUES (1); DELETE FROM b", "", "a b"),
        ('SELECT * FROM "s.t", "S"."T"', '"s.t" S.T', ""),
    ],
)  # fmt: skip
def test_names_are_as_they_are_written(text: str, reads: str, writes: str) -> None:
    found = access(text)
    assert (found.relations, found.targets) == (set(reads.split()), set(writes.split()))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT 1", "read"),
        ("SHOW ALL", "read"),
        ("TABLE t; TABLE u", "read"),
        ("SELECT 1; INSERT INTO t VALUES (1)", "write"),
        ("BEGIN", "utility"),
        ("SET a = 1", "utility"),
        ("SELECT 1; SET a = 1", "utility"),
        ("", "utility"),
        ("SELEC 1", "unknown"),
    ],
)
def test_kind_is_what_the_text_shows(text: str, kind: str) -> None:
    assert access(text).kind == kind


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("COMMIT", True),
        ("SELECT 1; ROLLBACK; SELECT 2", True),
        ("INSERT INTO t VALUES (1); PREPARE TRANSACTION 'x'", True),
        ("END AND CHAIN", True),
        ("CALL p()", True),
        ("DO 'BEGIN COMMIT; END'", True),
        ("SELEC 1", True),
        ("BEGIN; SAVEPOINT a; ROLLBACK TO a; RELEASE a", False),
        ("SELECT 1; SELECT 'COMMIT'", False),
    ],
)
def test_what_may_end_the_transaction_is_told(text: str, ends: bool) -> None:
    assert access(text).ends_transaction is ends


def test_functions_are_as_they_are_written() -> None:
    assert access("SELECT s.f(g(1)) FROM h() WHERE now() > x").functions == {"s.f", "g", "h", "now"}


def test_what_cannot_be_read_is_not_seen() -> None:
    assert access("SELEC 1") is UNSEEN
