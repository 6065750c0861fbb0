"""When a chunk may go: asked before each of them, by all workers of a job."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from dbproxy.config.batch import BatchSettings

Tell = Callable[[str, str], Awaitable[None]]


class Throttle(Protocol):
    """One for each job, shared by its workers."""

    async def check(self) -> None:
        """JobRefused if something that it is to heed can never be told."""

    async def wait(self, tell: Tell) -> None:
        """Return once a chunk may go.

        `tell` hears what it waits for, by a word that is counted ("lag") and a sentence, each time that changes, and
        `("", "")` when it goes on. JobFailed if the job has to stop instead.
        """

    def worked(self, seconds: float, rows: int) -> None:
        """A chunk is done, and has taken so long."""

    def goal(self, chunk_time: float) -> float:
        """How long the next chunk should take, in seconds: that at most."""

    def adjust(self, settings: BatchSettings) -> None:
        """These hold from now on."""

    async def close(self) -> None:
        """The job is over, or will be resumed."""


class Unthrottled:
    """Nothing is waited for."""

    async def check(self) -> None:
        return

    async def wait(self, tell: Tell) -> None:
        return

    def worked(self, seconds: float, rows: int) -> None:
        return

    def goal(self, chunk_time: float) -> float:
        return chunk_time

    def adjust(self, settings: BatchSettings) -> None:
        return

    async def close(self) -> None:
        return
