"""Several ways to the same end: the first that gets there, and no longer a wait than for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dbproxy.net.race import AllFailed, race

SOON, NEVER = 0.01, 3600.0


class Track:
    """Attempts by name, which end when they are told to."""

    def __init__(self) -> None:
        self.ends: dict[str, asyncio.Future[str]] = {}
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.discarded: list[str] = []

    def attempt(self, name: str) -> Callable[[], Coroutine[Any, Any, str]]:
        async def run() -> str:
            self.begun.append(name)
            self.ends[name] = asyncio.get_running_loop().create_future()
            try:
                return await self.ends[name]
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise

        return run

    def start(self, *names: str, head_start: float = NEVER, **how: Any) -> "asyncio.Task[str]":
        attempts = [self.attempt(name) for name in names]
        return asyncio.create_task(race(attempts, head_start, self.discarded.append, **how))

    async def until(self, name: str) -> None:
        while name not in self.begun:  # noqa: ASYNC110  # a few turns of the loop
            await asyncio.sleep(0)


async def test_next_one_begins_when_the_one_before_has_failed():
    track = Track()
    running = track.start("a", "b")
    await track.until("a")
    track.ends["a"].set_exception(OSError("no"))
    await track.until("b")
    track.ends["b"].set_result("b")
    assert await running == "b"


async def test_one_that_is_slow_is_not_waited_for_alone_and_is_given_up_once_another_is_there():
    track = Track()
    running = track.start("slow", "quick", "never", head_start=SOON)
    await track.until("quick")
    track.ends["quick"].set_result("quick")
    assert await running == "quick"
    assert "slow" in track.cancelled


async def test_slow_one_may_still_win():
    track = Track()
    running = track.start("slow", "slower", head_start=SOON)
    await track.until("slower")
    track.ends["slow"].set_result("slow")
    assert await running == "slow"
    assert track.cancelled == ["slower"]


async def test_none_but_the_winner_is_left_over():
    track = Track()
    running = track.start("a", "b", head_start=SOON)
    await track.until("b")
    track.ends["a"].set_result("a")
    track.ends["b"].set_result("b")
    won = await running
    assert track.discarded == [({"a": "b", "b": "a"}[won])]


async def test_where_all_fail_every_reason_is_told():
    track = Track()
    running = track.start("a", "b")
    for name in "ab":
        await track.until(name)
        track.ends[name].set_exception(OSError(name))
    with pytest.raises(AllFailed) as raised:
        await running
    assert [str(error) for error in raised.value.errors] == ["a", "b"]


async def test_final_error_ends_it():
    track = Track()
    running = track.start("a", "b", is_final=lambda error: isinstance(error, PermissionError))
    await track.until("a")
    track.ends["a"].set_exception(PermissionError("out"))
    with pytest.raises(PermissionError, match="out"):
        await running
    assert track.begun == ["a"]


async def test_whoever_gives_up_leaves_nothing_running():
    track = Track()
    running = track.start("a", "b", head_start=SOON)
    await track.until("b")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(track.cancelled) == ["a", "b"]
