from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire import messages
from dbproxy.wire.codes import Frontend
from dbproxy.wire.extended import (
    OWN,
    bind_name,
    bind_parameters,
    bind_values,
    length_at,
    parse_parts,
    stands_at,
    statement_text,
    target_name,
    write_bind,
    write_close,
    write_describe,
    write_parse,
    write_run,
)
from tests.unit.wire.streams import FRONTEND, texts

around = st.binary(max_size=20)  # what stands before and behind a message in its chunk
names = texts.map(str.encode)


def build(kind: int, body: dict) -> bytes:
    return messages.build(messages.FRONTEND_MESSAGE, kind, body)


def read(message: bytes) -> dict:
    body = messages.FRONTEND_MESSAGE.parse(message).body
    return {name: value for name, value in body.items() if name != "_io"}


@given(around, names, names, around)
def test_name_stands_where_it_is_and_not_where_another_is(
    before: bytes, name: bytes, other: bytes, behind: bytes
):
    chunk = before + name + b"\0" + behind
    assert stands_at(chunk, len(before), name)
    if len(other) == len(name):
        assert stands_at(chunk, len(before), other) is (name == other)


@given(FRONTEND[Frontend.PARSE], around, around, names)
def test_parse_is_taken_apart_and_written_under_another_name(
    body: dict, before: bytes, behind: bytes, name: bytes
):
    message = build(Frontend.PARSE, body)
    chunk, at = before + message + behind, len(before)
    end = at + length_at(chunk, at)
    parts = parse_parts(chunk, at, end)
    assert parts is not None
    assert parts[0].decode() == body["name"]
    assert write_parse(*parts) == message
    like = bytes(bytearray(parts[1]))  # equal, and another object
    assert parse_parts(chunk, at, end, like) == parts
    assert parse_parts(chunk, at, end, like)[1] is like
    assert parse_parts(chunk, at, end, like + b"x") == parts
    assert parse_parts(chunk, at, end, b"x" + like[1:]) == parts
    assert read(write_parse(name, parts[1])) == {**body, "name": name.decode()}
    assert statement_text(chunk, at).decode() == body["query"]
    assert statement_text(parts[1], -1).decode() == body["query"]


@given(FRONTEND[Frontend.BIND], around, around, names)
def test_bind_is_written_under_another_name(body: dict, before: bytes, behind: bytes, name: bytes):
    chunk, at = before + build(Frontend.BIND, body) + behind, len(before)
    end = at + length_at(chunk, at)
    where = bind_name(chunk, at, end)
    assert where is not None
    assert chunk[slice(*where)].decode() == body["statement"]
    assert read(write_bind(chunk, at, *where, end, name)) == {**body, "statement": name.decode()}


@given(FRONTEND[Frontend.BIND], names, st.data())
def test_bind_whose_end_has_not_come_is_written_as_far_as_it_is_there(
    body: dict, name: bytes, data: st.DataObject
):
    message = build(Frontend.BIND, body)
    there = data.draw(st.integers(5, len(message)))
    where = bind_name(message, 0, there)
    names_end = 5 + len(body["portal"].encode()) + len(body["statement"].encode()) + 2
    assert (where is not None) == (there >= names_end)
    if where is not None:
        first = write_bind(message, 0, *where, there, name)
        assert read(first + message[there:]) == {**body, "statement": name.decode()}


@pytest.mark.parametrize("kind", [Frontend.DESCRIBE, Frontend.CLOSE])
@given(body=FRONTEND[Frontend.DESCRIBE], before=around, behind=around)
def test_target_is_the_statement_and_never_a_portal(kind: int, body: dict, before: bytes, behind: bytes):
    chunk, at = before + build(kind, body) + behind, len(before)
    found = target_name(chunk, at, at + length_at(chunk, at))
    assert found == (body["name"].encode() if body["target"] == "S" else None)


@given(texts)
def test_describe_and_close_are_as_declared(name: str):
    assert write_describe(name.encode()) == build(Frontend.DESCRIBE, {"target": "S", "name": name})
    assert write_close(name.encode()) == build(Frontend.CLOSE, {"target": "S", "name": name})


@given(FRONTEND[Frontend.QUERY], around)
def test_text_of_a_query(body: dict, before: bytes):
    chunk = before + build(Frontend.QUERY, body)
    assert statement_text(chunk, len(before)).decode() == body["query"]
    assert body["query"].encode().startswith(statement_text(chunk[:-3], len(before)))


@given(st.sampled_from("PBDC"), st.binary(max_size=12))
def test_malformed_body_is_never_read_beyond_its_end(kind: str, body: bytes):
    """What follows in the chunk could be taken for a name."""
    message = kind.encode() + (len(body) + 4).to_bytes(4, "big") + body
    chunk, end = message + b"Ssecret\0secret\0", len(message)
    if kind == "P":
        parts = parse_parts(chunk, 0, end)
        assert parts is None or parts[0] + b"\0" + parts[1] == body
    elif kind == "B":
        where = bind_name(chunk, 0, end)
        assert where is None or where[1] < end
    else:
        name = target_name(chunk, 0, end)
        assert name is None or body[: len(name) + 2] == b"S" + name + b"\0"


# --- values -------------------------------------------------------------------------------------------------


def bound(body: dict) -> list[bytes]:
    return [value for value in body["values"] if value is not None]


@given(FRONTEND[Frontend.BIND], around, around)
def test_values_of_a_bind_are_read_without_its_nulls(body: dict, before: bytes, behind: bytes):
    chunk, at = before + build(Frontend.BIND, body) + behind, len(before)
    assert bind_values(chunk, at, at + length_at(chunk, at)) == bound(body)


@given(FRONTEND[Frontend.BIND], st.data())
def test_values_of_a_bind_whose_end_has_not_come_are_those_that_are_there(body: dict, data: st.DataObject):
    message = build(Frontend.BIND, body)
    there = data.draw(st.integers(5, len(message)))
    values = bind_values(message[:there], 0, there)
    assert values == bound(body)[: len(values)]


# --- messages of our own ------------------------------------------------------------------------------------


@given(texts)
def test_statement_is_run_under_names_that_it_finds_and_leaves_free(text: str):
    own = OWN.decode()
    assert write_run(text.encode()) == b"".join(
        (
            build(Frontend.CLOSE, {"target": "S", "name": own}),
            build(Frontend.PARSE, {"name": own, "query": text, "types": []}),
            build(
                Frontend.BIND,
                {"portal": own, "statement": own, "formats": [], "values": [], "result_formats": []},
            ),
            build(Frontend.EXECUTE, {"portal": own, "max_rows": 0}),
            build(Frontend.CLOSE, {"target": "P", "name": own}),
            build(Frontend.CLOSE, {"target": "S", "name": own}),
        )
    )


@pytest.mark.parametrize(
    ("formats", "binary"),
    [((), [False, False, False]), ((1,), [True, True, True]), ((1, 0, 1), [True, False, True])],
)
def test_parameters_are_told_with_their_formats(formats: tuple[int, ...], binary: list[bool]):
    values = (b"1", None, b"three")
    body = b"portal\0name\0" + pack(f"!H{len(formats)}H", len(formats), *formats)
    body += pack("!H", len(values))
    for value in values:
        body += pack("!i", -1) if value is None else pack("!I", len(value)) + value
    message = b"B" + pack("!I", len(body) + 6) + body + b"\0\0"
    assert bind_parameters(message, 0, len(message)) == list(zip(values, binary, strict=True))
