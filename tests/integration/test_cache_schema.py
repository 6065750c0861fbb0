"""What answers depend on, and what writes reach, as PostgreSQL's catalog tells it."""

from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.cache.catalog import MARK, QUERY, read_schema
from dbproxy.cache.schema import Schema
from dbproxy.demo.postgres import Postgres
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.steadiness import is_steady
from tests.support.postgres import Database, connect

SCHEMA = """
    CREATE SCHEMA other;
    CREATE TABLE customers (id int PRIMARY KEY, name text);
    CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE lines (id int, ordered int REFERENCES orders ON DELETE CASCADE);
    CREATE TABLE notes (id int, line int, customer int REFERENCES customers ON DELETE SET NULL);
    CREATE TABLE visits (id int, customer int REFERENCES customers);
    CREATE TABLE things (id int, at timestamptz, label text);
    CREATE TABLE other.things (id int);
    CREATE TABLE "Odd (é)" ("a.b" int);
    CREATE TABLE other."x.y" (id int);
    CREATE UNLOGGED TABLE scratch (id int);
    CREATE SEQUENCE counter;
    CREATE VIEW good AS SELECT o.id, c.name FROM orders AS o JOIN customers AS c ON c.id = o.customer;
    CREATE VIEW better AS SELECT * FROM good WHERE id > 1;
    CREATE VIEW recent AS SELECT * FROM things WHERE at > now() - interval '1 day';
    CREATE VIEW still_recent AS SELECT id FROM recent;
    CREATE VIEW dated AS SELECT CURRENT_DATE AS today;
    CREATE VIEW classes AS SELECT relname FROM pg_class;
    CREATE VIEW plain AS SELECT * FROM visits;
    CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM lines;
    CREATE TABLE parted (id int) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1, 2) PARTITION BY LIST (id);
    CREATE TABLE parted_1_1 PARTITION OF parted_1 FOR VALUES IN (1);
    CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
    CREATE TABLE base (id int);
    CREATE TABLE derived () INHERITS (base);

    CREATE TABLE counted (id int);
    CREATE TABLE counts (n int);
    CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN -- no DROP here
            UPDATE public.counts SET n = n + 1;
            RETURN NEW;
        END $$;
    CREATE TRIGGER count_it AFTER INSERT ON counted FOR EACH ROW EXECUTE FUNCTION count_it();
    CREATE TABLE touched (id int, at timestamptz);
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
    CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE TABLE obscure (id int);
    CREATE FUNCTION obscure() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN EXECUTE format(''DELETE FROM %I'', TG_ARGV[0]); RETURN NEW; END';
    CREATE TRIGGER obscure AFTER DELETE ON obscure FOR EACH ROW EXECUTE FUNCTION obscure('things');
    CREATE TABLE nested (id int);
    CREATE FUNCTION insert_counted() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM log_it(1); INSERT INTO counted VALUES (1); RETURN NULL; END';
    CREATE TABLE logged (id int);
    CREATE FUNCTION log_it(int) RETURNS void LANGUAGE sql AS 'INSERT INTO logged VALUES ($1)';
    CREATE TRIGGER nested AFTER INSERT ON nested FOR EACH STATEMENT EXECUTE FUNCTION insert_counted();
    CREATE TABLE quiet (id int);
    CREATE TRIGGER quiet AFTER INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION obscure('things');
    ALTER TABLE quiet DISABLE TRIGGER quiet;
    CREATE TABLE ruled (id int);
    CREATE RULE ruled AS ON DELETE TO ruled DO INSTEAD UPDATE things SET label = 'x';
    CREATE VIEW instead AS SELECT * FROM things;
    CREATE TRIGGER instead INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION count_it();
    CREATE TABLE filled (id int, made int DEFAULT length(current_user));
    CREATE TABLE numbered (id serial, n int);

    CREATE FUNCTION pure(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
    CREATE FUNCTION by_name(text) RETURNS bigint STABLE LANGUAGE sql AS
        'SELECT count(*) FROM customers WHERE name = $1';
    CREATE FUNCTION undeclared() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM better';
    CREATE FUNCTION atomic() RETURNS bigint STABLE BEGIN ATOMIC SELECT count(*) FROM visits; END;
    CREATE FUNCTION timed() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT now()';
    CREATE FUNCTION stable_plpgsql() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION volatile_plpgsql() RETURNS int LANGUAGE plpgsql AS
        'BEGIN INSERT INTO logged VALUES (1); RETURN 1; END';
    CREATE FUNCTION dynamic() RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT 1''; RETURN 1; END';
    CREATE FUNCTION silent() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION again(int) RETURNS int STABLE LANGUAGE sql AS 'SELECT CASE WHEN $1 = 0 THEN 1 ELSE 2 END';
    CREATE FUNCTION full_name(customers) RETURNS text STABLE LANGUAGE sql AS 'SELECT now()::text';
    CREATE FUNCTION add_plainly(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + $2';
    CREATE FUNCTION add_badly(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
    CREATE AGGREGATE good_sum (int) (SFUNC = add_plainly, STYPE = int);
    CREATE AGGREGATE bad_sum (int) (SFUNC = add_badly, STYPE = int);
    CREATE OPERATOR |+| (FUNCTION = add_plainly, LEFTARG = int, RIGHTARG = int);
    CREATE OPERATOR |-> (FUNCTION = add_badly, LEFTARG = int, RIGHTARG = int);
    CREATE FUNCTION defaulted(a int, b timestamptz DEFAULT now()) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION nicked(customers) RETURNS text STABLE LANGUAGE sql AS 'SELECT $1.full_name';
    CREATE FUNCTION looks_up(int) RETURNS text IMMUTABLE LANGUAGE sql AS
        'SELECT min(name) FROM customers WHERE id = $1';
    CREATE FUNCTION looks_further(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM 1 FROM visits; RETURN looks_up($1); END';
    CREATE FUNCTION logs_quietly() RETURNS int STABLE LANGUAGE sql AS 'SELECT volatile_plpgsql()';
    CREATE FUNCTION logs_secretly() RETURNS int IMMUTABLE LANGUAGE plpgsql AS
        'BEGIN PERFORM logs_quietly(); RETURN 1; END';
    CREATE FUNCTION promises() RETURNS int STABLE LANGUAGE plpgsql AS
        'BEGIN RETURN dynamic(); END';
    CREATE FUNCTION earlier() RETURNS bigint STABLE LANGUAGE sql AS
        'SELECT count(*) FROM public.things WHERE at < ''now'' ';
    CREATE VIEW of_old AS SELECT * FROM things WHERE at < ('now'::text)::date;
    CREATE VIEW called AS SELECT id AS today FROM lines WHERE id < 5;
    CREATE FUNCTION commented() RETURNS bigint STABLE LANGUAGE sql AS '/* as of ''now'' */ SELECT count(*) FROM lines';
    CREATE VIEW named AS SELECT current_setting('application_name') AS name FROM lines;
    CREATE VIEW opaque AS SELECT dynamic() AS id;
    CREATE VIEW logging AS SELECT volatile_plpgsql() AS id;
    CREATE TABLE stamped (id int, by int DEFAULT volatile_plpgsql());

    CREATE TABLE policed (id int, tenant text);
    ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON policed USING (tenant = current_setting('app.tenant', true) OR tenant = current_user);
    CREATE TABLE shared (id int);
    ALTER TABLE shared ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON shared USING (id IN (SELECT customer FROM visits WHERE pure(customer) = 1));
    CREATE TABLE badly_policed (id int);
    ALTER TABLE badly_policed ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON badly_policed USING (id = stable_plpgsql());
    CREATE TABLE timely (id int, until timestamptz);
    ALTER TABLE timely ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON timely FOR SELECT USING (until > now());
    CREATE TABLE unpoliced (id int);
    CREATE POLICY own ON unpoliced USING (id = stable_plpgsql());
    CREATE PROCEDURE work() LANGUAGE sql AS 'DELETE FROM things';
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE abroad (id int) SERVER elsewhere;
"""


ROWS = """
    INSERT INTO customers VALUES (1, 'a'), (2, 'b');
    INSERT INTO orders VALUES (1, 1), (2, 2);
    INSERT INTO lines VALUES (1, 1), (2, 2);
    INSERT INTO notes VALUES (1, 1, 1);
    INSERT INTO parted VALUES (1), (9);
    INSERT INTO derived VALUES (1);
    INSERT INTO counts VALUES (0);
    INSERT INTO ruled VALUES (1);
    INSERT INTO public.things VALUES (1)
"""
STABLE = """
    aclexplode age array_to_json array_to_string concat concat_ws convert convert_from convert_to current_database
    current_schema current_schemas current_setting current_user date date_add date_part date_subtract date_trunc
    enum_first enum_last enum_range extract format generate_series get_current_ts_config getdatabaseencoding
    getpgusername json_agg json_agg_strict json_build_array json_build_object json_object_agg json_object_agg_strict
    json_object_agg_unique json_object_agg_unique_strict json_populate_record json_populate_recordset json_to_record
    json_to_recordset json_to_tsvector jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object
    jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz
    jsonb_populate_record jsonb_populate_record_valid jsonb_populate_recordset jsonb_to_record jsonb_to_recordset
    jsonb_to_tsvector length make_timestamptz money numeric overlaps pg_char_to_encoding pg_client_encoding
    pg_collation_for pg_encoding_to_char pg_typeof phraseto_tsquery plainto_tsquery quote_literal quote_nullable
    row_to_json session_user time timestamp timestamptz timezone to_char to_date to_json to_jsonb to_number to_timestamp
    to_tsquery to_tsvector ts_headline ts_parse ts_token_type version websearch_to_tsquery xml xml_is_well_formed
"""


def read(connection: psycopg.Connection) -> Schema:
    return read_schema(connection.execute(QUERY.encode()).fetchall())


@pytest.fixture(scope="module")
def schema(module_database: Database) -> Iterator[Schema]:
    with connect(module_database.server, module_database.name) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute(ROWS.encode())
        connection.execute("SET client_encoding = latin1")
        yield read(connection)


def show(schema: Schema, oids: frozenset[int]) -> str:
    return " ".join(sorted(schema.names[oid].removeprefix("public.") for oid in oids))


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT 1", ""),
        ("SELECT * FROM visits WHERE id = 1", "visits"),
        ("SELECT * FROM things", "other.things things"),
        ("SELECT * FROM public.things", "things"),
        ('SELECT * FROM "Odd (é)", other."x.y"', 'Odd (é) other."x.y"'),
        ("TABLE good", "customers orders"),
        ("SELECT * FROM better WHERE id IN (SELECT id FROM kept)", "customers kept orders"),
        ("TABLE parted", "parted parted_1 parted_1_1 parted_2"),
        ("TABLE parted_1", "parted_1 parted_1_1"),
        ("SELECT * FROM ONLY base", "base derived"),
        ("WITH visits AS (SELECT 1) SELECT * FROM visits, lines", "lines"),
        ("SELECT pure(1), by_name('a')", "customers"),
        ("SELECT undeclared(), again(1)", "customers orders"),
        ("SELECT atomic()", "visits"),
        ("SELECT good_sum(id), sum(id), 1 |+| 2 FROM lines GROUP BY id", "lines"),
        ("TABLE policed", "policed"),
        ("TABLE shared", "shared visits"),
        ("TABLE unpoliced", "unpoliced"),
        ("SELECT current_user, current_schema, to_char(at, 'Y'), date_trunc('day', at) FROM public.things",
         "things"),
        ("SELECT json_agg(row_to_json(l)), concat(1, 2), string_agg(id::text, ',') FROM lines AS l", "lines"),
        ("SELECT age(at, at), extract(day FROM at), at AT TIME ZONE 'UTC', '2020-01-01'::date FROM public.things",
         "things"),
        ("SELECT lower(name), name LIKE 'a', name ~ 'b', position('a' IN name), trim('x') FROM customers", "customers"),
        ("SELECT row_number() OVER (ORDER BY id), lag(id) OVER () FROM lines", "lines"),
        ("SELECT g FROM generate_series(now(), now(), '1 day') AS g", None),
        ("SELECT * FROM generate_series(1, 3) AS g JOIN lines ON g = id", "lines"),
        ("SELECT current_setting('app.x', true)", ""),
        ("SELECT looks_up(1)", "customers"),
        ("SELECT looks_further(1)", "customers visits"),
        ("TABLE called", "lines"),
        ("SELECT commented()", "lines"),
    ],
)  # fmt: skip
def test_an_answer_depends_on_all_tables_that_are_read(schema: Schema, text: str, tables: str | None) -> None:
    found = schema.judge(StatementCache(9).find(text.encode()))
    assert bool(found.reason) == (tables is None), found.reason
    assert show(schema, found.tables) == (tables or "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT now()", "function now() depends on the time"),
        ("SELECT age(at) FROM public.things", "function age() depends on the time"),
        ("SELECT pg_catalog.clock_timestamp()", "function clock_timestamp() depends on the time"),
        ("SELECT CURRENT_TIMESTAMP(3)", "CURRENT_TIMESTAMP"),
        ("SELECT LOCALTIME", "LOCALTIME"),
        ("SELECT random()", "function random() is volatile"),
        ("SELECT gen_random_uuid()", "function gen_random_uuid() is volatile"),
        ("SELECT nextval('counter')", "function nextval() is volatile"),
        ("SELECT has_table_privilege('lines', 'x')", "function has_table_privilege() depends on the server's state"),
        ("SELECT pg_column_size(1)", "function pg_column_size() depends on the server's state"),
        ("SELECT 'lines'::regclass", "a cast to regclass depends on the server's state"),
        ("SELECT '12:00'::timetz", "a cast to timetz depends on the time"),
        ("SELECT * FROM lines TABLESAMPLE system (1)", "TABLESAMPLE"),
        ("SELECT l.ctid FROM lines AS l", "column ctid"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("SHOW timezone", "SHOW"),
        ("COPY lines TO STDOUT", "COPY"),
        ("SELECT 1; SELECT 2", "several statements"),
        ("INSERT INTO lines VALUES (1)", "it writes"),
        ("SELECT * FROM lines FOR UPDATE", "it is no read, or asks its server or session"),
        ("SELECT * FROM pg_class", 'relation "pg_class" is of PostgreSQL itself'),
        ("SELECT * FROM information_schema.tables", 'relation "information_schema.tables" is of PostgreSQL itself'),
        ("SELECT * FROM nothing", 'unknown relation "nothing"'),
        ("SELECT nothing()", 'unknown function "nothing"'),
        ("TABLE scratch", 'table "public.scratch" is unlogged'),
        ("TABLE abroad", 'relation "public.abroad" is on another server'),
        ("TABLE counter", 'relation "public.counter" is a sequence'),
        ("TABLE recent", 'view "public.recent": function now() depends on the time'),
        ("TABLE still_recent", 'view "public.still_recent": view "public.recent": function now() depends on the time'),
        ("TABLE dated", 'view "public.dated": CURRENT_DATE'),
        ("TABLE classes", 'view "public.classes": relation "pg_class" is of PostgreSQL itself'),
        ("TABLE opaque", 'view "public.opaque": function "public.dynamic" is volatile, in plpgsql'),
        ("SELECT timed()", 'function "public.timed": function now() depends on the time'),
        ("SELECT stable_plpgsql()", 'function "public.stable_plpgsql" is stable, in plpgsql'),
        ("SELECT bad_sum(id) FROM lines",
         'aggregate "public.bad_sum": function "public.add_badly" is volatile, in plpgsql'),
        ("SELECT 1 |-> 2", 'operator: function "public.add_badly" is volatile, in plpgsql'),
        ("SELECT c.full_name FROM customers AS c", 'function "public.full_name": function now() depends on the time'),
        ("SELECT nicked(c) FROM customers AS c",
         'function "public.nicked": function "public.full_name": function now() depends on the time'),
        ("SELECT defaulted(1)", 'default of an argument of "public.defaulted": function now() depends on the time'),
        ("TABLE badly_policed",
         'row security of "public.badly_policed": function "public.stable_plpgsql" is stable, in plpgsql'),
        ("TABLE timely", 'row security of "public.timely": function now() depends on the time'),
        ("SELEC 1", "a text that is not read"),
        ("SELECT earlier()", 'function "public.earlier": a value may be the time'),
        ("TABLE of_old", 'view "public.of_old": a value may be the time'),
        ("SELECT current_setting('application_name')", "setting application_name"),
        ("SELECT current_setting('Work_Mem', true)", "setting work_mem"),
        ("SELECT current_setting('dbproxy.x', true)", "setting dbproxy.x"),
        ("SELECT current_setting(name) FROM customers", "a setting whose name is computed"),
        ("TABLE named", 'view "public.named": setting application_name'),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_says_why(schema: Schema, text: str, reason: str) -> None:
    found = schema.judge(StatementCache(9).find(text.encode()))
    assert (found.reason, found.tables) == (reason, frozenset())


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT * FROM lines FOR UPDATE", ""),
        ("BEGIN", ""), ("COMMIT", ""), ("SET search_path = other", ""), ("LISTEN a", ""), ("DISCARD TEMP", ""),
        ("VACUUM lines", ""), ("ANALYZE", ""), ("LOCK TABLE lines", ""), ("NOTIFY a", ""), ("", ""),
        ("COMMENT ON TABLE lines IS 'x'", ""),
        ("SELECT nextval('counter'), set_config('a.b', 'c', false), pg_notify('a', 'b'), random()", ""),
        ("SELECT pg_advisory_lock(1), lo_create(0)", ""),
        ("SELECT pure(1), stable_plpgsql(), silent(), by_name('a')", ""),
        ("EXPLAIN DELETE FROM lines", ""),
        ("EXPLAIN ANALYZE DELETE FROM lines", "lines"),
        ("INSERT INTO lines VALUES (1)", "lines"),
        ("INSERT INTO things VALUES (1)", "other.things things"),
        ("UPDATE public.things SET id = 1", "things"),
        ("INSERT INTO lines SELECT * FROM good", "lines"),
        ("COPY lines FROM STDIN", "lines"),
        ("WITH x AS (DELETE FROM lines RETURNING *) SELECT * FROM x", "lines"),
        ("MERGE INTO lines USING visits ON true WHEN MATCHED THEN DELETE", "lines"),
        ("PREPARE p AS DELETE FROM lines", "lines"),
        ("DELETE FROM customers", "customers lines notes orders"),
        ("UPDATE customers SET id = 1", "customers orders"),
        ("INSERT INTO customers VALUES (1)", "customers"),
        ("INSERT INTO customers VALUES (1) ON CONFLICT (id) DO UPDATE SET name = ''", "customers orders"),
        ("DELETE FROM orders", "lines orders"),
        ("TRUNCATE orders", "orders"),
        ("TRUNCATE customers CASCADE", "customers lines notes orders visits"),
        ("REFRESH MATERIALIZED VIEW kept", "kept"),
        ("INSERT INTO parted VALUES (1)", "parted parted_1 parted_1_1 parted_2"),
        ("INSERT INTO parted_1_1 VALUES (1)", "parted_1_1"),
        ("DELETE FROM base", "base derived"),
        ("INSERT INTO plain VALUES (1)", "visits"),
        ("INSERT INTO counted VALUES (1)", "counted counts"),
        ("DELETE FROM counted", "counted"),
        ("INSERT INTO touched VALUES (1)", "touched"),
        ("INSERT INTO nested VALUES (1)", "counted counts logged nested"),
        ("INSERT INTO obscure VALUES (1)", "obscure"),
        ("DELETE FROM obscure", None),
        ("INSERT INTO quiet VALUES (1)", "quiet"),
        ("INSERT INTO ruled VALUES (1)", "ruled"),
        ("DELETE FROM ruled", None),
        ("INSERT INTO instead VALUES (1)", None),
        ("INSERT INTO numbered (n) VALUES (1)", "numbered"),
        ("INSERT INTO filled (id) VALUES (1)", "filled"),
        ("INSERT INTO stamped (id) VALUES (1)", "logged stamped"),
        ("SELECT log_it(1)", "logged"),
        ("SELECT volatile_plpgsql()", "logged"),
        ("TABLE logging", "logged"),
        ("SELECT dynamic()", None),
        ("TABLE opaque", None),
        ("SELECT bad_sum(id), 1 |-> 2 FROM lines", ""),
        ("SELECT logs_quietly()", "logged"),
        ("SELECT logs_secretly()", "logged"),
        ("SELECT promises()", None),
        ("SELECT looks_up(1)", ""),
        ("SELECT query_to_xml('DELETE FROM lines', true, true, '')", None),
        ("INSERT INTO nothing VALUES (1)", None),
        ("SELECT nothing()", None),
        ("CREATE TABLE n (a int)", None), ("CREATE TEMP TABLE n (a int)", ""), ("SELECT 1 AS a INTO n", None),
        ("CREATE TEMP TABLE n AS TABLE lines", ""), ("DROP TABLE lines", None), ("ALTER TABLE lines ADD x int", None),
        ("GRANT SELECT ON lines TO app", None), ("ALTER ROLE app SET timezone = 'UTC'", None),
        ("CALL work()", None), ("DO 'BEGIN END'", None), ("EXECUTE p", None), ("COMMIT PREPARED 'x'", None),
        ("SELEC 1", None),
    ],
)  # fmt: skip
def test_a_write_reaches_all_that_it_may_change(schema: Schema, text: str, tables: str | None) -> None:
    found = schema.find_targets(StatementCache(9).find(text.encode()))
    assert (None if found is None else show(schema, found)) == tables


def test_a_name_that_nobody_knows_is_a_temporary_table_of_who_has_such(schema: Schema) -> None:
    shape = StatementCache(9).find(b"INSERT INTO nothing TABLE lines")
    assert schema.find_targets(shape, temporary=True) == frozenset()
    assert schema.find_targets(shape) is None


def test_any_user_may_ask(schema: Schema, module_database: Database) -> None:
    with psycopg.connect(module_database.dsn) as connection:
        assert read(connection).names == schema.names
        assert connection.execute(MARK.encode()).fetchone() is not None


def test_what_is_steady_is_so_for_this_server(primary: Postgres) -> None:
    """Of PostgreSQL's own functions those are steady that are immutable, and these stable ones."""
    query = """
        SELECT proname::text, max(provolatile::text) FROM pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY proname
    """
    with connect(primary) as connection:
        rows = connection.execute(query).fetchall()
    assert {name for name, volatility in rows if volatility == "v" and is_steady(name)} == set()
    assert {name for name, volatility in rows if volatility == "s" and is_steady(name)} == set(STABLE.split())


READ_HERE = """
    SELECT l.relation::int FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
     WHERE l.pid = pg_backend_pid() AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm')
"""
CHANGED_HERE = """
    SELECT oid::int FROM pg_class
     WHERE oid >= 16384 AND relkind IN ('r', 'p', 'm') AND pg_stat_get_xact_tuples_inserted(oid)
           + pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid) > 0
"""


@pytest.mark.parametrize(
    "text",
    [
        "TABLE better", "TABLE parted", "TABLE base", "SELECT undeclared(), by_name('a'), atomic()",
        "SELECT * FROM kept, visits", "WITH x AS (TABLE lines) SELECT * FROM x WHERE EXISTS (TABLE orders)",
        "SELECT (SELECT max(id) FROM notes), id |+| 1 FROM customers GROUP BY id",
    ],
)  # fmt: skip
def test_the_server_reads_no_other_tables(schema: Schema, module_database: Database, text: str) -> None:
    found = schema.judge(StatementCache(9).find(text.encode()))
    with connect(module_database.server, module_database.name) as connection, connection.transaction():
        connection.execute(text.encode())
        read = {oid for (oid,) in connection.execute(READ_HERE.encode())}
    assert read
    assert read <= found.tables


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM customers", "UPDATE customers SET id = id + 10 WHERE id = 2", "DELETE FROM orders",
        "INSERT INTO plain VALUES (1)", "INSERT INTO parted VALUES (1), (8)", "UPDATE parted SET id = 9",
        "DELETE FROM base",
        "INSERT INTO counted VALUES (1)", "INSERT INTO nested VALUES (1)", "INSERT INTO stamped VALUES (1)",
        "SELECT log_it(1)", "SELECT volatile_plpgsql()", "TABLE logging", "DELETE FROM ruled",
        "WITH x AS (DELETE FROM lines RETURNING id) INSERT INTO counted SELECT id FROM x",
        "MERGE INTO lines USING notes ON true WHEN MATCHED THEN DELETE",
        "INSERT INTO customers VALUES (2, '') ON CONFLICT (id) DO UPDATE SET id = 20",
        "PREPARE p AS DELETE FROM lines; EXECUTE p", "DO 'BEGIN DELETE FROM lines; END'",
    ],
)  # fmt: skip
def test_the_server_changes_no_other_tables(schema: Schema, module_database: Database, text: str) -> None:
    found = schema.find_targets(StatementCache(9).find(text.encode()))
    with (
        connect(module_database.server, module_database.name) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(text.encode())
        changed = {oid for (oid,) in connection.execute(CHANGED_HERE.encode())}
    assert changed
    assert found is None or changed <= found


def test_the_mark_changes_with_what_is_defined_and_with_nothing_else(database: Database) -> None:
    with connect(database.server, database.name) as connection:
        connection.execute(SCHEMA.encode())

        def mark() -> object:
            return connection.execute(MARK.encode()).fetchone()

        for text in KEEPING:
            before = mark()
            connection.execute(text.encode())
            assert mark() == before, text
        for text in CHANGING:
            before = mark()
            connection.execute(text.encode())
            assert mark() != before, text


KEEPING = (
    "INSERT INTO lines VALUES (1)", "UPDATE lines SET id = 2", "DELETE FROM lines", "VACUUM lines", "ANALYZE",
    "VACUUM FULL lines", "TRUNCATE lines", "REFRESH MATERIALIZED VIEW kept", "CREATE TEMP TABLE mine (id int)",
    "CREATE TEMP VIEW my_view AS TABLE lines", "SELECT nextval('counter')", "CREATE INDEX ON lines (id)",
    "REINDEX TABLE lines", "CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1", "DROP TABLE mine CASCADE",
)  # fmt: skip
CHANGING = (
    "ALTER TABLE lines ADD x int", "ALTER TABLE lines RENAME x TO y", "ALTER TABLE lines RENAME TO rows",
    "ALTER TABLE rows SET SCHEMA other", "GRANT SELECT ON visits TO app_md5", "GRANT SELECT (id) ON notes TO app_md5",
    "ALTER TABLE visits OWNER TO app", "CREATE TABLE fresh (id int)", "DROP TABLE fresh",
    "CREATE OR REPLACE VIEW good AS SELECT o.id, ''::text AS name FROM orders AS o",
    "ALTER VIEW good SET (security_invoker = on)", "CREATE OR REPLACE FUNCTION again(int) RETURNS int RETURN 1",
    "DROP AGGREGATE bad_sum (int)", "ALTER TABLE things ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON things",
    "ALTER POLICY p ON things TO app", "ALTER TABLE base FORCE ROW LEVEL SECURITY",
    "ALTER TABLE parted DETACH PARTITION parted_2", "ALTER TABLE derived NO INHERIT base",
    "CREATE TRIGGER t AFTER DELETE ON base EXECUTE FUNCTION count_it()", "ALTER TABLE base DISABLE TRIGGER t",
    "CREATE RULE r AS ON DELETE TO base DO NOTHING", "ALTER TABLE visits DROP CONSTRAINT visits_customer_fkey",
    "ALTER TABLE base ALTER id SET DEFAULT 1", "ALTER TABLE base ALTER id SET DEFAULT 2",
    "CREATE SCHEMA app", "ALTER SCHEMA app RENAME TO apps",
    "CREATE TYPE mood AS ENUM ('a')", "ALTER TYPE mood RENAME VALUE 'a' TO 'b'",
    "CREATE ROLE temporary_member ROLE app", "ALTER ROLE temporary_member BYPASSRLS",
    "REVOKE temporary_member FROM app",
    "ALTER ROLE temporary_member SET timezone = 'UTC'", "DROP ROLE temporary_member",
)  # fmt: skip


def test_the_mark_is_the_same_for_all_users_and_sessions(module_database: Database) -> None:
    """Whatever a session has set, or has loaded: PL/pgSQL comes with settings of its own."""
    with (
        connect(module_database.server, module_database.name) as owner,
        psycopg.connect(module_database.dsn, autocommit=True, application_name="other") as user,
    ):
        user.execute("DO 'BEGIN END'")
        user.execute("SET timezone = 'Asia/Tokyo'; SET app.tenant = 'a'")
        assert user.execute(MARK.encode()).fetchone() == owner.execute(MARK.encode()).fetchone()
