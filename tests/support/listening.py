"""Somebody who listens, for tests of the hub."""

import asyncio

from dbproxy.wire import messages
from tests.support.peer import PATIENCE
from tests.support.speech import Message, read


class Ear:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.notices: list[Message] = []
        self._news = asyncio.Event()

    def notify(self, message: bytes) -> None:
        self.raw.append(message)
        self._news.set()

    def notice(self, message: bytes) -> None:
        self.notices.append(read(message, messages.BACKEND_MESSAGE))
        self._news.set()

    @property
    def heard(self) -> list[tuple[str, str]]:
        """Channel and payload of each notification."""
        bodies = [read(raw, messages.BACKEND_MESSAGE).body for raw in self.raw]
        return [(body.channel, body.payload) for body in bodies]

    @property
    def payloads(self) -> list[str]:
        return [payload for _, payload in self.heard]

    @property
    def pids(self) -> list[int]:
        return [int.from_bytes(raw[5:9], "big") for raw in self.raw]

    async def has(self, notifications: int = 0, notices: int = 0) -> None:
        """Return when it was told as much."""
        async with asyncio.timeout(PATIENCE):
            while len(self.raw) < notifications or len(self.notices) < notices:
                await self.has_more()

    async def has_more(self) -> None:
        """Return when it is told something."""
        self._news.clear()
        await self._news.wait()
