"""Statements that only the primary may run: every kind in PostgreSQL's grammar, and what makes a SELECT one of them.

By group, one a line, as in `reads_sql`. With its schema, all in the groups of `WRITING` run and write.
"""

from collections.abc import Mapping

OTHERS: Mapping[str, str] = {
    "locking clauses": """
SELECT * FROM accounts FOR UPDATE
SELECT * FROM accounts FOR NO KEY UPDATE
SELECT * FROM accounts FOR SHARE
SELECT * FROM accounts FOR KEY SHARE
SELECT * FROM accounts FOR UPDATE OF accounts NOWAIT
SELECT * FROM accounts FOR SHARE SKIP LOCKED LIMIT 1
SELECT * FROM accounts a, things t FOR UPDATE OF a FOR SHARE OF t
SELECT * FROM (SELECT * FROM accounts FOR UPDATE) AS s
SELECT 1 WHERE EXISTS (SELECT 1 FROM accounts FOR KEY SHARE)
WITH w AS (SELECT * FROM accounts FOR UPDATE) SELECT * FROM w
(SELECT id FROM accounts FOR UPDATE) LIMIT 1
COPY (SELECT * FROM accounts FOR SHARE) TO STDOUT
""",
    "writing queries": """
INSERT INTO accounts (id) VALUES (100)
INSERT INTO accounts (id) SELECT 101 RETURNING *
INSERT INTO accounts (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET balance = 0
INSERT INTO things DEFAULT VALUES
UPDATE accounts SET balance = 0
UPDATE accounts SET balance = 0 FROM things WHERE accounts.id = things.id RETURNING accounts.id
DELETE FROM accounts WHERE id = 20
DELETE FROM accounts USING things WHERE accounts.id = things.id
MERGE INTO things t USING accounts a ON a.id = t.id WHEN MATCHED THEN UPDATE SET name = a.owner WHEN
    NOT MATCHED THEN DO NOTHING
WITH w AS (DELETE FROM things RETURNING *) SELECT * FROM w
WITH w AS (INSERT INTO things VALUES (9, 'nine') RETURNING id), v AS (SELECT 1) SELECT * FROM v
WITH w AS (UPDATE things SET name = '' RETURNING id) TABLE w
WITH w AS (SELECT 1 AS id) DELETE FROM things USING w WHERE things.id = w.id
SELECT * INTO copied FROM accounts
SELECT * INTO TEMP copied FROM accounts
WITH w AS (SELECT 1 AS a) SELECT a INTO UNLOGGED copied FROM w
CREATE TABLE copied AS SELECT * FROM accounts
COPY (DELETE FROM things RETURNING id) TO STDOUT
""",
    "explain": """
EXPLAIN SELECT * FROM accounts FOR UPDATE
EXPLAIN DELETE FROM things
EXPLAIN ANALYZE INSERT INTO things VALUES (1)
EXPLAIN (ANALYZE) CREATE TABLE copied AS SELECT 1
EXPLAIN WITH w AS (DELETE FROM things RETURNING *) SELECT * FROM w
EXPLAIN EXECUTE s1
EXPLAIN DECLARE c CURSOR FOR SELECT 1
EXPLAIN REFRESH MATERIALIZED VIEW totals
""",
    "functions that write, lock or tell": """
SELECT nextval('counter')
SELECT setval('counter', 1)
SELECT currval('counter'), lastval()
SELECT pg_catalog.nextval('counter')
SELECT id FROM accounts WHERE id = nextval('counter')
SELECT * FROM generate_series(1, nextval('counter'))
SELECT 1 ORDER BY nextval('counter')
SELECT 1 LIMIT nextval('counter')
VALUES (nextval('counter'))
WITH w AS (SELECT nextval('counter')) SELECT 1 FROM w
EXPLAIN SELECT nextval('counter')
COPY (SELECT nextval('counter')) TO STDOUT
SELECT CASE WHEN false THEN nextval('counter') END
SELECT pg_advisory_lock(1)
SELECT pg_try_advisory_lock_shared(1)
SELECT pg_advisory_xact_lock(1)
SELECT pg_try_advisory_xact_lock(1)
SELECT pg_advisory_unlock(1), pg_advisory_unlock_all()
SELECT pg_notify('news', 'one')
SELECT set_config('app.user', 'ada', false)
SELECT set_config('app.user', 'ada', true)
SELECT setseed(0.5)
SELECT lo_create(0)
SELECT lo_get(1), lo_import('/etc/passwd')
SELECT loread(1, 10)
SELECT pg_current_xact_id()
SELECT txid_current()
SELECT pg_export_snapshot()
SELECT pg_switch_wal()
SELECT pg_create_restore_point('a')
SELECT pg_logical_emit_message(true, 'a', 'b')
SELECT pg_logical_slot_get_changes('a', NULL, NULL)
SELECT pg_create_physical_replication_slot('a')
SELECT pg_drop_replication_slot('a')
SELECT pg_terminate_backend(1), pg_cancel_backend(1)
SELECT pg_reload_conf(), pg_rotate_logfile(), pg_promote()
SELECT pg_stat_reset()
SELECT brin_summarize_new_values('i'), gin_clean_pending_list('i')
SELECT pg_import_system_collations('public')
SELECT query_to_xml('DELETE FROM things', true, true, '')
SELECT table_to_xml('rich', true, true, '')
SELECT ts_stat('SELECT 1')
SELECT crosstab('SELECT 1')
SELECT dblink_connect('a')
""",
    "what asks its own server or session": """
SELECT pg_is_in_recovery()
SELECT pg_current_wal_lsn(), pg_current_wal_insert_lsn()
SELECT pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()
SELECT pg_backend_pid()
SELECT inet_server_addr(), inet_server_port()
SELECT pg_postmaster_start_time(), pg_conf_load_time()
SELECT pg_current_xact_id_if_assigned(), pg_current_snapshot()
SELECT txid_current_if_assigned(), txid_current_snapshot(), txid_status(1)
SELECT pg_blocking_pids(1)
SELECT pg_stat_get_live_tuples('accounts'::regclass)
SELECT pg_stat_get_something_new(1)
SELECT pg_ls_dir('.'), pg_read_file('PG_VERSION')
SELECT pg_relation_size('accounts'), pg_database_size('a')
SELECT pg_control_system()
SELECT current_query()
SELECT current_setting('transaction_read_only')
SELECT current_setting('IN_HOT_STANDBY')
SELECT pg_catalog.current_setting('data_directory')
SELECT current_setting(owner, true) FROM accounts
SELECT * FROM pg_stat_activity
SELECT * FROM pg_catalog.pg_stat_user_tables
SELECT * FROM pg_statio_all_tables
SELECT * FROM pg_stat_replication
SELECT * FROM pg_locks
SELECT * FROM pg_settings
SELECT * FROM pg_cursors
SELECT * FROM pg_prepared_statements
SELECT * FROM pg_prepared_xacts
SELECT * FROM pg_replication_slots
SELECT * FROM pg_sequences
SELECT * FROM pg_timezone_names
SELECT * FROM pg_available_extensions
SELECT * FROM pg_stat_statements
SELECT * FROM public.pg_stat_statements
SELECT * FROM pg_temp.t1
SELECT * FROM pg_toast.pg_toast_1255
SELECT * FROM rich WHERE id IN (SELECT pid FROM pg_locks)
TABLE pg_locks
COPY pg_settings TO STDOUT
SHOW ALL
SHOW transaction_read_only
SHOW "Transaction_Read_Only"
SHOW in_hot_standby
SHOW port
SHOW data_directory
""",
    "transactions": """
BEGIN
BEGIN WORK
BEGIN READ ONLY
START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE
COMMIT
COMMIT AND CHAIN
END
ROLLBACK
ABORT
SAVEPOINT a
ROLLBACK TO SAVEPOINT a
RELEASE a
PREPARE TRANSACTION 'a'
COMMIT PREPARED 'a'
ROLLBACK PREPARED 'a'
SET TRANSACTION READ ONLY
SET TRANSACTION SNAPSHOT '1'
SET CONSTRAINTS ALL DEFERRED
LOCK TABLE accounts
LOCK accounts IN ACCESS SHARE MODE
BEGIN; SELECT 1; COMMIT
""",
    "sessions": """
SET work_mem = '8MB'
SET LOCAL work_mem = '8MB'
SET ROLE app
SET SESSION AUTHORIZATION app
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
SET TIME ZONE 'UTC'
RESET work_mem
RESET ALL
DISCARD ALL
DISCARD PLANS
PREPARE s1 AS SELECT 1
PREPARE s2 (int) AS DELETE FROM things WHERE id = $1
EXECUTE s1
CREATE TABLE copied AS EXECUTE s1
EXECUTE s2(1)
DEALLOCATE s1
DEALLOCATE ALL
DECLARE c CURSOR FOR SELECT 1
DECLARE c BINARY SCROLL CURSOR WITH HOLD FOR SELECT * FROM accounts
DECLARE c CURSOR FOR SELECT * FROM accounts FOR UPDATE
FETCH 1 FROM c
FETCH ALL FROM c
MOVE FORWARD 3 IN c
CLOSE c
CLOSE ALL
LISTEN news
UNLISTEN *
NOTIFY news, 'one'
LOAD 'auto_explain'
""",
    "code": """
DO 'BEGIN PERFORM 1; END'
DO $$ BEGIN DELETE FROM things; END $$
DO LANGUAGE plpgsql $$ BEGIN NULL; END $$
CALL put(1)
CALL other.put(1, note => 'a')
""",
    "copy to other places": """
COPY accounts FROM STDIN
COPY accounts FROM STDIN WITH (FORMAT csv)
COPY accounts FROM '/tmp/a'
COPY accounts FROM PROGRAM 'cat /tmp/a'
COPY accounts TO '/tmp/a'
COPY accounts TO PROGRAM 'cat'
COPY (SELECT 1) TO '/tmp/a'
COPY (SELECT 1) TO PROGRAM 'cat'
COPY (INSERT INTO things VALUES (1) RETURNING id) TO STDOUT
""",
    "maintenance": """
VACUUM
VACUUM (ANALYZE, FULL) accounts
ANALYZE
ANALYZE accounts (id)
REINDEX TABLE accounts
REINDEX (CONCURRENTLY) INDEX accounts_pkey
CLUSTER accounts USING accounts_pkey
CHECKPOINT
TRUNCATE accounts CASCADE
REFRESH MATERIALIZED VIEW totals
REFRESH MATERIALIZED VIEW CONCURRENTLY totals WITH NO DATA
COMMENT ON TABLE accounts IS 'SELECT'
SECURITY LABEL FOR a ON TABLE accounts IS 'b'
GRANT SELECT ON accounts TO app
REVOKE ALL ON accounts FROM app
GRANT app TO app_trust
REVOKE app FROM app_trust
REASSIGN OWNED BY app TO app_trust
DROP OWNED BY app
ALTER SYSTEM SET work_mem = '8MB'
""",
    "create": """
CREATE TABLE t (a int)
CREATE TEMP TABLE t (a int)
CREATE UNLOGGED TABLE IF NOT EXISTS t (a int)
CREATE TABLE t PARTITION OF measures DEFAULT
CREATE FOREIGN TABLE t (a int) SERVER s
CREATE VIEW v AS SELECT 1
CREATE OR REPLACE TEMP VIEW v AS SELECT 1
CREATE MATERIALIZED VIEW m AS SELECT 1
CREATE INDEX ON accounts (owner)
CREATE UNIQUE INDEX CONCURRENTLY i ON accounts (owner)
CREATE SEQUENCE s
CREATE SCHEMA s
CREATE SCHEMA s CREATE TABLE t (a int)
CREATE DATABASE d
CREATE TABLESPACE s LOCATION '/tmp/a'
CREATE ROLE r
CREATE USER u PASSWORD 'a'
CREATE GROUP g
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE FUNCTION f() RETURNS int RETURN 1
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END
CREATE PROCEDURE p() LANGUAGE sql AS ''
CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)
CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)
CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 <
CREATE OPERATOR FAMILY f USING btree
CREATE TYPE t AS (a int)
CREATE TYPE t AS ENUM ('a')
CREATE TYPE t AS RANGE (SUBTYPE = int)
CREATE TYPE t
CREATE DOMAIN d AS int CHECK (VALUE > 0)
CREATE CAST (text AS int) WITHOUT FUNCTION
CREATE COLLATION c FROM "C"
CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f
CREATE TRIGGER t AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION f()
CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()
CREATE RULE r AS ON INSERT TO accounts DO INSTEAD NOTHING
CREATE POLICY p ON accounts USING (true)
CREATE EXTENSION hstore
CREATE LANGUAGE plperl
CREATE TRUSTED LANGUAGE l HANDLER h
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))
CREATE ACCESS METHOD m TYPE INDEX HANDLER h
CREATE FOREIGN DATA WRAPPER w
CREATE SERVER s FOREIGN DATA WRAPPER w
CREATE USER MAPPING FOR app SERVER s
CREATE PUBLICATION p FOR ALL TABLES
CREATE SUBSCRIPTION s CONNECTION 'a' PUBLICATION p
CREATE STATISTICS s ON id, owner FROM accounts
CREATE TEXT SEARCH CONFIGURATION c (COPY = english)
IMPORT FOREIGN SCHEMA s FROM SERVER r INTO public
""",
    "alter and drop": """
ALTER TABLE accounts ADD COLUMN a int
ALTER TABLE accounts RENAME TO renamed
ALTER TABLE accounts REPLICA IDENTITY FULL
ALTER TABLE accounts SET SCHEMA other
ALTER TABLE accounts OWNER TO app
ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b
ALTER VIEW rich RENAME TO richer
ALTER INDEX accounts_pkey DEPENDS ON EXTENSION e
ALTER SEQUENCE counter RESTART
ALTER TYPE mood ADD VALUE 'angry'
ALTER TYPE t ADD ATTRIBUTE a int
ALTER TYPE t SET (SUBSCRIPT = f)
ALTER DOMAIN d SET NOT NULL
ALTER FUNCTION twice(int) STABLE
ALTER FUNCTION twice(int) OWNER TO app
ALTER OPERATOR + (int, int) SET (RESTRICT = NONE)
ALTER OPERATOR FAMILY f USING btree ADD OPERATOR 1 < (int, int)
ALTER COLLATION c REFRESH VERSION
ALTER DATABASE d SET work_mem = '8MB'
ALTER DATABASE d CONNECTION LIMIT 1
ALTER DATABASE d REFRESH COLLATION VERSION
ALTER ROLE app SET work_mem = '8MB'
ALTER ROLE app NOLOGIN
ALTER GROUP app ADD USER app_trust
ALTER TABLESPACE s SET (seq_page_cost = 1)
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app
ALTER POLICY p ON accounts USING (false)
ALTER EVENT TRIGGER t DISABLE
ALTER EXTENSION e UPDATE
ALTER EXTENSION e ADD TABLE accounts
ALTER FOREIGN DATA WRAPPER w OPTIONS (ADD a 'b')
ALTER SERVER s VERSION '1'
ALTER USER MAPPING FOR app SERVER s OPTIONS (ADD a 'b')
ALTER PUBLICATION p ADD TABLE accounts
ALTER SUBSCRIPTION s DISABLE
ALTER STATISTICS s SET STATISTICS 1
ALTER TEXT SEARCH CONFIGURATION c DROP MAPPING FOR word
ALTER TEXT SEARCH DICTIONARY d (StopWords = a)
DROP TABLE accounts
DROP VIEW IF EXISTS rich
DROP FUNCTION twice(int)
DROP OWNED BY app CASCADE
DROP DATABASE IF EXISTS no_such_database
DROP ROLE app
DROP TABLESPACE s
DROP SUBSCRIPTION s
DROP USER MAPPING FOR app SERVER s
""",
    "several": """
SELECT 1; DELETE FROM things
DELETE FROM things; SELECT 1
SELECT 1; SELECT nextval('counter')
SELECT 1; SELECT 1 FOR UPDATE
SELECT 1; COMMIT
SET work_mem = '8MB'; SELECT 1
""",
    "nothing, and no SQL": """
;
-- SELECT 1
/* SELECT 1 */
SELEC 1
SELECT 1 FROM
SELECT 'a
SELECT 1; DELETE
VACUUM accounts SELECT 1
SHOW
""",
    "hints do not make a read": """
/* dbproxy: replica */ DELETE FROM things
/* dbproxy: replica(one) */ SELECT nextval('counter')
""",
}
WRITING = ("locking clauses", "writing queries")
