"""A house for each test, on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog
import uvloop

import dbproxy
from dbproxy.net.loop import Loop
from tests.support.house import House
from tests.support.scripted_server import ScriptedServer


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The proxy runs on its own, or on uvloop, which does not depend on the build."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "dbproxy": Loop,
        "uvloop": uvloop.new_event_loop,
    }
    return {"dbproxy": Loop} if dbproxy.PURE else loops


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    """What the proxy logs; a fault of its own fails the test."""
    with structlog.testing.capture_logs() as lines:
        yield lines
    faults = [line for line in lines if line["event"] in ("internal error", "task failed")]
    assert not faults


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked for what sequences gave out before somebody has recalled it."""
    monkeypatch.setattr("dbproxy.pool.recall.TRIALS", 0)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def enter(server: ScriptedServer) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """Call it with settings for a house that has them."""
    async with AsyncExitStack() as stack:

        async def open_house(settings: Mapping[str, object] | None = None) -> House:
            return await stack.enter_async_context(House(server, settings or {}))

        yield open_house


@pytest.fixture
async def house(enter: Callable[..., Awaitable[House]]) -> House:
    """A house whose pools have one server connection: two clients must share it."""
    return await enter({"pool.size": 1, "pool.reserve_size": 0})
