"""One end of a conversation in the protocol: sends bytes, and holds what comes against what should."""

import asyncio
import socket
import struct
from typing import Any

from tests.support.speech import Message, read, spell, split

PATIENCE = 5.0  # seconds until a message that does not come fails the test
QUIET_TURNS = 20  # turns of the event loop after which nothing is on its way any more


class Peer:
    """`incoming`: the declaration of what the other side sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any) -> None:
        self.reader = reader
        self.writer = writer
        self.incoming = incoming

    def send(self, *stream: bytes) -> None:
        self.writer.write(b"".join(stream))

    async def send_in_crumbs(self, *stream: bytes, size: int = 1) -> None:
        """Send so that the other side reads `size` bytes at a time."""
        data = b"".join(stream)
        for start in range(0, len(data), size):
            self.writer.write(data[start : start + size])
            await self.writer.drain()
            await let_others_run(3)

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def receive(self) -> Message:
        """The next message, whatever it is."""
        header = await self.read(5)
        return read(header + await self.read(int.from_bytes(header[1:], "big") - 4), self.incoming)

    async def receives(self, *stream: bytes) -> None:
        """Exactly these messages come next."""
        expected = split(b"".join(stream))
        found: list[bytes] = []
        try:
            while len(found) < len(expected):
                found.append((await self.receive()).raw)
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            told = spell(found, self.incoming)
            raise AssertionError(
                f"{type(error).__name__}: after {told} expected {spell(expected[len(found) :], self.incoming)}"
            ) from error
        if found != expected:
            told, wanted = spell(found, self.incoming), spell(expected, self.incoming)
            raise AssertionError(f"expected {wanted or expected}, got {told or found}")

    async def receive_until(self, last: bytes) -> list[Message]:
        """All that comes up to this message: for what is not told apart."""
        found = [await self.receive()]
        while found[-1].raw != last:
            found.append(await self.receive())
        return found

    async def receives_bytes(self, data: bytes) -> None:
        """Exactly these bytes come next: for parts of messages."""
        assert await self.read(len(data)) == data

    async def hears_nothing(self) -> None:
        """Nothing more is on its way."""
        await let_others_run(QUIET_TURNS)
        try:
            async with asyncio.timeout(0.02):
                found = await self.reader.read(65536)
        except TimeoutError:
            return
        raise AssertionError(f"expected silence, got {found!r}")

    async def hears_the_end(self) -> None:
        """The other side closes, and says nothing before."""
        try:
            async with asyncio.timeout(PATIENCE):
                rest = await self.reader.read(65536)
        except ConnectionError:
            return
        assert rest == b"", f"expected the end, got {rest!r}"

    def half_close(self) -> None:
        """Send no more; go on reading."""
        self.writer.write_eof()

    def cut(self) -> None:
        """Reset the connection, if it is still there."""
        if self.writer.transport.is_closing():
            return
        line: socket.socket = self.writer.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def let_others_run(turns: int = QUIET_TURNS) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
