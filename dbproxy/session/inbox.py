"""What a connection sends before it is a client's: kept up to a limit, and awaited (slow lane)."""

import asyncio

from dbproxy.net.link import PARKED, Link

LIMIT = 65536  # bytes read ahead of a login


class Inbox:
    """The bytes that nobody has read yet; over the limit, `link` is not read from."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.data = bytearray()
        self.arrival: asyncio.Future[None] | None = None

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > LIMIT:
            self.link.hold(PARKED)
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)

    async def peek(self, size: int) -> bytes:
        """The next bytes, which are still to be read."""
        while len(self.data) < size:
            self.arrival = asyncio.get_running_loop().create_future()
            await self.arrival
        return bytes(self.data[:size])

    async def read(self, size: int) -> bytes:
        data = await self.peek(size)
        del self.data[:size]
        if len(self.data) <= LIMIT:
            self.link.free(PARKED)
        return data

    def take_rest(self) -> bytes:
        """All that is left, for whoever reads the connection from now on."""
        data = bytes(self.data)
        self.data.clear()
        self.link.free(PARKED)
        return data
