import struct
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.errors import MessageTooLarge, ProtocolViolation, ProxyError
from dbproxy.wire import messages
from dbproxy.wire.codes import HEADER
from dbproxy.wire.framer import (
    GIGABYTE,
    PASS,
    SMALL,
    TOLD,
    UNKNOWN,
    WHOLE,
    Framer,
    Rules,
    client_framer,
    server_framer,
)
from tests.unit.wire.streams import client_streams, cut, server_streams, splitting

LIMIT = 16 << 20


@dataclass
class Seen:
    """What a framer made of a stream: its bytes as forwarded, and each mark's (offset in the stream, kind)."""

    forwarded: bytes = b""
    marks: list[tuple[int, int]] = field(default_factory=list)
    error: type[ProxyError] | None = None


def read(framer: Framer, pieces: list[bytes]) -> Seen:
    """Feed the pieces; check on the way what `feed` promises of each chunk."""
    seen = Seen()
    for piece in pieces:
        was_left = framer.left
        try:
            marks = framer.feed(piece)
        except ProxyError as error:
            seen.error = type(error)
            return seen
        base = len(seen.forwarded)
        for mark in marks:
            at, kind = mark >> 8, mark & 255
            assert framer.start <= at < framer.end
            assert framer.chunk[at] == kind
            length = int.from_bytes(framer.chunk[at + 1 : at + 5], "big") + 1
            assert framer.end - at >= min(framer.rules.needs[kind], length), (
                "marked before what decides is there"
            )
            seen.marks.append((base + at, kind))
        assert framer.start == min(was_left, len(framer.chunk))
        seen.forwarded += framer.chunk[: framer.end]
    return seen


def marks_of(stream: list[tuple[int, bytes]], needs: list[int]) -> list[tuple[int, int]]:
    offset, marks = 0, []
    for kind, message in stream:
        if needs[kind] != PASS:
            marks.append((offset, kind))
        offset += len(message)
    return marks


@given(client_streams, st.data())
def test_any_stream_of_a_client_in_any_splitting_gives_the_same_bytes_and_marks(stream, data: st.DataObject):
    sent = b"".join(message for _, message in stream)
    framer = client_framer(LIMIT)
    seen = read(framer, data.draw(splitting(sent)))
    assert seen == Seen(sent, marks_of(stream, framer.rules.needs))
    assert (framer.left, framer.held_size) == (0, 0)


@given(server_streams, st.data())
def test_any_stream_of_a_server_in_any_splitting_gives_the_same_bytes_and_marks(stream, data: st.DataObject):
    sent = b"".join(message for _, message in stream)
    framer = server_framer()
    seen = read(framer, data.draw(splitting(sent)))
    assert seen == Seen(sent, marks_of(stream, framer.rules.needs))
    assert (framer.left, framer.held_size) == (0, 0)


@given(client_streams, st.lists(st.integers(PASS, 60), min_size=256, max_size=256), st.data())
def test_whatever_is_needed_of_a_message_nothing_is_lost(stream, needs: list[int], data: st.DataObject):
    needs = [need if need == PASS or need >= HEADER else HEADER for need in needs]
    sent = b"".join(message for _, message in stream)
    framer = Framer(Rules(needs, [WHOLE] * 256))
    assert read(framer, data.draw(splitting(sent))) == Seen(sent, marks_of(stream, needs))


@given(client_streams, st.data())
def test_marks_are_where_the_declarations_find_messages(stream, data: st.DataObject):
    sent = b"".join(message for _, message in stream)
    framer = Framer(Rules([HEADER] * 256, [WHOLE] * 256))
    seen = read(framer, data.draw(splitting(sent)))
    edges = [at for at, _ in seen.marks] + [len(sent)]
    for start, stop in pairwise(edges):
        message = messages.FRONTEND_MESSAGE.parse(sent[start:stop])
        assert messages.FRONTEND_MESSAGE.build(message) == sent[start:stop]


@given(client_streams, st.data())
def test_cut_off_stream_is_forwarded_up_to_what_must_be_whole(stream, data: st.DataObject):
    sent = b"".join(message for _, message in stream)
    sent = sent[: data.draw(st.integers(0, len(sent)))]
    framer = client_framer(LIMIT)
    seen = read(framer, data.draw(splitting(sent)))
    assert sent.startswith(seen.forwarded)
    assert len(sent) - len(seen.forwarded) == framer.held_size
    assert not (framer.held_size and framer.left)


@given(client_streams, st.data())
def test_what_is_cut_off_a_chunk_is_scanned_again_as_if_it_had_not_come(stream, data: st.DataObject):
    sent = b"".join(message for _, message in stream)
    framer = client_framer(LIMIT)
    forwarded, found = b"", []
    pieces = data.draw(splitting(sent))
    while pieces:
        framer.scan(pieces.pop(0))
        if framer.count and data.draw(st.booleans()):
            number = data.draw(st.integers(0, framer.count - 1))
            at = framer.mark_at(number) >> 8
            rest = framer.cut(at)
            assert (framer.count, framer.end, framer.left) == (number, at, 0)
            pieces = [rest, *pieces]
        marks = [framer.mark_at(number) for number in range(framer.count)]
        found += [(len(forwarded) + (mark >> 8), mark & 255) for mark in marks]
        forwarded += framer.chunk[: framer.end]
    assert (forwarded, found) == (sent, marks_of(stream, framer.rules.needs))


garbage = st.binary(max_size=60) | st.lists(
    st.builds(lambda kind, length: struct.pack("!BI", kind, length), st.integers(0, 255), st.integers(0, 12)),
    max_size=6,
).map(b"".join)


@given(garbage)
def test_verdict_on_garbage_does_not_depend_on_the_splitting(data: bytes):
    for framer in (client_framer, lambda _: server_framer()):
        whole = read(framer(LIMIT), [data])
        single = read(framer(LIMIT), cut(data, list(range(1, len(data)))))
        assert whole.error == single.error
        if not whole.error:
            assert whole == single


# --- limits -------------------------------------------------------------------------------------------------


def header(kind: str, length: int) -> bytes:
    return struct.pack("!cI", kind.encode(), length)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("length", [0, 1, 3, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("kind", "QPBEdSX")
def test_length_that_cannot_be_is_a_violation(kind: str, length: int, size: int):
    seen = read(client_framer(LIMIT), cut(header(kind, length), list(range(size, HEADER, size))))
    assert seen.error is ProtocolViolation


@pytest.mark.parametrize("kind", "abgijklmnopqrstuvwxyzAGIJKLMNORTUVWYZ019 \0\xff")
def test_kind_that_no_client_may_send(kind: str):
    with pytest.raises(ProtocolViolation, match="message type"):
        client_framer(LIMIT).feed(kind.encode("latin-1") + b"\0\0\0\x08")


@pytest.mark.parametrize("kind", "BFPQXYabefghz09\0\xff")
def test_kind_that_no_server_may_send(kind: str):
    with pytest.raises(ProtocolViolation, match="message type"):
        server_framer().feed(kind.encode("latin-1") + b"\0\0\0\x08")


def test_parse_over_the_limit_is_refused_by_its_header():
    framer = client_framer(1024)
    assert framer.feed(header("P", 1023)) == []
    assert framer.held_size == 5
    with pytest.raises(MessageTooLarge, match="over the limit of 1024 bytes"):
        client_framer(1024).feed(header("P", 1024))


@pytest.mark.parametrize("kind", "DECHSXcf")
def test_message_without_data_over_postgresqls_limit(kind: str):
    client_framer(LIMIT).feed(header(kind, 10_000))
    with pytest.raises(ProtocolViolation, match="10002 bytes"):
        client_framer(LIMIT).feed(header(kind, 10_001))
    assert SMALL == 10_001


@pytest.mark.parametrize("kind", "QBFd")
def test_message_with_data_may_be_as_long_as_postgresql_allows(kind: str):
    client_framer(LIMIT).feed(header(kind, GIGABYTE - 1) + bytes(20_000))
    with pytest.raises(ProtocolViolation, match="invalid length"):
        client_framer(LIMIT).feed(header(kind, GIGABYTE))


def test_long_row_is_streamed_and_never_held():
    framer = server_framer()
    assert framer.feed(header("D", 1 << 29) + bytes(1000)) == []
    assert (framer.end, framer.held_size, framer.left) == (1005, 0, (1 << 29) + 1 - 1005)
    assert framer.feed(bytes(100_000)) == []
    assert (framer.start, framer.end, framer.held_size) == (100_000, 100_000, 0)


def test_long_query_is_held_only_until_what_decides_is_there():
    framer = client_framer(LIMIT)
    assert framer.feed(header("Q", 1 << 20) + bytes(10_000)) == []
    assert framer.held_size == 10_005
    assert framer.feed(bytes(60_000)) == [ord("Q")]
    assert (framer.held_size, framer.end) == (0, 70_005)


def test_table_knows_every_message_of_the_protocol():
    client, server = client_framer(LIMIT).rules.needs, server_framer().rules.needs
    assert {kind for kind, need in enumerate(client) if need != UNKNOWN} == messages.FRONTEND.keys() - {
        ord("p")
    }
    assert {kind for kind, need in enumerate(server) if need != UNKNOWN} == set(messages.BACKEND)


def test_rows_are_marked_and_whole_while_they_are_looked_at():
    framer = server_framer()
    row = header("D", 1004) + bytes(1000)
    framer.look_at_rows()
    assert framer.feed(row[:500]) == []
    assert framer.feed(row[500:] + row) == [ord("D"), len(row) << 8 | ord("D")]
    framer.pass_rows()
    assert framer.feed(row[:500]) == []
    assert (framer.held_size, framer.left) == (0, 505)
    assert framer.feed(row[500:]) == []


def test_looking_at_the_rows_of_one_server_looks_at_no_others():
    one, other = server_framer(), server_framer()
    one.look_at_rows()
    assert other.feed(header("D", 4)) == []
    assert one.feed(header("D", 4)) == [ord("D")]


def test_many_marks_are_told_one_by_one_and_forgotten() -> None:
    framer = server_framer()
    for number in (3, 40, 0, 17):
        marks = framer.feed(b"n\x00\x00\x00\x04" * number)
        assert framer.count == number
        assert marks == [framer.mark_at(index) for index in range(number)]
        assert marks == [index * 5 << 8 | ord("n") for index in range(number)]


@pytest.mark.parametrize("kind", "ZESCRKvNAtT")
def test_what_a_server_says_that_must_be_whole_has_a_limit(kind: str):
    """Else a statement could have the proxy keep a gigabyte: it decides how long its errors and notices are."""
    whole = struct.pack("!ci", kind.encode(), TOLD - 1) + b"x" * (TOLD - 5)
    assert server_framer().feed(whole) == [ord(kind)]
    with pytest.raises(ProtocolViolation, match="invalid length of message"):
        server_framer().feed(struct.pack("!ci", kind.encode(), TOLD))
