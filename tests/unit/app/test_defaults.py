"""Logins that come together share a question; each gets an answer that is not older than itself."""

import asyncio
from typing import Any

import pytest

from dbproxy.app.defaults import NEUTRAL, STARTUP, Following, Watch
from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.pool.defaults import Defaults, Snapshot
from dbproxy.pool.quota import Quota, Share
from tests.unit.pool.fakes import FakePool

PLACE = ("db.internal", 5432, "shop")


class APool:
    paused = False
    user = "app"

    def __init__(self) -> None:
        self.defaults = Defaults(snapshot=Snapshot({}))
        self.share = Share()

    def is_shut(self, now: float) -> bool:
        return False


def a_pool() -> Any:
    return APool()


class Asked(Watch):
    """Answers when it is told to."""

    def __init__(self) -> None:
        Watch.__init__(self, lambda pool, startup: None, self.open)  # type: ignore[arg-type, return-value]
        self.questions: list[asyncio.Future[bytes]] = []
        self.renewed = 0

    def open(self, pool: Any) -> asyncio.Task[Any]:
        self.renewed += 1
        return asyncio.ensure_future(asyncio.sleep(0))

    def ask(self, pool: Any, following: Following) -> None:
        self.questions.append(asyncio.get_running_loop().create_future())
        self.questions[-1].add_done_callback(
            lambda question: self.answered(pool, following, question.exception() or question.result())  # type: ignore[arg-type]
        )


def follow(watch: Watch, pool: Any) -> "asyncio.Future[None]":
    """Done when it has been followed."""
    done = asyncio.get_running_loop().create_future()
    if not watch.follow(pool, PLACE, lambda: done.set_result(None)):
        done.set_result(None)
    return done


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_it_is_asked_waits_for_the_next_answer():
    watch, pool = Asked(), a_pool()
    first = follow(watch, pool)
    await turn()
    others = [follow(watch, pool) for _ in range(5)]
    await turn()
    assert len(watch.questions) == 1
    watch.questions[0].set_result(b"one")
    await turn()
    assert (first.done(), any(other.done() for other in others), len(watch.questions)) == (True, False, 2)
    watch.questions[1].set_result(b"one")
    await asyncio.gather(*others)
    assert (watch.renewed, pool.defaults.fingerprint) == (1, b"one")
    assert not any(following.waiting or following.coming for following in watch.followings.values())


async def test_another_answer_has_a_connection_opened():
    watch, pool = Asked(), a_pool()
    for answer in (b"one", b"one", b"two"):
        login = follow(watch, pool)
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
    login = follow(watch, pool)
    await turn()
    watch.questions[0].set_exception(error)
    await login
    assert (watch.startup, watch.renewed) == (startup, 0)
    again = follow(watch, pool)
    await turn()
    assert (len(watch.questions) == 2) is retried
    if not again.done():
        watch.questions[1].set_result(b"one")
    await again


async def test_nobody_is_asked_while_a_limit_is_full_nor_is_a_connection_opened_for_it():
    watch, pool = Asked(), a_pool()
    quota = Quota("max_db_connections", "shop", 1)
    pool.share = Share([quota])
    login = follow(watch, pool)
    await turn()
    quota.used = 1  # meanwhile
    watch.questions[0].set_result(b"one")
    await login
    await follow(watch, pool)
    assert (len(watch.questions), watch.renewed, pool.defaults.fingerprint) == (1, 0, b"")
    quota.used = 0
    login = follow(watch, pool)
    await turn()
    watch.questions[1].set_result(b"one")
    await login
    assert (watch.renewed, pool.defaults.fingerprint) == (1, b"one")


async def test_who_is_not_answered_in_time_is_let_in_all_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dbproxy.app.defaults.PATIENCE", 0.01)
    fake = FakePool(size=1)
    watch, pool = Watch(lambda pool, startup: fake.pool, Asked.open), a_pool()  # type: ignore[arg-type]
    await follow(watch, pool)
    assert not fake.pool.waiting
    assert watch.retry_at > 0
    while watch.followings:  # noqa: ASYNC110 - forgotten by a timer
        await asyncio.sleep(0)
    assert watch.timer is None
