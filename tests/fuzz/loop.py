"""The proxy's own event loop, where a connection leads to whom the world has, and a thread's work is done at once."""

import asyncio
import os
import select
import socket
from collections.abc import Callable
from typing import Any

from dbproxy.net.loop import Loop
from tests.fuzz.line import Near


class WorldLoop(Loop):
    """`accept` is given the far end of each connection that is opened; OSError if nobody answers."""

    def __init__(self, accept: Callable[[socket.socket], None]) -> None:
        super().__init__()
        self.accept = accept
        self.ahead = 0.0  # seconds, of the clock
        self.news = select.poll()
        self.news.register(self.poller.fd, select.POLLIN)

    def time(self) -> float:
        return super().time() + self.ahead

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """The socket becomes half of a pair."""
        near, far = socket.socketpair()
        try:
            near.setblocking(False)
            os.dup2(near.fileno(), sock.fileno())
            sock.__class__ = Near
            self.accept(far)
        except OSError:
            far.close()
            raise
        finally:
            near.close()

    def run_in_executor(  # type: ignore[override]  # a future, as it says
        self, executor: object, func: Callable[..., Any], *arguments: Any
    ) -> "asyncio.Future[Any]":
        done = self.create_future()
        try:
            done.set_result(func(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done

    def is_busy(self) -> bool:
        """Whether there is something to do before time goes on."""
        ready = self._ready  # type: ignore[attr-defined]  # asyncio has no public way to ask
        return bool(ready or self.poller.ended or self.news.poll(0))
