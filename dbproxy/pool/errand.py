"""Borrowing a server for something of our own, in the slow lane: as a client does, in its turn."""

import asyncio
from time import monotonic

from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.login import refusal
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.framer import server_framer
from dbproxy.wire.startup import parse_error_response


class Errand(Borrower):
    """A `Borrower` that waits with a future."""

    impatient = True  # somebody's login waits: told at once when no server can be reached

    def __init__(self, pool: Pool) -> None:
        Borrower.__init__(self)
        self.pool = pool
        self.server: Server | None = None
        self.arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.framer = server_framer()
        self.error: ServerRefused | None = None

    async def judge(self, settings: Parameters) -> None:
        """Fill `settings.reported` with what a server reports under them; ServerRefused if it rejects them."""
        server: Server | None = None
        try:
            server = await self.borrow()
            if settings.values:
                await self.apply(server, settings)
                welcome = self.pool.welcome
                settings.reported = {
                    name: value for name, value in server.parameters.items() if welcome.get(name) != value
                }
        finally:
            self.pool.leave(self)
            server, self.server = self.server, None
            if server is not None:
                server.borrower = None  # an errand notifies nobody
            if server is not None and server.pipeline.empty():
                server.release(monotonic())
            elif server is not None:
                server.abandon(half_sent=False)

    async def apply(self, server: Server, settings: Parameters) -> None:
        server.pipeline.expect(ord("Q"), (b"", -1, monotonic()))
        server.write(build.query(server.spell_difference(settings)))
        server.unnamed = None
        await self.answer
        if self.error is not None:
            raise self.error
        server.settings = settings
        server.tainted_by = None

    async def borrow(self) -> Server:
        now = monotonic()
        server = self.pool.checkout(self, now)
        if server is not None:
            self.serve(server, now)
        await self.arrival
        if self.server is None:
            await self.answer  # it was lost in the same turn of the loop: this raises why
        assert self.server is not None
        return self.server

    # --- Borrower ---

    def serve(self, server: Server, now: float) -> None:
        self.server = server
        if not self.arrival.done():
            self.arrival.set_result(None)

    def refuse(self, error: ProxyError) -> None:
        if not self.arrival.done():
            self.arrival.set_exception(error)

    def reply(self, data: bytes) -> None:
        for mark in self.framer.feed(data):
            at = mark >> 8
            if mark & 255 == ord("E"):
                length = int.from_bytes(self.framer.chunk[at + 1 : at + 5], "big")
                self.error = refusal(parse_error_response(self.framer.chunk[at + 5 : at + 1 + length]))

    def finished(self, status: int) -> bool:
        if not self.answer.done():
            self.answer.set_result(None)
        return False

    def server_lost(self, error: ProxyError, told: bool) -> None:
        self.server = None
        if not self.answer.done():
            self.answer.set_exception(error)

    def hold(self, reason: int) -> None:
        """An errand writes too little to be stopped."""

    def free(self, reason: int) -> None:
        """As above."""
