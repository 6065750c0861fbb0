"""What a service manager is told, and when: by numbers, without a socket or a clock."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dbproxy.app.janitor import Janitor
from dbproxy.app.proxy import Proxy
from dbproxy.app.supervision import Supervision
from dbproxy.config.load import load
from dbproxy.net.loop import Loop
from dbproxy.net.notification import Notifier
from tests.support.manager import Manager, Told


@pytest.fixture
def proxy() -> Proxy:
    return Proxy(load(None, {}, {"primary.url": "postgresql://app@db1:5432/shop", "auth.type": "trust"}))


class Deaf(Notifier):
    """Keeps what it is to tell."""

    def __init__(self, watchdog: float = 0.0) -> None:
        super().__init__({})
        self.address = "/nowhere"
        self.watchdog = watchdog
        self.told: list[Told] = []

    def tell(self, **assignments: str) -> None:
        self.told.append(assignments)


def tell(proxy: Proxy, watchdog: float, times: list[float]) -> list[Told]:
    """What each sweep at one of these times says; empty if nothing."""
    notifier = Deaf(watchdog)
    supervision = Supervision(proxy, notifier)
    said = []
    for now in times:
        notifier.told.clear()
        supervision.sweep(now)
        said.append(notifier.told[0] if notifier.told else {})
    return said


def test_status_is_told_when_it_has_changed_and_not_more_often_than_once_in_a_while(proxy: Proxy):
    notifier = Deaf()
    supervision = Supervision(proxy, notifier)
    supervision.sweep(100.0)
    proxy.find_pool("shop", "app")
    supervision.sweep(100.2)
    assert notifier.told == [{"STATUS": "0 pools, 0 clients, primary db1:5432"}]
    supervision.sweep(102.0)
    assert notifier.told[1:] == [{"STATUS": "1 pool, 0 clients, primary db1:5432"}]
    supervision.sweep(104.0)
    assert len(notifier.told) == 2


def test_status_says_when_no_host_takes_writes(proxy: Proxy):
    (member,) = proxy.cluster.members
    member.state = "down"
    assert Supervision(proxy, Deaf()).describe().endswith("primary db1:5432 (down)")
    proxy.cluster.primary = None
    assert Supervision(proxy, Deaf()).describe().endswith("no primary")


def test_signs_of_life_come_as_often_as_the_manager_wants_them(proxy: Proxy):
    said = tell(proxy, 1.0, [10.0, 10.2, 10.9, 11.0, 11.9, 12.1])
    assert ["WATCHDOG" in told for told in said] == [True, False, False, True, False, True]


def test_manager_that_wants_no_signs_of_life_gets_none(proxy: Proxy):
    assert not any("WATCHDOG" in told for told in tell(proxy, 0.0, [10.0, 1000.0]))


def test_stop_asks_for_more_time_as_long_as_it_goes_on(proxy: Proxy):
    assert not any("EXTEND_TIMEOUT_USEC" in told for told in tell(proxy, 1.0, [10.0, 20.0]))
    proxy.stopping = True
    said = tell(proxy, 1.0, [10.0, 12.0, 14.0])
    assert [told["EXTEND_TIMEOUT_USEC"] for told in said] == ["10000000"] * 3


def test_status_tells_of_a_pause_and_of_a_reload_that_failed(proxy: Proxy):
    notifier = Deaf()
    supervision = Supervision(proxy, notifier)
    proxy.pause("")
    supervision.reloaded(failed=True)
    (told,) = notifier.told
    assert told["READY"] == "1"
    assert told["STATUS"].endswith(", paused, reload failed: the settings before are in force")


def test_without_a_manager_the_janitor_tells_nobody(proxy: Proxy):
    assert Supervision(proxy, Notifier({})).sweeper is None
    assert Supervision(proxy, Deaf()).sweeper is not None


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as listening:
        yield listening


def test_janitor_that_is_gone_is_no_sign_of_life_though_the_loop_turns(
    proxy: Proxy, manager: Manager, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the janitor is gone")

    async def run(notifier: Notifier) -> None:
        janitor = asyncio.create_task(Janitor(proxy, Supervision(proxy, notifier).sweep).run())
        while not any("WATCHDOG" in told for told in manager.heard):
            await asyncio.sleep(0)
            manager.listen()
        monkeypatch.setattr(Janitor, "sweep", fail)
        with pytest.raises(RuntimeError, match="gone"):
            await janitor
        manager.forget()
        before = len(manager.heard)
        await asyncio.sleep(0)
        manager.forget()
        assert len(manager.heard) == before

    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "2"}
    with asyncio.Runner(loop_factory=Loop) as runner, closing(Notifier(environ)) as notifier:
        runner.run(run(notifier))
