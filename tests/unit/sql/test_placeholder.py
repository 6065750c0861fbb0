import pytest

from dbproxy.sql.placeholder import Relation, Unreadable, read


def test_place_is_filled_and_nothing_else_of_the_text_is_touched():
    found = read("update T set c = '{}'  where {chunk} and c <> '{}' -- why\n")
    assert found.fill("a > b") == "update T set c = '{}'  where (a > b) and c <> '{}' -- why"


def test_semicolon_at_the_end_is_no_part_of_it():
    assert read("DELETE FROM t WHERE {chunk} ; ").fill("true") == "DELETE FROM t WHERE (true) "


@pytest.mark.parametrize(
    ("text", "kind", "relations"),
    [
        ("UPDATE t SET a = 1 WHERE {chunk}", "UPDATE", ["t"]),
        ("UPDATE t AS x SET a = y.b FROM y WHERE {chunk} AND y.id = x.id", "UPDATE", ["x", "y"]),
        ("DELETE FROM t USING u WHERE ({chunk} AND u.b)", "DELETE", ["t", "u"]),
        ("INSERT INTO u SELECT * FROM t JOIN v ON v.id = t.id WHERE {chunk}", "INSERT", ["t", "v"]),
        ("SELECT f(id) FROM t WHERE {chunk}", "SELECT", ["t"]),
        (
            "WITH d AS (DELETE FROM t WHERE {chunk} RETURNING *) INSERT INTO u SELECT * FROM d",
            "DELETE",
            ["t"],
        ),
    ],
)
def test_what_is_read_where_the_place_stands(text: str, kind: str, relations: list[str]):
    found = read(text)
    assert found.kind == kind
    assert sorted(relation.alias for relation in found.relations) == relations


def test_relation_has_its_schema_and_what_it_is_called_by():
    assert read('DELETE FROM "S".t AS "X" WHERE {chunk}').relations == (Relation("S", "t", "X"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("UPDATE t SET a = 1", "WHERE {chunk} AND"),
        ("UPDATE t SET a = 1 WHERE b", "WHERE {chunk} AND"),
        ("UPDATE t SET a = 1 WHERE {chunk} AND {chunk}", "once"),
        ("UPDATE t SET a = 1 WHERE {chunk} OR b", "AND"),
        ("UPDATE t SET a = 1 WHERE NOT {chunk}", "AND"),
        ("UPDATE t SET a = '{chunk}'", "must stand in its WHERE"),
        ("UPDATE t SET a = 1 WHERE b = '{chunk}'", "must stand in its WHERE"),
        ("UPDATE t SET a = {chunk} WHERE b", "must stand in its WHERE"),
        ("UPDTE t {chunk}", "syntax error"),
        ("DELETE FROM t WHERE {chunk}; DELETE FROM t", "one statement"),
        ("TRUNCATE t", "must be an UPDATE, DELETE, INSERT … SELECT or SELECT"),
        ("VACUUM t", "must be an UPDATE"),
        ("", "one statement"),
        ("TRUNCATE t; -- {chunk}", "must be an UPDATE, DELETE, INSERT … SELECT or SELECT"),
        (
            "CREATE VIEW v AS SELECT * FROM t WHERE {chunk}",
            "must be an UPDATE, DELETE, INSERT … SELECT or SELECT",
        ),
        ("UPDATE t SET a = $1 WHERE {chunk}", "parameters"),
        ("INSERT INTO u SELECT * FROM t WHERE {chunk} LIMIT 10", "LIMIT"),
        ("SELECT f(id) FROM t WHERE {chunk} OFFSET 1", "LIMIT or OFFSET"),
        ("SELECT f(id) FROM (SELECT id FROM t WHERE {chunk}) AS x FETCH FIRST ROW ONLY", "LIMIT"),
        ("DELETE FROM t WHERE id IN (SELECT id FROM t WHERE {chunk} FOR UPDATE SKIP LOCKED)", "SKIP LOCKED"),
        ("INSERT INTO u SELECT * FROM t WHERE {chunk} UNION ALL SELECT * FROM t", "UNION"),
        ("INSERT INTO u SELECT * FROM t EXCEPT SELECT * FROM t WHERE {chunk}", "EXCEPT"),
        ("UPDATE t SET a = 1 WHERE EXISTS (SELECT FROM t WHERE {chunk})", "IN (SELECT"),
        ("UPDATE t SET a = 1 WHERE id NOT IN (SELECT id FROM t WHERE {chunk})", "IN (SELECT"),
        ("UPDATE t SET a = 1 WHERE b OR id IN (SELECT id FROM t WHERE {chunk})", "IN (SELECT"),
        ("UPDATE t SET a = 1 WHERE id <> ANY (SELECT id FROM t WHERE {chunk})", "IN (SELECT"),
        ("UPDATE t SET a = (SELECT count(*) FROM t WHERE {chunk})", "IN (SELECT"),
        ("SELECT f(u.id) FROM u LEFT JOIN (SELECT * FROM t WHERE {chunk}) x ON x.id = u.id", "IN (SELECT"),
    ],
)
def test_what_cannot_be_run_in_chunks_is_said(text: str, said: str):
    with pytest.raises(Unreadable) as raised:
        read(text)
    assert said in str(raised.value)


def test_own_condition_is_a_query_of_the_table():
    found = read("UPDATE t AS x SET c = lower(c) WHERE {chunk} AND c <> lower(c) RETURNING c")
    assert (
        found.fill_matching("count(*)", "true") == "SELECT count(*) FROM t x WHERE (true) AND c <> lower(c)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET a = u.a FROM u WHERE {chunk} AND u.id = t.id",
        "DELETE FROM t USING u WHERE {chunk}",
        "WITH u AS (SELECT 1 AS one) UPDATE t SET a = 1 WHERE {chunk} AND a IN (SELECT one FROM u)",
        "UPDATE u SET a = 1 WHERE id IN (SELECT id FROM t WHERE {chunk} AND t.b = u.b)",
    ],
)
def test_condition_that_is_not_of_the_table_alone_is_no_query_of_it(text: str):
    assert read(text).fill_matching("count(*)", "true") == ""


def test_condition_with_a_query_of_its_own_is_one_of_the_table():
    found = read(
        "UPDATE t x SET a = 1 WHERE {chunk} AND EXISTS (SELECT FROM u JOIN v w ON w.i = u.i WHERE u.i = x.i)"
    )
    assert found.matching


def test_columns_that_are_changed_and_those_that_decide_are_known():
    found = read("UPDATE t SET a = 1, (b, c) = (2, 3), d[1] = 4 WHERE {chunk} AND (e > 1 OR a IS NULL)")
    assert found.changed == {"a", "b", "c", "d"}
    assert found.condition == {"a", "e"}


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET id = id + 1 WHERE id IN (SELECT id FROM t WHERE {chunk})",
        "WITH x AS (UPDATE t SET id = id + 1 WHERE {chunk} RETURNING id) SELECT count(*) FROM x",
        "WITH x AS (SELECT id FROM t WHERE {chunk}) UPDATE t SET id = t.id + 1 FROM x WHERE x.id = t.id",
        "INSERT INTO t SELECT * FROM t WHERE {chunk} ON CONFLICT (b) DO UPDATE SET id = t.id + 1",
    ],
)
def test_columns_that_are_changed_are_known_wherever_that_is(text: str):
    assert read(text).changed == {"id"}


def test_columns_of_another_table_are_not_those_that_are_changed():
    assert not read(
        "INSERT INTO u SELECT * FROM t WHERE {chunk} ON CONFLICT (id) DO UPDATE SET id = 1"
    ).changed


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET a = 1 WHERE b AND id IN (SELECT id FROM t WHERE {chunk} ORDER BY id FOR UPDATE)",
        "UPDATE t SET a = 1 WHERE id = ANY (SELECT id FROM t WHERE {chunk})",
        "SELECT f(x.id) FROM (SELECT id FROM t WHERE {chunk}) AS x LEFT JOIN u ON u.id = x.id",
        "UPDATE t SET a = (SELECT b FROM u LIMIT 1) WHERE {chunk}",
        "UPDATE t SET a = 1 WHERE {chunk} AND id IN (SELECT id FROM u UNION SELECT id FROM v LIMIT 3)",
    ],
)
def test_what_meets_the_rows_of_the_chunk_alone_is_readable(text: str):
    assert [relation.name for relation in read(text).relations][:1] == ["t"]


X = "WITH x AS (SELECT id FROM t WHERE {chunk})"


@pytest.mark.parametrize(
    ("text", "unbound"),
    [
        (f"{X} UPDATE t SET a = 1", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE b", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 FROM x", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 FROM x WHERE t.b > 1 AND x.id > 1", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 FROM y.x WHERE x.id = t.id", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE id IN (SELECT id FROM u)", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE id NOT IN (SELECT id FROM x)", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE b OR id IN (SELECT id FROM x)", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE 1 IN (SELECT 1 FROM x)", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE id IN (SELECT 7 FROM x)", "UPDATE"),
        (f"{X} UPDATE t SET a = 1 WHERE id IN (SELECT t.id FROM x)", "UPDATE"),
        ("UPDATE u SET a = 1 WHERE id IN (SELECT u.id FROM t WHERE {chunk})", "UPDATE"),
        (f"{X} UPDATE t SET a = (SELECT max(id) FROM x)", "UPDATE"),
        (f"{X} DELETE FROM t", "DELETE"),
        (f"{X} DELETE FROM t USING u LEFT JOIN x ON x.id = u.id WHERE u.id = t.id", "DELETE"),
        (f"{X} INSERT INTO u SELECT id FROM t", "INSERT"),
        (f"{X} INSERT INTO u VALUES (1)", "INSERT"),
        (f"{X} SELECT f(id) FROM t", "SELECT"),
        (
            f"{X}, y AS (SELECT id FROM x UNION SELECT id FROM u) DELETE FROM t USING y WHERE y.id = t.id",
            "DELETE",
        ),
        (f"{X}, y AS (SELECT id FROM x LIMIT 3) DELETE FROM t USING y WHERE y.id = t.id", "DELETE"),
        (f"{X}, y AS (SELECT id FROM x OFFSET 3) DELETE FROM t USING y WHERE y.id = t.id", "DELETE"),
        (f"{X}, d AS (DELETE FROM u) UPDATE t SET a = 1 WHERE id IN (SELECT id FROM x)", "DELETE"),
        ("WITH d AS (DELETE FROM t WHERE {chunk} RETURNING id) UPDATE u SET a = 1", "UPDATE"),
        ("UPDATE t SET a = 1 FROM (SELECT id FROM u WHERE {chunk}) AS y", "UPDATE"),
        (
            "UPDATE t SET a = 1 WHERE id IN (WITH x AS (SELECT id FROM t WHERE {chunk}) SELECT id FROM t)",
            "UPDATE",
        ),
    ],
)
def test_what_is_changed_anew_with_each_chunk_is_refused(text: str, unbound: str):
    with pytest.raises(Unreadable, match=f"its {unbound} is not bound by"):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{X} UPDATE t SET a = 1 FROM x WHERE x.id = t.id",
        f"{X} UPDATE t SET a = 1 FROM x y WHERE y.id = t.id",
        f"{X} UPDATE t SET a = 1 FROM x JOIN u USING (id) WHERE u.k = t.k",
        f"{X} UPDATE t SET a = 1 FROM u, x WHERE x.id = u.id AND (u.k, u.l) = (t.k, t.l)",
        f"{X} UPDATE t SET a = 1 FROM x, LATERAL (SELECT k FROM u WHERE u.id = x.id) y WHERE y.k = t.k",
        f"{X} UPDATE t SET a = 1 WHERE id IN (SELECT id FROM x)",
        f"{X} UPDATE t SET a = 1 WHERE id IN (SELECT * FROM x) AND (id, b) IN (SELECT y.id + 1, 0 FROM x y)",
        f"{X} UPDATE t SET a = 1 WHERE id IN (SELECT u.id FROM u JOIN x ON x.id = u.id) AND b",
        f"{X} DELETE FROM t USING x WHERE x.id = t.id",
        f"{X}, y AS (SELECT id FROM x WHERE id > 3) DELETE FROM t USING y WHERE y.id = t.id",
        f"{X}, d AS (DELETE FROM t WHERE id IN (SELECT id FROM x) RETURNING *) INSERT INTO u SELECT * FROM d",
        f"{X} INSERT INTO u SELECT id FROM x CROSS JOIN v",
        f"{X} SELECT f(id) FROM x",
        "WITH d AS (DELETE FROM t WHERE {chunk}) SELECT 1",
        "WITH d AS (DELETE FROM t WHERE {chunk} RETURNING id) UPDATE u SET a = 1 FROM d WHERE d.id = u.id",
        "WITH u AS (SELECT 1 AS id) UPDATE t SET a = 1 FROM u WHERE {chunk} AND u.id = t.id",
        "UPDATE t SET a = 1 FROM (SELECT id, k FROM u WHERE {chunk}) AS y WHERE t.k = y.k",
        "UPDATE t SET a = 1 FROM (SELECT id AS x, k AS y FROM u WHERE {chunk}) AS y WHERE id = x",
    ],
)
def test_what_is_bound_by_another_query_is_readable(text: str):
    assert read(text).relations


@pytest.mark.parametrize(
    ("text", "loose"),
    [
        ("UPDATE t SET a = 1 FROM u WHERE {chunk}", {"u"}),
        ("UPDATE t SET a = 1 FROM u WHERE {chunk} AND t.b > 1 AND u.c", {"u"}),
        ("UPDATE t SET a = 1 FROM u WHERE {chunk} AND t.id = u.id", set()),
        ("UPDATE t SET a = 1 FROM u v WHERE {chunk} AND t.id > v.low AND t.id <= v.high", set()),
        ("UPDATE t SET a = 1 FROM u WHERE {chunk} AND id = k", set()),
        ("DELETE FROM t x USING u, v WHERE {chunk} AND u.id = v.id AND x.k IS NULL", {"u", "v"}),
        ("DELETE FROM t x USING u JOIN v ON v.id = u.id WHERE {chunk} AND v.k = x.k", set()),
        ("SELECT f(t.id) FROM t, u WHERE {chunk}", set()),
    ],
)
def test_what_is_read_and_joined_with_nothing_that_is_changed_is_known(text: str, loose: set[str]):
    assert read(text).loose == loose
