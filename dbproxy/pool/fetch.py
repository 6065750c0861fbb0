"""Having a server answer what nobody has asked for yet, so that it is kept (slow lane)."""

import asyncio
from time import monotonic

from dbproxy.cache.fill import Fill
from dbproxy.errors import ServerRefused
from dbproxy.pool.errand import Errand
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.request import new_request
from dbproxy.pool.server import Server


class Fetch(Errand):
    """An `Errand` whose answer a `Fill` hears."""

    async def fetch(self, kinds: bytes, messages: bytes, settings: Parameters, fill: Fill) -> None:
        """Ask as a session with these settings; the messages end with a Sync. ProxyError if no server can be had."""
        try:
            async with self.loan() as server:
                await self.give(server, settings)
                self.answer = asyncio.get_running_loop().create_future()
                for kind in kinds[:-1]:
                    server.dialogue.pipeline.expect(kind)
                server.dialogue.pipeline.expect(kinds[-1], new_request(monotonic()))
                server.dialogue.statements.unnamed = None
                server.loan.answered_at = monotonic()
                server.loan.fill = fill
                fill.begin(fresh=True)  # it is the primary
                server.write(messages)
                await self.answer
                server.dialogue.traces.effects = 0  # a read that is kept changes nothing of the session
        finally:
            fill.close()

    async def give(self, server: Server, settings: Parameters) -> None:
        """Have the server be one of a session with these settings, and with no others that a function has set."""
        if difference := server.take_settings(settings, clean=True):
            try:
                await self.ask(server, difference)
            except ServerRefused:
                server.condemn("settings of what was to be fetched could not be given to it")
                raise

    def reply(self, data: bytes) -> None:
        """The fill has heard it; what is heard of the settings is that they hold."""
        if self.server is not None and self.server.loan.fill is None:
            Errand.reply(self, data)
