"""A primary that stands alone is asked when somebody wants to know, once for all who want to at the time."""

import asyncio

import pytest

from dbproxy.admin.lookout import Lookout
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.monitor import Probe
from dbproxy.config import Settings
from tests.unit.admin.house import settings


class Host:
    """What probes meet; `answer` is a finding, or an error's text."""

    def __init__(self) -> None:
        self.answer: Finding | str = Finding("primary")
        self.asked = 0
        self.asked_of: list[str] = []

    async def probe(self, probe: Probe) -> None:
        self.asked += 1
        self.asked_of.append(probe.member.url.host)
        await asyncio.sleep(0)
        if isinstance(self.answer, str):
            probe.cluster.failed(probe.member, self.answer, 1.0)
        else:
            probe.cluster.learn(probe.member, self.answer, 1.0)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(Probe, "probe", lambda probe: host.probe(probe))
    monkeypatch.setattr("dbproxy.admin.lookout.FRESH", float("inf"))  # time plays no part here
    return host


def outdate(lookout: Lookout) -> None:
    lookout.asked_at = float("-inf")


async def test_one_failure_is_enough_and_one_success(host: Host) -> None:
    given = settings()
    lookout = Lookout(given)
    assert (await lookout.look(given)).primary is not None
    host.answer = "no answer"
    outdate(lookout)
    cluster = await lookout.look(given)
    assert (cluster.primary, cluster.members[0].state) == (None, "down")
    host.answer = Finding("primary")
    outdate(lookout)
    assert (await lookout.look(given)).primary is cluster.members[0]


async def test_those_who_ask_at_once_share_one_question(host: Host) -> None:
    given = settings()
    lookout = Lookout(given)
    await asyncio.gather(*(lookout.look(given) for _ in range(10)))
    await lookout.look(given)
    assert host.asked == 1


async def test_other_settings_are_another_question(host: Host) -> None:
    given: Settings = settings()
    lookout = Lookout(given)
    await lookout.look(given)
    await lookout.look(settings(DATABASE_URL="postgresql://app:secret@other.example/app"))
    assert host.asked_of == ["primary.example", "other.example"]


async def test_one_who_asked_and_left_does_not_take_the_answer_from_the_others(host: Host) -> None:
    given = settings()
    lookout = Lookout(given)
    leaving = asyncio.create_task(lookout.look(given))
    staying = asyncio.create_task(lookout.look(given))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).primary is not None
    assert host.asked == 1
