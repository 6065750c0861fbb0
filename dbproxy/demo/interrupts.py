"""Ctrl-C at any moment: it raises in plain code, and cancels a coroutine.

In the middle of a coroutine's work an exception out of the blue would break things: compiled drivers do not
expect one there. Only the first signal counts: what it has begun is not to be disturbed by a second.
"""

import asyncio
import signal
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Self, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Inside, SIGTERM and a closed terminal do what Ctrl-C does: they raise KeyboardInterrupt, once."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            if number != signal.SIGHUP or self._before[number] is not signal.SIG_IGN:  # what nohup sets stays
                signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`; KeyboardInterrupt once the coroutine, cancelled by a signal, has ended."""
        try:
            return asyncio.run(self._run(coroutine))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._task = asyncio.current_task()
        try:
            return await coroutine
        finally:
            self._task = None

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        ignore_signals()
        if self._task is None:
            raise KeyboardInterrupt
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)  # threadsafe: it wakes the loop


def ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
