"""Logins that come together share a question; each gets an answer that is not older than itself."""

import asyncio
from typing import Any

import pytest

from dbproxy.app.defaults import NEUTRAL, STARTUP, Watch
from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.pool.defaults import Defaults, Place, Snapshot

PLACE = ("db.internal", 5432, "shop")


class APool:
    paused = False

    def __init__(self) -> None:
        self.defaults = Defaults(snapshot=Snapshot({}))

    def is_shut(self, now: float) -> bool:
        return False


def a_pool() -> Any:
    return APool()


class Asked(Watch):
    """Answers when it is told to."""

    def __init__(self) -> None:
        Watch.__init__(self, lambda pool, startup: None, self.open, asyncio.ensure_future)  # type: ignore[arg-type, return-value]
        self.questions: list[asyncio.Future[str]] = []
        self.renewed = 0

    def open(self, pool: Any) -> asyncio.Task[Any]:
        self.renewed += 1
        return asyncio.ensure_future(asyncio.sleep(0))

    async def ask(self, pool: Any, place: Place) -> str:
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_it_is_asked_waits_for_the_next_answer():
    watch, pool = Asked(), a_pool()
    first = asyncio.ensure_future(watch.follow(pool, PLACE))
    await turn()
    others = [asyncio.ensure_future(watch.follow(pool, PLACE)) for _ in range(5)]
    await turn()
    assert len(watch.questions) == 1
    watch.questions[0].set_result("one")
    await turn()
    assert (first.done(), any(other.done() for other in others), len(watch.questions)) == (True, False, 2)
    watch.questions[1].set_result("one")
    await asyncio.gather(*others)
    assert (watch.renewed, pool.defaults.fingerprint) == (1, "one")
    assert not watch.running
    assert not watch.coming


async def test_another_answer_has_a_connection_opened():
    watch, pool = Asked(), a_pool()
    for answer in ("one", "one", "two"):
        login = asyncio.ensure_future(watch.follow(pool, PLACE))
        await turn()
        watch.questions[-1].set_result(answer)
        await login
    assert watch.renewed == 2


@pytest.mark.parametrize(
    ("error", "startup", "retried"),
    [
        (ServerRefused("no such database", sqlstate="3D000"), STARTUP, True),
        (ProxyError("lost"), NEUTRAL, False),
    ],
)
async def test_who_cannot_be_told_is_let_in_all_the_same(error: ProxyError, startup: object, retried: bool):
    watch, pool = Asked(), a_pool()
    login = asyncio.ensure_future(watch.follow(pool, PLACE))
    await turn()
    watch.questions[0].set_exception(error)
    await login
    assert (watch.startup, watch.renewed) == (startup, 0)
    again = asyncio.ensure_future(watch.follow(pool, PLACE))
    await turn()
    assert (len(watch.questions) == 2) is retried
    again.cancel()
