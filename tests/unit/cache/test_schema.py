"""What is known of a database, by rows made by hand: what answers depend on, what writes reach, and where it ends."""

import pytest

from dbproxy.cache.catalog import Row, read_schema
from dbproxy.cache.reading import kind_of
from dbproxy.cache.schema import Schema
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import FUNCTION_CALL, NO_SHAPE, Shape


def shape(text: str) -> Shape:
    return StatementCache(9).find(text.encode())


def encode(*parts: str) -> str:
    return ".".join(part.encode().hex() for part in parts)


def relation(oid: int, name: str, kind: str = "rp", query: str = "", schema: str = "public") -> Row:
    return ("relation", str(oid), encode(schema, name), kind, encode(query))


def function(oid: int, name: str, kind: str, source: str = "") -> Row:
    return ("function", str(oid), encode("public", name), kind, encode(source))


def edge(kind: str, oid: int, other: str, text: str = "") -> Row:
    return (kind, str(oid), "", other, encode(text))


def reads(schema: Schema, text: str) -> set[int] | str:
    found = schema.judge(shape(text))
    return found.reason or set(found.tables)


TABLES = [relation(1, "a"), relation(2, "b"), relation(3, "c"), relation(4, "a", schema="other")]


def test_a_name_stands_for_all_that_have_it() -> None:
    schema = read_schema(TABLES)
    assert reads(schema, "TABLE a") == {1, 4}
    assert reads(schema, "TABLE other.a") == {4}
    assert schema.find_targets(shape("DELETE FROM a")) == {1, 4}
    assert schema.names == {1: "public.a", 2: "public.b", 3: "public.c", 4: "other.a"}


def test_what_is_below_a_table_is_found_to_the_end() -> None:
    schema = read_schema([*TABLES, edge("child", 1, "2"), edge("child", 2, "3"), edge("child", 3, "1")])
    assert schema.find_below(1) == {1, 2, 3}
    assert schema.find_below(4) == {4}
    assert schema.find_below(99) == set()


def test_a_name_with_a_dot_is_one() -> None:
    schema = read_schema([relation(1, "x.y", schema="s.t")])
    assert reads(schema, 'TABLE "x.y"') == {1}
    assert reads(schema, 'TABLE "s.t"."x.y"') == {1}
    assert reads(schema, "TABLE x.y") == 'unknown relation "x.y"'


def test_views_that_read_each_other_are_read_once() -> None:
    rows = [*TABLES, relation(5, "v", "vp", "TABLE w"), relation(6, "w", "vp", "TABLE v")]
    schema = read_schema([*rows, edge("reads", 5, "6"), edge("reads", 6, "5"), edge("reads", 6, "2")])
    assert reads(schema, "TABLE v") == {2}


def test_a_view_that_cannot_be_looked_at_is_not_kept() -> None:
    schema = read_schema([relation(5, "v", "vp")])
    assert "no read" in str(reads(schema, "TABLE v"))


def test_a_view_that_is_too_long_is_not_kept() -> None:
    schema = read_schema([*TABLES, relation(5, "v", "vp", "SELECT 1" + " + 1" * 20_000)])
    assert reads(schema, "TABLE v") == 'view "public.v": a text that is not read'


def test_functions_that_call_each_other_are_called_once() -> None:
    rows = [
        function(10, "f", "fs-sql", "SELECT g() FROM b"),
        function(11, "g", "fv-sql", "WITH x AS (SELECT f()) DELETE FROM c"),
    ]
    schema = read_schema([*TABLES, *rows])
    assert reads(schema, "SELECT f()") == 'function "public.f": function "public.g": it writes'
    assert schema.find_targets(shape("SELECT g()")) == {3}


def test_keys_that_lead_in_a_circle_end() -> None:
    keys = [edge("key", 1, "2 ca"), edge("key", 2, "3 nc"), edge("key", 3, "1 aa")]
    schema = read_schema([*TABLES[:3], *keys])
    assert schema.find_targets(shape("DELETE FROM a")) == {1, 2, 3}  # b is deleted from, so c is updated
    assert schema.find_targets(shape("DELETE FROM b")) == {2, 3}
    assert schema.find_targets(shape("DELETE FROM c")) == {3}
    assert schema.find_targets(shape("UPDATE b SET x = 1")) == {2, 3}
    assert schema.find_targets(shape("UPDATE a SET x = 1")) == {1}
    assert schema.find_targets(shape("TRUNCATE c CASCADE")) == {1, 2, 3}


def test_what_is_one_in_the_other_a_thousand_times_is_not_known() -> None:
    tables = [relation(oid, f"t{oid}") for oid in range(1, 3000)]
    schema = read_schema([*tables, *(edge("key", oid, f"{oid + 1} cc") for oid in range(1, 2999))])
    assert schema.find_targets(shape("DELETE FROM t1")) is None
    children = [edge("child", oid, str(oid + 1)) for oid in range(1, 2999)]
    assert "too many" in str(reads(read_schema([*tables, *children]), "TABLE t1"))


@pytest.mark.parametrize(
    ("body", "targets"),
    [
        ("BEGIN RETURN NEW; END", {1}),
        ("BEGIN UPDATE b SET x = 1; RETURN NEW; END", {1, 2}),
        ("BEGIN /* DROP */ NEW.comment := 'DELETE FROM b'; RETURN NEW; END", {1}),
        ("BEGIN IF TG_OP = 'DELETE' THEN DELETE FROM ONLY public.b; END IF; INSERT INTO c SELECT 1; END", {1, 2, 3}),
        ("BEGIN PERFORM 1 FROM b FOR UPDATE; INSERT INTO c TABLE b ON CONFLICT (x) DO UPDATE SET x = 1; END", {1, 3}),
        ("BEGIN PERFORM 1 FROM b FOR NO KEY UPDATE; INSERT INTO c VALUES (1) ON CONFLICT DO NOTHING; END", {1, 3}),
        ("BEGIN MERGE INTO b USING c ON true WHEN MATCHED THEN UPDATE SET x = 1; END", {1, 2}),
        ("BEGIN MERGE INTO b USING c ON true WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING; END", {1, 2}),
        ("BEGIN TRUNCATE TABLE b, ONLY c; END", {1, 2, 3}),
        ("BEGIN WITH x AS (DELETE FROM b RETURNING x) INSERT INTO c TABLE x; END", {1, 2, 3}),
        ('BEGIN UPDATE "b" SET x = 1; END', {1, 2}),
        ("BEGIN x := write_c(1); END", {1, 3}),
        ("BEGIN IF EXISTS (SELECT FROM v) THEN RETURN NULL; END IF; END", {1, 3}),
        ("BEGIN UPDATE nothing SET x = 1; END", None),
        ("BEGIN EXECUTE 'DELETE FROM b'; END", None),
        ("BEGIN RETURN QUERY EXECUTE 'DELETE FROM b RETURNING 1'; END", None),
        ("BEGIN CREATE TEMP TABLE x AS TABLE b; END", None),
        ("BEGIN CALL p(); END", None),
        ("BEGIN REFRESH MATERIALIZED VIEW m; END", None),
        ("BEGIN UPDATE U&\"\\0062\" SET x = 1; END", None),
        ("BEGIN PERFORM query_to_xml('TABLE b', true, true, ''); END", None),
        ("BEGIN \0 END", None),
        ("BEGIN 'END", None),
    ],
)  # fmt: skip
def test_the_body_of_a_trigger_says_what_it_writes(body: str, targets: set[int] | None) -> None:
    rows = [
        *TABLES[:3],
        function(10, "t", "fv-plpgsql", body),
        function(11, "write_c", "fv-sql", "INSERT INTO c VALUES ($1)"),
        relation(7, "v", "vp", "SELECT write_c(1)"),
        edge("calls", 7, "11"),
        edge("trigger", 1, "10 28"),
    ]
    assert read_schema(rows).find_targets(shape("DELETE FROM a")) == targets


@pytest.mark.parametrize(
    ("kind", "name", "targets"),
    [
        ("fv-c", "f", None),
        ("fs-c", "f", {1}),
        ("fv-c", "uuid_generate_v4", {1}),
        ("fv-plpython3u", "uuid_generate_v4", None),
        ("fv-plpython3u", "f", None),
        ("fv-sql", "f", None),  # its text is too long
    ],
)
def test_a_volatile_function_that_is_not_read_may_write_anything(
    kind: str, name: str, targets: set[int] | None
) -> None:
    schema = read_schema([relation(1, "a"), function(10, name, kind)])
    assert schema.find_targets(shape(f"INSERT INTO a VALUES ({name}())")) == targets


def test_a_cast_is_called_by_all() -> None:
    rows = [
        *TABLES,
        function(10, "f", "fv-sql", "INSERT INTO b VALUES (1); SELECT 1"),
        ("cast", "10", "", "", ""),
    ]
    schema = read_schema(rows)
    assert schema.find_targets(shape("SELECT 1")) == {2}
    assert reads(schema, "SELECT 1") == 'cast: function "public.f": it writes'


@pytest.mark.parametrize(
    "text", ["SELECT 1 = 2", "SELECT x BETWEEN 1 AND 2 FROM b", "SELECT DISTINCT x FROM b ORDER BY y"]
)
def test_comparisons_are_called_without_a_word(text: str) -> None:
    rows = [*TABLES, function(10, "f", "fs-c"), ("operator", "10", encode("="), "", "")]
    assert reads(read_schema(rows), text) == 'operator: function "public.f" is stable, in c'


def test_what_is_no_statement_changes_nothing_and_what_is_not_read_anything() -> None:
    schema = read_schema(TABLES)
    assert schema.find_targets(NO_SHAPE) == frozenset()
    assert schema.find_targets(FUNCTION_CALL) is None
    assert schema.judge(FUNCTION_CALL).reason
    assert schema.find_targets(StatementCache(9, parse_limit=10).find(b"SELECT 'of many letters'")) is None


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ('unknown relation "a"', "unknown relation"),
        ("function now() depends on the time", "function depends on the time"),
        ('view "public.v": row security of "public.a": CURRENT_DATE', "CURRENT_DATE"),
        ('view "public.v": function "public.f" is stable, in plpgsql', "function is stable, in plpgsql"),
        ("it writes", "it writes"),
        ("", ""),
    ],
)
def test_reasons_are_counted_without_names(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_whether_an_explain_carries_it_out_may_be_said_by_a_literal() -> None:
    schema, cache = read_schema(TABLES), StatementCache(9)
    for value, targets in (("'off'", set()), ("'on'", {2}), ("off", set()), ("on", {2})):
        text = f"EXPLAIN (ANALYZE {value}) DELETE FROM b"
        assert schema.find_targets(cache.find(text.encode())) == targets


def test_a_shape_is_judged_once() -> None:
    schema = read_schema(TABLES)
    one = shape("DELETE FROM b")
    assert schema.find_targets(one) is schema.find_targets(one)
    assert schema.judge(one) is schema.judge(one)


def test_nothing_is_known_of_an_empty_schema() -> None:
    schema = read_schema([])
    assert reads(schema, "SELECT 1") == set()
    assert reads(schema, "TABLE a") == 'unknown relation "a"'
    assert schema.find_targets(shape("DELETE FROM a")) is None
    assert schema.find_targets(shape("DELETE FROM a"), temporary=True) == frozenset()


def sources(schema: Schema, text: str) -> set[int] | None:
    found = schema.find_sources(shape(text))
    return None if found is None else set(found)


def test_tables_of_an_answer_that_cannot_be_kept_may_be_known() -> None:
    rows = [*TABLES, relation(5, "v", "vp", "SELECT now() FROM b"), edge("reads", 5, "2")]
    schema = read_schema(
        [*rows, function(7, "f", "fv-sql", "SELECT random() FROM c"), relation(8, "s", "Sp")]
    )
    assert sources(schema, "SELECT *, now() FROM b") == {2}
    assert sources(schema, "SELECT random(), ctid FROM b TABLESAMPLE SYSTEM (9)") == {2}
    assert sources(schema, "TABLE v") == {2}
    assert sources(schema, "TABLE b; TABLE c") == {2, 3}
    assert sources(schema, "COPY b TO STDOUT") == {2}
    assert sources(schema, "EXPLAIN ANALYZE TABLE b") == {2}
    assert sources(schema, "SHOW work_mem") == set()
    assert schema.find_sources(NO_SHAPE) == set()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT query_to_xml('TABLE b', true, true, '')",
        "SELECT table_to_xml('b', true, true, '')",
        "SELECT now(), query_to_xml('TABLE b', true, true, '')",
        "SELECT 'b'::regclass",
        "SELECT to_regclass('b')",
        "TABLE pg_class",
        "SELECT count(*) FROM pg_catalog.pg_description",
        "TABLE s",
        "TABLE missing",
        "SELECT missing()",
        "SELECT p()",
        "SELECT w()",
        "EXECUTE q",
        "WITH x AS (DELETE FROM b RETURNING 1) TABLE x",
        "'",
    ],
)
def test_what_reads_what_it_does_not_name_may_read_anything(text: str) -> None:
    rows = [
        *TABLES,
        relation(8, "s", "Sp"),
        function(9, "p", "fs-plpgsql"),
        function(7, "w", "fs-sql", "SELECT p()"),
    ]
    assert sources(read_schema(rows), text) is None
