"""Which tables have rows that are told apart, as PostgreSQL's catalog says it, and what is kept of one row."""

from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.cache.catalog import MARK, QUERY, read_schema
from dbproxy.cache.schema import Schema
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape
from tests.support.kept import SETTINGS, Kept
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

SCHEMA = """
    CREATE SCHEMA rows;
    SET search_path = rows;
    CREATE TABLE plain (id int PRIMARY KEY, other bigint UNIQUE, n int);
    CREATE TABLE wide (gone int, n int, id bigint PRIMARY KEY);
    ALTER TABLE wide DROP COLUMN gone;
    CREATE TABLE narrow (id smallint UNIQUE, n int);
    CREATE TABLE named (id text PRIMARY KEY, n int);
    CREATE TABLE paired (id int, n int, PRIMARY KEY (id, n));
    CREATE TABLE unkeyed (id int, n int);
    CREATE TABLE lowered (id int, n int);
    CREATE UNIQUE INDEX ON lowered ((id + 1));
    CREATE TABLE made (n int, id int GENERATED ALWAYS AS (n * 2) STORED UNIQUE);
    CREATE DOMAIN number AS int;
    CREATE TABLE domained (id number PRIMARY KEY, n int);
    CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
    CREATE TABLE base (id int PRIMARY KEY, n int);
    CREATE TABLE derived (PRIMARY KEY (id)) INHERITS (base);
    CREATE TABLE triggered (id int PRIMARY KEY, n int);
    CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.id := NEW.id + 1; RETURN NEW; END';
    CREATE TRIGGER move BEFORE UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION move();
    CREATE TABLE ruled (id int PRIMARY KEY, n int);
    CREATE RULE also AS ON UPDATE TO ruled DO ALSO DELETE FROM unkeyed;
    CREATE TABLE above (id int PRIMARY KEY, n int);
    CREATE TABLE below (id int PRIMARY KEY, n int REFERENCES above ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE tree (id int PRIMARY KEY, n int REFERENCES tree ON DELETE CASCADE);
    CREATE VIEW seen AS SELECT * FROM plain;
    CREATE MATERIALIZED VIEW counted AS SELECT 1 AS id, count(*) AS n FROM plain;
    CREATE UNIQUE INDEX ON counted (id);
    CREATE TABLE secret (id int PRIMARY KEY, n int);
    CREATE TABLE allowed (id int);
    ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON secret USING (id IN (SELECT id FROM allowed));
    CREATE FUNCTION sum_plain() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT sum(n) FROM rows.plain';
    CREATE FUNCTION raise_plain() RETURNS int LANGUAGE sql AS 'UPDATE rows.plain SET n = n + 1 RETURNING 1';
    CREATE TABLE watched (id int PRIMARY KEY, n int);
    ALTER TABLE watched ENABLE ROW LEVEL SECURITY;
    CREATE FUNCTION count_watched() RETURNS bigint STABLE SECURITY DEFINER LANGUAGE sql
        AS 'SELECT count(*) FROM rows.watched';
    CREATE POLICY p ON watched USING (n < count_watched());
    INSERT INTO plain SELECT n, n, 0 FROM generate_series(1, 9) AS n;
    INSERT INTO above SELECT n, 0 FROM generate_series(1, 9) AS n;
    INSERT INTO below SELECT n, n FROM generate_series(1, 9) AS n;
"""
OWN_EQUALITY = """
    CREATE FUNCTION alike(int, text) RETURNS bool IMMUTABLE LANGUAGE sql RETURN true;
    CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = text, FUNCTION = alike);
"""
EQUALITY_OF_OTHERS = """
    CREATE FUNCTION alike(text, text[]) RETURNS bool IMMUTABLE LANGUAGE sql RETURN true;
    CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text[], FUNCTION = alike);
"""


def read(connection: psycopg.Connection) -> Schema:
    return read_schema(connection.execute(QUERY.encode()).fetchall())


def shape(text: str) -> Shape:
    return StatementCache(9).find(text.encode())


@pytest.fixture(scope="module")
def schema(module_database: Database) -> Iterator[Schema]:
    with connect(module_database.server, module_database.name) as connection:
        connection.execute("SET ROLE app")
        connection.execute(SCHEMA.encode())
        yield read(connection)


def test_rows_are_told_apart_by_one_unique_column_of_integers_that_nothing_else_changes(
    schema: Schema,
) -> None:
    relations = schema.definitions.relations.values()
    found = {
        relation.name.removeprefix("rows."): relation.row_key for relation in relations if relation.row_key
    }
    keyed = dict.fromkeys(["plain", "narrow", "above", "below", "tree", "secret", "watched"], ("id", 1))
    assert found == {**keyed, "wide": ("id", 2)}


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT n FROM plain WHERE id = 1", "plain"),
        ("SELECT n FROM rows.wide WHERE id = $1", "wide"),
        ("SELECT n FROM secret WHERE id = 1", "allowed secret"),
    ],
)
def test_read_depends_on_one_row(schema: Schema, text: str, tables: str) -> None:
    found = schema.judge(shape(text))
    assert {schema.names[oid].removeprefix("rows.") for oid in found.tables} == set(tables.split())
    assert found.row is not None
    assert schema.names[found.row.table].removeprefix("rows.") == tables.split()[-1]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT n FROM plain WHERE other = 1",
        "SELECT n FROM seen WHERE id = 1",
        "SELECT n FROM counted WHERE id = 1",
        "SELECT sum_plain() FROM plain WHERE id = 1",
        "SELECT n, (p).sum_plain FROM plain AS p WHERE id = 1 AND n < sum_plain()",
        "SELECT n FROM watched WHERE id = 1",
        "SELECT n FROM parted WHERE id = 1",
        "SELECT n FROM parted_1 WHERE id = 1",
        "SELECT n FROM base WHERE id = 1",
        "SELECT n FROM derived WHERE id = 1",
        "SELECT n FROM made WHERE id = 1",
    ],
)
def test_read_depends_on_all_rows(schema: Schema, text: str) -> None:
    assert schema.judge(shape(text)).row is None


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("UPDATE plain SET n = 1 WHERE id = 1", "plain"),
        ("INSERT INTO wide VALUES ($1, $2)", "wide"),
        ("INSERT INTO below VALUES ($1, 1)", "below"),
        ("DELETE FROM above WHERE id = 1", "above below"),
        ("UPDATE tree SET n = 1 WHERE id = 1", "tree"),
        ("UPDATE plain SET n = (SELECT max(n) FROM above) WHERE id = 1", "plain"),
    ],
)
def test_write_changes_one_row(schema: Schema, text: str, tables: str) -> None:
    found, row = schema.find_targets(shape(text)), schema.find_row(shape(text))
    assert found is not None
    assert {schema.names[oid].removeprefix("rows.") for oid in found} == set(tables.split())
    assert row is not None
    assert schema.names[row.table].removeprefix("rows.") == tables.split()[0]


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM tree WHERE id = 1",
        "UPDATE plain SET n = raise_plain() WHERE id = 1",
        "UPDATE seen SET n = 1 WHERE id = 1",
        "UPDATE triggered SET n = 1 WHERE id = 1",
        "UPDATE ruled SET n = 1 WHERE id = 1",
        "UPDATE plain SET n = 1 WHERE other = 1",
        "DELETE FROM nothing WHERE id = 1",
        "SELECT n FROM plain WHERE id = 1",
    ],
)
def test_write_may_change_any_row(schema: Schema, text: str) -> None:
    assert schema.find_row(shape(text)) is None


def test_what_equals_an_integer_must_be_postgresql_s_own(database: Database) -> None:
    with connect(database.server, database.name) as connection:
        connection.execute("CREATE TABLE plain (id int PRIMARY KEY, n int)")
        connection.execute(EQUALITY_OF_OTHERS.encode())
        assert read(connection).judge(shape("SELECT n FROM plain WHERE id = 1")).row is not None
        connection.execute(OWN_EQUALITY.encode())
        assert read(connection).judge(shape("SELECT n FROM plain WHERE id = 1")).row is None


def test_the_mark_changes_with_what_is_unique(database: Database) -> None:
    with connect(database.server, database.name) as connection:
        connection.execute("CREATE TABLE plain (id int, n int)")
        before = connection.execute(MARK.encode()).fetchone()
        connection.execute("CREATE UNIQUE INDEX ON plain (id)")
        assert connection.execute(MARK.encode()).fetchone() != before


# --- through the proxy ---


@pytest.fixture
def proxy(schema: Schema, module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {**SETTINGS, "auth.type": "trust"}) as running:
        yield running


READ = "SELECT n AS read_{} FROM rows.{} WHERE id = {}"


def test_write_to_one_row_ends_what_is_kept_of_it_alone(proxy: Proxy) -> None:
    one, other, every = (
        READ.format(1, "plain", 1),
        READ.format(2, "plain", 2),
        "SELECT sum(n) AS s FROM rows.plain",
    )
    with Kept(proxy) as kept, enter(proxy) as reader, enter(proxy) as writer:
        for sql in (one, other, every):
            kept.wait(reader, sql, sql[:16])
        writer.execute("UPDATE rows.plain SET n = n + 1 WHERE id = 1")
        assert kept.is_hit(reader, other, "read_2")
        assert not kept.is_hit(reader, one, "read_1")
        assert not kept.is_hit(reader, every, "AS s")
        kept.wait(reader, one, "read_1")
        writer.execute("UPDATE rows.plain SET n = n + 1 WHERE id = %s", [1])
        assert kept.is_hit(reader, other, "read_2")
        assert not kept.is_hit(reader, one, "read_1")
        writer.execute("UPDATE rows.plain SET n = n + 1 WHERE id = 3 OR id = 4")
        assert not kept.is_hit(reader, other, "read_2")


def test_key_that_is_passed_on_ends_what_is_kept_of_the_tables_below(proxy: Proxy) -> None:
    above, below = READ.format(3, "above", 5), READ.format(4, "below", 5)
    with Kept(proxy) as kept, enter(proxy) as reader, enter(proxy) as writer:
        for sql in (above, below):
            kept.wait(reader, sql, sql[:16])
        writer.execute("DELETE FROM rows.above WHERE id = 7")
        assert kept.is_hit(reader, above, "read_3")
        assert not kept.is_hit(reader, below, "read_4")


def test_answer_without_rows_ends_with_the_row(proxy: Proxy) -> None:
    missing, other = READ.format(5, "plain", 77), READ.format(6, "plain", 78)
    with Kept(proxy) as kept, enter(proxy) as reader, enter(proxy) as writer:
        assert kept.wait(reader, missing, "read_5") == kept.wait(reader, other, "read_6") == []
        writer.execute("INSERT INTO rows.plain VALUES (%s, 77, 7)", [77])
        assert kept.is_hit(reader, other, "read_6")
        assert reader.execute(missing).fetchall() == [(7,)]


def enter(proxy: Proxy) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None)
