"""The line that other tests break on purpose does what it is told, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.door import Door
from tests.support.faults import Line


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """A line to a server that echoes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
        writer.close()

    door = Door(echo)
    door.listen()
    async with Line(door.port) as line:
        yield line
    await door.end()


@asynccontextmanager
async def client(line: Line) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(line.host, line.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_good_line_carries_everything_and_the_end(line: Line):
    sent = bytes(range(256)) * 4000
    async with client(line) as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent
    assert (line.up.carried, line.down.carried) == (len(sent), len(sent))


async def test_splitting_changes_no_byte_and_sends_them_one_by_one(
    line: Line, monkeypatch: pytest.MonkeyPatch
):
    line.down.splitting = True
    sizes: list[int] = []
    write = asyncio.StreamWriter.write
    monkeypatch.setattr(
        asyncio.StreamWriter, "write", lambda self, data: (sizes.append(len(data)), write(self, data))[1]
    )
    async with client(line) as (reader, writer):
        writer.write(b"Z\0\0\0\5I")
        assert await reader.readexactly(6) == b"Z\0\0\0\5I"
    assert sizes[-6:] == [1] * 6


async def test_delay_is_waited_for(line: Line):
    line.up.delay = 0.05
    async with client(line) as (reader, writer):
        started = asyncio.get_running_loop().time()
        writer.write(b"x")
        await reader.readexactly(1)
        assert asyncio.get_running_loop().time() - started >= 0.05


async def test_dropped_bytes_never_arrive(line: Line):
    async with client(line) as (reader, writer):
        line.up.dropping = True
        writer.write(b"lost")
        writer.write_eof()
        assert await reader.read(-1) == b""
    assert line.up.carried == 0


async def test_deaf_line_holds_bytes_until_it_hears(line: Line):
    async with client(line) as (reader, writer):
        line.up.go_deaf()
        writer.write(b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.05)
        line.up.hear()
        assert await reader.readexactly(1) == b"x"


async def test_deaf_line_makes_the_sender_wait(line: Line):
    line.up.go_deaf()
    async with client(line) as (_, writer):
        writer.write(bytes(32 * 1024 * 1024))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.1)


async def test_cut_resets_what_is_open_and_only_that(line: Line):
    async with client(line) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        line.cut()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
    async with client(line) as (reader, writer):
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"


async def test_refusing_line_keeps_open_connections_and_comes_back_on_its_port(line: Line):
    port = line.port
    async with client(line) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        line.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(line.host, port)
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
    await line.accept()
    assert line.port == port
    async with client(line) as (reader, writer):
        writer.write(b"z")
        assert await reader.readexactly(1) == b"z"


async def test_target_that_is_gone_ends_the_clients_connection():
    async with Line(target_port=1) as line, client(line) as (reader, _):
        assert await reader.read(-1) == b""
