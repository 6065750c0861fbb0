import pytest

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.key import Column, Key
from dbproxy.jobs.batch.statement import read_statement

KEY = Key("public.t", "t_pkey", (Column("id", "integer"),))


def find(text: str, table: str = "t", key: Key = KEY) -> str:
    return read_statement(text).find_relation("public", table, key).alias


def test_table_is_called_as_the_statement_calls_it():
    assert find("UPDATE t SET a = 1 WHERE {chunk}") == "t"
    assert find("UPDATE u SET a = 1 FROM t WHERE {chunk} AND u.id = t.id") == "t"
    assert find("UPDATE public.t AS x SET a = 1 FROM u WHERE {chunk}") == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("UPDATE u SET a = 1 WHERE {chunk}", "has t nowhere"),
        ("UPDATE other.t SET a = 1 WHERE {chunk}", "has t nowhere"),
        ("DELETE FROM t USING t x WHERE {chunk}", "has t twice"),
        ("UPDATE u SET a = 1 FROM t WHERE {chunk}", "each chunk would change all of them"),
        ("UPDATE u SET a = 1 FROM t WHERE {chunk} AND u.b", "each chunk would change all of them"),
        ("UPDATE t SET id = id + 1 WHERE {chunk}", "changes id"),
        ("UPDATE t SET (a, id) = (1, 2) WHERE {chunk}", "changes id"),
    ],
)
def test_table_that_cannot_be_gone_through_so_is_refused(text: str, said: str):
    with pytest.raises(JobRefused) as raised:
        find(text)
    assert said in raised.value.message


def test_statement_that_cannot_be_read_is_refused():
    with pytest.raises(JobRefused, match="cannot be run in chunks"):
        read_statement("UPDATE t SET a = 1")


@pytest.mark.parametrize(
    ("text", "settles"),
    [
        ("UPDATE t SET a = lower(a) WHERE {chunk} AND a <> lower(a)", True),
        ("DELETE FROM t WHERE {chunk} AND a < now()", True),
        ("DELETE FROM t WHERE {chunk}", False),
        ("UPDATE t SET a = a + 1 WHERE {chunk}", False),
        ("UPDATE t SET a = a + 1 WHERE {chunk} AND b", False),
        ("INSERT INTO u SELECT * FROM t WHERE {chunk} AND a", False),
        ("SELECT f(id) FROM t WHERE {chunk}", False),
    ],
)
def test_row_that_is_changed_is_known_to_be_done_by_the_condition(text: str, settles: bool):
    assert read_statement(text).settles is settles
