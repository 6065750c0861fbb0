"""What is paused, and who waits for the end of it without being in a pool: a login for replication."""

import asyncio

from dbproxy.errors import QueryWaitTimeout


class Pauses:
    """By database; `""` stands for all of them."""

    def __init__(self) -> None:
        self.databases: set[str] = set()
        self.ended = asyncio.Event()  # of some pause; another is made each time

    def __contains__(self, database: str) -> bool:
        return not self.databases.isdisjoint(("", database))

    def begin(self, database: str) -> None:
        self.databases.add(database)

    def end(self, database: str) -> None:
        """Of this one; what was paused by another stays so."""
        self.databases.discard(database)
        self.ended.set()
        self.ended = asyncio.Event()

    async def outlast(self, database: str, patience: float) -> None:
        """Return once the database is not paused. `patience`: query_wait_timeout, of which QueryWaitTimeout tells."""
        try:
            async with asyncio.timeout(patience or None):
                while database in self:
                    await self.ended.wait()
        except TimeoutError:
            raise QueryWaitTimeout(
                f"query_wait_timeout: the database is paused, and was not resumed within {patience:g} s"
            ) from None
