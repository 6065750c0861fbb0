"""That no call is cancelled, and none waits too long; the rest is tested with a real one."""

import asyncio
import gc
import time

import pytest

from dbproxy.net.redis import finish
from tests.support.sharing import until


async def test_call_that_takes_too_long_goes_on_by_itself():
    over = asyncio.Event()
    ended: list[str] = []

    async def work() -> None:
        try:
            await over.wait()
            ended.append("by itself")
        except asyncio.CancelledError:
            ended.append("cancelled")

    with pytest.raises(TimeoutError, match="no answer within 1 ms"):
        await finish(work(), 0.001)
    assert ended == []
    over.set()
    await until(lambda: ended)
    assert ended == ["by itself"]


async def test_answer_that_came_while_this_process_did_not_look_is_in_time():
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        return await answer

    def stand_still() -> None:
        time.sleep(0.05)
        asyncio.get_running_loop().call_later(0.001, answer.set_result, 7)

    asyncio.get_running_loop().call_soon(stand_still)
    assert await finish(work(), 0.01) == 7


async def test_what_it_failed_with_is_told():
    async def work() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        await finish(work(), 1.0)


async def test_call_that_nobody_waits_for_any_more_is_not_collected_as_garbage():
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()  # which nobody else holds
        finally:
            ended.append("over")

    with pytest.raises(TimeoutError):
        await finish(work(), 0.001)
    gc.collect()
    assert ended == []
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await until(lambda: ended)
