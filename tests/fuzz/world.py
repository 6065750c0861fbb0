"""The whole proxy with both its sides in our hands: a conversation with it, and what must hold after any of them.

Its loop (tests.fuzz.loop) has its connections lead here. Nothing in it is random but what is derived from the input: an
input that fails will fail again. For that two functions of Python's own are patched, and none of the proxy's.
"""

import asyncio
import hashlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from time import monotonic
from typing import Any, Protocol
from unittest.mock import patch

import structlog

from dbproxy.app.proxy import Proxy
from dbproxy.net.transport import Transport
from dbproxy.pool.janitor import sweep
from dbproxy.session.deadlines import sweep_logins
from dbproxy.session.memory import sweep_memory
from dbproxy.session.overdue import sweep_overdue
from dbproxy.session.startup import Login
from tests.fuzz.house import make_proxy
from tests.fuzz.line import Hear, Line, Near
from tests.fuzz.loop import WorldLoop

FAULTS = ("internal error", "task failed")
TURNS = 20_000  # of the loop, after which something goes round in circles
PATIENCE = 5.0  # seconds that an input may take
ITERATIONS = 2  # of PBKDF2, whatever is asked for: that it takes long is tested elsewhere
PIECES = 12  # of a step, beside what is ahead of them and behind


class Failure(AssertionError):
    """An input that did what none may do."""


class Speaker(Protocol):
    """Who a client is: what of a step goes out, and what is said to what comes back."""

    def say(self, step: bytes) -> bytes: ...
    def hear(self, data: bytes) -> bytes: ...


class Plain:
    def __init__(self) -> None:
        self.heard = bytearray()

    def say(self, step: bytes) -> bytes:
        return step

    def hear(self, data: bytes) -> bytes:
        self.heard += data
        return b""


PBKDF2 = hashlib.pbkdf2_hmac


def hash_briefly(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    return PBKDF2(name, password, salt, min(iterations, ITERATIONS))


class World:
    """`make_server`: who answers on each connection that the proxy opens. `over`: nobody any more."""

    def __init__(self) -> None:
        self.loop = WorldLoop(self.accept)
        self.faults: list[str] = []
        self.lines: list[Line] = []
        self.over = False
        self.make_server: Callable[[], Hear] = lambda: lambda data: b""
        self.loop.set_exception_handler(lambda _, context: self.faults.append(repr(context)))

    def close(self) -> None:
        self.loop.close()

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """What is random or slow is neither; the log is searched."""
        configuration = structlog.get_config()
        structlog.configure(processors=[self.note])
        asyncio.set_event_loop(self.loop)
        try:
            with (
                patch("hashlib.pbkdf2_hmac", hash_briefly),
                patch("secrets.token_bytes", lambda size: b"k" * size),
            ):
                yield
        finally:
            asyncio.set_event_loop(None)
            structlog.configure(**configuration)

    def note(self, _: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] in FAULTS:
            error = event.get("exc_info")
            if error is True:
                error = sys.exc_info()[1]
            self.faults.append(f"{event['event']}: {error!r}")
            if isinstance(error, BaseException):
                self.cause = error
        raise structlog.DropEvent

    def accept(self, sock: socket.socket) -> None:
        """Whom the proxy connects to."""
        if self.over:
            raise ConnectionRefusedError(111, "Connection refused")
        self.lines.append(Line(sock, self.make_server()))

    # --- one conversation ---

    def run(
        self,
        settings: Mapping[str, object],
        steps: Sequence[bytes],
        seed: int,
        *,
        speaker: Speaker | None = None,
        more: Callable[[], None] = lambda: None,
    ) -> None:
        """Have a client say this to a new proxy, and leave. `more`: what else is done ahead of the end."""
        try:
            self.loop.run_until_complete(
                self.converse(settings, steps, Random(seed), speaker or Plain(), more)
            )
        finally:
            for line in (self.client, *self.lines):
                line.close()

    async def converse(
        self,
        settings: Mapping[str, object],
        steps: Sequence[bytes],
        random: Random,
        speaker: Speaker,
        more: Callable[[], None],
    ) -> None:
        began = monotonic()
        self.begin()
        proxy = make_proxy(settings)
        near, self.client = open_line(speaker.hear)
        Transport(near, Login(proxy))
        for step in steps:
            for piece in split(speaker.say(step), random):
                self.client.say(piece)
                self.loop.poller.turn()
            await self.settle()
        more()
        await self.settle()
        for later in (1, 400):
            self.sweep(proxy, later)
            await self.settle()
        await self.leave(proxy)
        self.judge(proxy, monotonic() - began)

    def begin(self) -> None:
        """Nothing is left of the input before."""
        for line in self.lines:
            line.close()
        self.faults.clear()
        self.cause: BaseException | None = None
        self.lines, self.over = [], False

    def sweep(self, proxy: Proxy, later: float) -> None:
        now = monotonic() + later
        sweep_logins(proxy.registry, proxy.settings, now)
        for pool in list(proxy.pools.values()):
            sweep(pool, now)
            sweep_overdue(pool, now)
        sweep_memory(proxy.registry, proxy.settings)
        proxy.sharing.sweep(now)

    async def leave(self, proxy: Proxy) -> None:
        self.client.hang_up()
        await self.settle()
        self.over = True
        for server in self.lines:
            server.hang_up()
        for hub in proxy.hubs:
            hub.close()
        await self.settle()
        for pool in proxy.all_pools():
            for member in pool.servers():
                member.close("the input is over")
        await self.settle()
        self.sweep(proxy, 1000)  # who waits for a server waits no longer
        await self.settle()

    async def settle(self) -> None:
        """Until nothing happens any more."""
        for _ in range(TURNS):
            moved = self.client.turn()
            for line in self.lines:
                moved |= line.turn()
            if not moved and not self.loop.is_busy():
                return
            await asyncio.sleep(0)
        raise Failure("it goes round in circles")

    def judge(self, proxy: Proxy, seconds: float) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        left = {
            "faults": self.faults,
            "client's connection": not self.client.gone,
            "servers' connections": sum(not server.gone for server in self.lines),
            "logins": len(proxy.registry),
            "counted": list(proxy.registry.admitted) + list(proxy.registry.users),
            "tasks": [task.get_coro() for task in tasks],
            "servers": sum(pool.size() for pool in proxy.all_pools()),
            "waiting": sum(len(pool.waiting) for pool in proxy.all_pools()),
            "seconds": seconds if seconds > PATIENCE else 0,
        }
        found = {name: value for name, value in left.items() if value}
        for task in tasks:
            task.cancel()
        if found:
            raise Failure(str(found)) from self.cause


def open_line(hear: Hear) -> tuple[Near, Line]:
    near, far = socket.socketpair()
    near.setblocking(False)
    return Near(near.family, near.type, near.proto, near.detach()), Line(far, hear)


def split(data: bytes, random: Random) -> Iterator[bytes]:
    """In one piece, or somewhere in several: crumbs, or pieces of any size."""
    if not data:
        return
    if random.random() < 0.4:
        yield data
        return
    most = random.choice([1, 1, 3, 20, 300])
    at = 0 if random.random() < 0.3 else random.randrange(len(data))
    if at:
        yield data[:at]
    for _ in range(PIECES):
        if at >= len(data):
            return
        size = random.randint(1, most)
        yield data[at : at + size]
        at += size
    if at < len(data):
        yield data[at:]
