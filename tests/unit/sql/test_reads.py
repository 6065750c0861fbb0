"""Which statements are reads, what is to be looked up for them, and what a comment says about where they go."""

import pytest
from postgast import parse

from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.parser import UNREADABLE, classify
from dbproxy.sql.relations import CATALOGS
from dbproxy.sql.statement import CONSTANT, HARMLESS, READS, UNKNOWN, Statement
from dbproxy.sql.volatility import VOLATILE, answers_anywhere
from tests.support.other_sql import OTHERS
from tests.support.reads_sql import READS as READ_TEXTS
from tests.support.reads_sql import lines

READING = list(lines(READ_TEXTS))
OTHER = list(lines(OTHERS))
# Nodes that the grammar makes only inside others, or for PL/pgSQL.
PARTS = {"RawStmt", "SetOperationStmt", "ReturnStmt", "PLAssignStmt", "ReplicaIdentityStmt"}


def found(text: str) -> Statement:
    return classify(text.encode())


@pytest.mark.parametrize(("group", "text"), READING, ids=lambda it: it[:60])
def test_a_read_is_told_from_other_statements(group: str, text: str) -> None:
    assert found(text).reads
    assert not found(text).begins_read_only


@pytest.mark.parametrize(("group", "text"), OTHER, ids=lambda it: it[:60])
def test_what_may_write_or_asks_its_own_server_is_no_read(group: str, text: str) -> None:
    assert not found(text).reads
    assert not found(text).relations
    assert not found(text).calls


def test_the_table_has_every_kind_of_statement() -> None:
    assert len(READING) + len(OTHER) >= 300
    kinds = {
        field.message_type.name
        for field in parse("SELECT 1").stmts[0].stmt.DESCRIPTOR.fields
        if field.message_type and field.message_type.name.endswith("Stmt")
    }
    seen = {
        getattr(raw.stmt, raw.stmt.WhichOneof("node")).DESCRIPTOR.name
        for _, text in READING + OTHER
        if found(text) is not UNREADABLE
        for raw in parse(text).stmts
    }
    assert kinds - PARTS == seen


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE b = $1 AND c > $2::int LIMIT $3",
        "\n\t-- a comment\n SELECT 1 -- FOR UPDATE\n",
        "/* a /* nested */ comment */ SELECT\n1\n;",
        "SELECT id, " + ", ".join("a" * 1000) + " FROM t",
        "SELECT " + "(" * 100 + "1" + ")" * 100,
    ],
)
def test_parameters_comments_and_length_make_no_difference(text: str) -> None:
    assert found(text).reads


# --- what is to be looked up ---


@pytest.mark.parametrize(
    ("text", "relations"),
    [
        ("SELECT 1", ""),
        ("SELECT * FROM t", "t"),
        ('SELECT * FROM s.t, "A b" AS u JOIN ONLY v ON true', "t|A b|v"),
        ("SELECT (SELECT max(a) FROM t) FROM (TABLE u) AS x WHERE EXISTS (SELECT FROM v UNION TABLE w)", "t|u|v|w"),
        ("COPY s.t TO STDOUT; EXPLAIN TABLE u", "t|u"),
        ("SELECT * FROM pg_class, information_schema.tables, pg_catalog.pg_views", ""),
        ("SELECT * FROM tables", "tables"),
        ("WITH t AS (SELECT 1) SELECT * FROM t", ""),
        ("WITH t AS (SELECT 1) SELECT * FROM s.t", "t"),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
        ("WITH RECURSIVE t AS (SELECT * FROM t) SELECT * FROM t", ""),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM a, b", "b"),
        ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a, b", ""),
        ("SELECT * FROM (WITH t AS (SELECT 1) SELECT * FROM t) AS x, t", "t"),
        ("WITH t AS (SELECT 1) SELECT * FROM (SELECT (SELECT a FROM t)) AS x", ""),
        ("WITH t AS (SELECT 1) SELECT 1 UNION (WITH u AS (TABLE t) TABLE u)", ""),
        ("SELECT * FROM f() AS t", ""),
        ("DELETE FROM t", ""),
    ],
)  # fmt: skip
def test_relations_are_those_that_a_read_reads(text: str, relations: str) -> None:
    assert found(text).relations == set(filter(None, relations.split("|")))


@pytest.mark.parametrize(
    ("text", "functions", "calls"),
    [
        ("SELECT 1", "", ""),
        ("SELECT lower(a), pg_catalog.upper(a), f(a), s.g(a), s.lower(b)", "f g lower", "lower"),
        ("SELECT a + b, a OPERATOR(s.<->) b, -a, a IN (1, 2), a LIKE b", "", "+ <-> - = ~~"),
        ("SELECT a < ALL (SELECT 1)", "", "<"),
        ("SELECT * FROM f(1), ROWS FROM (g(1)) WHERE h() ORDER BY i(), max(a) OVER (ORDER BY j())", "f g h i j", "max"),
        ("SELECT nextval('s'), f()", "f", ""),
    ],
)  # fmt: skip
def test_functions_and_operators_are_named_for_the_router(text: str, functions: str, calls: str) -> None:
    assert found(text).functions == set(functions.split())
    assert found(text).calls == set(calls.split())


def test_reads_with_nothing_to_look_up_are_one_object() -> None:
    assert found("VALUES (1)") is found("SELECT CASE WHEN true THEN 1 END") is READS
    assert found("SELECT 1") is found("SELECT 2, 'a'") is CONSTANT
    assert found("INSERT INTO t VALUES (1)") is HARMLESS


def test_statements_that_do_nothing_to_the_session_are_harmless() -> None:
    for text in (
        "SELECT 1",
        "SELECT a FROM t WHERE lower(b) = 'x'",
        "INSERT INTO t VALUES (1)",
        "BEGIN READ ONLY",
    ):
        assert found(text).harmless, text
    for text in (
        "SET a.b = 1",
        "SELECT f()",
        "SELECT nextval('s')",
        "DROP DATABASE d",
        "CREATE TABLE t ()",
        "SELEC",
    ):
        assert not found(text).harmless, text
    assert Statement().harmless
    assert not Statement(effects=UNKNOWN).harmless


def test_volatile_functions_are_the_primarys_but_for_plain_ones() -> None:
    assert VOLATILE <= BUILTINS
    assert [
        name for name in ("random", "clock_timestamp", "pg_sleep", "lower") if not answers_anywhere(name)
    ] == []
    assert [name for name in sorted(VOLATILE) if answers_anywhere(name)] == [
        "array_sample", "array_shuffle", "clock_timestamp", "gen_random_uuid", "pg_sleep", "pg_sleep_for",
        "pg_sleep_until", "random", "random_normal", "timeofday", "uuidv4", "uuidv7",
    ]  # fmt: skip


def test_no_view_of_the_servers_state_is_taken_for_a_catalog() -> None:
    assert not [
        name for name in CATALOGS if name.startswith(("pg_stat_", "pg_statio_", "pg_replication_slots"))
    ]


# --- transactions ---


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("BEGIN READ ONLY", True),
        ("begin work read only;", True),
        ("START TRANSACTION READ ONLY", True),
        ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", True),
        ("BEGIN READ ONLY DEFERRABLE", True),
        ("BEGIN READ WRITE READ ONLY", True),
        ("BEGIN READ ONLY, READ WRITE", False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, ISOLATION LEVEL READ COMMITTED, READ ONLY", True),
        ("BEGIN READ ONLY, ISOLATION LEVEL SERIALIZABLE, DEFERRABLE", False),
        ("BEGIN", False),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", False),
        ("BEGIN READ ONLY; SELECT 1", False),
        ("SET TRANSACTION READ ONLY", False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", False),
        ("COMMIT AND CHAIN", False),
        ("ROLLBACK", False),
        ("SELECT 1", False),
    ],
)
def test_a_transaction_that_a_hot_standby_can_begin(text: str, begins: bool) -> None:
    assert found(text).begins_read_only is begins


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("BEGIN", True),
        ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ", True),
        ("BEGIN READ ONLY", False),
        ("BEGIN READ WRITE", False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", False),
        ("COMMIT", False),
        ("BEGIN; SELECT 1", False),
    ],
)
def test_a_transaction_whose_access_mode_is_the_sessions(text: str, begins: bool) -> None:
    assert found(text).begins is begins


# --- hints ---


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("/* dbproxy: primary */ SELECT 1", "primary"),
        ("SELECT 1 /* dbproxy: replica */", "replica"),
        ("SELECT /* dbproxy: replica(one) */ 1", "replica(one)"),
        ("/*DBProxy:PRIMARY*/ SELECT 1", "primary"),
        ("/*\n dbproxy :\treplica ( Berlin 2 )\n*/ SELECT 1", "replica(Berlin 2)"),
        ("/* dbproxy: replica(é) */ SELECT 1", "replica(é)"),
        ("-- dbproxy: primary\nSELECT 1", "primary"),
        ("SELECT 1 -- dbproxy:replica(one)", "replica(one)"),
        ("SELECT 'é' -- dbproxy: replica", "replica"),
        ("/* dbproxy: replica */ SELECT 1 /* dbproxy: primary */", "replica"),
        ("/* dbproxy: nowhere */ SELECT 1 /* dbproxy: primary */", "primary"),
        ("/* dbproxy: primary */ DELETE FROM t", "primary"),
        ("BEGIN -- dbproxy: replica\n; SELECT 1", "replica"),
        ("SELECT 1", ""),
        ("SELECT 1 /* primary */", ""),
        ("/* use dbproxy: primary */ SELECT 1", ""),
        ("/* dbproxy: primary please */ SELECT 1", ""),
        ("/* dbproxy: replica() */ SELECT 1", ""),
        ("/* outer /* dbproxy: primary */ */ SELECT 1", ""),
        ("-- /* dbproxy: primary */\nSELECT 1", ""),
        ("SELECT '/* dbproxy: primary */'", ""),
        ("SELECT E'\\'/* dbproxy: primary */'", ""),
        ("SELECT $$-- dbproxy: primary\n$$", ""),
        ('SELECT 1 AS "/* dbproxy: primary */"', ""),
        ("SELECT dbproxy - -primary FROM t", ""),
    ],
)
def test_a_hint_is_a_comment_of_its_own(text: str, hint: str) -> None:
    assert found(text).hint == hint
    assert StatementCache(8).find(text.encode()).effects.hint == hint


# --- found again in the cache ---


@pytest.mark.parametrize(
    "texts",
    [
        ["SELECT 1", "/* dbproxy: primary */ SELECT 1", "SELECT 1 -- dbproxy: replica", "/* other */ SELECT 1"],
        ["SELECT {0} /* dbproxy: primary */", "SELECT {0} /* dbproxy: replica */", "SELECT {0}", "SELECT {0} /* a */"],
        ["SELECT {0} /* dbproxy: replica(1) */", "SELECT {0} /* dbproxy: replica(2) */"],
        ["SELECT '/* dbproxy: primary */', {0}", "SELECT '', {0} /* dbproxy: primary */", "SELECT 'a', {0}"],
        ["SELECT current_setting('work_mem'), {0}", "SELECT current_setting('transaction_read_only'), {0}"],
        ["SELECT 'FOR UPDATE' FROM t LIMIT {0}", "SELECT 'a' FROM t LIMIT {0} FOR UPDATE"],
    ],
)  # fmt: skip
def test_a_comment_or_a_literal_that_decides_is_not_lost_in_the_cache(texts: list[str]) -> None:
    statements = StatementCache(64)
    for number in range(4):
        for text in [it.format(number).encode() for it in texts + texts[::-1]]:
            assert statements.find(text).effects == classify(text)
    assert len({found(text.format(1)).hint + str(found(text.format(1)).reads) for text in texts}) > 1


def test_a_text_over_the_limit_is_no_read_and_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    statements = StatementCache(8)
    assert statements.find(b"SELECT 1".ljust(16384)).effects.reads
    monkeypatch.setattr("dbproxy.sql.cache.examine", None)
    assert not statements.find(b"SELECT 1".ljust(16385)).effects.reads
    assert not statements.find(b"/* dbproxy: replica */ SELECT 1".ljust(16385)).effects.hint


def test_backslashes_that_may_escape_make_no_read() -> None:
    assert not StatementCache(8).find(rb"SELECT '\'; DELETE FROM t; --'", True).effects.reads
