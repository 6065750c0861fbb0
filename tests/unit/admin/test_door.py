"""How many come in by HTTP, and for how long without a word."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from dbproxy.admin import door
from dbproxy.admin.http import Endpoints
from dbproxy.demo.postgres import free_port
from tests.unit.admin.house import FakeHouse, settings

ALIVE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def endpoints() -> AsyncIterator[Endpoints]:
    started = Endpoints(FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port()))))
    await started.start()
    async with asyncio.timeout(20):
        yield started
    await started.stop()


Enter = Callable[..., Awaitable[Line]]


@pytest.fixture
async def enter(endpoints: Endpoints) -> AsyncIterator[Enter]:
    lines: list[Line] = []

    async def connect(said: bytes = b"") -> Line:
        line = await asyncio.open_connection("127.0.0.1", endpoints.house.settings.http.port)
        lines.append(line)
        line[1].write(said)
        return line

    yield connect
    for _, writer in lines:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def is_turned_out(line: Line) -> bool:
    """Returns once the connection has ended."""
    try:
        return await line[0].read() == b""
    except ConnectionResetError:
        return True


async def test_connection_that_asks_for_nothing_is_closed(
    endpoints: Endpoints, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.05)
    assert await is_turned_out(await enter())
    assert await is_turned_out(await enter(b"GET /health HTTP/1.1\r\nHost: loc"))


async def test_connection_that_has_asked_is_kept(
    endpoints: Endpoints, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.3)
    reader, writer = await enter(ALIVE)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert endpoints.door is not None
    assert endpoints.door.silent == {}
    assert await is_turned_out(await enter())  # the time is over
    writer.write(ALIVE)
    await reader.readuntil(b"HTTP/1.1 200")


async def test_one_too_many_is_turned_out_and_the_others_stay(
    endpoints: Endpoints, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST", 3)
    lines = [await enter(ALIVE) for _ in range(3)]
    for reader, _ in lines:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert await is_turned_out(await enter(ALIVE))
    lines[0][1].write(ALIVE)
    await lines[0][0].readuntil(b"HTTP/1.1 200")


async def test_one_too_many_takes_the_place_of_who_says_nothing(
    endpoints: Endpoints, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST", 3)
    silent = [await enter(b"GET /he") for _ in range(3)]
    for line in silent:
        reader, _ = await enter(ALIVE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert await is_turned_out(line)


async def test_who_has_gone_without_a_word_makes_no_room(
    endpoints: Endpoints, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST", 3)
    for _ in range(5):
        reader, writer = await enter(b"nonsense\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
    lines = [await enter(ALIVE) for _ in range(3)]
    for reader, _ in lines:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert await is_turned_out(await enter(ALIVE))
    assert endpoints.door is not None
    assert not endpoints.door.silent


async def test_what_is_no_http_is_not_logged(enter: Enter, caplog: Any) -> None:
    reader, _ = await enter(b"GET http://canary@[::zz/ HTTP/1.1\r\n\r\n")
    assert b" 400 " in await reader.readline()
    assert caplog.records == []


@pytest.mark.parametrize(
    "body", [b"Content-Encoding: gzip\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\nhello"]
)
async def test_a_body_that_makes_no_sense_is_not_logged(enter: Enter, caplog: Any, body: bytes) -> None:
    head = b"POST /metrics/queries/reset HTTP/1.1\r\nHost: localhost\r\n"
    length = b"" if b"chunked" in body else b"Content-Length: 5\r\n"
    reader, writer = await enter(head + length + body)
    assert b" 40" in await reader.readline()
    writer.write_eof()
    await reader.read()
    assert caplog.records == []


async def test_an_expectation_that_makes_no_sense_is_not_logged(enter: Enter, caplog: Any) -> None:
    reader, _ = await enter(b"GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: 100-co\x9atinue\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 ")
    assert caplog.records == []


async def test_errors_of_ours_are_logged(enter: Enter, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("dbproxy.admin.http.read_figures", fail)
    reader, _ = await enter(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 500 " in await reader.readline()
    assert "a bug" in caplog.text


async def test_head_of_the_events_takes_no_viewers_place(endpoints: Endpoints, enter: Enter) -> None:
    reader, _ = await enter(b"HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 405 " in await reader.readline()
    assert endpoints.page.viewers.looking == 0
