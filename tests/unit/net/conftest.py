"""Both kinds of event loop: the one that waits in our own poller, and one that is told by it."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from dbproxy.net.loop import Loop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"dbproxy": Loop, "uvloop": uvloop.new_event_loop}
