"""A question with a parameter, on a server connection of our own (slow lane)."""

import asyncio
from time import monotonic

from dbproxy.pool.errand import Errand
from dbproxy.pool.request import new_request
from dbproxy.wire import build


class Lookup(Errand):
    """An `Errand` by the extended protocol: the parameter is no part of the text."""

    async def find(self, *texts: str, parameter: str) -> list[list[list[bytes]]]:
        """The rows of each; ServerRefused if one fails."""
        async with self.loan():
            return [await self.look_up(text, parameter) for text in texts]

    async def look_up(self, text: str, parameter: str) -> list[list[bytes]]:
        server = self.server
        assert server is not None, "it is lent"
        self.answer = asyncio.get_running_loop().create_future()
        self.rows = []
        for kind in b"PBE":
            server.dialogue.pipeline.expect(kind)
        server.dialogue.pipeline.expect(ord("S"), new_request(monotonic()))
        server.dialogue.statements.unnamed = None
        server.write(build.parse("", text) + build.bind([parameter]) + build.execute() + build.sync())
        await self.answer
        server.dialogue.traces.effects = 0  # it changes nothing of the session
        if self.error is not None:
            raise self.error
        return self.rows
