"""The console's grammar is PgBouncer's."""

import pytest

from dbproxy.admin.command import Assignment, Command, Question, Report, parse, split
from dbproxy.errors import CommandFailed


@pytest.mark.parametrize("text", ["SHOW POOLS", "show POOLS", " \tShow\n POOLS  ", 'show "POOLS"'])
def test_verb_is_found_in_any_case_and_spacing(text: str) -> None:
    command = parse(text)
    assert isinstance(command, Command)
    assert (command.verb, command.argument) == ("show", "POOLS")


def test_argument_may_be_missing() -> None:
    assert parse("RELOAD") == Command("reload", "", "RELOAD")


def test_quoted_name_may_hold_anything() -> None:
    assert parse('PAUSE "My ""own""; db"') == Command("pause", 'My "own"; db', 'PAUSE "My ""own""; db"')


def test_name_keeps_its_case() -> None:
    assert parse("PAUSE MyDb") == Command("pause", "MyDb", "PAUSE MyDb")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SET client_encoding = utf8", "utf8"),
        ("set Client_Encoding to 'UTF8'", "UTF8"),
        ("set client_encoding='it''s; so'", "it's; so"),
        ('set client_encoding="x"', "x"),
    ],
)
def test_set_takes_words_and_strings(text: str, value: str) -> None:
    assert parse(text) == Assignment("client_encoding", value)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("SET routing = 'observe'", "routing", "observe"),
        ("SET Routing.Percent TO 50", "routing.percent", "50"),
        ("SET tracing.sample_rate = 0.5", "tracing.sample_rate", "0.5"),
        ("SET slow_query=1.5s", "slow_query", "1.5s"),
    ],
)
def test_set_takes_a_key_of_a_section(text: str, key: str, value: str) -> None:
    assert parse(text) == Assignment(key, value)


@pytest.mark.parametrize(
    ("text", "verb", "name"),
    [
        ("DISABLE HOST replica1", "disable host", "replica1"),
        ("drain  host 'east-1.example'", "drain host", "east-1.example"),
        ('Enable Host "replica 2"', "enable host", "replica 2"),
    ],
)
def test_order_names_a_host(text: str, verb: str, name: str) -> None:
    assert parse(text) == Command(verb, name, text)


@pytest.mark.parametrize(
    ("text", "database", "statement"),
    [
        ("EXPLAIN ROUTE SELECT 1", "", "SELECT 1"),
        ("explain route for app\nSELECT 'x' || 1", "app", "SELECT 'x' || 1"),
        (
            'EXPLAIN ROUTE FOR "My db" /* dbproxy: primary */ TABLE x',
            "My db",
            "/* dbproxy: primary */ TABLE x",
        ),
    ],
)
def test_explain_route_takes_any_statement(text: str, database: str, statement: str) -> None:
    assert parse(text) == Question(database, statement)


@pytest.mark.parametrize("text", ["SELECT 1 + 1", "SHOW POOLS now", "-- nothing", "SHOW 'POOLS'", "é"])
def test_anything_else_is_named_in_the_error(text: str) -> None:
    with pytest.raises(CommandFailed) as raised:
        parse(text)
    assert raised.value.message == f"invalid command '{text}', use SHOW HELP;"
    assert raised.value.sqlstate == "08P01"


def test_name_longer_than_any_database_is_refused() -> None:
    with pytest.raises(CommandFailed, match="bad arguments"):
        parse("PAUSE " + "x" * 64)


@pytest.mark.parametrize("query", ["", ";", " \n;; ", ";;"])
def test_nothing_is_an_empty_query(query: str) -> None:
    assert split(query) == []


def test_statements_are_split_at_semicolons_outside_quotes() -> None:
    assert split("SHOW POOLS; PAUSE \"a;b\";SET x='c;d' ;") == ["SHOW POOLS", 'PAUSE "a;b"', "SET x='c;d'"]


def test_open_quote_is_not_taken_for_the_end_of_a_name() -> None:
    assert split('PAUSE "a; RESUME') == ['PAUSE "a; RESUME']
    with pytest.raises(CommandFailed, match="invalid command"):
        parse('PAUSE "a; RESUME')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SHOW QUERIES", {}),
        ("show queries window '5m' order by P95 limit 20", {"window": "5m", "sort": "p95", "limit": "20"}),
        ("SHOW QUERIES ORDER BY calls DESC", {"sort": "calls"}),
        ("SHOW QUERIES LIMIT 3", {"limit": "3"}),
    ],
)
def test_show_queries(text: str, words: dict[str, str]):
    assert parse(text) == Report(words)


def test_show_query():
    assert (
        parse("SHOW QUERY 0123456789ABCDEF")
        == parse("SHOW QUERY '0123456789abcdef'")
        == Report({}, "0123456789abcdef")
    )
    assert parse("SHOW QUERY nonsense") == Report({}, "nonsense")  # which is told that there is no such query
    assert parse("RESET QUERIES") == Command("reset", "QUERIES", "RESET QUERIES")
