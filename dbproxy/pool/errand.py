"""Borrowing a server for something of our own, in the slow lane: as a client does, in its turn."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic

from dbproxy.errors import FeatureNotSupported, ProtocolViolation, ProxyError, ServerRefused
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.login import refusal
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.routines import QUERY, judge_routines
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.extended import length_at
from dbproxy.wire.framer import server_framer
from dbproxy.wire.reply import row_values
from dbproxy.wire.startup import parse_error_response

GENERIC_SINCE = 16  # PostgreSQL's version that has EXPLAIN (GENERIC_PLAN)


class Errand(Borrower):
    """A `Borrower` that waits with a future."""

    impatient = True  # somebody's login waits: told at once when no server can be reached
    ours = True

    def __init__(self, pool: Pool) -> None:
        Borrower.__init__(self)
        self.pool = pool
        self.server: Server | None = None
        self.arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.framer = server_framer()
        self.framer.look_at_rows()
        self.rows: list[list[bytes]] = []
        self.error: ServerRefused | None = None

    async def judge(self, settings: Parameters) -> None:
        """Fill `settings.reported` with what a server reports under them; ServerRefused if it rejects them."""
        async with self.loan() as server:
            if not self.pool.tenant.knows_routines():
                await self.read_routines(server)
            if settings.values:
                await self.ask(server, settings.difference(server.dialogue.settings))
                server.dialogue.settings = settings
                welcome = self.pool.welcome
                settings.reported = {
                    name: value
                    for name, value in server.backend.parameters.items()
                    if welcome.get(name) != value
                }

    async def refresh_routines(self) -> None:
        """Read again what the database's functions do."""
        async with self.loan() as server:
            await self.read_routines(server)

    async def run(self, sql: str) -> list[list[bytes]]:
        """The rows of this Query; ServerRefused if it fails."""
        async with self.loan() as server:
            return await self.ask(server, sql)

    async def explain(
        self, ahead: str, sql: str, settings: Parameters, *, generic: bool
    ) -> list[list[bytes]]:
        """The plan of one query that a client has sent, under its settings; ProxyError if there is none.

        `ahead`: what goes ahead in the same Query; `generic`: the query has parameters, which PostgreSQL 16 can plan.
        """
        async with self.loan() as server:
            if generic and version(server.backend.parameters) < GENERIC_SINCE:
                raise FeatureNotSupported(
                    f"PostgreSQL {GENERIC_SINCE} or newer plans parameters without values"
                )
            difference = settings.difference(server.dialogue.settings)
            if difference:
                await self.ask(server, difference)
                server.dialogue.settings = settings
            options = "GENERIC_PLAN, FORMAT JSON" if generic else "FORMAT JSON"
            return await self.ask(server, f"{ahead}EXPLAIN ({options}) {sql}")

    async def read_routines(self, server: Server) -> None:
        rows = await self.ask(server, QUERY)
        try:
            sources = [(_unhex(name), _unhex(source)) for name, source in rows]
        except ValueError:
            raise ProtocolViolation("the server's answer to what its functions do makes no sense") from None
        self.pool.tenant.routines.renew(await asyncio.to_thread(judge_routines, sources), monotonic())

    async def ask(self, server: Server, sql: str) -> list[list[bytes]]:
        """Run one Query; its rows. ServerRefused if it fails."""
        self.answer = asyncio.get_running_loop().create_future()
        self.rows = []
        server.dialogue.pipeline.expect(ord("Q"))  # with no request: it is no client's, and not counted
        server.dialogue.statements.unnamed = None
        server.write(build.query(sql))
        await self.answer
        server.dialogue.traces.effects = 0  # what it did to the session, it knows
        if self.error is not None:
            raise self.error
        return self.rows

    @asynccontextmanager
    async def loan(self) -> AsyncIterator[Server]:
        """A server for as long as it takes; one with a reply due is not lent again."""
        try:
            yield await self.borrow()
        finally:
            self.pool.leave(self)
            server, self.server = self.server, None
            if server is not None:
                server.trail.last = None  # an errand notifies nobody
            if server is not None and server.dialogue.pipeline.empty():
                server.release(monotonic())
            elif server is not None:
                server.abandon(half_sent=False)

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
            payload = self.framer.chunk[at + 5 : at + length_at(self.framer.chunk, at)]
            if mark & 255 == ord("E"):
                self.error = refusal(parse_error_response(payload))
            elif mark & 255 == ord("D"):
                self.rows.append(row_values(payload))

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


def version(parameters: Mapping[str, str]) -> int:
    """PostgreSQL's major version, as its ParameterStatus tells; 0 if it does not."""
    found = re.match(r"\d+", parameters.get("server_version", ""))
    return int(found[0]) if found is not None else 0


def _unhex(text: bytes) -> str:
    return bytes.fromhex(text.decode()).decode(errors="replace")
