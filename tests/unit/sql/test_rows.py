"""Which rows a text is about, and where it says so."""

import pytest

from dbproxy.sql.literals import count_literals, cut_literal
from dbproxy.sql.parser import examine
from dbproxy.sql.rows import Place

LITERAL, PARAMETER = Place(literal=1), Place(parameter=1)


def find(text: str) -> tuple[Place, ...]:
    rows = examine(text.encode())[1].rows
    return rows.find("id", 1) if rows is not None else ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT * FROM t WHERE id = 5", LITERAL),
        ("SELECT a FROM t WHERE id = $1", PARAMETER),
        ("SELECT a FROM public.t WHERE public.t.id = $1 AND a > 7", PARAMETER),
        ("SELECT a FROM t WHERE t.id = $1", PARAMETER),
        ("SELECT x.a FROM t AS x WHERE $1 = x.id", PARAMETER),
        ("SELECT 'a', b FROM t WHERE a = 'b' AND (b <> 3 AND id = '5')", Place(literal=4)),
        ("SELECT a FROM t /* 1 */ WHERE id = 5 ORDER BY b LIMIT 1", LITERAL),
        ("SELECT count(*), max(a) FROM t WHERE id = $1::bigint GROUP BY b HAVING max(a) > 1", PARAMETER),
        ("SELECT a FROM ONLY t WHERE id = '5'::int", LITERAL),
        ("SELECT a FROM t WHERE a IN (1, 2) AND id = $1", PARAMETER),
        ("SELECT a FROM t WHERE id = 5 AND (b = 1 OR c = 2)", LITERAL),
        ("UPDATE t SET a = 7, b = b + $2 WHERE id = 5", Place(literal=2)),
        ("UPDATE t SET a = (SELECT max(b) FROM u) WHERE id = $1 RETURNING *", PARAMETER),
        ("DELETE FROM t WHERE id = $1 AND a IS NULL", PARAMETER),
        ("INSERT INTO t (a, id) VALUES ($2, $1)", PARAMETER),
        ("INSERT INTO t VALUES ($1, now()) ON CONFLICT DO NOTHING", PARAMETER),
        ("INSERT INTO t (id, a) VALUES (5, now())", LITERAL),
    ],
)
def test_row_is_told_by_an_equality_that_holds_of_all_that_it_is_about(text: str, place: Place) -> None:
    assert find(text) == (place,)


def test_each_row_of_an_insert_has_its_own() -> None:
    assert find("INSERT INTO t VALUES ($1, 1), ($2, 2)") == (PARAMETER, Place(parameter=2))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE id = 5 OR true",
        "SELECT a FROM t WHERE NOT id = 5",
        "SELECT a FROM t WHERE id <> 5",
        "SELECT a FROM t WHERE id = -5",
        "SELECT a FROM t WHERE id = NULL",
        "SELECT a FROM t WHERE id = 5 + 0",
        "SELECT a FROM t WHERE id = a",
        "SELECT a FROM t WHERE id OPERATOR(public.=) 5",
        "SELECT a FROM t WHERE id = '5'::numeric",
        "SELECT a FROM t WHERE id = $1::float8",
        "SELECT a FROM t WHERE id = $1::public.int4",
        "SELECT $1::float8 FROM t WHERE id = $1",
        "SELECT a FROM t WHERE (id, a) = (5, 6)",
        "SELECT a FROM t WHERE id IN (5)",
        "SELECT a FROM t WHERE id = ANY ('{5}')",
        "SELECT a FROM t WHERE id BETWEEN 5 AND 5",
        "SELECT a FROM t WHERE id IS NOT DISTINCT FROM 5",
        "SELECT a FROM t WHERE u.id = 5",
        "SELECT a FROM t AS x WHERE t.id = 5",
        "SELECT a FROM t AS x (b, id) WHERE id = 5",
        "SELECT a FROM t WHERE (t).id = 5",
        "SELECT a FROM t, u WHERE id = 5",
        "SELECT a FROM t JOIN u USING (id) WHERE id = 5",
        "SELECT a FROM t TABLESAMPLE system (1) WHERE id = 5",
        "SELECT a FROM (SELECT * FROM t) AS t WHERE id = 5",
        "SELECT a FROM f() AS t WHERE id = 5",
        "SELECT a FROM t WHERE id = 5 UNION SELECT a FROM t",
        "SELECT a FROM t WHERE id = 5 AND EXISTS (SELECT FROM t AS x WHERE x.id = 6)",
        "SELECT (SELECT count(*) FROM t) FROM t WHERE id = 5",
        "WITH t AS (SELECT 5 AS id) SELECT id FROM t WHERE id = 5",
        "SELECT a FROM t WHERE a IN (1, 2) AND id = 5",
        "SELECT a INTO b FROM t WHERE id = 5",
        "SELECT a FROM t GROUP BY a HAVING a = 5",
        "SELECT 1 WHERE 5 = 5",
        "SELECT a FROM t WHERE id = 5; SELECT 1",
        "EXPLAIN ANALYZE UPDATE t SET a = 1 WHERE id = 5",
        "PREPARE x AS UPDATE t SET a = 1 WHERE id = $1",
        "UPDATE t SET id = 6 WHERE id = 5",
        "UPDATE t SET (a, id) = (6, 7) WHERE id = 5",
        "UPDATE t SET a = 1 FROM u WHERE id = 5",
        "UPDATE t SET a = 1 WHERE CURRENT OF c",
        "UPDATE t SET a = 1",
        "WITH x AS (DELETE FROM t) UPDATE t SET a = 1 WHERE id = 5",
        "DELETE FROM t USING u WHERE id = 5",
        "INSERT INTO t (a) VALUES ($1)",
        "INSERT INTO t (id, a) VALUES (5, 6)",
        "INSERT INTO t VALUES ($1), (DEFAULT)",
        "INSERT INTO t VALUES ($1 + 1)",
        "INSERT INTO t SELECT 5",
        "INSERT INTO t DEFAULT VALUES",
        "INSERT INTO t OVERRIDING USER VALUE VALUES ($1)",
        "INSERT INTO t VALUES ($1) ON CONFLICT (id) DO UPDATE SET a = 1",
        "MERGE INTO t USING u ON t.id = 5 WHEN MATCHED THEN DELETE",
        "COPY t FROM STDIN",
        "TRUNCATE t",
    ],
)
def test_row_is_not_told(text: str) -> None:
    assert find(text) == ()


def test_column_without_a_name_is_the_table_s() -> None:
    rows = examine(b"INSERT INTO t VALUES ($1, $2)")[1].rows
    assert rows is not None
    assert (rows.find("any", 2), rows.find("any", 3)) == ((Place(parameter=2),), ())


TEXT = b"SELECT E'\\'1', $1, \"2\" /* 3 */, -4.5, $$6$$, x7 -- 8\n FROM t WHERE id='9'"


def test_literals_are_counted_as_shapes_leave_them_out() -> None:
    assert [cut_literal(TEXT, number) for number in range(1, 6)] == [
        b"E'\\'1'",
        b"4.5",
        b"$$6$$",
        b"'9'",
        b"",
    ]
    assert count_literals(TEXT, TEXT.index(b"'9'")) == 4
    assert count_literals(TEXT, TEXT.index(b"-4")) == 0
    assert count_literals(TEXT, len(TEXT)) == 0
