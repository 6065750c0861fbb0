"""The throttle of a job: when it looks, what it tells, what it keeps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbproxy.cluster.rotation import ReplicaLag
from dbproxy.config.batch import BatchSettings
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.errors import JobFailed, ServerUnavailable
from dbproxy.jobs.pressure.guard import Guard
from dbproxy.jobs.pressure.looks import Pressure, Server
from dbproxy.jobs.pressure.pace import LEAST, SHORT

QUICK = {"interval": "10ms"}


class Looks:
    """Shows one thing after another, and the last one for ever."""

    def __init__(self, *shown: Any) -> None:
        self.shown = list(shown)
        self.asked = 0
        self.closed = False

    async def look(self, *_: object) -> Any:
        self.asked += 1
        found = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(found, Exception):
            raise found
        return found

    check = look

    async def close(self) -> None:
        self.closed = True


class Told:
    def __init__(self) -> None:
        self.words: list[str] = []

    async def __call__(self, reason: str, detail: str) -> None:
        self.words.append(reason)


def guard(
    *server: Any, proxy: Looks | None = None, replicas: Looks | None = None, **settings: Any
) -> tuple[Guard, Looks]:
    looks = Looks(*(server or (Server(),)))
    chosen = ThrottleSettings(**{**QUICK, **settings})
    return Guard(chosen, looks, lambda _: proxy, replicas), looks  # type: ignore[arg-type, return-value]


BUSY, IDLE = Server(told_to_wait=True), Server()


async def test_it_tells_what_it_waits_for_and_that_it_goes_on() -> None:
    throttle, looks = guard(BUSY, BUSY, IDLE)
    told = Told()
    await throttle.wait(told)
    assert (told.words, looks.asked) == (["query", ""], 3)


async def test_chunks_that_are_done_soon_go_without_a_look() -> None:
    throttle, looks = guard(interval="60s")
    for _ in range(100):
        await throttle.wait(Told())
    assert looks.asked == 1


async def test_what_is_waited_for_is_looked_at_again_however_fresh_it_is() -> None:
    throttle, looks = guard(BUSY, IDLE, interval="10ms")
    await throttle.wait(Told())
    assert looks.asked == 2


async def test_nothing_is_asked_while_it_rests_or_a_file_is_there(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    stop.touch()
    throttle, looks = guard(file=str(stop))
    told = Told()
    assert not await throttle.may_go(told)
    stop.unlink()
    throttle.adjust(BatchSettings().overlay({"throttle.nice_ratio": "0.5"}))
    throttle.worked(0.02, 10)
    assert not await throttle.may_go(told)
    assert (told.words, looks.asked) == (["file", ""], 0)
    await throttle.wait(told)
    assert looks.asked == 1


async def test_rest_is_a_multiple_of_the_work() -> None:
    throttle, _ = guard(nice_ratio=50)
    throttle.worked(1.0, 10)
    assert 49 < throttle.look_here().rest <= 50
    throttle.adjust(BatchSettings())
    throttle.rests_until = 0.0
    throttle.worked(1.0, 10)
    assert throttle.look_here().rest == 0


async def test_primary_that_cannot_be_asked_is_waited_for() -> None:
    throttle, _ = guard(ServerUnavailable("gone"), IDLE)
    told = Told()
    await throttle.wait(told)
    assert told.words == ["primary", ""]


async def test_critical_ends_the_job() -> None:
    throttle, looks = guard(Server(told_to_end=True))
    with pytest.raises(JobFailed, match="critical_query"):
        await throttle.wait(Told())
    assert looks.asked == 3


async def test_p95_before_the_start_is_what_it_is_held_against() -> None:
    proxy = Looks(
        Pressure(p95=0.01, usual=0.01), Pressure(p95=0.02, usual=0.02), Pressure(p95=0.012, usual=0.02)
    )
    throttle, _ = guard(proxy=proxy, interval="10ms")
    told = Told()
    await throttle.wait(told)
    throttle.looked_at = 0.0
    await throttle.wait(told)
    assert told.words == ["p95", ""]


async def test_chunks_become_shorter_while_the_application_is_slower_than_before() -> None:
    throttle, _ = guard(proxy=Looks(Pressure(p99=0.01, usual_p99=0.01), Pressure(p99=0.1, usual_p99=0.1)))
    assert throttle.goal(0.5) == 0.5
    await throttle.wait(Told())
    assert (throttle.goal(0.5), throttle.pace.time) == (SHORT, LEAST)
    throttle.pace = replace(throttle.pace, time=0.4)
    throttle.looked_at = 0.0
    await throttle.wait(Told())
    assert 0.1 < throttle.goal(0.5) < 0.4
    throttle.pace = replace(throttle.pace, time=LEAST)
    throttle.worked(10.0, 10)
    assert 9.9 < throttle.look_here().rest <= 10.0
    throttle.adjust(BatchSettings().overlay({"throttle.p99_ratio": "0"}))
    throttle.rests_until = 0.0
    throttle.worked(10.0, 10)
    assert (throttle.goal(0.5), throttle.look_here().rest) == (0.5, 0)


async def test_replicas_are_asked_here_only_where_no_proxy_tells_of_them() -> None:
    lagging: Sequence[ReplicaLag] = [ReplicaLag("r", 9.0)]
    replicas, proxy = Looks(lagging), Looks(Pressure(replicas=[]), None)
    throttle, _ = guard(proxy=proxy, replicas=replicas)
    told = Told()
    assert await throttle.may_go(told)
    assert replicas.asked == 0
    throttle.looked_at = 0.0
    assert not await throttle.may_go(told)  # the proxy has gone
    assert told.words == ["lag"]


async def test_throttle_that_is_turned_off_waits_no_more() -> None:
    throttle, looks = guard(BUSY)
    told = Told()
    assert not await throttle.may_go(told)
    throttle.adjust(BatchSettings().overlay({"throttle.enabled": "false"}))
    assert await throttle.may_go(told)
    assert (told.words, looks.asked) == (["query", ""], 1)


async def test_all_that_was_asked_is_closed() -> None:
    replicas = Looks([])
    throttle, looks = guard(replicas=replicas)
    await throttle.close()
    assert looks.closed
    assert replicas.closed


async def test_primary_that_is_away_at_the_start_is_waited_for_later() -> None:
    throttle, looks = guard(ServerUnavailable("no primary"))
    await throttle.check()
    assert looks.asked == 1


async def test_queries_are_not_tried_where_nothing_is_heeded() -> None:
    throttle, looks = guard(enabled=False)
    await throttle.check()
    assert looks.asked == 0


async def test_another_proxy_is_asked_from_the_moment_that_it_is_set() -> None:
    found = iter((Looks(Pressure(waiting=1)), Looks(Pressure())))
    throttle = Guard(ThrottleSettings(**QUICK), Looks(IDLE), lambda _: next(found))  # type: ignore[arg-type, return-value]
    assert not await throttle.may_go(Told())
    throttle.adjust(
        BatchSettings().overlay({"throttle.proxy": "http://127.0.0.1:1", "throttle.interval": "10ms"})
    )
    assert await throttle.may_go(Told())
