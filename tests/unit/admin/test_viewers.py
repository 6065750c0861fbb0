"""Those who look: each gets everything once, then what is new; not too many, none that does not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from dbproxy.admin import viewers as module
from dbproxy.admin.viewers import Viewers


class Stage:
    """Viewers behind a real server; the first look publishes number 1."""

    def __init__(self) -> None:
        self.viewers = Viewers(self.look)
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        self.publish("looked")

    def publish(self, what: str) -> None:
        self.viewers.publish(f'"news {what}"', f'"whole {what}"')


@asynccontextmanager
async def serve(stage: Stage) -> AsyncIterator[str]:
    application = web.Application()
    application.add_routes([web.get("/events", stage.viewers.show)])
    runner = web.AppRunner(application, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with asyncio.timeout(30):
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    finally:
        stage.viewers.close()
        await runner.cleanup()


async def hear(answer: aiohttp.ClientResponse) -> str:
    """The next message."""
    name = await answer.content.readline()
    data = await answer.content.readline()
    assert await answer.content.readline() == b"\n"
    return f"{name.decode().strip()} {data.decode().strip()}"


async def test_newcomer_gets_everything_and_then_what_is_new() -> None:
    stage = Stage()
    async with serve(stage) as url, aiohttp.ClientSession() as client, client.get(url) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await hear(answer) == 'event: whole data: "whole looked"'
        stage.publish("two")
        assert await hear(answer) == 'event: news data: "news two"'


async def test_second_viewer_is_told_what_was_published_last() -> None:
    stage = Stage()
    async with serve(stage) as url, aiohttp.ClientSession() as client, client.get(url) as first:
        await hear(first)
        async with client.get(url) as second:
            assert await hear(second) == 'event: whole data: "whole looked"'
    assert stage.looks == 1


async def test_who_missed_something_gets_everything_anew() -> None:
    stage = Stage()
    async with serve(stage) as url, aiohttp.ClientSession() as client, client.get(url) as answer:
        await hear(answer)
        stage.publish("two")
        stage.publish("three")  # in one go: nobody could be sent the one before
        assert await hear(answer) == 'event: whole data: "whole three"'


async def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    stage = Stage()
    async with serve(stage) as url, aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            await hear(answer)
            async with client.get(url) as refused:
                assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        while stage.viewers.looking:  # the end is noticed by the next message
            stage.publish("gone")
            await asyncio.sleep(0)
        async with client.get(url) as answer:
            assert answer.status == 200


async def test_who_does_not_read_is_dropped_and_keeps_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    stage = Stage()
    async with serve(stage) as url:
        host, port = url.removeprefix("http://").removesuffix("/events").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")
        await reader.readline()
        writer.transport.pause_reading()
        while not stage.viewers.dropped:
            stage.publish("x" * 1_000_000)
            await asyncio.sleep(0.001)  # the handler's turn: what is written goes into the system's buffers
        writer.transport.abort()
    assert (stage.viewers.dropped, stage.viewers.looking) == (1, 0)


async def test_other_sites_pages_may_not_look() -> None:
    stage = Stage()
    async with serve(stage) as url, aiohttp.ClientSession() as client:
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
            async with client.get(url, headers={"Sec-Fetch-Site": site}) as answer:
                assert answer.status == status


async def test_close_ends_all() -> None:
    stage = Stage()
    async with serve(stage) as url, aiohttp.ClientSession() as client, client.get(url) as answer:
        await hear(answer)
        stage.viewers.close()
        assert await answer.content.read() == b""
