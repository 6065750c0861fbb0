"""What PostgreSQL reads at Parse, by the text alone: in doubt it is read."""

import pytest

from dbproxy.sql.constants import has_moment, judge_text
from dbproxy.sql.parser import classify
from dbproxy.sql.statement import MOMENTARY, OWN_TYPES, READS_SETTINGS


def judge(sql: str) -> int:
    return classify(sql.encode()).constants | judge_text(sql.encode())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'x'",
        "SELECT $$x$$",
        "SELECT $tag$x$tag$",
        "SELECT a AS é FROM t",
        "SELECT a = NULL FROM t",
        "SELECT (0.1::float8 + 0.2)::text",
        "SELECT CAST(make_interval(1) AS varchar(9))",
    ],
)
def test_text_that_settings_concern(sql: str):
    assert judge(sql) == READS_SETTINGS


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE id = $1 AND b IS NOT NULL LIMIT 10",
        "SELECT a::text, $1::text, count(*)::int, b::numeric(9, 2) FROM t GROUP BY 1",
        "UPDATE t SET a = NULL WHERE id = $1",
        'SELECT now(), "now" FROM t',
    ],
)
def test_text_that_they_do_not_concern(sql: str):
    assert judge(sql) == 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'now'::timestamptz",
        "SELECT date 'Tomorrow'",
        "SELECT '{yesterday,2024-01-01}'::date[]",
        "SELECT '12:00today'::timestamp",
        r"SELECT E'\156ow'::timestamptz",
        r"SELECT U&'\006eow'::timestamptz",
        "SELECT $$now$$::timestamptz",
        "SELECT 'no'\n'w'::timestamptz",
        "SELECT 't'::regclass",
        "SELECT CAST('f' AS pg_catalog.regproc)",
    ],
)
def test_text_whose_constants_are_of_the_moment(sql: str):
    assert judge(sql) & MOMENTARY


@pytest.mark.parametrize(
    "sql", ["SELECT 'knowledge'", "SELECT 'todays'", "SELECT now(), 'x'", "SELECT 'x'::date"]
)
def test_text_whose_constants_are_not(sql: str):
    assert not judge(sql) & MOMENTARY


@pytest.mark.parametrize("sql", ["SELECT 'ok'::mood", "SELECT $1::s.int4", "SELECT NULL::moods[]"])
def test_types_that_may_be_made_again(sql: str):
    assert judge(sql) & OWN_TYPES


@pytest.mark.parametrize("sql", ["SELECT $1::int4", "SELECT $1::pg_catalog.uuid", "SELECT '{}'::jsonb, true"])
def test_types_that_postgresql_comes_with(sql: str):
    assert not judge(sql) & OWN_TYPES


@pytest.mark.parametrize(
    "body",
    [
        "SELECT 'now'::date",
        r"SELECT E'\'', 'today'::date",
        r"SELECT e'\\', 'now'::date",
        "SELECT date'now'",
        "SELECT $x$now$x$",
    ],
)
def test_body_with_a_string_of_the_moment(body: str):
    assert has_moment(body)


@pytest.mark.parametrize(
    "body", ["SELECT now() -- 'now'", "SELECT \"now\" /* 'now' */", r"SELECT E'\'' FROM now"]
)
def test_body_without_one(body: str):
    assert not has_moment(body)
