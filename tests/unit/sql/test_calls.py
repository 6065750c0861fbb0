"""Calls that the proxy answers, found in a text."""

import pytest

from dbproxy.sql.calls import Call, Operand, is_answerable, put_in
from dbproxy.sql.parser import classify, find_calls


def found(text: str) -> list[Call]:
    return find_calls(text.encode())


@pytest.mark.parametrize(
    ("text", "name", "argument", "operand"),
    [
        ("SELECT pg_cancel_backend(7)", "pg_cancel_backend", "7", Operand("7")),
        ("SELECT PG_Catalog.pg_terminate_backend($2::int, 9) AS x", "pg_terminate_backend", "$2::int",
         Operand(parameter=2)),
        ("SELECT currval( 'é' /* ) */ )", "currval", "'é'", Operand("é")),
        ("SELECT 'é', \"currval\"(CAST('\"S\"' AS regclass)) -- )", "currval", "CAST('\"S\"' AS regclass)",
         Operand('"S"')),
        ("SELECT 1 + (SELECT currval('s'))", "currval", "'s'", Operand("s")),
    ],
)  # fmt: skip
def test_call_is_found_with_its_argument(text: str, name: str, argument: str, operand: Operand):
    assert classify(text.encode()).bare
    (call,) = found(text)
    assert (call.name, call.argument.decode(), call.operands) == (name, argument, (operand,))
    assert put_in(text.encode(), {call: "CASE WHEN true THEN 1"}).decode().count(" END AS " + name + ")") == 1


def test_call_of_nothing_is_found():
    (call,) = found("SELECT LASTVAL ( )")
    assert (call.start, call.stop, call.argument) == (7, 18, b"")


def test_call_by_a_column_is_found_with_both_names():
    (call,) = found("SELECT currval(pg_get_serial_sequence('t', $1))")
    assert call.serial
    assert call.operands == (Operand("t"), Operand(parameter=1))
    assert is_answerable(call)


def test_answers_are_put_around_the_calls():
    text = "SELECT lastval() AS a, currval('s') ;"
    calls = found(text)
    answered = put_in(text.encode(), {call: f"CASE WHEN true THEN {n}" for n, call in enumerate(calls)})
    assert answered.decode() == (
        "SELECT (SELECT CASE WHEN true THEN 0 ELSE lastval() END AS lastval) AS a, "
        "(SELECT CASE WHEN true THEN 1 ELSE currval('s') END AS currval) ;"
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT lastval() FROM t",
        "SELECT lastval() WHERE false",
        "INSERT INTO t VALUES (currval('s'))",
        "SELECT nextval('s'), currval('s')",
        "SELECT lastval(), mine()",
        "SELECT currval('s' || 't')",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "SELECT pg_cancel_backend(7); SELECT 1",
        "SELECT other.lastval()",
        "SELECT 1",
    ],
)
def test_what_is_more_than_expressions_is_not_answered(text: str):
    assert not classify(text.encode()).bare


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("INSERT INTO t VALUES (1); SELECT lastval()", True),
        ("SELECT 1; INSERT INTO t VALUES (1); SELECT currval('s')", True),
        ("SELECT lastval(); INSERT INTO t VALUES (1)", False),
        ("INSERT INTO t VALUES (currval('s'))", False),
        ("UPDATE t SET a = 1; SELECT lastval()", False),
    ],
)
def test_recall_behind_an_insert_of_the_same_text_is_known(text: str, first: bool):
    assert classify(text.encode()).inserts_first is first
