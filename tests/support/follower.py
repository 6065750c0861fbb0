"""Somebody who follows the writes of a database, and what it has heard.

As a process: `python -m tests.support.follower URL DATABASE USER`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dbproxy.app.decoding import Decoding
from dbproxy.app.notifications import Notified
from dbproxy.app.proxy import Proxy
from dbproxy.app.stream import Stream
from dbproxy.config import load
from dbproxy.net.loop import Loop


class Heard:
    """A `cache.stream.Follower`. `told`: what it was told, in order; commits as the tables of each."""

    def __init__(self) -> None:
        self.position = 0
        self.told: list[tuple[str, object]] = []
        self.commits: dict[int, tuple[int, frozenset[int] | None]] = {}  # by xid
        self.news = asyncio.Event()

    def began(self, lsn: int) -> None:
        self.note("began", lsn)

    def committed(self, xid: int, lsn: int, tables: frozenset[int] | None) -> None:
        self.commits[xid] = lsn, tables
        self.note("committed", tables)

    def notified(self, oid: int | None) -> None:
        self.note("notified", oid)

    def lost(self, reason: str) -> None:
        self.note("lost", reason)

    def note(self, what: str, detail: object) -> None:
        self.told.append((what, detail))
        self.news.set()

    def names(self) -> list[str]:
        return [what for what, _ in self.told]

    async def wait(self, happened: Callable[[], bool]) -> None:
        """Until it has; positions come without news."""
        async with asyncio.timeout(20):
            while not happened():
                self.news.clear()
                try:
                    await asyncio.wait_for(self.news.wait(), 0.05)
                except TimeoutError:
                    continue


@asynccontextmanager
async def following(
    url: str, database: str, user: str, *, notified: bool = False
) -> AsyncIterator[tuple[Stream, Heard]]:
    """Inside, what is written to the database of the URL is heard, from wherever the follower has begun."""
    heard = Heard()
    proxy = Proxy(load(None, {"DATABASE_URL": url}))
    stream = Stream(proxy.targets, database, user, Notified(heard) if notified else Decoding(heard))
    task = asyncio.get_running_loop().create_task(stream.run())
    try:
        yield stream, heard
    finally:
        task.cancel()
        await asyncio.wait({task})


async def main(url: str, database: str, user: str) -> None:
    async with following(url, database, user) as (_, heard):
        await heard.wait(lambda: "began" in heard.names())
        print("began", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main(*sys.argv[1:]))
