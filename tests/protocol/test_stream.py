"""The connection by which everybody's writes are heard, against a server that says what the test says."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dbproxy.app import decoding
from dbproxy.app import stream as task
from dbproxy.app.stream import Stream
from dbproxy.cache import stream as rules
from dbproxy.cache.publication import PUBLISHED
from dbproxy.config.url import parse_url
from dbproxy.wire import build
from tests.support.follower import Heard, following
from tests.support.scripted_server import Backend, ScriptedServer, let_in, refuse
from tests.support.speech import IDLE, columns, complete, copy_data, error, parameter_status, query, row
from tests.unit.wire.test_pgoutput import BEGIN, COMMIT, INSERT, KEEPALIVE, T, xlog_data

COPY_BOTH = b"W\0\0\0\x07\0\0\0"
COPY_DONE = b"c\0\0\0\4"


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FIRST", 0.0)
    monkeypatch.setattr(task, "LOOK", 0.01)


@pytest.fixture
async def heard(server: ScriptedServer) -> AsyncIterator[tuple[Stream, Heard]]:
    url = f"postgresql://app:secret@127.0.0.1:{server.port}/shop"
    async with following(url, "shop", "app") as both:
        yield both


def says(*payloads: bytes) -> bytes:
    return b"".join(map(copy_data, payloads))


def answer(*values: str) -> bytes:
    """One row."""
    return columns(*values) + row(*values) + complete() + IDLE


def publishes(*tables: int) -> bytes:
    return answer("t", " ".join(map(str, tables)))


async def has_slot(server: ScriptedServer, published: bytes = b"") -> tuple[Backend, str]:
    """Up to the slot; its name."""
    backend = await server.accept()
    await backend.answers(answer("70", "3"), to=query("IDENTIFY_SYSTEM"))
    await backend.answers(publishes(16392, 16400), to=query(PUBLISHED))
    command = (await backend.receive()).body.query
    slot = command.split()[1]
    assert command == rules.spell_slot(slot)
    backend.send(answer(slot, "0/1AFF000"))
    for _ in range(2):
        await backend.answers(answer("10", "10"), to=query(rules.RUNNING))
    await backend.answers(published or publishes(16392, 16400), to=query(PUBLISHED))
    return backend, slot


async def streams(server: ScriptedServer, *payloads: bytes) -> Backend:
    """Up to the stream, with what comes at once."""
    backend, slot = await has_slot(server)
    await backend.answers(COPY_BOTH, says(*payloads), to=query(rules.spell_start(slot, "dbproxy_cache")))
    return backend


async def status(backend: Backend) -> tuple[int, bool]:
    """The position that the next message tells, and whether it wants an answer."""
    message = await backend.receive()
    payload = message.raw[5:]
    assert message.raw[:1] == b"d"
    assert (payload[:1], len(payload), payload[1:9]) == (b"r", 34, payload[9:17])
    return int.from_bytes(payload[1:9], "big"), bool(payload[33])


async def test_it_says_who_it_is_and_hears_what_comes_with_the_answer(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    backend = await streams(server, *map(xlog_data, (BEGIN, T, INSERT, COMMIT)))
    stream, told = heard
    await told.wait(lambda: bool(told.commits))
    assert told.told == [("began", 0x1AFF000), ("committed", frozenset({16392}))]
    assert told.position == 0x1B00648
    assert (stream.source.system, stream.source.published, stream.flows) == (("70", 3), {16392, 16400}, True)
    asked = backend.startup.parameters
    assert (asked["replication"], asked["user"], asked["database"]) == ("database", "app", "shop")


async def test_what_comes_in_crumbs_is_heard(server: ScriptedServer, heard: tuple[Stream, Heard]):
    backend = await streams(server)
    payloads = (*map(xlog_data, (BEGIN, T, INSERT + bytes(200), COMMIT)), KEEPALIVE)
    await backend.send_in_crumbs(says(*payloads), size=7)
    await heard[1].wait(lambda: bool(heard[1].commits))


async def test_row_that_is_longer_than_what_is_looked_at_passes(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    long = INSERT + bytes(3_000_000)
    await streams(server, *map(xlog_data, (BEGIN, T, long, long, COMMIT)))
    await heard[1].wait(lambda: bool(heard[1].commits))
    assert heard[1].told[1:] == [("committed", frozenset({16392}))]


async def test_server_that_wants_to_know_is_told_at_once(server: ScriptedServer, heard: tuple[Stream, Heard]):
    backend = await streams(server, KEEPALIVE[:-1] + b"\1")
    assert await status(backend) == (0x1AFF028, False)


async def test_server_is_told_in_time_and_asked_whether_it_is_there(
    server: ScriptedServer, heard: tuple[Stream, Heard], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rules, "STATUS", 0.0)
    backend = await streams(server)
    assert await status(backend) == (0x1AFF000, True)
    backend.send(says(KEEPALIVE))
    while (await status(backend))[0] != 0x1AFF028:
        pass


async def test_server_that_says_nothing_any_more_is_left(
    server: ScriptedServer, heard: tuple[Stream, Heard], monkeypatch: pytest.MonkeyPatch
):
    await streams(server)
    await heard[1].wait(lambda: heard[1].names() == ["began"])
    monkeypatch.setattr(rules, "SILENCE", 0.0)
    await heard[1].wait(lambda: heard[1].names() == ["began", "lost"])


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (error("57P01", "terminating"), "terminating"),
        (COPY_DONE, "ended"),
        (copy_data(b"?"), "malformed"),
        (copy_data(xlog_data(INSERT)), "outside a transaction"),
        (b"!!!!!", "invalid message type"),
        (b"", "closed the connection"),
    ],
)
async def test_however_it_ends_all_is_void_and_it_begins_anew(
    server: ScriptedServer, heard: tuple[Stream, Heard], last: bytes, why: str
):
    backend = await streams(server)
    _, told = heard
    await told.wait(lambda: told.names() == ["began"])
    backend.send(last)
    if not last:
        backend.writer.close()
    await told.wait(lambda: told.names() == ["began", "lost"])
    assert why in str(told.told[1][1])
    await streams(server)
    await told.wait(lambda: told.names() == ["began", "lost", "began"])


async def test_stream_that_is_broken_from_its_first_byte_has_not_begun(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    backend, slot = await has_slot(server)
    await backend.answers(COPY_BOTH, b"!!!!!", to=query(rules.spell_start(slot, "dbproxy_cache")))
    stream, told = heard
    await told.wait(lambda: stream.error is not None and "invalid message type" in stream.error.message)
    assert told.told == []
    await streams(server)
    await told.wait(lambda: told.names() == ["began"])


async def test_what_half_a_transaction_had_is_not_the_next_streams(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    backend = await streams(server, *map(xlog_data, (BEGIN, T, INSERT)))
    await heard[1].wait(lambda: heard[1].names() == ["began"])
    backend.writer.close()
    await streams(server, *map(xlog_data, (BEGIN, COMMIT)))
    await heard[1].wait(lambda: bool(heard[1].commits))
    assert heard[1].told[-1] == ("committed", frozenset())


async def test_only_tables_published_before_and_after_the_slot_was_made_are_told(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    backend, slot = await has_slot(server, publishes(16392, 5))
    await backend.answers(COPY_BOTH, to=query(rules.spell_start(slot, "dbproxy_cache")))
    await heard[1].wait(lambda: heard[1].names() == ["began"])
    assert heard[0].source.published == {16392}


async def test_who_ran_when_the_slot_was_made_is_outlasted(
    server: ScriptedServer, heard: tuple[Stream, Heard], monkeypatch: pytest.MonkeyPatch
):
    """One may have committed before its first position, and not be seen to have."""
    monkeypatch.setattr(decoding, "PAUSE", 0.0)
    backend = await server.accept()
    await backend.answers(answer("70", "3"), to=query("IDENTIFY_SYSTEM"))
    await backend.answers(publishes(1), to=query(PUBLISHED))
    slot = (await backend.receive()).body.query.split()[1]
    backend.send(answer(slot, "0/1AFF000"))
    for oldest, limit in ((8, 10), (8, 12), (9, 20), (11, 30)):
        await backend.answers(answer(str(oldest), str(limit)), to=query(rules.RUNNING))
    await backend.answers(publishes(1), to=query(PUBLISHED))
    await backend.answers(COPY_BOTH, to=query(rules.spell_start(slot, "dbproxy_cache")))
    await heard[1].wait(lambda: heard[1].names() == ["began"])


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answer("70"), "makes no sense"),
        (answer("70", "x"), "makes no sense"),
        (IDLE, "makes no sense"),
        (error("42601", "syntax error"), "syntax error"),
        (b"D\0\0\0\x06\0\1", "malformed"),
    ],
)
async def test_answer_that_makes_no_sense_is_an_error_and_no_more(
    server: ScriptedServer, heard: tuple[Stream, Heard], log: list[Any], reply: bytes, why: str
):
    backend = await server.accept()
    await backend.answers(reply, to=query("IDENTIFY_SYSTEM"))
    if why == "makes no sense":
        await backend.answers(publishes(1), to=query(PUBLISHED))
        await backend.receive()
        backend.send(answer("s", "0/1"))
        for _ in range(2):
            await backend.answers(answer("10", "10"), to=query(rules.RUNNING))
        await backend.answers(publishes(1), to=query(PUBLISHED))
    stream, told = heard
    await told.wait(lambda: stream.error is not None)
    assert stream.error is not None
    assert why in stream.error.message
    assert f"127.0.0.1:{server.port}" in stream.error.message
    assert told.told == []
    await streams(server)
    await told.wait(lambda: stream.flows)
    assert stream.error is None
    assert [line["event"] for line in log] == ["writes are not followed", "writes are followed"]


async def test_login_that_is_refused_is_told_with_what_to_do(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    stream, _ = heard
    why = 'number of requested standby connections exceeds "max_wal_senders" (currently 10)'
    server.greeting = refuse(error("53300", why, severity="FATAL"))
    await heard[1].wait(lambda: stream.error is not None and why in stream.error.message)
    assert stream.error is not None
    assert "max_wal_senders" in stream.error.hint
    server.greeting = let_in
    await streams(server)


async def test_same_failure_is_logged_once(
    server: ScriptedServer, heard: tuple[Stream, Heard], log: list[Any]
):
    for _ in range(5):
        backend = await server.accept()
        await backend.answers(error("53400", "all replication slots are in use"), to=query("IDENTIFY_SYSTEM"))
    await streams(server)
    await heard[1].wait(lambda: heard[0].flows)
    assert [line["event"] for line in log] == ["writes are not followed", "writes are followed"]
    assert "max_replication_slots" in log[0]["hint"]


async def test_standby_is_not_followed(server: ScriptedServer, heard: tuple[Stream, Heard]):
    """Its stream would tell of what was replayed there, be it long ago."""
    backend = await streams(server)
    backend.send(parameter_status("in_hot_standby", "on"))
    backend.writer.close()
    greeting = server.greeting

    async def greet(backend: Backend) -> None:
        backend.send(build.authentication_ok(), parameter_status("in_hot_standby", "on"),
                     parameter_status("default_transaction_read_only", "off"), IDLE)  # fmt: skip

    server.greeting = greet
    stream, told = heard
    await told.wait(lambda: stream.error is not None and "standby" in stream.error.message)
    server.greeting = greeting


async def test_primary_that_is_another_host_is_gone_to(
    server: ScriptedServer, heard: tuple[Stream, Heard], monkeypatch: pytest.MonkeyPatch
):
    await streams(server)
    stream, told = heard
    await told.wait(lambda: stream.flows)
    hosts = stream.targets.hosts
    here = hosts.find_primary("shop")
    monkeypatch.setattr(hosts, "find_primary", lambda _: parse_url("postgresql://app@127.0.0.1:1/shop"))
    await told.wait(lambda: told.names() == ["began", "lost"])
    assert told.told[1] == ("lost", "the primary is another host now")
    await told.wait(lambda: stream.error is not None and "127.0.0.1:1" in stream.error.message)
    monkeypatch.setattr(hosts, "find_primary", lambda _: here)
    await streams(server)


async def test_follower_that_fails_ends_the_stream_and_is_told_so(
    server: ScriptedServer, heard: tuple[Stream, Heard], log: list[Any]
):
    _, told = heard
    backend = await streams(server)
    await told.wait(lambda: told.names() == ["began"])
    committed, told.committed = told.committed, fail  # type: ignore[method-assign, assignment]
    backend.send(says(*map(xlog_data, (BEGIN, COMMIT))))
    await told.wait(lambda: told.names() == ["began", "lost"])
    assert any(line["event"] == "internal error" for line in log)
    log[:] = [line for line in log if line["event"] != "internal error"]
    told.committed = committed  # type: ignore[method-assign]
    await streams(server)


def fail(*_: object) -> None:
    raise RuntimeError("a bug")
