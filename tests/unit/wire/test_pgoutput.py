"""What a server says by logical replication, as it was recorded, and what none may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.errors import ProtocolViolation
from dbproxy.wire import build, pgoutput
from dbproxy.wire.framer import STREAM_NEED, stream_framer
from dbproxy.wire.pgoutput import Commit, Keepalive, Reader, Relation

CLOCK = b"\0\3\4\x64\x40\x6b\xf2\x82"  # of the server


def xlog_data(message: bytes, lsn: int = 0x1AFF028) -> bytes:
    return b"w" + lsn.to_bytes(8, "big") * 2 + CLOCK + message


KEEPALIVE = b"k\0\0\0\0\1\xaf\xf0(\0\3\4d@k\xf1\xd6\0"
BEGIN = b"B\0\0\0\0\1\xb0\4@\0\3\4d@k\xf1\x82\0\0\2\xfc"
COMMIT = b"C\0\0\0\0\0\1\xb0\4@\0\0\0\0\1\xb0\6H\0\3\4d@k\xf1\x82"
T = b"R\0\0@\x08public\0t\0d\0\2\1id\0\0\0\0\x17\xff\xff\xff\xff\0v\0\0\0\0\x19\xff\xff\xff\xff"
U = b"R\0\0@\x10public\0u\0d\0\1\1id\0\0\0\0\x17\xff\xff\xff\xff"
INSERT = b"I\0\0@\x08N\0\2t\0\0\0\x011t\0\0\0\1x"
UPDATE = b"U\0\0@\x08N\0\2t\0\0\0\x011t\0\0\0\2yy"
UPDATE_OF_KEY = b"U\0\0@\x08K\0\2t\0\0\0\x011nN\0\2t\0\0\0\x012t\0\0\0\2yy"
DELETE = b"D\0\0@\x08K\0\2t\0\0\0\x012n"
TRUNCATE = b"T\0\0\0\2\2\0\0@\x08\0\0@\x10"
TYPE = b"Y\0\0@\x17public\0mood\0"
ORIGIN = b"O\0\0\0\0\0\0\0\0far\0"
MESSAGE = b"M\1\0\0\0\0\1\xb0\4@x\0\0\0\0\1y"
RECORDED = [
    KEEPALIVE,
    *map(xlog_data, (BEGIN, T, INSERT, UPDATE, UPDATE_OF_KEY, DELETE, T, U, TRUNCATE, TYPE, COMMIT)),
]


def feed(*messages: bytes) -> object:
    """What the last of these comes to."""
    reader = Reader()
    return [reader.feed(xlog_data(message)) for message in messages][-1]


def test_recorded_transaction_is_told_at_its_commit() -> None:
    reader = Reader()
    told = [reader.feed(payload) for payload in RECORDED]
    assert told[0] == Keepalive(0x1AFF028, reply_wanted=False)
    assert set(told[1:-1]) == {None}
    assert told[-1] == Commit(764, 0x1B00440, 0x1B00648, frozenset({16392, 16400}))
    assert reader.relations == {
        16392: Relation("public", "t", "d"),
        16400: Relation("public", "u", "d"),
    }


def test_each_transaction_has_tables_of_its_own() -> None:
    commit = feed(BEGIN, T, INSERT, COMMIT, BEGIN, U, b"T\0\0\0\1\0\0\0@\x10", COMMIT)
    assert isinstance(commit, Commit)
    assert commit.tables == {16400}
    assert feed(BEGIN, COMMIT, BEGIN, T, COMMIT) == Commit(764, 0x1B00440, 0x1B00648, frozenset())


def test_keepalive_that_wants_an_answer() -> None:
    assert Reader().feed(KEEPALIVE[:-1] + b"\1") == Keepalive(0x1AFF028, reply_wanted=True)


def test_what_is_no_change_is_passed_over() -> None:
    assert feed(ORIGIN) is feed(MESSAGE) is feed(BEGIN, ORIGIN) is feed(TYPE) is None


def test_schema_without_a_name_is_pg_catalog_and_names_need_not_be_text() -> None:
    reader = Reader()
    reader.feed(xlog_data(b"R\0\0\0\1\0\xff\0n\0\0"))
    assert reader.relations[1] == Relation("pg_catalog", "�", "n")


def test_truncate_of_more_tables_than_are_looked_at_is_of_everything() -> None:
    many = (pgoutput.MOST_TRUNCATED + 1).to_bytes(4, "big")
    commit = feed(BEGIN, b"T" + many + b"\0", COMMIT)
    assert isinstance(commit, Commit)
    assert commit.everything
    again = feed(BEGIN, b"T" + many + b"\0", COMMIT, BEGIN, COMMIT)
    assert isinstance(again, Commit)
    assert not again.everything


@pytest.mark.parametrize(
    "messages",
    [
        (INSERT,),
        (T, INSERT),
        (BEGIN, INSERT),
        (BEGIN, T, TRUNCATE),
        (BEGIN, BEGIN),
        (COMMIT,),
        (BEGIN, T, INSERT[:4]),
        (BEGIN, T, U, TRUNCATE[:-1]),
        (BEGIN, T, U, TRUNCATE[:-4]),
        (BEGIN, T, U, TRUNCATE + b"\0\0@\x08"),
        (BEGIN[:-1],),
        (BEGIN + b"x",),
        (BEGIN, COMMIT[:-1]),
        (T[:4],),
        (T[:12],),
        (T[:14],),
        (b"S\0\0\2\xfc\1",),  # streamed while it runs: protocol version 2
        (b"",),
        (b"\0",),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(messages: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolViolation):
        feed(*messages)


@pytest.mark.parametrize(
    "payload", [b"", b"w", xlog_data(b"")[:-1], b"k", KEEPALIVE + b"x", b"x" + KEEPALIVE[1:]]
)
def test_payload_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        Reader().feed(payload)


@given(st.lists(st.sampled_from(RECORDED), max_size=20), st.data())
def test_hostile_payloads_raise_nothing_else(payloads: list[bytes], data: st.DataObject) -> None:
    reader = Reader()
    for payload in payloads:
        at = data.draw(st.integers(0, len(payload)))
        changed = (
            payload[:at] + data.draw(st.binary(max_size=4)) + payload[at + data.draw(st.integers(0, 4)) :]
        )
        try:
            reader.feed(changed)
        except ProtocolViolation:
            continue


def test_status_update_says_how_far_we_are_and_when() -> None:
    update = pgoutput.status_update(0x1B00648, pgoutput.EPOCH + 2.5, reply_wanted=True)
    position = (0x1B00648).to_bytes(8, "big")
    assert update == b"r" + position * 3 + (2_500_000).to_bytes(8, "big") + b"\1"


def test_of_a_long_row_only_the_beginning_is_waited_for() -> None:
    framer = stream_framer()
    long = build.copy_data(xlog_data(INSERT + b"x" * 100_000))
    assert framer.feed(long[: STREAM_NEED - 1]) == []
    (mark,) = framer.feed(long[STREAM_NEED - 1 : STREAM_NEED + 1])
    assert mark & 255 == ord("d")
    assert len(framer.bytes_from(0)) == STREAM_NEED + 1
    assert framer.feed(long[STREAM_NEED + 1 :]) == []
    assert len(framer.feed(build.copy_data(KEEPALIVE))) == 1


def test_most_tables_of_a_truncate_lie_where_is_looked() -> None:
    assert 5 + 25 + 6 + 4 * pgoutput.MOST_TRUNCATED <= STREAM_NEED
