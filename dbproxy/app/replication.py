"""A connection of our own on which news come: commands that are answered, then what its follower is told of."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic, time
from typing import Protocol

import structlog

from dbproxy.errors import ProxyError, ServerLost
from dbproxy.net.link import Link
from dbproxy.net.secure import Secure
from dbproxy.net.transport import Transport
from dbproxy.pool.backend import Backend
from dbproxy.pool.login import refusal
from dbproxy.wire import build
from dbproxy.wire.framer import stream_framer
from dbproxy.wire.reply import row_values
from dbproxy.wire.startup import parse_error_response

log = structlog.get_logger(__name__)


class Following(Protocol):
    """What becomes of the messages that come by themselves (cache.stream, cache.notification). `now`: monotonic."""

    flows: bool
    began_at: float

    def begin(self, now: float) -> None: ...
    def hear(self, kind: int, payload: bytes, now: float) -> bool: ...
    def is_silent(self, now: float) -> bool: ...
    def claim_status(self, now: float) -> bool: ...
    def spell_status(self, clock: float, *, reply_wanted: bool = False) -> bytes: ...
    def end(self, reason: str) -> None: ...


class Line(Link):
    """Its messages go to the backend's mailbox, and once there is a stream to whoever is `following` it.

    `over`: why it was closed.
    """

    def __init__(self) -> None:
        Link.__init__(self)
        self.backend = Backend()
        self.framer = stream_framer()
        self.following: Following | None = None
        self.over: asyncio.Future[ProxyError] = asyncio.get_running_loop().create_future()

    # --- what the transport calls ---

    def connection_made(self, transport: asyncio.Transport | Transport | Secure) -> None:
        self.attach(transport)

    def data_received(self, data: bytes) -> None:
        now = monotonic()
        try:
            for mark in self.framer.feed(data):
                at, chunk = mark >> 8, self.framer.chunk
                length = int.from_bytes(chunk[at + 1 : at + 5], "big")
                self.take(mark & 255, chunk[at + 5 : at + 1 + length], now)
        except ProxyError as error:
            self.end(error)
        except Exception:
            log.exception("internal error", during="replication")
            self.close("an internal error")

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.close("the server closed the connection")

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    # --- commands ---

    async def ask(self, command: str) -> list[list[bytes]]:
        """The rows that answer it. ServerRefused, or ServerLost: then the line is of no use any more."""
        self.backend.mailbox = asyncio.Queue()
        self.write(build.query(command))
        rows: list[list[bytes]] = []
        while (message := await self.read())[0] != ord("Z"):
            if message[0] == ord("D"):
                rows.append(row_values(message[1]))
        return rows

    async def read(self) -> tuple[int, bytes]:
        """What comes next; an error of the server is raised, be it the last that it said."""
        mailbox = self.backend.mailbox
        message = (
            await mailbox.get() if mailbox is not None and not (self.closed and mailbox.empty()) else None
        )
        if message is not None and message[0] == ord("E"):
            raise refusal(parse_error_response(message[1]))
        if message is None or self.closed:
            raise await self.over
        return message

    # --- the stream ---

    async def start(self, command: str, following: Following) -> None:
        """From the answer on, whoever follows is told of what comes, and of the end."""
        self.backend.mailbox = asyncio.Queue()
        self.write(build.query(command))
        while (await self.read())[0] != ord("W"):
            pass
        self.pass_on(following)

    def pass_on(self, following: Following) -> None:
        """The same, from what has come and was not read."""
        mailbox, self.backend.mailbox, self.following = self.backend.mailbox, None, following
        now = monotonic()
        following.begin(now)
        while mailbox is not None and not mailbox.empty() and (message := mailbox.get_nowait()) is not None:
            self.take(*message, now)

    def take(self, kind: int, payload: bytes, now: float) -> None:
        if self.closed:
            return
        if self.following is not None:
            if self.following.hear(kind, payload, now):
                self.tell_status(self.following)
        elif self.backend.mailbox is not None:
            self.backend.mailbox.put_nowait((kind, payload))

    def tell_status(self, following: Following, *, reply_wanted: bool = False) -> None:
        self.write(following.spell_status(time(), reply_wanted=reply_wanted))

    def close(self, reason: str) -> None:
        self.end(ServerLost(reason))

    def end(self, error: ProxyError) -> None:
        """The one exit: who follows is told at once."""
        if self.closed:
            return
        self.closed = True
        if self.backend.mailbox is not None:
            self.backend.mailbox.put_nowait(None)
        if self.transport is not None:
            self.transport.close()
        if self.following is not None:
            self.following.end(error.message)
        if not self.over.done():
            self.over.set_result(error)


class Source(Protocol):
    """By which way the server tells of writes (app.decoding, app.notifications).

    `startup`: what its connection asks for, beside `app.stream.STARTUP`. `published`: the tables of which it tells,
    since it has begun; `question` asks which these are now, and `renew` takes the answer. `system`: the cluster's
    identifier and timeline, if it is told these.
    """

    startup: Mapping[str, str]
    question: str
    published: frozenset[int]
    system: tuple[str, int]

    async def begin(self, line: Line) -> Following: ...
    def renew(self, rows: Sequence[Sequence[bytes]]) -> str: ...
    def find_followed(self, parents: frozenset[int]) -> frozenset[int]: ...
