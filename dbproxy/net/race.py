"""Several ways to the same end: whichever gets there first is taken.

One begins after the other, as in RFC 8305 ("Happy Eyeballs"): when the one before has failed, or has had its head
start. So one that is dead costs that much at most, and one that works is not asked in vain.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class AllFailed(Exception):
    """`errors`: why, in the order in which they failed."""

    def __init__(self, errors: list[Exception]) -> None:
        Exception.__init__(self, errors)
        self.errors = errors


async def race(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    head_start: float,
    discard: Callable[[T], object],
    is_final: Callable[[Exception], bool] = lambda _: False,
) -> T:
    """What the first attempt that succeeds returns; the others are cancelled, and what they return is discarded.

    AllFailed if none does; an error that `is_final` ends the race, and is raised. `head_start`: seconds.
    """
    rest = list(attempts)
    running: set[asyncio.Task[T]] = set()
    errors: list[Exception] = []
    try:
        while rest or running:
            if rest:
                running.add(asyncio.create_task(rest.pop(0)()))
            done, _ = await asyncio.wait(
                running, timeout=head_start if rest else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    running.discard(task)
                    return task.result()
                running.discard(task)
                if not isinstance(error, Exception) or is_final(error):
                    raise error
                errors.append(error)
        raise AllFailed(errors)
    finally:
        await _end(running, discard)


async def _end(running: set["asyncio.Task[T]"], discard: Callable[[T], object]) -> None:
    for task in running:
        task.cancel()
        task.add_done_callback(lambda ended: _discard(ended, discard))
    if running:
        await asyncio.wait(running)


def _discard(task: "asyncio.Task[T]", discard: Callable[[T], object]) -> None:
    if not task.cancelled() and task.exception() is None:
        discard(task.result())
