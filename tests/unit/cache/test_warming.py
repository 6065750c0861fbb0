"""How statements are written down, and that they are asked for under the keys of clients; no server."""

import json

import pytest

from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.key import key_of_bind, key_of_query, read_values
from dbproxy.cache.value import Value
from dbproxy.cache.warming import (
    KINDS,
    Statement,
    find_hottest,
    is_outdated,
    read_key,
    read_statement,
    spell_values,
    write_statement,
)
from dbproxy.sql.identity import NO_SHAPE
from dbproxy.wire.extended import length_at, parse_parts
from tests.support.speech import SYNC, bind, execute, parse

DESCRIBE = b"D\0\0\0\6P\0"
WHO = b"0123456789abcdef"
BODY = b"SELECT name FROM items WHERE id = $1\0\0\1\0\0\0\x17"
VALUES = b"\0\1\0\1\0\1\0\0\0\4\0\0\0\7\0\1\0\1"  # binary, both ways


def split(messages: bytes) -> list[bytes]:
    found = []
    while messages:
        stop = length_at(messages, 0)
        found.append(messages[:stop])
        messages = messages[stop:]
    return found


def test_statement_of_a_key_is_asked_for_under_that_key():
    key = key_of_bind(WHO, BODY, VALUES)
    statement = read_key(key, "shop", "app", {"timezone": "UTC"})
    messages = statement.spell()
    assert [message[0] for message in split(messages)] == list(KINDS)
    assert parse_parts(messages, 0, length_at(messages, 0)) == (b"", BODY)
    assert read_values(KINDS, messages) == VALUES
    assert (statement.body, statement.values) == (BODY, VALUES)


def test_query_is_asked_for_under_its_key():
    key = key_of_query(WHO, b"SELECT 1")
    statement = read_key(key, "shop", "app", {})
    assert key_of_bind(WHO, statement.body, read_values(KINDS, statement.spell()) or b"") == key


def test_messages_are_those_of_a_client():
    statement = Statement("shop", "app", (), b"SELECT $1\0\0\0", spell_values(["7"]))
    assert statement.spell() == parse("", "SELECT $1") + bind("", "7") + DESCRIBE + execute() + SYNC


@pytest.mark.parametrize("text", [b"SELECT 1", "SELECT 'ü'".encode(), b"SELECT '\xff'"])
def test_what_is_written_is_read(text: bytes):
    statement = Statement("shop", "app", (("timezone", "UTC"),), text + BODY[BODY.index(b"\0") :], VALUES)
    line = write_statement(statement)
    assert "\n" not in line
    assert read_statement(line) == statement


def test_line_of_an_operator_is_read():
    line = {"database": "shop", "user": "app", "sql": "SELECT $1, $2", "parameters": [7, None]}
    line["settings"] = {"TimeZone": "UTC"}
    found = read_statement(json.dumps(line))
    assert found.settings == (("timezone", "UTC"),)
    assert found.body == b"SELECT $1, $2\0\0\0"
    assert found.values == b"\0\0\0\2\0\0\0\0017\xff\xff\xff\xff\0\0"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "SELECT 1",
        "[]",
        "{}",
        '{"database": "a", "user": "b"}',
        '{"database": "a", "user": "b", "sql": 7}',
        '{"database": "a", "user": "b", "sql": "c", "settings": 7}',
        '{"database": "a", "user": "b", "sql": "c", "types": ["x"]}',
        '{"database": "a", "user": "b", "sql": "c", "types": [99999999999]}',
        '{"database": "a", "user": "b", "sql": "c", "bind": "?"}',
        '{"database": "a", "user": "b", "sql": "c", "parameters": 7}',
        '{"database": "a", "user": "b", "sql": "c", "what": 7}',
    ],
)
def test_line_that_is_no_statement_is_told(line: str):
    with pytest.raises(ValueError, match=r"."):
        read_statement(line)


def make(fence: Fence, hits: int, cost: float) -> Entry:
    entry = Entry(b"key", Value(b"", b"rows"), Moment(fence, [fence.find(1)]), NO_SHAPE, cost, 1e9)
    entry.hits = hits
    return entry


def test_hottest_are_those_that_have_saved_most():
    fence = Fence()
    entries = [make(fence, 10, 0.001), make(fence, 1, 0.5), make(fence, 100, 0.002), make(fence, 0, 9.0)]
    assert find_hottest(entries, 2) == [entries[1], entries[2]]
    assert len(find_hottest(entries, 9)) == 3  # those that were asked for again


def test_answer_is_fetched_again_only_once_its_write_is_over():
    fence = Fence()
    entry = make(fence, 1, 1.0)
    assert not is_outdated(entry)
    table = fence.find(1)
    table.enter()
    table.enter()
    table.leave()
    assert not is_outdated(entry)
    table.leave()
    assert is_outdated(entry)
