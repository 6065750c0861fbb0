from hypothesis import given
from hypothesis import strategies as st

from dbproxy.pool.prepared import AGAIN, NOWHERE, PREFIX, Statement, Statements

BODY = b"SELECT $1\0\0\1\0\0\0\x17"


def test_equal_bodies_are_one_statement():
    statements = Statements(10)
    assert statements.find(BODY) is statements.find(bytes(bytearray(BODY)))
    assert statements.find(b"SELECT $1\0\0\0") is not statements.find(BODY)  # other parameter types


def test_names_are_never_used_twice():
    names = {Statement(BODY).name for _ in range(100)}
    assert len(names) == 100
    statement = Statement(BODY)
    before = statement.name
    statement.renew()
    assert statement.name not in names | {before}


def test_names_that_stand_for_nothing_are_not_among_them():
    assert not NOWHERE.startswith(PREFIX)
    assert not AGAIN.startswith(PREFIX)


def test_text_is_the_sql():
    assert Statement(BODY).text() == b"SELECT $1"


def test_statement_used_longest_ago_is_forgotten():
    statements = Statements(2)
    one, two = statements.find(b"1\0"), statements.find(b"2\0")
    assert statements.find(b"1\0") is one
    statements.find(b"3\0")
    assert len(statements) == 2
    assert statements.find(b"1\0") is one
    assert statements.find(b"2\0") is not two


def test_who_holds_a_forgotten_statement_keeps_it_and_a_newcomer_gets_another_name():
    statements = Statements(1)
    held = statements.find(BODY)
    statements.find(b"other\0")
    assert statements.find(BODY).name != held.name
    assert held.text() == b"SELECT $1"


@given(st.lists(st.integers(0, 20)), st.integers(1, 5))
def test_never_more_than_size_and_always_the_ones_used_last(used: list[int], size: int):
    statements = Statements(size)
    for number in used:
        statements.find(b"%d\0" % number)
    last = list(dict.fromkeys(reversed(used)))[:size]
    assert {statement.body for statement in statements.by_body.values()} == {
        b"%d\0" % number for number in last
    }
