"""The calls that Redis is asked: for what others may have kept, to keep something, to forget all."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

from dbproxy.cache.parcel import PACKED_ABOVE, Parcel, pack
from dbproxy.cache.script import FIND, FLUSH, GENERATION, KEEP, Answer, Keys
from dbproxy.net.caller import Mismatch

Words = Sequence[bytes | str | int]


def draw_generation() -> str:
    return secrets.token_hex(GENERATION // 2)


class Lookup:
    """What one key holds, for all that wait for it, but no longer than `patience` (seconds).

    `take` is told once what was found, and for how many milliseconds more it may be kept; b"" for nothing.
    """

    def __init__(self, key: bytes, take: Callable[[bytes, int], None], patience: float) -> None:
        loop = asyncio.get_running_loop()
        self.key = key
        self.take = take
        self.done: asyncio.Future[None] = loop.create_future()
        self.alarm = loop.call_later(patience, self.give_up)

    def settle(self, data: bytes, left: int) -> None:
        if not self.done.done():
            self.alarm.cancel()
            self.take(data, left)
            self.done.set_result(None)

    def give_up(self) -> None:
        self.settle(b"", 0)


class Find:
    """`learn` is told which generation there is, and says whether what was found in it counts."""

    script = FIND

    def __init__(self, keys: Keys, lookups: Sequence[Lookup], learn: Callable[[str], bool]) -> None:
        self.keys = keys
        self.lookups = lookups
        self.learn = learn
        self.items = 2 * len(lookups)

    async def prepare(self) -> None:
        """Nothing to do."""

    def spell(self, token: str) -> Words:
        keys = [lookup.key for lookup in self.lookups]
        return [1 + len(keys), self.keys.generation, *keys, token, draw_generation()]

    def settle(self, answer: Answer) -> None:
        counts, head = self.learn(answer.generation), answer.generation.encode()
        for number, lookup in enumerate(self.lookups):
            data, left = answer.rest[2 * number : 2 * number + 2]
            if not isinstance(data, bytes) or not isinstance(left, int):
                raise Mismatch
            if counts and left > 0 and data.startswith(head):
                lookup.settle(data[GENERATION:], left)
            else:
                lookup.give_up()

    def give_up(self) -> None:
        for lookup in self.lookups:
            lookup.give_up()


class Keep:
    """`generation`: which there was when the answer was asked for. `ttl`, `window`: milliseconds."""

    script, items = KEEP, 1

    def __init__(
        self, keys: Keys, name: bytes, key: bytes, generation: str, parcel: Parcel, ttl: int, window: int, limit: int,
        kept: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self.keys = keys
        self.name = name
        self.key = key
        self.generation = generation
        self.parcel = parcel
        self.ttl = ttl
        self.window = window
        self.limit = limit
        self.kept = kept
        self.data = b""
        self.size = len(key) + parcel.value.size()

    async def prepare(self) -> None:
        if self.size > PACKED_ABOVE:
            self.data = await asyncio.to_thread(pack, self.name, self.key, self.parcel)
        else:
            self.data = pack(self.name, self.key, self.parcel)

    def spell(self, token: str) -> Words:
        keys = self.keys.generation, self.keys.spent(self.window), self.keys.name(self.name, self.key)
        return [
            3,
            *keys,
            token,
            draw_generation(),
            self.generation,
            self.ttl,
            self.window,
            self.limit,
            self.data,
        ]

    def settle(self, answer: Answer) -> None:
        outcome = answer.rest[0]
        if not isinstance(outcome, bytes):
            raise Mismatch
        self.kept(outcome.decode("latin-1"), answer.generation)

    def give_up(self) -> None:
        self.kept("failed", "")


class Flush:
    """`flushed` is told the new generation, "" if there is none."""

    script, items = FLUSH, 0

    def __init__(self, keys: Keys, flushed: Callable[[str], None]) -> None:
        self.keys = keys
        self.flushed = flushed

    async def prepare(self) -> None:
        """Nothing to do."""

    def spell(self, token: str) -> Words:
        return [1, self.keys.generation, token, draw_generation()]

    def settle(self, answer: Answer) -> None:
        self.flushed(answer.generation)

    def give_up(self) -> None:
        self.flushed("")
