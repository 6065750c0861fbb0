"""Connections to where a copy reads, one for each that writes, and which ends with that.

So whoever waits for an answer of the one is let go where the other is closed, as it is when an answer takes too long.
"""

import asyncio

from dbproxy.jobs.batch.session import UNHURRIED, Timeouts, prepare
from dbproxy.jobs.primary import Connection, Primary

LOCK = 1.0  # seconds
TIMEOUT = 10.0  # seconds


class Origins:
    def __init__(self, primary: Primary) -> None:
        self.primary = primary
        self.pairs: dict[Connection, Connection] = {}

    async def get(self, writes: Connection) -> Connection:
        """That of the one which writes. ServerUnavailable if there is none to be had."""
        found = self.pairs.get(writes)
        if found is None or found.is_closed():
            found = self.pairs[writes] = await self._connect()
            writes.add_termination_listener(self._let_go)
        if writes.is_closed():
            self._let_go(writes)
        return found

    def close(self) -> None:
        for connection in self.pairs.values():
            connection.terminate()
        self.pairs.clear()

    def _let_go(self, writes: Connection) -> None:
        if (found := self.pairs.pop(writes, None)) is not None:
            found.terminate()

    async def _connect(self) -> Connection:
        connection = await self.primary.connect("dbproxy batch copy")
        try:
            async with asyncio.timeout(TIMEOUT):
                await prepare(connection, Timeouts(UNHURRIED, LOCK))
        except BaseException:
            connection.terminate()
            raise
        return connection
