"""Names of clients' hosts, for rules that go by them: looked up backwards, then forwards (slow lane).

A name counts only if it leads back to the address; a resolver that hangs costs threads of its own, and no login else.
"""

import asyncio
import socket
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic

TTL = 60.0  # seconds that a name counts
MOST = 10_000  # addresses
WORKERS = 32
PATIENCE = 10.0  # seconds


class HostNames:
    """Those looked up of late, by address."""

    def __init__(self) -> None:
        self.known: OrderedDict[str, tuple[str, float]] = OrderedDict()  # and until when
        self.running: dict[str, asyncio.Future[str]] = {}
        self.workers: ThreadPoolExecutor | None = None

    async def find(self, address: str) -> str:
        """Empty if there is none, or none that leads back to the address."""
        name, until = self.known.get(address, ("", 0.0))
        if monotonic() < until:
            return name
        found = self.look_up(address)
        await asyncio.wait([found], timeout=PATIENCE)
        return found.result() if found.done() else ""

    def look_up(self, address: str) -> "asyncio.Future[str]":
        """One for all who ask at the same time: whoever's resolver is slow holds a single thread."""
        found = self.running.get(address)
        if found is None:
            if self.workers is None:
                self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="host names")
            loop = asyncio.get_running_loop()
            found = self.running[address] = loop.run_in_executor(self.workers, verify_name, address)
            found.add_done_callback(partial(self.learn, address))
        return found

    def learn(self, address: str, found: "asyncio.Future[str]") -> None:
        del self.running[address]
        if found.cancelled() or found.exception() is not None:
            return
        self.known[address] = found.result(), monotonic() + TTL
        if len(self.known) > MOST:
            self.known.popitem(last=False)


def verify_name(address: str) -> str:
    """Blocks."""
    try:
        name, _ = socket.getnameinfo((address, 0), socket.NI_NAMEREQD)
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ""
    return name if any(entry[4][0] == address for entry in found) else ""
