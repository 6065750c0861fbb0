"""A client that says exactly what a test tells it to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from dbproxy.wire import build, messages
from dbproxy.wire.startup import parse_backend_key_data
from tests.support.peer import Peer
from tests.support.speech import Message

NOTHING: Mapping[str, str] = MappingProxyType({})


Dial = Callable[[], Awaitable["RawClient"]]


class RawClient(Peer):
    """A connection to the proxy, made by `dial`; after `log_in` it knows its key and what it was told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dial: Dial) -> None:
        super().__init__(reader, writer, messages.BACKEND_MESSAGE)
        self.dial = dial
        self.pid, self.key = 0, b""
        self.parameters: dict[str, str] = {}

    async def log_in(self, user: str, database: str, parameters: Mapping[str, str] = NOTHING) -> None:
        """Log in by trust."""
        self.send(build.startup_message({"user": user, "database": database, **parameters}))
        message = await self.receive()
        while message.kind != "Z":
            assert message.kind in "RSK", f"login was answered by {message}"
            if message.kind == "S":
                self.parameters[message.body.name] = message.body.value
            elif message.kind == "K":
                self.pid, self.key = parse_backend_key_data(message.raw[5:])
            message = await self.receive()

    async def cancel(self, key: bytes | None = None) -> "RawClient":
        """Ask on another connection, which is returned, for this one's request to be cancelled."""
        messenger = await self.dial()
        messenger.send(build.cancel_request(self.pid, self.key if key is None else key))
        return messenger

    async def fails(self, sqlstate: str, text: str = "") -> Message:
        """The next message is this error; `text` is part of what it says."""
        message = await self.receive()
        assert message.kind == "E", f"expected error {sqlstate}, got {message}"
        assert (message.sqlstate, text in message.text) == (sqlstate, True), str(message)
        return message
