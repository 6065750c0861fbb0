"""One call at a time, what comes meanwhile together, and one try a second without an answer; no Redis."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from dbproxy.limits import courier
from dbproxy.limits.courier import Courier
from dbproxy.limits.errand import tell
from dbproxy.limits.fleet import Fleet
from dbproxy.net.redis import RedisError
from tests.support.sharing import until
from tests.unit.limits.test_reply import fleet as make_fleet
from tests.unit.limits.test_reply import lease, make


class FakeRedis:
    """Answers each call with a yes to all of it, or not at all."""

    def __init__(self) -> None:
        self.connection: object | None = None
        self.calls: list[Sequence[object]] = []
        self.there = True
        self.answers = asyncio.Event()
        self.answers.set()

    async def run(self, digest: str, script: str, words: Sequence[Any], patience: float) -> object:
        self.calls.append(words)
        await self.answers.wait()
        if not self.there:
            raise RedisError("ConnectionError: gone")
        self.connection = self
        at = 1 + words[0] + 6
        answer: list[object] = [words[1 + words[0]].encode(), 1, 1]
        while at < len(words):
            answer += [1] + [0, 0, 0] * words[at]
            at += 2 + 8 * words[at]
        return answer

    async def close(self) -> None:
        self.connection = None


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[Courier, FakeRedis, Fleet]:
    monkeypatch.setattr(courier, "RETRY", 0.01)
    monkeypatch.setattr(courier, "TRIAL", 0.001)
    fleet = Fleet(graceful=True)
    one = Courier("redis://127.0.0.1:1", "rl:", 1.0, fleet, list)
    redis: Any = FakeRedis()
    one.caller.redis = redis
    return one, redis, fleet


async def test_what_comes_while_redis_is_asked_goes_together(made: tuple[Courier, FakeRedis, Fleet]):
    one, redis, _ = made
    await one.start()
    redis.answers.clear()
    for _ in range(50):
        one.put(tell(lease(make(make_fleet())), more=1))
        await asyncio.sleep(0)
    before = len(redis.calls)
    redis.answers.set()
    await until(lambda: not one.errands)
    assert len(redis.calls) <= before + 2
    await one.stop([])


async def test_redis_that_is_back_has_to_answer_three_times(made: tuple[Courier, FakeRedis, Fleet]):
    one, redis, fleet = made
    redis.there = False
    with structlog.testing.capture_logs() as lines:
        await one.start()
        await until(lambda: len(redis.calls) > 3)
        assert fleet.degraded
        redis.there, before = True, len(redis.calls)
        await until(lambda: not fleet.degraded)
        assert len(redis.calls) >= before + 3
        await one.stop([])
    assert [line["event"] for line in lines] == [
        "limits are decided without Redis",
        "limits are shared by Redis",
    ]


async def test_call_that_is_under_way_is_waited_for_at_the_end(made: tuple[Courier, FakeRedis, Fleet]):
    one, redis, _ = made
    await one.start()
    redis.answers.clear()
    one.put(tell(lease(make(make_fleet())), more=1))
    await until(lambda: len(redis.calls) == 2)
    ending = asyncio.create_task(one.stop([]))
    await asyncio.sleep(0)
    assert not ending.done()
    redis.answers.set()
    await ending
    assert redis.calls[-1][1 + redis.calls[-1][0] + 2] == "-1"
