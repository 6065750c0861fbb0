"""What is degraded is dated when it begins, whether or not anybody asks."""

import asyncio
from collections.abc import Iterator

import pytest

from dbproxy.admin import probes
from dbproxy.admin.degradation import Degradation
from tests.unit.admin.house import FakeHouse

PAUSED = ("proxy", "paused")


async def seen(watched: probes.Probes) -> None:
    async with asyncio.timeout(10):
        while PAUSED not in watched.watch.seen:  # noqa: ASYNC110  # a state, which nobody announces
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "WATCH_INTERVAL", 0.0)


async def test_what_begins_is_dated_though_nobody_asks() -> None:
    house = FakeHouse()
    watched = probes.Probes(house, lambda _: True)
    watched.start()
    try:
        house.pause("")
        await seen(watched)
        began = watched.watch.seen[PAUSED]
        await asyncio.sleep(0)
        assert watched.watch.seen[PAUSED] == began
    finally:
        await watched.stop()
    assert watched.task is not None
    assert watched.task.cancelled()


async def test_a_bug_of_ours_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = iter([ValueError("a bug")])

    def find(*_: object) -> Iterator[Degradation]:
        for fault in faults:
            raise fault
        yield Degradation(*PAUSED, "after all")

    monkeypatch.setattr(probes, "find_degradations", find)
    watched = probes.Probes(FakeHouse(), lambda _: True)
    watched.start()
    try:
        await seen(watched)
    finally:
        await watched.stop()
