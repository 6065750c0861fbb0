"""A fake PostgreSQL whose part in a conversation is written in the test.

It lets everybody in by trust and then says only what the test says:

    backend = await server.accept()
    await backend.receives(query("SELECT 1"))
    backend.send(rows("1"), IDLE)
"""

import asyncio
import json
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from dbproxy.wire import build, messages
from dbproxy.wire.startup import CancelRequest, Opening, SSLRequest, StartupMessage, parse_startup
from tests.support.door import Door
from tests.support.peer import PATIENCE, Peer
from tests.support.speech import IDLE, parameter_status, rows

PARAMETERS = {
    "server_version": "18.1",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "TimeZone": "Etc/UTC",
    "in_hot_standby": "off",
    "default_transaction_read_only": "off",
}


class Backend(Peer):
    """One connection from the proxy."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int, startup: StartupMessage
    ) -> None:
        super().__init__(reader, writer, messages.FRONTEND_MESSAGE)
        self.pid = pid
        self.key = pid.to_bytes(4, "big")
        self.startup = startup

    async def answers(self, *stream: bytes, to: bytes) -> None:
        """Wait for a message, and answer it."""
        await self.receives(to)
        self.send(*stream)

    async def audited(self) -> str:
        """Wait for the proxy's question what a transaction has left behind (pool.audit); its text."""
        message = await self.receive()
        text = message.body.query if message.kind == "Q" else ""
        assert AUDIT in text, f"expected an audit, got {message}"
        return str(text)

    async def answers_audit(self, **found: object) -> None:
        """Wait for that question, and say that this was left behind and nothing else."""
        self.send(findings(await self.audited(), **found), IDLE)


AUDIT = "SELECT pg_catalog.encode(pg_catalog.convert_to((pg_catalog.json_build_object('named', "
NOTHING_LEFT = {
    "settings": None,
    "locks": False,
    "temp": False,
    "cursors": False,
    "prepared": None,
    "channels": None,
    "recalled": None,
}
NOBODY_ELSE = {"role": "none", "session_authorization": "app"}


def findings(question: str, **found: object) -> bytes:
    """The answer to an audit, up to ReadyForQuery: to what it asks for, `found` or nothing.

    `settings`: the session's own, by name; `locks`, `temp`, `cursors`: whether there are any; `prepared`: by name,
    whether PREPARE made the statement, and its text; `channels`: a list.
    """
    settings = {**NOBODY_ELSE, **(found.get("settings") or {})}  # type: ignore[dict-item]
    listed = {name: value for name, value in settings.items() if name not in NOBODY_ELSE and "." not in name}
    told = {**NOTHING_LEFT, **found, "settings": listed or None}
    answer = {name: value for name, value in told.items() if f"'{name}', " in question}
    names = re.findall(r"current_setting\('((?:[^']|'')*)', true\)", question)
    known = {name.lower(): value for name, value in settings.items()}
    answer["named"] = {name: known.get(name) for name in names}
    return rows(json.dumps(answer).encode().hex())


@dataclass
class Cancel:
    """A cancel request; PostgreSQL closes its connection when the signal has been sent: `finish`."""

    pid: int
    key: bytes
    writer: asyncio.StreamWriter

    def finish(self) -> None:
        self.writer.close()


Greeting = Callable[[Backend], Awaitable[None]]


async def let_in(backend: Backend) -> None:
    told = (parameter_status(name, value) for name, value in PARAMETERS.items())
    backend.send(build.authentication_ok(), *told, build.backend_key_data(backend.pid, backend.key), IDLE)


def refuse(*words: bytes) -> Greeting:
    """A greeting that says this and closes."""

    async def turn_away(backend: Backend) -> None:
        backend.send(*words)
        backend.writer.close()

    return turn_away


class ScriptedServer:
    """`async with ScriptedServer() as server`: listens on `port`, answers logins by `greeting`."""

    def __init__(self) -> None:
        self.port = 0
        self.greeting: Greeting = let_in
        self.context: ssl.SSLContext | None = None  # for those who ask for TLS
        self.logins = 0  # connections that began to log in
        self.backends: list[Backend] = []  # those who were greeted
        self._ready: asyncio.Queue[Backend] = asyncio.Queue()
        self._cancels: asyncio.Queue[Cancel] = asyncio.Queue()
        self._door = Door(self._serve)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._door.end()

    async def listen(self) -> None:
        """Listen, after `stop` on the same port again."""
        self._door.listen()
        self.port = self._door.port

    def stop(self) -> None:
        """Refuse connections; open ones stay."""
        self._door.stop()

    async def accept(self) -> Backend:
        """The next connection that was greeted."""
        async with asyncio.timeout(PATIENCE):
            return await self._ready.get()

    async def cancelled(self) -> Cancel:
        """The next cancel request."""
        async with asyncio.timeout(PATIENCE):
            return await self._cancels.get()

    @property
    def asked_to_cancel(self) -> bool:
        return not self._cancels.empty()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            opening = await _read_opening(reader)
            if isinstance(opening, SSLRequest):
                writer.write(b"N" if self.context is None else b"S")
                if self.context is not None:
                    await writer.start_tls(self.context)
                opening = await _read_opening(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        if isinstance(opening, CancelRequest):
            self._cancels.put_nowait(Cancel(opening.pid, opening.key, writer))
            return
        assert isinstance(opening, StartupMessage)
        self.logins += 1
        backend = Backend(reader, writer, self.logins, opening)
        await self.greeting(backend)
        if not writer.is_closing():
            self.backends.append(backend)
            self._ready.put_nowait(backend)


async def _read_opening(reader: asyncio.StreamReader) -> Opening:
    length = int.from_bytes(await reader.readexactly(4), "big")
    return parse_startup(await reader.readexactly(length - 4))
