"""The connection on which triggers notify of everybody's writes, against a server that says what the test says."""

from collections.abc import AsyncIterator

import pytest

from dbproxy.app import stream as task
from dbproxy.app.notifications import PROCESS
from dbproxy.app.stream import Stream
from dbproxy.cache import notification as rules
from dbproxy.cache import stream as delays
from dbproxy.cache.triggers import TRIGGERED
from tests.support.follower import Heard, following
from tests.support.scripted_server import Backend, ScriptedServer
from tests.support.speech import IDLE, columns, complete, notification, parameter_status, query, row


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delays, "FIRST", 0.0)
    monkeypatch.setattr(task, "LOOK", 0.01)


@pytest.fixture
async def heard(server: ScriptedServer) -> AsyncIterator[tuple[Stream, Heard]]:
    url = f"postgresql://app:secret@127.0.0.1:{server.port}/shop"
    async with following(url, "shop", "app", notified=True) as both:
        yield both


def answer(*values: str) -> bytes:
    """One row."""
    return columns(*values) + row(*values) + complete() + IDLE


async def listens(server: ScriptedServer, *behind: bytes, early: bytes = b"") -> Backend:
    """Up to where it is told; `behind`: what comes with the last answer, `early`: with the one to LISTEN."""
    backend = await server.accept()
    await backend.answers(answer(str(backend.pid)), to=query(PROCESS))
    await backend.answers(complete("LISTEN"), early, IDLE, to=query(rules.LISTEN))
    await backend.answers(answer("16384 16390"), *behind, to=query(TRIGGERED))
    return backend


async def test_it_is_told_of_tables_from_where_it_listens(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    stream, told = heard
    early = notification("dbproxy_cache", "1")  # what is void anyhow
    backend = await listens(server, notification("dbproxy_cache", "16384"), early=early)
    backend.send(notification("dbproxy_cache", ""), parameter_status("TimeZone", "UTC"))
    await told.wait(lambda: len(told.told) == 3)
    assert told.told == [("began", 0), ("notified", 16384), ("notified", None)]
    assert stream.source.published == {16384, 16390}
    assert "replication" not in backend.startup.parameters


async def test_server_that_is_lost_is_told_at_once_and_begun_with_anew(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    _, told = heard
    backend = await listens(server)
    await told.wait(lambda: told.names() == ["began"])
    backend.writer.close()
    await told.wait(lambda: told.names() == ["began", "lost"])
    await listens(server)
    await told.wait(lambda: told.names() == ["began", "lost", "began"])


async def test_server_that_says_nothing_any_more_is_given_up(
    server: ScriptedServer, heard: tuple[Stream, Heard], monkeypatch: pytest.MonkeyPatch
):
    _, told = heard
    monkeypatch.setattr(rules, "STATUS", 0.0)
    backend = await listens(server)
    for _ in range(3):
        await backend.answers(IDLE, to=query(""))
    assert told.names() == ["began"]
    monkeypatch.setattr(rules, "SILENCE", 0.0)
    await told.wait(lambda: told.names()[:2] == ["began", "lost"])


async def test_pooler_between_is_noticed(server: ScriptedServer, heard: tuple[Stream, Heard]):
    """It lends one server after the other, and what these are told is lost."""
    stream, told = heard
    backend = await server.accept()
    await backend.answers(answer(str(backend.pid + 1)), to=query(PROCESS))
    await told.wait(lambda: stream.error is not None)
    assert stream.error is not None
    assert "a pooler is between" in stream.error.message
    assert told.told == []


async def test_what_is_told_of_now_is_another_set_and_nothing_is_missed(
    server: ScriptedServer, heard: tuple[Stream, Heard]
):
    stream, told = heard
    await listens(server)
    await told.wait(lambda: stream.flows)
    stream.check([[b"16384"]])
    assert stream.source.published == {16384}
    assert stream.flows
    stream.check([])
    assert told.told[-1][0] == "lost"
