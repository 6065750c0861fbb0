"""Everybody's writes by notifications, which triggers send (cache.triggers, cache.notification)."""

import asyncio
from collections.abc import Mapping, Sequence

from dbproxy.app.replication import Line
from dbproxy.cache.notification import LISTEN, Listener, Notifications
from dbproxy.cache.triggers import TRIGGERED, read_triggered
from dbproxy.errors import ServerUnavailable

PATIENCE = 10  # seconds until it must listen
PROCESS = "SELECT pg_catalog.pg_backend_pid()"


class Notified:
    """An app.stream.Source; any user will do."""

    startup: Mapping[str, str] = {}
    question = TRIGGERED
    system = ("", 0)

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.published: frozenset[int] = frozenset()

    async def begin(self, line: Line) -> Notifications:
        """Listen. What was committed before is seen by whoever reads from then on."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.listen(line)
        except TimeoutError:
            raise ServerUnavailable(f"LISTEN was not answered within {PATIENCE} s") from None

    async def listen(self, line: Line) -> Notifications:
        if await line.ask(PROCESS) != [[str(line.backend.pid).encode()]]:
            raise ServerUnavailable(
                "a pooler is between, by which notifications do not come",
                hint="primary.url has to lead to PostgreSQL itself.",
            )
        await line.ask(LISTEN)
        self.renew(await line.ask(TRIGGERED))
        notifications = Notifications(self.listener)
        line.pass_on(notifications)
        return notifications

    def renew(self, rows: Sequence[Sequence[bytes]]) -> str:
        """It goes on: a trigger that is seen tells of all that is committed from then on."""
        self.published = read_triggered(rows)
        return ""

    def find_followed(self, _: frozenset[int]) -> frozenset[int]:
        """A statement that names a table is told by that table's trigger, be it only its partitions."""
        return self.published
