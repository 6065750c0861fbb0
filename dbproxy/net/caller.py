"""Calls of scripts by one connection to Redis (net.redis): each told from the others by a token, timed and counted."""

import secrets
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from dbproxy.net.redis import Redis, RedisError, Words

BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)  # seconds
Found = TypeVar("Found")


class Mismatch(RedisError):
    """An answer that is none: to something else, or of somebody who came to it too late to do it."""

    def __init__(self, reason: str = "Redis has answered something else than was asked") -> None:
        super().__init__(reason)


@dataclass(slots=True)
class Calls:
    """Since start: how many were answered, how long they took, how many were not."""

    number: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    errors: int = 0

    def note(self, seconds: float) -> None:
        self.number += 1
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1


class Caller:
    """One call at a time. `timeout`: seconds, for each."""

    def __init__(self, url: str, timeout: float) -> None:
        self.redis = Redis(url)
        self.timeout = timeout
        self.name = secrets.token_hex(8)
        self.asked = 0  # calls, by which each is told from the others
        self.calls = Calls()

    async def call(
        self,
        digest: str,
        script: str,
        spell: Callable[[str], Words],
        read: Callable[[object, str], Found],
    ) -> Found:
        """What is `read` of the answer to what is `spell`ed with a token. RedisError if nothing: the line is closed."""
        self.asked += 1
        token, begun = f"{self.name}:{self.asked}", monotonic()
        try:
            found = read(await self.redis.run(digest, script, spell(token), self.timeout), token)
        except RedisError:
            self.calls.errors += 1
            await self.redis.close()
            raise
        self.calls.note(monotonic() - begun)
        return found
