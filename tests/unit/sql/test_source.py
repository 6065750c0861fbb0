"""What a function's source may do, judged by its words."""

import pytest

from dbproxy.sql.source import called_names, judge_source
from dbproxy.sql.statement import (
    ADVANCES,
    CHANGES,
    CLOSES,
    CREATES_TEMP,
    DEALLOCATES,
    DROPS,
    HOLDS,
    LISTENS,
    LOADS,
    LOCKS,
    NOTIFIES,
    PREPARES,
    RECALLS,
    RESETS,
    SEEDS,
    SETS,
    SETS_UNKNOWN,
    SHOWS_NAMES,
    UNKNOWN,
    UNLOCKS,
)

CHARACTERISTICS = "default_transaction_isolation default_transaction_read_only default_transaction_deferrable"


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


@pytest.mark.parametrize(
    ("source", "effects", "settings"),
    [
        ("BEGIN UPDATE t SET a = 1 WHERE b = 2; RETURN NEW; END", 0, ""),
        ("UPDATE t\n   SET a = 1", 0, ""),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2", 0, ""),
        ("ALTER TABLE t ALTER a SET DEFAULT 1, ALTER b SET NOT NULL", 0, ""),
        ("SET LOCAL a.b = 1; SET TRANSACTION READ ONLY; SET CONSTRAINTS ALL DEFERRED", 0, ""),
        ("BEGIN SET a.B = 1; END", SETS, "a.b"),
        ("BEGIN\n  -- the path\n  SET search_path TO a;\nEND", SETS, "search_path"),
        ("BEGIN\n  /* the path */ SET SESSION work_mem = 1;\nEND", SETS, "work_mem"),
        ('SET "A.b" = 1', SETS, "a.b"),
        ("IF a THEN SET ROLE app; ELSE SET SESSION AUTHORIZATION app; END IF", SETS, "role session_authorization"),
        ("LOOP SET TIME ZONE 'UTC'; END LOOP", SETS, "timezone"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", SETS, CHARACTERISTICS),
        ("SET seed = 0.1", SEEDS, ""),
        ("EXECUTE 'SET a.b = 1';", SETS, "a.b"),
        ("EXECUTE $q$SET a.b = 1$q$;", SETS, "a.b"),
        ("EXECUTE 'SET ' || name || ' = 1';", SETS_UNKNOWN | UNKNOWN, ""),
        ("EXECUTE format('SET %I = 1', name);", SETS_UNKNOWN, ""),
        ("RESET a.b", RESETS, "a.b"),
        ("; RESET ALL", RESETS, ""),
        ("; RESET SESSION AUTHORIZATION", RESETS, "session_authorization role"),
        ("SELECT reset, set FROM listen", 0, ""),
        ("PERFORM set_config('A.b', v, false)", SETS, "a.b"),
        ("PERFORM set_config('a.b', coalesce(v, ','), false)", SETS, "a.b"),
        ("PERFORM pg_catalog.set_config('a.b', v::text, true)", 0, ""),
        ("PERFORM set_config /* x */ ('a.b', v, 't')", SETS_UNKNOWN, ""),
        ("PERFORM set_config(name, v, false)", SETS_UNKNOWN, ""),
        ("PERFORM set_config('a.' || name, v, false)", SETS_UNKNOWN, ""),
        ("EXECUTE 'SELECT set_config(''a.b'', ''x'', false)';", SETS_UNKNOWN, ""),
        ("UPDATE pg_settings SET setting = 1", SETS_UNKNOWN, ""),
        ("PERFORM pg_advisory_lock(1)", LOCKS, ""),
        ("PERFORM Pg_Try_Advisory_Lock_Shared(1)", LOCKS, ""),
        ("PERFORM pg_advisory_xact_lock(1)", 0, ""),
        ("PERFORM pg_advisory_unlock_all()", UNLOCKS, ""),
        ("CREATE TEMP TABLE t (a int)", CREATES_TEMP, ""),
        ("CREATE LOCAL TEMPORARY\nVIEW t AS SELECT 1", CREATES_TEMP, ""),
        ("CREATE TABLE pg_temp.t (a int)", CREATES_TEMP, ""),
        ("DROP TABLE IF EXISTS t", DROPS, ""),
        ("ALTER TABLE t SET SCHEMA s", DROPS, ""),
        ("DECLARE c CURSOR WITH  HOLD FOR SELECT 1", HOLDS, ""),
        ("CLOSE c;", CLOSES, ""),
        ("PREPARE p AS SELECT 1", PREPARES, ""),
        ("DEALLOCATE p", DEALLOCATES, ""),
        ("BEGIN LISTEN a; END", LISTENS, ""),
        ("UNLISTEN *", LISTENS, ""),
        ("NOTIFY a", NOTIFIES, ""),
        ("PERFORM pg_notify('a', 'b')", NOTIFIES, ""),
        ("LOAD 'a'", LOADS, ""),
        ("PERFORM setseed(0.1)", SEEDS, ""),
        ("RETURN nextval('a')", ADVANCES, ""),
        ("RETURN currval('a') + lastval()", RECALLS, ""),
        ("SELECT count(*) FROM pg_prepared_statements", SHOWS_NAMES, ""),
        ("EXECUTE 'SELECT 1' INTO a;", 0, ""),
        ("EXECUTE 'SELECT $1' USING a;", 0, ""),
        ("EXECUTE format('INSERT INTO %I VALUES (%L)', a, b);", 0, ""),
        ("EXECUTE format('%s', a);", UNKNOWN, ""),
        ("EXECUTE a;", UNKNOWN, ""),
        ("RETURN QUERY EXECUTE a || b;", UNKNOWN, ""),
        ("GRANT EXECUTE ON FUNCTION f TO a", 0, ""),
        ("plpy.execute(query)", UNKNOWN, ""),
        ("spi_exec_query($_[0]);", UNKNOWN, ""),
        ("SELECT query_to_xml(a, true, true, '')", UNKNOWN, ""),
        ('SELECT U&"set\\005fconfig"(\'a\', \'b\', false)', SETS_UNKNOWN | UNKNOWN, ""),
    ],
)  # fmt: skip
def test_a_source_is_judged_by_its_words(source: str, effects: int, settings: str) -> None:
    found, named = judge_source(source)
    assert (found & ~CHANGES, named) == (effects, names(settings))


def test_called_names_stand_before_a_parenthesis() -> None:
    source = """
        IF F(1) > g (2) AND a IN (1) THEN PERFORM s."H i"(x), "j""k"(); END IF;
        RETURN l -- why
          (3);
    """
    assert called_names(source) >= {"f", "g", "H i", 'j"k', "l"}
    assert not called_names(source) & {"in", "if", "then"}


@pytest.mark.parametrize(
    "piece",
    [
        "set_config(",
        "set_config(('",
        "set_config('a',",
        "execute '",
        "execute $a$ ",
        "set ",
        "a(",
        '"',
        "'",
        "/* ",
        "$a$",
        " ",
    ],
)
@pytest.mark.timeout(20)
def test_a_source_of_any_make_is_judged_in_time(piece: str) -> None:
    source = piece * (16384 // len(piece))
    for text in (
        source,
        f"set_config({source}",
        f"; SET {source}",
        f"EXECUTE {source}",
        f"EXECUTE format('{source}",
        f"/* {source}",
    ):
        judge_source(text)
        called_names(text)
