"""A TCP line between two points that can be as bad as real ones: slow, lossy, deaf, cut, in crumbs."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from tests.support.door import HOST, Door, break_off

CHUNK = 65536


@dataclass
class Direction:
    """What befalls the bytes of one direction; may be changed at any time, for lines that are open too."""

    delay: float = 0  # seconds that each chunk waits
    dropping: bool = False  # bytes are taken and vanish
    splitting: bool = False  # each byte goes by itself
    shown: Callable[[bytes], None] = lambda _chunk: None  # sees each chunk before anything befalls it
    carried: int = 0  # bytes that arrived
    _hearing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._hearing.set()

    def go_deaf(self) -> None:
        """Read nothing more: what is sent fills the buffers, and then the sender waits."""
        self._hearing.clear()

    def hear(self) -> None:
        self._hearing.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes until the sender closes its half, then close ours."""
        while chunk := await self._read(reader):
            self.shown(chunk)
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.dropping:
                continue
            for piece in self._pieces(chunk):
                writer.write(piece)
                await writer.drain()
                self.carried += len(piece)
        if not writer.is_closing():
            writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        await self._hearing.wait()
        chunk = await reader.read(CHUNK)
        await self._hearing.wait()  # what came in while we went deaf
        return chunk

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        size = 1 if self.splitting else len(chunk)
        return (chunk[start : start + size] for start in range(0, len(chunk), size))


class Line:
    """Listens on `port` and carries each connection to the target: `async with Line(target_port) as line`.

    `up` is towards the target, `down` is back.
    """

    host = HOST

    def __init__(self, target_port: int, target_host: str = HOST) -> None:
        self.target = (target_host, target_port)
        self.port = 0
        self.up = Direction()
        self.down = Direction()
        self._door = Door(self._carry)
        self._open: set[asyncio.StreamWriter] = set()
        self._dialled: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await self._door.end()
        await break_off(self._dialled)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._door.tasks)

    async def accept(self) -> None:
        """Listen, after `refuse` on the same port again."""
        self._door.listen()
        self.port = self._door.port

    def refuse(self) -> None:
        """Listen no more; open connections stay."""
        self._door.stop()

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        for writer in self._open:
            line: socket.socket = writer.get_extra_info("socket")
            if line.fileno() < 0:
                continue  # closed by itself, a moment ago
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = {writer}
        self._open.add(writer)  # also while the target has not answered: whoever cuts the line cuts it, too
        try:
            await self._join(reader, writer, writers)
        except* OSError:
            for one in writers:
                one.transport.abort()  # one side is gone: the other hears of it
        finally:
            for one in writers:
                one.close()
            self._open -= writers

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, writers: set[asyncio.StreamWriter]
    ) -> None:
        target_reader, target_writer = await asyncio.open_connection(*self.target)
        writers.add(target_writer)
        self._dialled.append(target_writer)
        self._open.add(target_writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(self.up.pump(reader, target_writer))
            both.create_task(self.down.pump(target_reader, writer))
