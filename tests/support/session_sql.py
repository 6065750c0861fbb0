"""What clients say in SQL that a session remembers, or that shows what it remembers: by group, for the leak hunt.

In a group, statements stand under the reason for which they may keep a server ("" for none). Names are few, so that
clients meet: statements s1 and s2, cursors c1 and c2, channels news and gossip, locks 1 and 2, tables t1 and t2.
Nothing may block in the direct world, and nothing may answer what depends on the moment (times, process ids, oids).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The same in both worlds. app_trust logs in; it is a member of app, which may not read `private`.
SCHEMA = """
    CREATE TABLE things (id int, name text);
    INSERT INTO things SELECT number, 'thing ' || number FROM generate_series(1, 20) AS number;
    CREATE TABLE kept (token text);
    CREATE TABLE numbered (id serial, token text);
    CREATE TABLE private (secret text);
    CREATE SEQUENCE counter;
    CREATE SEQUENCE other;
    GRANT SELECT, INSERT ON things, kept, numbered TO app;
    CREATE FUNCTION mark(value text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN RETURN set_config('app.owner', value, false); END $$;
    CREATE FUNCTION zone(value text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE format('SET TimeZone = %L', value); END $$;
    CREATE FUNCTION mark_and_fail() RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('work_mem', '21MB', false); RAISE EXCEPTION 'marked'; END $$;
    CREATE FUNCTION mark_in_sql() RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.owner', 'sql', false) $$;
    CREATE FUNCTION mark_within() RETURNS text LANGUAGE plpgsql SET work_mem = '22MB' AS
        $$ BEGIN RETURN current_setting('work_mem'); END $$;
    CREATE FUNCTION take(key int) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RETURN pg_try_advisory_lock(key); END $$;
    CREATE FUNCTION keep(value text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS t2 (token text); INSERT INTO t2 VALUES (value); END $$;
    CREATE FUNCTION tell(value text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('news', value); END $$;
"""
RENEW = (
    "TRUNCATE kept, numbered RESTART IDENTITY; ALTER SEQUENCE counter RESTART; ALTER SEQUENCE other RESTART"
)

ERROR = "SELECT 1/0"
SHOWN = (
    "work_mem, TimeZone, DateStyle, IntervalStyle, search_path, application_name, client_min_messages, bytea_output,"
    " client_encoding, standard_conforming_strings, extra_float_digits, lock_timeout, statement_timeout, role,"
    " session_authorization, transaction_isolation, transaction_read_only, default_transaction_isolation,"
    " default_transaction_read_only, default_transaction_deferrable, row_security, jit"
)
# A setting that somebody made up stays known to the backend, empty, when it is undone: nobody can help that.
MADE_UP = "nullif(current_setting('app.owner', true), '')"

GROUPS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "looks": {"": [
        f"SELECT name, current_setting(name) FROM unnest(string_to_array('{SHOWN}', ', ')) AS name",
        f"SELECT session_user, current_user, {MADE_UP}",
        "SELECT name, setting FROM pg_settings WHERE name NOT LIKE '%.%' ORDER BY name",
        "SELECT name, parameter_types::text FROM pg_prepared_statements WHERE from_sql ORDER BY name",
        "SELECT name, statement, is_holdable, is_binary, is_scrollable FROM pg_cursors WHERE name <> '' ORDER BY 1",
        "SELECT mode, classid, objid, objsubid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
        " ORDER BY 1, 2, 3, 4",
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY relname",
        "SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema() ORDER BY proname",
        "SELECT channel FROM pg_listening_channels() AS channel ORDER BY 1",
        "SELECT now() = statement_timestamp()",
        "SELECT pg_current_xact_id_if_assigned() IS NULL",
        "SELECT count(*) FROM kept",
        "",
        "SELECT 'plain'",
        ERROR,
        "SELEC",
    ]},
    "transactions": {"transaction": [
        "BEGIN", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY", "COMMIT", "ROLLBACK",
        "COMMIT", "ROLLBACK", "END", "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "ROLLBACK TO b", "RELEASE a",
        "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "INSERT INTO kept VALUES ('row')",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION READ ONLY",
    ]},
    "settings": {"": [
        "SET work_mem = '9MB'", "SET work_mem TO '8MB'", "SET LOCAL work_mem = '10MB'", "RESET work_mem",
        "SET work_mem TO DEFAULT", "SET work_mem = 'nonsense'", "SET no_such_setting = 1", "SHOW work_mem",
        "SET TimeZone = 'Asia/Kathmandu'", "SET TIME ZONE 3", "SET TIME ZONE 'UTC'", "SET TIME ZONE LOCAL",
        "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "SET LOCAL TIME ZONE 'Asia/Kabul'", "RESET TimeZone",
        "SHOW TIME ZONE", "SELECT '2020-01-01 00:00Z'::timestamptz", "SET DateStyle = 'German, DMY'",
        "SET datestyle TO iso", "SET DateStyle = 'SQL'", "RESET datestyle", "SHOW datestyle",
        "SET IntervalStyle = iso_8601", "SELECT interval '1 day 02:00'", "SET search_path = pg_catalog",
        "SET search_path = \"$user\", public", "SET search_path TO public, pg_catalog", "SET SCHEMA 'public'",
        "SHOW search_path", "SELECT current_schemas(false)", "SET application_name = 'hunter'",
        "SET application_name TO ''", "SHOW application_name", "SET client_min_messages = error",
        "DO $$ BEGIN RAISE NOTICE 'heard'; END $$", "SET bytea_output = escape", "SELECT '\\x00ff'::bytea",
        "SET standard_conforming_strings = off", "SELECT 'a\\\\b'", "SET client_encoding = LATIN1", "SET NAMES 'UTF8'",
        "SET NAMES 'LATIN1'", "SET NAMES DEFAULT", "SHOW client_encoding", "SELECT chr(233)",
        "SET extra_float_digits = -3", "SELECT 0.1::float8 / 3", "SET lock_timeout = 7777",
        "SET statement_timeout = '61s'", "SET LOCAL statement_timeout = '62s'", "SET row_security = off",
        "SET app.owner = 'ada'", "SET LOCAL app.owner = 'bob'", "SET app.owner TO 'it''s'", "RESET app.owner",
        f"SELECT {MADE_UP}", "RESET ALL", "SET jit = off", "SET enable_seqscan = off", "SET enable_seqscan TO DEFAULT",
        "SET SESSION work_mem = '7500kB'", "SET XML OPTION DOCUMENT",
        "SELECT set_config('work_mem', '11MB', false)", "SELECT set_config('work_mem', '12MB', true)",
        "SELECT set_config('app.owner', 'eve', false)",

        "SELECT set_config('work_mem', 'nonsense', false)", "SELECT set_config('TimeZone', 'Asia/Tokyo', false)",
    ]},
    "roles": {"": [
        "SET ROLE app", "SET ROLE 'app'", "SET ROLE NONE", "RESET ROLE", "SET LOCAL ROLE app", "SET SESSION ROLE app",
        "SET ROLE pg_monitor", "SELECT set_config('role', 'app', false)", "SET SESSION AUTHORIZATION app_trust",
        "SET SESSION AUTHORIZATION DEFAULT", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION app_md5",
        "SET LOCAL SESSION AUTHORIZATION app_trust", "SELECT count(*) FROM private",
        "SELECT session_user, current_user",
    ]},
    "characteristics": {"": [
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
        "SET default_transaction_read_only = on", "SET default_transaction_read_only = off",
        "SET default_transaction_deferrable = on", "RESET default_transaction_isolation", "SHOW transaction_isolation",
        "SHOW transaction_read_only", "SHOW default_transaction_isolation", "INSERT INTO kept VALUES ('row')",
    ]},
    "prepared": {"": [
        "PREPARE s1 AS SELECT 'sql s1'", "PREPARE s1(text) AS SELECT $1 || ' of sql'",
        "PREPARE s2 AS SELECT 'sql s2', 2",
        "PREPARE s2(int) AS SELECT name FROM things WHERE id = $1", "PREPARE s1 AS SELEC",
        "EXECUTE s1", "EXECUTE s1('x')", "EXECUTE s2", "EXECUTE s2(3)", "EXECUTE s1('x', 'y')", "DEALLOCATE s1",
        "DEALLOCATE PREPARE s2", "DEALLOCATE s2", "DEALLOCATE ALL", "EXPLAIN (COSTS OFF) EXECUTE s1",
        "SELECT name, parameter_types::text FROM pg_prepared_statements WHERE from_sql ORDER BY name",
    ]},
    "notifications": {"": [
        "LISTEN news", "LISTEN news", "LISTEN gossip", "UNLISTEN news", "UNLISTEN gossip", "UNLISTEN *",
        "NOTIFY news, 'one'", "NOTIFY news", "NOTIFY gossip, 'two'", "SELECT pg_notify('news', 'three')",
        "SELECT pg_notify('gossip', 'four')", "NOTIFY news, 'one'; NOTIFY news, 'one'; NOTIFY news, 'five'",
        "SELECT channel FROM pg_listening_channels() AS channel ORDER BY 1", "SELECT tell('six')",
    ]},
    "temporary": {"temporary": [
        "CREATE TEMP TABLE t1 (token text)", "CREATE TEMPORARY TABLE t2 AS SELECT 'as' AS token",
        "CREATE TEMP TABLE t1 (token text) ON COMMIT DROP", "CREATE TEMP TABLE t2 (token text) ON COMMIT DELETE ROWS",
        "SELECT 'into' AS token INTO TEMP t1", "CREATE TABLE pg_temp.t2 (token text)",
        "CREATE TEMP VIEW v AS SELECT 'view' AS token", "CREATE TEMP SEQUENCE q",
        "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS $$ SELECT 'temp function' $$",
        "BEGIN; CREATE TEMP TABLE t1 (token text) ON COMMIT DROP; INSERT INTO t1 VALUES ('dropped'); COMMIT",
        "BEGIN; CREATE TEMP TABLE t2 (token text); ROLLBACK",
        "INSERT INTO t1 VALUES ('row')", "INSERT INTO t2 VALUES ('row')", "SELECT nextval('q')",
        "DROP FUNCTION pg_temp.f()", "DROP TABLE t1", "DROP TABLE t2",
    ], "": [
        "SELECT token FROM t1", "SELECT token FROM t2", "SELECT token FROM v", "SELECT pg_temp.f()",
        "DROP TABLE IF EXISTS t1, t2", "DROP VIEW IF EXISTS v", "DROP SEQUENCE IF EXISTS q",
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY relname",
    ]},
    "locks": {"locks": [
        "SELECT pg_try_advisory_lock(1)", "SELECT pg_try_advisory_lock(2)", "SELECT pg_try_advisory_lock(1, 2)",
        "SELECT pg_try_advisory_lock_shared(1)", "SELECT pg_advisory_lock(2)", "SELECT pg_advisory_lock_shared(1)",
        "SELECT pg_advisory_unlock(1)", "SELECT pg_advisory_unlock(2)", "SELECT pg_advisory_unlock(1, 2)",
        "SELECT pg_advisory_unlock_shared(1)", "BEGIN; SELECT pg_try_advisory_lock(1); ROLLBACK",
    ], "": [
        "SELECT pg_advisory_unlock_all()", "SELECT pg_try_advisory_xact_lock(1)", "SELECT pg_try_advisory_xact_lock(2)",
        "SELECT mode, classid, objid, objsubid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
        " ORDER BY 1, 2, 3, 4",
    ]},
    "cursors": {"cursors": [
        "DECLARE c1 CURSOR WITH HOLD FOR SELECT name FROM things ORDER BY id",
        "DECLARE c2 SCROLL CURSOR WITH HOLD FOR SELECT id FROM things ORDER BY id",
        "BEGIN; DECLARE c1 CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
        "BEGIN; DECLARE c1 CURSOR WITH HOLD FOR SELECT id FROM things; COMMIT",
    ], "": [
        "DECLARE c1 CURSOR FOR SELECT 'without hold'", "FETCH 2 FROM c1", "FETCH ALL FROM c2",
        "FETCH BACKWARD 1 FROM c2",
        "MOVE 3 IN c1", "CLOSE c1", "CLOSE c2", "CLOSE ALL",
        "SELECT name, statement, is_holdable FROM pg_cursors WHERE name <> '' ORDER BY 1",
    ]},
    "sequences": {"sequences": [
        "SELECT nextval('counter')", "SELECT nextval('other')", "SELECT setval('counter', 100)",
        "SELECT setval('other', 50, false)", "SELECT nextval('counter'), currval('counter')",
        "SELECT nextval('other'), lastval()", "BEGIN; SELECT nextval('counter'); SELECT lastval(); COMMIT",
    ]},
    # In a later transaction the answer may be an error, if others had to be lent the server (docs/compatibility.md).
    "recalls": {"sequences": ["SELECT currval('counter')", "SELECT currval('other')", "SELECT lastval()"]},
    "serials": {"sequences": ["INSERT INTO numbered(token) VALUES ('row') RETURNING id", "SELECT lastval()"]},
    "functions": {"functions": [
        "SELECT mark('marked')", "SELECT zone('Asia/Tokyo')", "SELECT mark_in_sql()", "SELECT mark_and_fail()",
        "DO $$ BEGIN SET work_mem = '14MB'; END $$", "DO $$ BEGIN PERFORM set_config('app.owner', 'do', false); END $$",
        "DO $$ BEGIN EXECUTE 'SET DateStyle = German'; END $$", "DO $$ BEGIN CREATE TEMP TABLE t1 (token text); END $$",
        "SELECT set_config('app.' || 'user', 'mallory', false)",
        "SELECT set_config(name, '13MB', false) FROM (VALUES ('work_mem')) AS v(name)",
        "DO $$ BEGIN PERFORM mark('nested'); END $$", "SELECT take(1)", "SELECT keep('kept')",
        "DO $$ BEGIN PERFORM pg_try_advisory_lock(2); END $$", "DO $$ BEGIN EXECUTE 'LISTEN news'; END $$",
    ], "": [
        "SELECT mark_within()", "DO $$ BEGIN SET LOCAL work_mem = '15MB'; END $$", f"SELECT {MADE_UP}",
        "DO $$ BEGIN NOTIFY news, 'do'; END $$", "SELECT token FROM t2", "SHOW work_mem", "SHOW TimeZone",
    ]},
    "discards": {"": ["DISCARD ALL", "DISCARD ALL", "DISCARD PLANS", "DISCARD SEQUENCES", "DISCARD TEMP", "RESET ALL"]},
    # Whoever asks sees by which way a setting came about; and the text that a statement was prepared by.
    "sources": {"": [
        "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name NOT LIKE '%.%' ORDER BY name",
        "SELECT name, statement FROM pg_prepared_statements WHERE from_sql ORDER BY name",
    ]},
}  # fmt: skip
ALWAYS = ("looks", "transactions")
ASKED_FOR = ("recalls", "serials", "sources")  # these run only if they are named

REASONS = {"temporary", "locks", "cursors", "sequences", "functions"}
# What these give up for sure, if they succeed by themselves.
FREES = {
    "DISCARD ALL": REASONS,
    "DISCARD TEMP": {"temporary"},
    "DISCARD SEQUENCES": {"sequences"},
    "SELECT pg_advisory_unlock_all()": {"locks"},
    "CLOSE ALL": {"cursors"},
}
BLOCKS = (
    "pg_advisory_lock(",
    "pg_advisory_lock_shared(",
)  # for others' locks: only where nobody else can have one


@dataclass(frozen=True)
class Sql:
    """One text, and the reason why its client may keep a server afterwards."""

    text: str
    holds: str = ""

    @property
    def frees(self) -> set[str]:
        return FREES.get(self.text, set())

    @property
    def blocks(self) -> bool:
        return any(call in self.text for call in BLOCKS)


def statements(group: str) -> list[Sql]:
    return [Sql(text, reason) for reason, texts in GROUPS.get(group, {}).items() for text in texts]
