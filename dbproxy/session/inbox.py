"""What a connection sends before it is a client's: kept up to a limit, and awaited (slow lane)."""

import asyncio

from dbproxy.net.link import PARKED, Link

LIMIT = 65536  # bytes read ahead of a login


class Inbox:
    """The bytes that nobody has read yet; over the limit, `link` is not read from."""

    def __init__(self, link: Link) -> None:
        self.link: Link | None = link
        self.data = bytearray()
        self.arrival: asyncio.Future[None] | None = None

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > LIMIT and self.link is not None:
            self.link.hold(PARKED)
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)

    def has(self, size: int) -> bool:
        """Whether so many bytes have come."""
        return len(self.data) >= size

    async def wait(self, size: int) -> None:
        """Until so many bytes have come. To be asked for only if they have not: most have (`has`)."""
        while len(self.data) < size:
            self.arrival = asyncio.get_running_loop().create_future()
            await self.arrival

    def cut(self, size: int) -> bytes:
        """The next bytes, which have come."""
        data = bytes(self.data[:size])
        del self.data[:size]
        self.free()
        return data

    async def read(self, size: int) -> bytes:
        await self.wait(size)
        return self.cut(size)

    def take_rest(self) -> bytes:
        """All that is left, for whoever reads the connection from now on."""
        data = bytes(self.data)
        self.data.clear()
        self.free()
        return data

    def free(self) -> None:
        if len(self.data) <= LIMIT and self.link is not None:
            self.link.free(PARKED)

    def close(self) -> bytes:
        """`take_rest`, for the last time: the link's owner needs it no more."""
        data = self.take_rest()
        self.link = None  # which has it: what knows each other is freed late
        return data
