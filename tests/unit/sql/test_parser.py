"""What a SQL text does to its session, by PostgreSQL's own grammar."""

from dataclasses import replace
from typing import Any

import pytest
from postgast import fingerprint

from dbproxy.sql.cache import StatementCache
from dbproxy.sql.parser import UNREADABLE, classify, find_explainable, find_fingerprint, find_prepares
from dbproxy.sql.statement import (
    ADVANCES,
    ALL,
    CHANGES,
    CLOSES,
    CREATES_TEMP,
    DEALLOCATES,
    DISCARDS,
    DROPS,
    EXECUTES,
    HARMLESS,
    HOLDS,
    KEEPS,
    LISTENS,
    LOADS,
    LOCAL,
    LOCKS,
    NOTIFIES,
    PREPARES,
    READS_SETTINGS,
    RECALLS,
    RESETS,
    SEEDS,
    SETS,
    SETS_PARAMETER,
    SETS_UNKNOWN,
    SHOWS_CHANNELS,
    SHOWS_NAMES,
    SHOWS_TOKEN,
    UNKNOWN,
    UNLOCKS,
    Listen,
)

CHARACTERISTICS = "default_transaction_isolation default_transaction_read_only"


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


IDENTITY = names("session_authorization role")
HARMLESS_TEXTS = [
    "",
    ";",
    "  -- nothing\n",
    "SELECT 1",
    "SELECT abalance FROM pgbench_accounts WHERE aid = 1234;",
    "SELECT a, count(*), lower(b), pg_catalog.upper(c) FROM t GROUP BY 1, 3, 4 HAVING sum(d) > 2 ORDER BY now()",
    "TABLE t",
    "VALUES (1), (2)",
    "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING a",
    "UPDATE t SET a = 1",
    "UPDATE settings SET search_path = 'pg_temp'",
    "DELETE FROM t USING u WHERE t.a = u.a",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = u.b WHEN NOT MATCHED THEN DO NOTHING",
    "WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w",
    "COPY t FROM STDIN",
    "COPY (SELECT * FROM t) TO STDOUT",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t",
    "TRUNCATE t",
    "LOCK TABLE t",
    "SHOW search_path",
    "VACUUM t",
    "CHECKPOINT",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
    "COMMIT",
    "ROLLBACK TO SAVEPOINT a",
    "SAVEPOINT a",
    "PREPARE TRANSACTION 'a'",
    "COMMIT PREPARED 'a'",
    "SET LOCAL work_mem = '1MB'",
    "SET LOCAL ROLE app",
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET transaction_read_only = on",
    "SET TRANSACTION SNAPSHOT '1'",
    "SET CONSTRAINTS ALL DEFERRED",
    "ALTER SYSTEM SET work_mem = 1",
    "ALTER ROLE app SET search_path = a",
    "ALTER DATABASE d SET work_mem = 1",
    "CREATE TABLE t (a int DEFAULT 1 PRIMARY KEY, b timestamptz DEFAULT now())",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW v AS SELECT lower(a) FROM t",
    "CREATE INDEX i ON t (lower(a))",
    "SELECT * INTO t FROM u",
    "ALTER TABLE t ADD COLUMN temp int",
    "DECLARE c CURSOR FOR SELECT 1",
    "DECLARE c SCROLL CURSOR WITHOUT HOLD FOR SELECT 1",
    "FETCH 10 FROM c",
    "DISCARD PLANS",
    "DISCARD SEQUENCES",
    "GRANT SELECT ON t TO app",
    "COMMENT ON TABLE t IS 'DROP'",
    "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
    "SELECT 'set_config(1)', 'LISTEN x', $$SET a = 1$$ -- SET b = 2",
    "SELECT 1 /* ; DROP TABLE t */",
    "SELECT current_setting('a.b')",
    "SELECT pg_backend_pid(), version(), random(), gen_random_uuid(), clock_timestamp(), pg_sleep(1)",
    "SELECT json_agg(row_to_json(t)), coalesce(a, b), greatest(a, b), nullif(a, b), CAST(a AS text) FROM t",
    "SELECT 'pg_temp' FROM pg_temp.t",
    "EXPLAIN SELECT 'pg_temp_3'",
    "SELECT * FROM generate_series(1, 3) g, unnest(ARRAY[1, 2]) u, LATERAL jsonb_each('{}') e",
    "SELECT " + " || ".join(["'a'"] * 20),
]

EFFECTS: list[tuple[str, int, dict[str, Any]]] = [
    # SET
    ("SET work_mem = '1MB'", SETS, {"settings": names("work_mem")}),
    ("set WORK_MEM to 1", SETS, {"settings": names("work_mem")}),
    ("SET SESSION work_mem TO 1", SETS, {"settings": names("work_mem")}),
    ('SET "Work_Mem" = 1', SETS, {"settings": names("work_mem")}),
    ("SET My.Setting = 'x'", SETS, {"settings": names("my.setting")}),
    ('SET "É.Ä" = 1', SETS, {"settings": names("É.Ä")}),
    ('SET U&"\\0061.b" = 1', SETS, {"settings": names("a.b"), "varies": True}),
    ("SET TIME ZONE 'UTC'", SETS, {"settings": names("timezone")}),
    ("SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", SETS, {"settings": names("timezone")}),
    ("SET NAMES 'latin1'", SETS, {"settings": names("client_encoding")}),
    ("SET ROLE app", SETS, {"settings": names("role")}),
    ("SET ROLE NONE", SETS, {"settings": names("role")}),
    ("SET SESSION AUTHORIZATION app", SETS, {"settings": names("session_authorization role")}),
    ("SET SESSION AUTHORIZATION DEFAULT", RESETS, {"settings": IDENTITY, "resets": IDENTITY}),
    ("SET SCHEMA 'a'", SETS, {"settings": names("search_path"), "varies": True}),
    ("SET XML OPTION DOCUMENT", SETS, {"settings": names("xmloption")}),
    (
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE",
        SETS,
        {"settings": names(CHARACTERISTICS)},
    ),
    ("SET a.b FROM CURRENT", SETS, {"settings": names("a.b")}),
    ("SET a.b TO DEFAULT", RESETS, {"settings": names("a.b"), "resets": names("a.b")}),
    ("SET TIME ZONE LOCAL", RESETS, {"settings": names("timezone"), "resets": names("timezone")}),
    ("RESET A.b", RESETS, {"settings": names("a.b"), "resets": names("a.b")}),
    ("RESET ROLE", RESETS, {"settings": names("role"), "resets": names("role")}),
    ("RESET SESSION AUTHORIZATION", RESETS, {"settings": IDENTITY, "resets": IDENTITY}),
    ("RESET TIME ZONE", RESETS, {"settings": names("timezone"), "resets": names("timezone")}),
    ("RESET ALL", RESETS, {"resets": {ALL}}),
    ("SET seed = 0.5", SEEDS, {}),
    ("SET search_path = a, b", SETS, {"settings": names("search_path"), "varies": True}),
    ("SET search_path = pg_temp, a", SETS | UNKNOWN, {"settings": names("search_path"), "varies": True}),
    (
        "SET LOCAL search_path = 'pg_temp'",
        UNKNOWN,
        {"settings": names("search_path"), "local": names("search_path"), "varies": True},
    ),
    # set_config
    ("SELECT set_config('A.b', 'x', false)", SETS, {"settings": names("a.b"), "varies": True}),
    ("SELECT pg_catalog.set_config('a.b', $1, 'f')", SETS, {"settings": names("a.b"), "varies": True}),
    (
        "SELECT SET_CONFIG('a.b'::text, 'x', $1)",
        SETS,
        {"settings": names("a.b"), "varies": True, "constants": READS_SETTINGS},
    ),
    ("SELECT set_config('a.b', 'x', true)", 0, {"local": names("a.b"), "varies": True}),
    ("SELECT set_config('a.b', 'x', 't'::bool)", 0, {"local": names("a.b"), "varies": True}),
    ("SELECT set_config('a.b', 'x', NOT false)", SETS, {"settings": names("a.b"), "varies": True}),
    (
        "SELECT set_config(is_local => true, setting_name => 'a', new_value => 'b')",
        0,
        {"local": names("a"), "varies": True},
    ),
    (
        "SELECT set_config(new_value => 'b', setting_name => 'a', is_local => false)",
        SETS,
        {"settings": names("a"), "varies": True},
    ),
    ("SELECT set_config($1, $2, false)", SETS_PARAMETER, {"varies": True}),
    ("SELECT set_config($1::text, 'x', $2)", SETS_PARAMETER, {"varies": True}),
    ("SELECT set_config('a' || '.b', 'x', false)", SETS_UNKNOWN, {"varies": True}),
    ("SELECT set_config(name, 'x', false) FROM t", SETS_UNKNOWN, {"varies": True}),
    ("SELECT set_config(lower('A'), 'x', true)", 0, {"local": frozenset({""}), "varies": True}),
    ("SELECT set_config('seed', '0.5', false)", SEEDS, {"varies": True}),
    (
        "SELECT set_config('search_path', 'pg_temp, a', false)",
        SETS | UNKNOWN,
        {"settings": names("search_path"), "varies": True},
    ),
    (
        "SELECT set_config('a', '1', false), set_config('b', '2', false), set_config('c', '3', true)",
        SETS,
        {"settings": names("a b"), "local": names("c"), "varies": True},
    ),
    ('SELECT "set_config"(\'a\', \'1\', false)', SETS, {"settings": names("a"), "varies": True}),
    ("UPDATE pg_settings SET setting = 'x' WHERE name = 'a'", SETS_UNKNOWN, {}),
    ("UPDATE pg_catalog.pg_settings s SET setting = 'x'", SETS_UNKNOWN, {}),
    # locks
    ("SELECT pg_advisory_lock(1)", LOCKS, {}),
    ("SELECT PG_CATALOG.Pg_Advisory_Lock(1, 2)", LOCKS, {}),
    ("SELECT pg_advisory_lock_shared(1)", LOCKS, {}),
    ("SELECT pg_try_advisory_lock(id) FROM t", LOCKS, {}),
    ("SELECT pg_try_advisory_lock_shared(1)", LOCKS, {}),
    ("SELECT pg_advisory_unlock(1)", UNLOCKS, {}),
    ("SELECT pg_advisory_unlock_shared(1)", UNLOCKS, {}),
    ("SELECT pg_advisory_unlock_all()", UNLOCKS, {}),
    ("SELECT 1 FROM t WHERE pg_try_advisory_lock(t.a) ORDER BY pg_advisory_unlock(2)", LOCKS | UNLOCKS, {}),
    # sequences, seeds, notifications
    ("SELECT nextval('s')", ADVANCES, {}),
    ("SELECT setval('s', 1)", ADVANCES, {}),
    ("INSERT INTO t VALUES (nextval('s'), 1)", ADVANCES, {}),
    ("CREATE TABLE t (a int DEFAULT nextval('s'))", ADVANCES, {}),
    ("CREATE TYPE e AS ENUM ('pg_temp')", 0, {}),
    ("CREATE TYPE pg_temp.e AS ENUM ('a')", CREATES_TEMP, {}),
    ("SELECT currval('s')", RECALLS, {"bare": True}),
    ("SELECT lastval()", RECALLS, {"bare": True}),
    ("INSERT INTO t VALUES (nextval('s')) RETURNING currval('s')", ADVANCES | RECALLS, {}),
    ("SELECT setseed(0.5)", SEEDS, {}),
    ("SELECT pg_notify('a', 'b')", NOTIFIES, {}),
    ("NOTIFY a", NOTIFIES, {}),
    ("NOTIFY a, 'b'", NOTIFIES, {}),
    # what runs a text
    ("SELECT query_to_xml('SELECT 1', true, false, '')", UNKNOWN, {}),
    ("SELECT * FROM ts_stat('SELECT v FROM t')", UNKNOWN, {}),
    ("SELECT query_to_xmlschema($1, true, false, '')", UNKNOWN, {}),
    ("SELECT dblink_connect('a', 'b')", KEEPS, {}),
    ("SELECT * FROM crosstab('SELECT 1') AS c (a int)", UNKNOWN, {}),
    ("SELECT table_to_xml('t', true, false, '')", 0, {}),
    # functions of users
    ("SELECT f()", 0, {"functions": names("f")}),
    ("SELECT S.F(G(1))", 0, {"functions": names("f g")}),
    ('SELECT "F"(), "é b"()', 0, {"functions": frozenset({"F", "é b"})}),
    ('SELECT U&"\\0066"()', 0, {"functions": names("f"), "varies": True}),
    ("SELECT public.lower('a')", 0, {"functions": names("lower")}),
    ("SELECT * FROM f(1) AS x, ROWS FROM (g(2), h(3)) AS y", 0, {"functions": names("f g h")}),
    ("WITH w AS (SELECT f(g(1)) FROM t WHERE h(2)) SELECT * FROM w", 0, {"functions": names("f g h")}),
    ("SELECT a FROM t WHERE b IN (SELECT f(c) FROM u) AND EXISTS (SELECT g())", 0, {"functions": names("f g")}),
    ("SELECT sum(f(a)) OVER (PARTITION BY g(b) ORDER BY h(c)) FROM t", 0, {"functions": names("f g h")}),
    ("SELECT CASE WHEN f(1) THEN g(2) ELSE h(3) END", 0, {"functions": names("f g h")}),
    ("INSERT INTO t SELECT f(a) FROM u", 0, {"functions": names("f")}),
    ("UPDATE t SET a = f(a) WHERE g(b)", 0, {"functions": names("f g")}),
    ("DELETE FROM t WHERE f(a) RETURNING g(b)", 0, {"functions": names("f g")}),
    (
        "MERGE INTO t USING u ON f(t.a) WHEN MATCHED THEN UPDATE SET b = g(1)",
        0,
        {"functions": names("f g")},
    ),
    ("COPY (SELECT f(a) FROM t) TO STDOUT", 0, {"functions": names("f")}),
    ("EXPLAIN ANALYZE SELECT f(1)", 0, {"functions": names("f")}),
    ("CREATE TABLE t AS SELECT f(1)", 0, {"functions": names("f")}),
    ("CREATE VIEW v AS SELECT f(a) FROM t", 0, {"functions": names("f")}),
    ("CREATE MATERIALIZED VIEW v AS SELECT f(a) FROM t", 0, {"functions": names("f")}),
    ("ALTER TABLE t ALTER a SET DEFAULT f()", 0, {"functions": names("f")}),
    ("CREATE TABLE t (a int CHECK (f(a)), b int GENERATED ALWAYS AS (g(a)) STORED)", 0, {"functions": names("f g")}),
    ("CREATE RULE r AS ON INSERT TO t DO ALSO SELECT f(1)", 0, {"functions": names("f")}),
    ("CALL p(f(1))", 0, {"functions": names("p f")}),
    ("CALL a.p(set_config('a', 'b', false))", SETS, {"functions": names("p"), "settings": names("a"), "varies": True}),
    ("DECLARE c CURSOR FOR SELECT f(1)", 0, {"functions": names("f")}),
    # temporary objects
    ("CREATE TEMP TABLE t (a int)", CREATES_TEMP, {}),
    ("CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP", CREATES_TEMP, {}),
    ("CREATE LOCAL TEMP TABLE IF NOT EXISTS t (a int)", CREATES_TEMP, {}),
    ("CREATE TEMP TABLE t AS SELECT f(1)", CREATES_TEMP, {"functions": names("f")}),
    ("SELECT 1 INTO TEMP t", CREATES_TEMP, {}),
    ("SELECT 1 INTO pg_temp.t", CREATES_TEMP, {}),
    ("CREATE TEMP VIEW v AS SELECT 1", CREATES_TEMP, {}),
    ("CREATE OR REPLACE TEMP RECURSIVE VIEW v (n) AS SELECT 1", CREATES_TEMP, {}),
    ("CREATE TEMP SEQUENCE s", CREATES_TEMP, {}),
    ("CREATE TABLE pg_temp.t (a int)", CREATES_TEMP, {}),
    ('CREATE TABLE "pg_temp".t (a int)', CREATES_TEMP, {}),
    ("CREATE TABLE pg_temp_3.t AS SELECT 1", CREATES_TEMP, {}),
    ("CREATE VIEW pg_temp.v AS SELECT 1", CREATES_TEMP, {}),
    ("CREATE SEQUENCE pg_temp.s", CREATES_TEMP, {}),
    ("CREATE TYPE pg_temp.t AS (a int)", CREATES_TEMP, {}),
    ("CREATE TYPE pg_temp.t AS ENUM ('a')", CREATES_TEMP, {}),
    ("CREATE DOMAIN pg_temp.d AS int", CREATES_TEMP, {}),
    ("CREATE OPERATOR pg_temp.+ (FUNCTION = f, LEFTARG = int, RIGHTARG = int)", CREATES_TEMP, {}),
    ("ALTER TABLE t SET SCHEMA pg_temp", CREATES_TEMP | DROPS, {}),
    ("PREPARE p AS SELECT 1; CREATE TEMP TABLE t AS EXECUTE p", PREPARES | EXECUTES | CREATES_TEMP,
     {"prepares": ("p",), "executes": ("p",), "single": False}),
    # DROP
    ("DROP TABLE t", DROPS, {}),
    ("DROP TABLE pg_temp.t", DROPS, {}),
    ("DROP VIEW IF EXISTS v CASCADE", DROPS, {}),
    ("DROP SEQUENCE s", DROPS, {}),
    ("DROP TYPE t", DROPS, {}),
    ("DROP OWNED BY app", DROPS, {}),
    ("REASSIGN OWNED BY app TO other", DROPS, {}),
    ("DROP ROLE app", DROPS, {}),
    ("DROP DATABASE d", DROPS, {}),
    ("ALTER TABLE t SET SCHEMA s", DROPS, {}),
    ("DROP FUNCTION f(int)", DROPS, {"defines": frozenset({""})}),
    ("DROP PROCEDURE p", DROPS, {"defines": frozenset({""})}),
    ("DROP EXTENSION e", DROPS, {"defines": frozenset({""})}),
    ("DROP SCHEMA s CASCADE", DROPS, {"defines": frozenset({""})}),
    ("ALTER FUNCTION f SET SCHEMA s", DROPS, {"defines": frozenset({""})}),
    # cursors, prepared statements
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", HOLDS, {}),
    ("DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT f(1)", HOLDS, {"functions": names("f")}),
    ("CLOSE c", CLOSES, {}),
    ("CLOSE ALL", CLOSES, {}),
    ("PREPARE p AS SELECT 1", PREPARES, {"prepares": ("p",)}),
    ('PREPARE "P" (int) AS SELECT f($1)', PREPARES, {"prepares": ("P",), "functions": names("f")}),
    (
        "PREPARE p AS SELECT set_config('a', $1, false)",
        PREPARES | SETS,
        {"prepares": ("p",), "settings": names("a"), "varies": True},
    ),
    ("EXECUTE P(1, f(2))", EXECUTES, {"executes": ("p",), "functions": names("f")}),
    ("EXPLAIN ANALYZE EXECUTE p", EXECUTES, {"executes": ("p",)}),
    ("CREATE TABLE t AS EXECUTE p", EXECUTES, {"executes": ("p",)}),
    ("DEALLOCATE p", DEALLOCATES, {"deallocates": ("p",)}),
    ("DEALLOCATE PREPARE p", DEALLOCATES, {"deallocates": ("p",)}),
    ("DEALLOCATE ALL", DEALLOCATES, {"deallocates": ("",)}),
    ('DEALLOCATE "all"', DEALLOCATES, {"deallocates": ("all",)}),
    (
        "EXECUTE b; EXECUTE a; DEALLOCATE b; PREPARE b AS SELECT 1; PREPARE a AS SELECT 1",
        EXECUTES | DEALLOCATES | PREPARES,
        {"executes": ("b", "a"), "deallocates": ("b",), "prepares": ("b", "a"), "single": False},
    ),
    ("DISCARD ALL", DISCARDS | RESETS | DROPS | UNLOCKS | CLOSES | DEALLOCATES,
     {"deallocates": ("",), "resets": {ALL}}),
    ("DISCARD TEMP", DROPS, {}),
    ("DISCARD TEMPORARY", DROPS, {}),
    ("LOAD 'auto_explain'", LOADS, {}),
    # looks
    ("SELECT * FROM pg_prepared_statements", SHOWS_NAMES, {}),
    ("SELECT name FROM pg_catalog.pg_prepared_statements WHERE name = $1", SHOWS_NAMES, {}),
    ("SELECT * FROM pg_listening_channels()", SHOWS_CHANNELS, {}),
    ("SELECT (pg_prepared_statement()).name", SHOWS_NAMES, {}),
    ("COPY (TABLE pg_prepared_statements) TO STDOUT", SHOWS_NAMES, {}),
    # DO, functions
    ("DO $$BEGIN UPDATE t SET a = 1; END$$", 0, {"varies": True}),
    ("DO $$BEGIN SET a.b = 1; PERFORM f(1); END$$", SETS,
     {"settings": names("a.b"), "functions": names("f"), "varies": True}),
    ("DO LANGUAGE plpgsql 'BEGIN EXECUTE q; END'", UNKNOWN, {"varies": True}),
    ("DO 'BEGIN CREATE FUNCTION g() RETURNS int AS ''SELECT 1''; END'", 0,
     {"functions": names("g"), "defines": frozenset({""}), "varies": True}),
    (
        "CREATE OR REPLACE FUNCTION S.F(a int DEFAULT g()) RETURNS int LANGUAGE sql SET search_path = pg_temp "
        "AS $$SELECT h(1), pg_advisory_lock(1), set_config('a.b', 'x', false)$$",
        0,
        {
            "defines": names("f"),
            "functions": names("g"),
            "defined_effects": LOCKS | SETS,
            "defined_settings": names("a.b"),
            "defined_calls": names("h"),
            "varies": True,
        },
    ),
    (
        "CREATE PROCEDURE p() BEGIN ATOMIC SELECT nextval('s'), g(); END",
        0,
        {"defines": names("p"), "defined_effects": ADVANCES, "defined_calls": names("g"), "varies": True},
    ),
    ("CREATE FUNCTION f() RETURNS int RETURN lastval()", 0,
     {"defines": names("f"), "defined_effects": RECALLS, "varies": True}),
    ("CREATE FUNCTION pg_temp.f() RETURNS int AS 'SELECT 1' LANGUAGE sql", CREATES_TEMP,
     {"defines": names("f"), "varies": True}),
    ("CREATE FUNCTION f() RETURNS int AS 'lib', 'symbol' LANGUAGE c", 0, {"defines": names("f"), "varies": True}),
    ("CREATE EXTENSION e", 0, {"defines": frozenset({""})}),
    ("ALTER EXTENSION e UPDATE", 0, {"defines": frozenset({""})}),
    ("ALTER FUNCTION f() SET a = 1", 0, {"defines": frozenset({""})}),
    ("ALTER FUNCTION f() RENAME TO g", 0, {"defines": frozenset({""})}),
    ("ALTER TABLE t RENAME TO u", 0, {}),
    ("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", 0, {"defines": frozenset({""})}),
    # several statements
    ("SELECT 1; SELECT 2", 0, {"single": False}),
    ("SELECT 1;; -- end\n;", 0, {}),
    ("BEGIN; SET a.b = 1; SELECT pg_advisory_lock(1); COMMIT", SETS | LOCKS,
     {"settings": names("a.b"), "single": False}),
    ("SET a = 1; SET b = 2; RESET c", SETS | RESETS,
     {"settings": names("a b c"), "resets": names("c"), "single": False}),
    ("RESET a; SET a = 1; SET b = 1; RESET b", SETS | RESETS,
     {"settings": names("a b"), "resets": names("b"), "single": False}),
    ("SET a = 1; RESET ALL; SET b = 1", SETS | RESETS,
     {"settings": names("a b"), "resets": {ALL}, "stays": names("b"), "single": False}),
    ("/* a /* b */ SET c = 1; */ SET -- SET d\n e = 1", SETS, {"settings": names("e")}),
]  # fmt: skip

LISTENING = [
    ("listen A;", [Listen("a", True)]),
    ("UNLISTEN a", [Listen("a", False)]),
    ("UNLISTEN * ;", [Listen("", False)]),
    ('LISTEN "A b;c"', [Listen("A b;c", True)]),
    ("SELECT 'é'; LISTEN \"é\"; SELECT 1", [Listen("é", True)]),
    ("LISTEN /* c */ a -- d\n ; /* ; */ UNLISTEN b", [Listen("a", True), Listen("b", False)]),
    ("DO $$ BEGIN EXECUTE 'LISTEN a'; END $$", [Listen("a", True)]),
    ('DO $$ BEGIN /* a */ LISTEN B; LISTEN "C"; END $$', [Listen("C", True), Listen("b", True)]),
    (f"DO $$ BEGIN LISTEN {'x' * 64}; END $$", []),  # PostgreSQL will cut it: asked afterwards
    (f"LISTEN {'x' * 64}", [Listen("x" * 63, True)]),
]


APART = CHANGES | LOCAL
ROUTING = names(
    "reads relations calls begins begins_read_only hint harmless "  # see test_reads.py
    "ends chains repeats needs_primary"  # see test_transactions.py
)


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_most_statements_leave_nothing_in_the_session(text: str) -> None:
    assert classify(text.encode()).effects & ~APART == 0


@pytest.mark.parametrize(("text", "effects", "rest"), EFFECTS, ids=[row[0][:50] for row in EFFECTS])
def test_effects_and_names(text: str, effects: int, rest: dict[str, Any]) -> None:
    """But for what has tables of its own: CHANGES, LOCAL, `databases`."""
    found = classify(text.encode())
    apart = {"effects": effects, "databases": ()}
    if found.effects & ~APART == 0:
        apart["settings"] = frozenset()
    found = replace(found, **apart, defined_effects=found.defined_effects & ~APART)
    differing = {
        name: getattr(found, name)
        for name in found.__dataclass_fields__
        if name not in ROUTING and name != "effects" and getattr(found, name) != getattr(HARMLESS, name)
    }
    assert (classify(text.encode()).effects & ~APART, differing) == (effects, rest)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a int)", "CREATE TEMP TABLE t (a int)", "ALTER TABLE t ADD b int", "DROP VIEW v",
        "SELECT 1 INTO t",
        "CREATE TABLE t AS SELECT 1", "CREATE TYPE e AS ENUM ('a')", "ALTER TYPE e ADD VALUE 'b'",
        "DROP EXTENSION hstore",
        "ALTER TABLE a RENAME TO b", "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "BEGIN; CREATE INDEX i ON t (a); COMMIT", "DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$",
    ],
)  # fmt: skip
def test_ddl_changes_what_other_statements_mean(text: str) -> None:
    assert classify(text.encode()).effects & CHANGES


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1", "INSERT INTO t VALUES (1)", "TRUNCATE t", "GRANT SELECT ON t TO a",
        "COMMENT ON TABLE t IS 'create'",
        "DISCARD ALL", "DO $$ BEGIN PERFORM 1; END $$", "LOCK TABLE t", "SET a.b = 'DROP TABLE t'", "VACUUM t",
    ],
)  # fmt: skip
def test_other_statements_change_no_meaning(text: str) -> None:
    assert not classify(text.encode()).effects & CHANGES


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("SET LOCAL work_mem = 1", set()),
        ("SET LOCAL search_path = a, b", {"search_path"}),
        ("SELECT set_config('Search_Path', 'a', true)", {"search_path"}),
        ("SELECT set_config('work_mem', '1', true)", set()),
    ],
)
def test_what_is_set_for_the_transaction_is_told_apart(text: str, settings: set[str]) -> None:
    found = classify(text.encode())
    assert (found.effects, found.settings) == (LOCAL, settings)


@pytest.mark.parametrize(
    ("text", "databases"),
    [
        ("DROP DATABASE a; DROP DATABASE IF EXISTS b WITH (FORCE)", ("a", "b")),
        ("ALTER DATABASE a RENAME TO b", ("a",)),
        ("CREATE DATABASE b TEMPLATE a", ("a",)),
        ("CREATE DATABASE b", ()),
        ("ALTER TABLE a RENAME TO b", ()),
    ],
)
def test_databases_that_nobody_may_be_connected_to(text: str, databases: tuple[str, ...]) -> None:
    assert classify(text.encode()).databases == databases


def test_a_prepare_is_found_among_other_statements() -> None:
    text = b"SELECT 1; PREPARE a AS SELECT ';'; PREPARE b (int) AS SELECT $1"
    found = {name: prepare.strip() for name, prepare in find_prepares(text).items()}
    assert found == {"a": b"PREPARE a AS SELECT ';'", "b": b"PREPARE b (int) AS SELECT $1"}
    assert find_prepares(b"/* mine */ PREPARE a AS SELECT 1;") == {}  # all of the text is it
    assert find_prepares(b"PREPARE a AS SELECT 1; nonsense") == {}
    assert find_prepares(text + b" " * 65536) == {}


@pytest.mark.parametrize(("text", "expected"), LISTENING)
def test_channels_are_those_that_are_listened_to(text: str, expected: list[Listen]) -> None:
    found = classify(text.encode())
    assert found.effects & LISTENS
    assert list(found.listens) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"SELEC 1",
        b"SELECT 1; SET a = ",
        b"SELECT 'a",
        b"SELECT 1 /* a",
        b"SELECT 1\0; SET a = 1",
        b"SELECT '\xff'",
        b"(" * 16384,
        b"SELECT " + b"(" * 8000 + b"1" + b")" * 7999,
        b"SELECT " + b"f(" * 5000 + b"1" + b")" * 5000,
        b"SELECT " + b"NOT " * 4000 + b"true",
        b"SELECT 1" + b"+1" * 8000,
        b"SELECT " + b"(SELECT " * 1800 + b"1" + b")" * 1800,
        b"SELECT " + b"ARRAY[" * 2500 + b"1" + b"]" * 2500,
        b"SELECT " + b"CASE WHEN true THEN " * 800 + b"1" + b" END" * 800,
        b"SELECT 1" + b"::int" * 3000,
        b"SELECT * FROM " + b"(" * 4000 + b"t" + b" JOIN t)" * 1500,
        b"EXPLAIN " * 2000 + b"SELECT 1",
        b"SELECT 1 " + b"+-" * 8000,
        b"SELECT 1 " + b"/*" * 8000,
        b"SELECT 1 " + b"/**/" * 4000,
        b"WITH a AS (" * 1400 + b"SELECT 1" + b") SELECT 1" * 1400,
    ],
    ids=lambda text: text[:24].decode("latin-1"),
)
def test_what_cannot_be_read_is_unknown(text: bytes) -> None:
    assert classify(text) == UNREADABLE
    assert classify(text).effects == UNKNOWN


@pytest.mark.parametrize("wide", ["(" * 200 + "1" + ")" * 200, "+".join("1" * 30), ",".join("1" * 5000)])
def test_what_only_looks_deep_is_read(wide: str) -> None:
    assert classify(f"SELECT {wide}".encode()).harmless


# --- settings of the proxy's own ---


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("SET dbproxy.route = 'primary'", (("dbproxy.route", "primary"),)),
        ("SET SESSION DBProxy.Route TO replica", (("dbproxy.route", "replica"),)),
        (
            "SET dbproxy.route = 1; SET dbproxy.route = 1.5",
            (("dbproxy.route", "1"), ("dbproxy.route", "1.5")),
        ),
        ("SELECT set_config('Dbproxy.Route', 'x'::text, false)", (("dbproxy.route", "x"),)),
        ("SELECT set_config('dbproxy.route', $1, false)", ()),
        ("SELECT set_config('dbproxy.route', 'x', true)", ()),
        ("SET LOCAL dbproxy.route = 'primary'", ()),
        ("SET dbproxy.route TO DEFAULT; RESET dbproxy.route", ()),
        ("SET route = 'primary'; SET dbproxyroute = 'x'", ()),
    ],
)
def test_literals_of_our_own_settings_are_known(text: str, wishes: tuple[tuple[str, str], ...]):
    found = classify(text.encode())
    assert found.wishes == wishes
    assert found.varies or not wishes


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("SHOW dbproxy.causal_token", True),
        ("SHOW DBPROXY.Causal_Token", True),
        ("SELECT current_setting('dbproxy.causal_token')", True),
        ("SELECT current_setting('dbproxy.route')", False),
        ("SHOW work_mem", False),
    ],
)
def test_who_asks_for_the_causal_token_is_known(text: str, shows: bool):
    found = classify(text.encode())
    assert (found.effects, found.reads) == (SHOWS_TOKEN if shows else 0, True)


@pytest.mark.parametrize(
    ("text", "explainable"),
    [
        ("SELECT a FROM t", False),
        ("SELECT a FROM t;", False),
        ("SELECT a FROM t WHERE b = $1", True),
        ("SELECT '$1'", False),
        ("WITH x AS (SELECT 1) UPDATE t SET a = 1", False),
        ("DELETE FROM t WHERE a = $1", True),
        ("SELECT 1; SELECT 2", None),
        ("SELECT 1; DROP TABLE t", None),
        ("SELECT a INTO b FROM t", None),
        ("CREATE TABLE t (a int)", None),
        ("EXPLAIN ANALYZE SELECT 1", None),
        ("EXECUTE p", None),
        ("VALUES (1)", False),
        ("SELECT FROM WHERE", None),
        ("", None),
    ],
)
def test_one_query_can_be_explained(text: str, explainable: bool | None) -> None:
    assert find_explainable(text.encode()) is explainable


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE b = 1 AND c IN (1, 2, 3) AND d = 'x'",
        "INSERT INTO t VALUES (1, 'x'), (2, 'y')",
        "UPDATE t SET a = a - 1, b = -3 WHERE c = $1",
        "SELECT date '2020-01-01'",
        "CREATE TABLE t (a varchar(10) DEFAULT 5)",
        "SET statement_timeout = 5",
    ],
)
def test_fingerprint_of_a_shape_is_that_of_its_texts(text: str) -> None:
    shape = StatementCache(10).find(text.encode())
    assert find_fingerprint(shape.text) == fingerprint(text).hex


@pytest.mark.parametrize(
    "text", ["SELECT date $?, $?::varchar($?)", "SELECT FROM WHERE", "COPY t FROM STDIN (DELIMITER $?)"]
)
def test_there_is_no_fingerprint_where_literals_count(text: str) -> None:
    assert find_fingerprint(text) == ""
