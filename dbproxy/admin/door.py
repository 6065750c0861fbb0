"""Who comes in by HTTP: so many connections, each of which has to ask for something soon.

Where there are too many, who has said nothing for longest goes first, so that probes come in all the same.

What is kept open costs file descriptors, which clients of PostgreSQL need, too. What is no HTTP is not logged: anybody
may send it.
"""

import asyncio
import logging
from collections.abc import Callable
from traceback import walk_tb

from aiohttp import web

PACKAGE = "dbproxy."
MOST = 200  # connections
PATIENCE = 10.0  # seconds until the first request is there
KEPT = 75.0  # seconds that a connection is kept for the next one


class Stranger(asyncio.Protocol):
    """One too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class Guest(asyncio.Protocol):
    """One whose requests aiohttp answers; `left` is called when the connection has ended."""

    def __init__(self, handler: web.RequestHandler, left: Callable[[web.RequestHandler], None]) -> None:
        self.handler = handler
        self.left = left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> None:
        self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self.left(self.handler)
        self.handler.connection_lost(error)


class Door:
    """Makes the protocols of new connections; `heard` is told of each request, and of each end."""

    def __init__(self, server: web.Server) -> None:
        self.server = server
        self.silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> asyncio.BaseProtocol:
        if len(self.server.connections) >= MOST:
            if not self.silent:
                return Stranger()
            self.turn_out(next(iter(self.silent)))
        handler = self.server()
        self.silent[handler] = asyncio.get_running_loop().call_later(PATIENCE, self.turn_out, handler)
        return Guest(handler, self.heard)

    def heard(self, handler: web.RequestHandler) -> None:
        timer = self.silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def turn_out(self, handler: web.RequestHandler) -> None:
        self.heard(handler)
        if handler.transport is not None:
            handler.transport.abort()


def is_ours(record: logging.LogRecord) -> bool:
    """Whether an error that aiohttp logs has come of what we do, and not of what a client has said."""
    if record.exc_info is None:
        return True
    if isinstance(record.exc_info[1], web.RequestPayloadError):
        return False
    frames = walk_tb(record.exc_info[2])
    return any(frame.f_globals.get("__name__", "").startswith(PACKAGE) for frame, _ in frames)


logger = logging.getLogger(__name__)
logger.addFilter(is_ours)
