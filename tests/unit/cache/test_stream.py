"""What a follower is told, what the server is told, and what is said of what goes wrong; no server."""

import pytest

from dbproxy.cache.stream import (
    LONGEST,
    SILENCE,
    STATUS,
    Following,
    explain,
    find_delay,
    spell_slot,
    spell_start,
)
from dbproxy.errors import ProtocolViolation, ServerLost, ServerRefused
from tests.support.follower import Heard
from tests.support.speech import error, notice, parameter_status
from tests.unit.wire.test_pgoutput import BEGIN, COMMIT, INSERT, KEEPALIVE, T, xlog_data

COPY_DATA, COPY_DONE = ord("d"), ord("c")
START = 0x1AFF000
WANTED = KEEPALIVE[:-1] + b"\1"


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def stream(heard: Heard) -> Following:
    following = Following(heard, START)
    following.begin(100.0)
    return following


def test_follower_is_told_from_where_it_hears_everything(stream: Following, heard: Heard) -> None:
    assert heard.told == [("began", START)]
    assert heard.position == START


def test_commit_is_told_before_the_position_is_behind_it(stream: Following, heard: Heard) -> None:
    positions: list[int] = []
    heard.note = lambda *_: positions.append(heard.position)  # type: ignore[method-assign]
    for message in (BEGIN, T, INSERT, COMMIT):
        assert not stream.hear(COPY_DATA, xlog_data(message), 101.0)
    assert heard.commits == {764: (0x1B00648, frozenset({16392}))}
    assert positions == [START]
    assert heard.position == 0x1B00648


def test_more_tables_than_are_named_are_all(stream: Following, heard: Heard) -> None:
    for message in (BEGIN, b"T\0\1\0\0\0", COMMIT):
        stream.hear(COPY_DATA, xlog_data(message), 101.0)
    assert heard.commits == {764: (0x1B00648, None)}


def test_keepalive_moves_the_position_and_may_want_an_answer(stream: Following, heard: Heard) -> None:
    assert not stream.hear(COPY_DATA, KEEPALIVE, 101.0)
    assert stream.hear(COPY_DATA, WANTED, 102.0)
    assert heard.position == 0x1AFF028
    assert heard.names() == ["began"]


def test_position_never_goes_back(stream: Following, heard: Heard) -> None:
    stream.hear(COPY_DATA, KEEPALIVE, 101.0)
    stream.hear(COPY_DATA, b"k" + bytes(17), 102.0)
    assert heard.position == 0x1AFF028


def test_status_is_due_again_and_again(stream: Following) -> None:
    assert not stream.claim_status(100.0 + STATUS - 1)
    assert stream.claim_status(100.0 + STATUS)
    assert not stream.claim_status(100.0 + STATUS + 1)
    assert stream.claim_status(100.0 + 2 * STATUS)


def test_server_that_says_nothing_any_more_is_gone(stream: Following) -> None:
    stream.hear(COPY_DATA, KEEPALIVE, 110.0)
    assert not stream.is_silent(109.0 + SILENCE)
    assert stream.is_silent(110.0 + SILENCE)


def test_error_and_end_of_the_stream_are_raised(stream: Following) -> None:
    with pytest.raises(ServerLost, match="terminating"):
        stream.hear(ord("E"), error("57P01", "terminating")[5:], 101.0)
    with pytest.raises(ServerLost, match="ended"):
        stream.hear(COPY_DONE, b"", 101.0)
    with pytest.raises(ProtocolViolation):
        stream.hear(COPY_DATA, b"?", 101.0)


def test_warning_that_changes_are_left_out_ends_the_stream_and_no_other(stream: Following) -> None:
    assert not stream.hear(ord("N"), notice("hello")[5:], 101.0)
    assert not stream.hear(ord("S"), parameter_status("TimeZone", "UTC")[5:], 101.0)
    with pytest.raises(ServerLost, match="skipped"):
        stream.hear(ord("N"), error("55000", "skipped loading publication", severity="WARNING")[5:], 101.0)


def test_end_is_told_once_and_only_of_what_has_begun(stream: Following, heard: Heard) -> None:
    stream.end("gone")
    stream.end("gone again")
    assert heard.told[1:] == [("lost", "gone")]
    fresh = Heard()
    Following(fresh, START).end("gone")
    assert not fresh.told


def test_tries_become_rarer() -> None:
    delays = [find_delay(failures, 1.0) for failures in range(1, 2000)]
    assert delays == sorted(delays)
    assert delays[0] <= 1.0
    assert delays[-1] == LONGEST
    assert find_delay(3, 0.0) == find_delay(3, 1.0) / 2


@pytest.mark.parametrize(
    ("sqlstate", "message", "hint"),
    [
        ("55000", 'logical decoding requires "wal_level" >= "logical"', "wal_level = logical"),
        ("53300", 'number of requested standby connections exceeds "max_wal_senders"', "max_wal_senders"),
        ("53400", "all replication slots are in use", "max_replication_slots"),
        ("42501", "permission denied to start WAL sender", "REPLICATION"),
        ("XX000", "else", "its own"),
    ],
)
def test_error_says_where_it_happened_and_what_to_do(sqlstate: str, message: str, hint: str) -> None:
    told = explain(ServerRefused(message, hint="its own", sqlstate=sqlstate), "db:5432")
    assert told.message == f"db:5432: {message}"
    assert hint in told.hint
    assert explain(told, "db:5432").message == told.message


def test_commands_are_those_of_postgresql() -> None:
    assert spell_slot("s") == "CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
    assert spell_start("s", "p") == (
        "START_REPLICATION SLOT s LOGICAL 0/0 (proto_version '1', publication_names 'p')"
    )
