"""The task that owns one connection to Redis: one call at a time, none ever cancelled (net.redis)."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from dbproxy.cache.breaker import Breaker
from dbproxy.cache.script import Answer, Script, read
from dbproxy.net.caller import Caller
from dbproxy.net.redis import RedisError


class Call(Protocol):
    """One thing that Redis is asked. `items`: how many there are in its answer behind the generation."""

    script: Script
    items: int

    async def prepare(self) -> None: ...
    def spell(self, token: str) -> Sequence[bytes | str | int]: ...
    def settle(self, answer: Answer) -> None: ...
    def give_up(self) -> None: ...


class Line:
    """From `start` to `stop`. `next`: what is to be asked; None: nothing. `failed` is told why Redis did not answer.

    `timeout`: seconds, for one call.
    """

    def __init__(
        self, url: str, timeout: float, find_next: Callable[[], Call | None], failed: Callable[[str], None]
    ) -> None:
        self.caller = Caller(url, timeout)
        self.find_next = find_next
        self.failed = failed
        self.breaker = Breaker()
        self.open = False  # the last call was answered
        self.wanted = asyncio.Event()
        self.stopping = False
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.run())

    async def stop(self) -> None:
        """Once the call that is under way is over."""
        self.stopping = True
        self.wanted.set()
        if self.task is not None:
            await asyncio.wait({self.task})
        await self.caller.redis.close()

    def is_ready(self, now: float) -> bool:
        """Whether an answer can be hoped for; if there is no connection yet, one is opened."""
        if not self.open and not self.breaker.is_open(now):
            self.wanted.set()
        return self.open

    async def run(self) -> None:
        while not self.stopping:
            await self.wanted.wait()
            self.wanted.clear()
            while not self.stopping and (call := self.find_next()) is not None:
                await self.carry(call)

    async def carry(self, call: Call) -> None:
        await call.prepare()

        def settle(found: object, token: str) -> None:
            call.settle(read(found, token, call.items))

        try:
            await self.caller.call(call.script.digest, call.script.text, call.spell, settle)
        except RedisError as error:
            self.open = False
            self.breaker.fail(monotonic())
            call.give_up()
            self.failed(str(error))
        else:
            self.open = True
            self.breaker.succeed()
