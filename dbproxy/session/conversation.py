"""A coroutine that is no task: whoever it waits for goes on with it at once, and in no turn of the loop of its own.

A login is one, as a task and the turns that it takes cost as much as all that a login does. It may await futures, tasks
among them; what asks for the task that it is in (asyncio.timeout) needs one of its own.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Pause:
    """To be awaited: until somebody calls the conversation's `go_on`."""

    def __await__(self) -> Generator[None, None, None]:
        yield None


PAUSE = Pause()


class Conversation:
    """`work` raises nothing but CancelledError."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self.work = work
        self.awaited: asyncio.Future[Any] | None = None
        self.over = False

    def go_on(self) -> None:
        """As far as it comes without waiting; also its beginning."""
        self.step(None)

    def cancel(self) -> None:
        """As that of a task. Nothing from within: it ends by itself."""
        if self.over or self.work.cr_running or (self.awaited is not None and self.awaited.cancel()):  # type: ignore[attr-defined]  # of what `async def` makes
            return
        self.step(asyncio.CancelledError())

    def step(self, error: BaseException | None) -> None:
        if self.over:
            return
        self.awaited = None
        try:
            awaited = self.work.send(None) if error is None else self.work.throw(error)
        except (StopIteration, asyncio.CancelledError):
            self.over = True
            return
        if awaited is not None:
            awaited._asyncio_future_blocking = False  # as a task does: it has been taken notice of
            self.awaited = awaited
            awaited.add_done_callback(self.arrived)

    def arrived(self, awaited: "asyncio.Future[Any]") -> None:
        if awaited is self.awaited:
            self.step(None)
