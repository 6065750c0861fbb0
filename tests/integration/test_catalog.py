"""What PostgreSQL's catalog says of a database's functions, views and tables, as the router will ask it."""

from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.cluster.catalog import QUERY, Catalog, read_catalog
from dbproxy.demo.postgres import Postgres
from dbproxy.sql.parser import classify
from tests.support.postgres import Database, connect, create_database
from tests.support.reads_sql import READS, lines
from tests.support.reads_sql import SCHEMA as READABLE

SCHEMA = """
    CREATE FUNCTION stable_sql() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION default_sql() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM accounts';
    CREATE FUNCTION writing_sql() RETURNS int LANGUAGE sql AS 'DELETE FROM things; SELECT 1';
    CREATE FUNCTION atomic_sql() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM rich; SELECT 2; END;
    CREATE FUNCTION returning_sql(a int) RETURNS int RETURN a + stable_sql();
    CREATE FUNCTION ticket() RETURNS bigint RETURN nextval('counter');
    CREATE FUNCTION nested_sql() RETURNS int LANGUAGE sql AS 'SELECT writing_sql()';
    CREATE FUNCTION default_plpgsql() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION stable_plpgsql() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION overloaded(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION other.overloaded(text) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION upper(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION "Odd (é)"() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION add_default(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
    CREATE FUNCTION add_plainly(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2';
    CREATE AGGREGATE good_sum (int) (SFUNC = add_plainly, STYPE = int);
    CREATE AGGREGATE plain_sum (int) (SFUNC = int4pl, STYPE = int);
    CREATE AGGREGATE bad_sum (int) (SFUNC = add_default, STYPE = int);
    CREATE OPERATOR |+| (FUNCTION = add_plainly, LEFTARG = int, RIGHTARG = int);
    CREATE OPERATOR |-> (FUNCTION = add_default, LEFTARG = int, RIGHTARG = int);

    CREATE VIEW good AS SELECT id, default_sql() FROM accounts WHERE balance > stable_sql();
    CREATE VIEW bad AS SELECT default_plpgsql() AS id;
    CREATE VIEW worse AS SELECT good.id FROM good JOIN bad USING (id);
    CREATE VIEW ticketed AS SELECT nextval('counter') AS n;
    CREATE VIEW asking AS SELECT pg_is_in_recovery() AS r;
    CREATE VIEW other.things AS SELECT * FROM public.things;
    CREATE MATERIALIZED VIEW kept AS SELECT default_plpgsql() AS id;
    CREATE UNLOGGED TABLE scratch (id serial);
    CREATE TABLE policed (id int);
    ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON policed USING (id = current_setting('app.user', true)::int);
    CREATE TABLE badly_policed (id int);
    ALTER TABLE badly_policed ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON badly_policed USING (id = default_plpgsql());
    CREATE POLICY writers ON policed FOR INSERT WITH CHECK (id = default_plpgsql());
    CREATE FOREIGN DATA WRAPPER nowhere;
    CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
    CREATE FOREIGN TABLE abroad (id int) SERVER elsewhere;
    CREATE TABLE parted (id int) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1) PARTITION BY LIST (id);
    CREATE FOREIGN TABLE parted_1_1 PARTITION OF parted_1 DEFAULT SERVER elsewhere;
"""


def read(connection: psycopg.Connection) -> Catalog:
    return read_catalog(connection.execute(QUERY.encode()).fetchall())


@pytest.fixture(scope="module")
def catalog(module_database: Database) -> Iterator[Catalog]:
    with connect(module_database.server, module_database.name) as connection:
        connection.execute((READABLE + SCHEMA).encode())
        connection.execute("SET client_encoding = latin1")
        yield read(connection)


@pytest.mark.parametrize(
    "text",
    [
        'SELECT stable_sql(), default_sql(), atomic_sql(), returning_sql(1), stable_plpgsql(), "Odd (é)"()',
        "SELECT good_sum(id), plain_sum(id), add_plainly(1, 2) FROM things",
        "SELECT 1 |+| 2",
        "TABLE good",
        "TABLE kept",
        "TABLE policed",
        "TABLE measures",
        "TABLE other.things",
    ],
)  # fmt: skip
def test_what_only_reads_is_allowed(catalog: Catalog, module_database: Database, text: str) -> None:
    assert catalog.allows(classify(text.encode())) == ""
    with connect(module_database.server, module_database.name) as connection, connection.transaction():
        connection.execute(text.encode())
        assert connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("SELECT writing_sql()", 'function "writing_sql" is no read: it writes'),
        ("SELECT nested_sql()", 'function "nested_sql" is no read: function "writing_sql" is no read: it writes'),
        ("SELECT ticket()", 'function "ticket" is no read: it writes'),
        ("SELECT default_plpgsql()", 'function "default_plpgsql" is volatile'),
        ("SELECT overloaded(1)", 'function "overloaded" is volatile'),
        ("SELECT upper('a')", 'function "upper" is volatile'),
        ("SELECT bad_sum(id) FROM things", 'aggregate "bad_sum" is no read: function "add_default" is volatile'),
        ("SELECT 1 |-> 2", 'operator "|->" is no read: function "add_default" is volatile'),
        ("SELECT 1 OPERATOR(public.|->) 2", 'operator "|->" is no read: function "add_default" is volatile'),
        ("SELECT no_such_function()", 'function "no_such_function" is not known'),
        ("TABLE bad", 'view "bad" is no read: function "default_plpgsql" is volatile'),
        ("TABLE worse", 'view "worse" is no read: view "bad" is no read: function "default_plpgsql" is volatile'),
        ("TABLE ticketed", 'view "ticketed" is no read: it writes, locks or asks its server'),
        ("TABLE asking", 'view "asking" is no read: it writes, locks or asks its server'),
        ("TABLE scratch", 'table "scratch" is unlogged'),
        ("TABLE badly_policed", 'table "badly_policed" is no read: function "default_plpgsql" is volatile'),
        ("TABLE abroad", 'table "abroad" is on another server'),
        ("TABLE parted", 'table "parted" is no read: table "parted_1" is no read: table "parted_1_1" is on another'),
        ("SELECT last_value FROM counter", 'sequence "counter" is ahead on a replica'),
    ],
)  # fmt: skip
def test_what_may_write_is_not_allowed_and_the_reason_said(
    catalog: Catalog, text: str, objection: str
) -> None:
    assert catalog.allows(classify(text.encode())).startswith(objection)
    assert classify(text.encode()).reads


def test_all_of_the_tables_reads_are_allowed(catalog: Catalog) -> None:
    """But for calls of `upper`, of which the database has its own, and of what stands behind operators and types."""
    objections = {catalog.allows(classify(text.encode())) for _, text in lines(READS)}
    assert objections == {"", 'function "upper" is volatile', 'function "int4out" is not known'}


def test_functions_of_an_extension_are_taken_at_their_declaration(database: Database) -> None:
    with connect(database.server, database.name) as connection:
        connection.execute("CREATE EXTENSION hstore")
        catalog = read(connection)
    assert catalog.allows(classify(b"SELECT hstore('a', 'b') -> 'a', a @> b FROM t")) == ""


def test_a_client_that_may_read_nothing_may_ask(catalog: Catalog, module_database: Database) -> None:
    with psycopg.connect(module_database.dsn) as connection:
        assert read(connection).called.keys() == catalog.called.keys()


def test_debians_postgres_understands_the_question(debian_postgres: Postgres) -> None:
    with (
        create_database(debian_postgres) as database,
        connect(debian_postgres, database.name) as connection,
    ):
        connection.execute((READABLE + SCHEMA + 'CREATE EXTENSION "uuid-ossp"').encode())
        catalog = read(connection)
    assert catalog.allows(classify(b"TABLE worse")).startswith('view "worse" is no read')
    assert catalog.allows(classify(b"SELECT uuid_generate_v4()")) == ""  # volatile, and does no harm
