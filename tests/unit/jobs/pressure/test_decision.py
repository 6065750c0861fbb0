"""Whether a chunk may go, by what was seen."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dbproxy.cluster.rotation import ReplicaLag
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.jobs.pressure.decision import ALARMS, Critical, Decision, Go, State, Wait, decide
from dbproxy.jobs.pressure.looks import Here, Look, Pressure, Server

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
MIB = 1 << 20


def look(*, here: Here | None = None, **seen: Any) -> Look:
    return Look(here=here or Here(time=NOON), **seen)


def judge(seen: Look, state: State | None = None, **settings: Any) -> Decision:
    return decide(seen, ThrottleSettings(**settings), state or State())


def reason(decision: Decision) -> str:
    return decision.reason if isinstance(decision, Wait) else type(decision).__name__


def lags(*seconds: float | None) -> list[ReplicaLag]:
    return [ReplicaLag(f"replica{number}", one) for number, one in enumerate(seconds, 1)]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (look(), "Go"),
        (look(proxy=Pressure(), server=Server()), "Go"),
        (look(here=Here(time=NOON, file=True)), "file"),
        (look(here=Here(time=NOON, rest=0.1)), "nice"),
        (look(lost="no answer"), "primary"),
        (look(proxy=Pressure(replicas=lags(0.0, 1.5))), "Go"),
        (look(proxy=Pressure(replicas=lags(0.0, 1.6))), "lag"),
        (look(proxy=Pressure(replicas=lags(0.0, None))), "lag"),
        (look(replicas=lags(1.6)), "lag"),
        (look(replicas=lags(None)), "lag"),
        (look(server=Server(replicas=lags(1.6))), "lag"),
        (
            look(proxy=Pressure(replicas=[]), server=Server(replicas=lags(9.0))),
            "Go",
        ),  # it was taken out there
        (look(proxy=Pressure(), server=Server(replicas=lags(9.0))), "lag"),  # that proxy watches none
        (look(proxy=Pressure(waiting=1)), "waiters"),
        (look(proxy=Pressure(utilisation=80.0)), "Go"),
        (look(proxy=Pressure(utilisation=80.1)), "pool"),
        (look(server=Server(wal=64 * MIB)), "Go"),
        (look(server=Server(wal=64 * MIB + 1)), "wal"),
        (look(server=Server(backlog=1024 * MIB)), "Go"),
        (look(server=Server(backlog=1025 * MIB, holder="replication slot s")), "backlog"),
        (look(server=Server(maintenance="autovacuum worker (pid 7)")), "vacuum"),
        (look(server=Server(snapshot=1800.0)), "Go"),
        (look(server=Server(snapshot=1801.0, snapshot_of="pid 7")), "snapshot"),
        (look(server=Server(told_to_wait=True)), "query"),
        (look(server=Server(told_to_end=True)), "critical"),
        (look(replicas=lags(30.1)), "critical"),
    ],
)
def test_what_is_waited_for_with_the_defaults(seen: Look, expected: str) -> None:
    assert reason(judge(seen)) == expected


@pytest.mark.parametrize(
    ("seen", "settings"),
    [
        (look(replicas=lags(20.0, None)), {"max_lag": 0}),
        (look(replicas=lags(99.0)), {"max_lag": 0, "critical_lag": 0}),
        (look(proxy=Pressure(waiting=3)), {"waiters": False}),
        (look(proxy=Pressure(utilisation=100.0)), {"max_utilisation": 0}),
        (look(server=Server(wal=1e12)), {"max_wal": 0}),
        (look(server=Server(backlog=1 << 50)), {"max_backlog": 0}),
        (look(server=Server(maintenance="pid 7")), {"vacuum": False}),
        (look(server=Server(snapshot=1e9)), {"max_snapshot": 0}),
    ],
)
def test_each_can_be_left_out(seen: Look, settings: dict[str, Any]) -> None:
    assert judge(seen, **settings) == Go()


@pytest.mark.parametrize(
    ("waited_for", "over", "between", "under"),
    [
        ("lag", look(replicas=lags(1.6)), look(replicas=lags(0.8)), look(replicas=lags(0.75))),
        (
            "wal",
            look(server=Server(wal=65 * MIB)),
            look(server=Server(wal=33 * MIB)),
            look(server=Server(wal=32 * MIB)),
        ),
        (
            "backlog",
            look(server=Server(backlog=1025 * MIB)),
            look(server=Server(backlog=513 * MIB)),
            look(server=Server(backlog=512 * MIB)),
        ),
    ],
)
def test_what_has_a_size_goes_on_at_half_of_its_limit(
    waited_for: str, over: Look, between: Look, under: Look
) -> None:
    state = State()
    assert judge(between, state) == Go()
    decision = judge(over, state)
    assert reason(decision) == waited_for
    state = state.follow(decision)
    assert reason(judge(between, state)) == waited_for
    state = state.follow(judge(under, state))
    assert judge(between, state) == Go()


@pytest.mark.parametrize(
    ("p95", "usual", "settings", "expected"),
    [
        (0.030, 0.020, {}, "Go"),
        (0.031, 0.020, {}, "p95"),
        (0.031, None, {}, "Go"),  # too few queries before the start
        (None, 0.020, {}, "Go"),  # too few now
        (0.0005, 0.0001, {}, "Go"),  # five times as much, of nothing
        (0.0007, 0.0001, {}, "p95"),
        (0.051, None, {"max_p95": "50ms"}, "p95"),
        (0.9, 0.1, {"p95_ratio": 0}, "Go"),
        (0.031, 0.020, {"p95_ratio": 2}, "Go"),
    ],
)
def test_application_must_not_become_slower(
    p95: float | None, usual: float | None, settings: dict[str, Any], expected: str
) -> None:
    assert reason(judge(look(proxy=Pressure(p95=p95)), State(usual=usual), **settings)) == expected


@pytest.mark.parametrize(
    ("window", "hour", "minute", "works"),
    [
        ("02:00-06:00", 1, 59, False),
        ("02:00-06:00", 2, 0, True),
        ("02:00-06:00", 6, 0, False),
        ("22:00-06:00", 23, 30, True),
        ("22:00-06:00", 5, 59, True),
        ("22:00-06:00", 12, 0, False),
        ("20:00-24:00", 23, 59, True),
        ("20:00-24:00", 0, 0, False),
        ("00:00-01:00, 11:00-13:00", 12, 0, True),
        ("00:00-01:00, 11:00-13:00", 14, 0, False),
    ],
)
def test_hours_of_the_day(window: str, hour: int, minute: int, works: bool) -> None:
    seen = look(here=Here(time=NOON.replace(hour=hour, minute=minute)))
    assert reason(judge(seen, window=window)) == ("Go" if works else "window")


def test_critical_ends_it_at_the_third_look_in_a_row() -> None:
    state, bad = State(), look(server=Server(told_to_end=True))
    for _ in range(2):
        for _ in range(ALARMS - 1):
            decision = judge(bad, state)
            assert reason(decision) == "critical"
            state = state.follow(decision)
        state = state.follow(judge(look(), state))
    for _ in range(ALARMS - 1):
        state = state.follow(judge(bad, state))
    assert judge(bad, state) == Critical("critical_query says so")


def test_replica_that_does_not_answer_is_never_critical() -> None:
    assert reason(judge(look(replicas=lags(None)), State(alarms=ALARMS))) == "lag"
