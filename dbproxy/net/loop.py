"""The event loop: asyncio's own, whose selector serves the data path while it waits.

asyncio sees its own descriptors, timers and calls alone: a query passes without a turn of it. On any other loop the
data path has an epoll of its own, which the loop watches as if it were one more socket: one more system call a turn.
"""

import asyncio
import os
import select
import selectors
import socket
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, TypeVarTuple
from weakref import WeakKeyDictionary

from dbproxy.net.names import is_numeric, names_of
from dbproxy.net.poller import READABLE, WRITABLE, Poller

Arguments = TypeVarTuple("Arguments")

_pollers: "WeakKeyDictionary[asyncio.AbstractEventLoop, Poller]" = WeakKeyDictionary()


class Selector(selectors.EpollSelector):
    """Returns when there is something for asyncio to do."""

    def __init__(self) -> None:
        super().__init__()
        self.poller = Poller(select.epoll.fromfd(os.dup(self.fileno())))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for fd, happened in self.poller.wait(-1.0 if timeout is None else max(0.0, timeout)):
            try:
                key = self.get_key(fd)
            except KeyError:  # gone meanwhile
                continue
            events = selectors.EVENT_READ if happened & ~WRITABLE else 0
            events |= selectors.EVENT_WRITE if happened & ~READABLE else 0
            if events & key.events:
                found.append((key, events & key.events))
        return found

    def close(self) -> None:
        super().close()
        self.poller.epoll.close()


class Loop(asyncio.SelectorEventLoop):
    """What is called on the data path's account interrupts the wait."""

    def __init__(self) -> None:
        selector = Selector()
        self.poller = selector.poller
        super().__init__(selector)

    def call_soon(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        self.poller.interrupt()
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self.poller.interrupt()
        return super().call_at(when, callback, *args, context=context)

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        """Of a server's name, as our own connections go by it: so that no slow resolver takes up the loop's threads."""
        if how.get("flags") or not (isinstance(host, str) and isinstance(port, int)) or is_numeric(host):
            return await super().getaddrinfo(host, port, **how)
        found = await names_of(self).find(host, port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", endpoint) for family, endpoint in found]


def poller_of(loop: asyncio.AbstractEventLoop) -> Poller:
    """What serves the data path on this loop."""
    if isinstance(loop, Loop):
        return loop.poller
    poller = _pollers.get(loop)
    if poller is None:
        poller = _pollers[loop] = Poller(select.epoll())
        poller.wake = partial(loop.call_soon, poller.tell_ended)
        loop.add_reader(poller.fd, poller.turn)
    return poller
