"""Which sockets of the data path are ready: asked of epoll once for all of them, each then served by one C call.

A loop's own transport or reader costs a handle, a context, a Python call and Python's lock for every read.
"""

# mypy: disable-error-code="name-defined, no-any-return"
# ruff: noqa: F821  # both: the C functions' names exist in the compiled module alone

import select
from collections.abc import Callable

from dbproxy.net.direct import monotonic

COMPILED = not __file__.endswith(".py")
READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT


class Watcher:
    """Who is called when its socket is ready."""

    def ready(self, events: int) -> None:
        """READABLE or WRITABLE; other bits: the connection has ended. Raises nothing."""
        raise NotImplementedError

    def end(self) -> None:
        """The connection is over. Raises nothing."""
        raise NotImplementedError


class Entrance(Watcher):
    """Where connections come in; `accept` raises nothing."""

    def __init__(self, accept: Callable[[], None]) -> None:
        self.accept = accept

    def ready(self, events: int) -> None:
        self.accept()


class Poller:
    """Watchers by their descriptors in an epoll, which may have others' descriptors, too."""

    def __init__(self, epoll: select.epoll) -> None:
        self.epoll = epoll
        self.fd = epoll.fileno()
        self.watchers: list[Watcher | None] = []  # by descriptor
        self.interrupted = False
        self.ended: list[Watcher] = []  # whose connections are over, and who are still to be told
        self.wake: Callable[[], object] | None = (
            None  # where `wait` is not what the loop waits by: has them told
        )

    def watch(self, fd: int, watcher: Watcher, events: int, before: int) -> None:
        """From now on the watcher is called for `events`; until now it was for those `before`; 0: not at all."""
        if fd >= len(self.watchers):
            self.watchers.extend([None] * (fd + 1 - len(self.watchers)))
        self.watchers[fd] = watcher if events else None
        if not events:
            self.epoll.unregister(fd)
        elif before:
            self.epoll.modify(fd, events)
        else:
            self.epoll.register(fd, events)

    def forget(self, fd: int, watcher: Watcher) -> None:
        """It is about to be closed: the watcher is not called for it any more."""
        if fd < len(self.watchers) and self.watchers[fd] is watcher:
            self.watchers[fd] = None

    def ignore(self, fd: int) -> None:
        """Nobody is called for it any more; also where nobody was."""
        watcher = self.watchers[fd] if fd < len(self.watchers) else None
        if watcher is not None:
            self.watch(fd, watcher, 0, READABLE)

    def bury(self, watcher: Watcher) -> None:
        """Its connection is over: it is told in a while, not amid what it does now."""
        if not self.ended and self.wake is not None:
            self.wake()
        self.ended.append(watcher)

    def tell_ended(self) -> None:
        """And those whose connections end with theirs."""
        while self.ended:
            ended, self.ended = self.ended, []
            for watcher in ended:
                watcher.end()

    def interrupt(self) -> None:
        """There is something else to do: `wait` returns once those who are ready now have been served."""
        self.interrupted = True

    def turn(self) -> None:
        """Serve those who are ready now."""
        self.wait(0.0)

    def wait(self, timeout: float) -> list[tuple[int, int]]:
        """Serve watchers for so many seconds, negative: for ever, or until there is something else to do.

        Others' descriptors that are ready, and what for.
        """
        others: list[tuple[int, int]] = []
        self.interrupted = False
        left = timeout
        end = monotonic() + timeout if timeout > 0 else 0.0
        while True:
            if self.ended:
                self.tell_ended()
            if not self.serve(0.0 if self.interrupted else left, others) or others or self.interrupted:
                return others
            if timeout >= 0:
                left = end - monotonic()
                if left <= 0:
                    return others

    def serve(self, patience: float, others: list[tuple[int, int]]) -> bool:
        """Wait so long for events, and serve them; False if there was none."""
        if COMPILED:
            count = wait_for_events(self.fd, patience)
            for number in range(count):
                self.tell(event_fd(number), event_mask(number), others)
            return count > 0
        events = self.epoll.poll(patience)
        for fd, mask in events:
            self.tell(fd, mask, others)
        return bool(events)

    def tell(self, fd: int, events: int, others: list[tuple[int, int]]) -> None:
        watcher = self.watchers[fd] if fd < len(self.watchers) else None
        if watcher is not None:
            watcher.ready(events)
        else:  # or it has gone meanwhile
            others.append((fd, events))
