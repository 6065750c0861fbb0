"""Whether a chunk may go, by what was seen, and what it waits for if not.

What has a size (lag, WAL) is waited for from its limit on until it is at half of that, so that nothing flaps. What is
there or not (a client that waits, autovacuum) is waited for as long as it is there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import time

from dbproxy.config.throttle import ThrottleSettings
from dbproxy.config.units import show_size
from dbproxy.jobs.pressure.looks import Here, Look
from dbproxy.jobs.pressure.pace import find_limit

ALARMS = 3  # looks in a row that end a job
CRITICAL, NICE = "critical", "nice"


@dataclass(frozen=True, slots=True)
class Go:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """`reason`: a word, by which the seconds are counted; `detail`: a sentence."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Critical:
    """The job has to end."""

    detail: str


Decision = Go | Wait | Critical


@dataclass(frozen=True, slots=True)
class State:
    """What earlier looks have left. `usual`: the application's p95 before the start, in seconds."""

    waits_for: str = ""
    alarms: int = 0
    usual: float | None = None

    def follow(self, decision: Decision) -> "State":
        reason = decision.reason if isinstance(decision, Wait) else ""
        return replace(self, waits_for=reason, alarms=self.alarms + 1 if reason == CRITICAL else 0)


def decide(look: Look, settings: ThrottleSettings, state: State) -> Decision:
    """By all that was seen."""
    waiting = decide_here(look.here, settings)
    if waiting is not None:
        return waiting
    alarm = find_alarm(look, settings)
    if alarm:
        return Critical(alarm) if state.alarms + 1 >= ALARMS else Wait(CRITICAL, alarm)
    for judge in JUDGES:
        wait = judge(look, settings, state)
        if wait is not None:
            return wait
    return Go()


def decide_here(here: Here, settings: ThrottleSettings) -> Wait | None:
    """By what costs nothing to know; None: by that it may go."""
    hours = settings.hours
    clock = here.time.time()
    if hours and not any(_is_within(clock, *some) for some in hours):
        return Wait("window", f"it works within {settings.window} alone{_name_zone(settings)}")
    if here.file:
        return Wait("file", f"{settings.file} is there")
    return Wait(NICE) if here.rest > 0 else None


def _is_within(clock: time, first: time, last: time) -> bool:
    return first <= clock < last if first < last else clock >= first or clock < last


def _name_zone(settings: ThrottleSettings) -> str:
    return f" ({settings.timezone})" if settings.timezone else ""


def find_alarm(look: Look, settings: ThrottleSettings) -> str:
    """What ends a job unless it passes at once; a replica that does not answer is waited for instead."""
    if look.server is not None and look.server.told_to_end:
        return "critical_query says so"
    known = [(lag.seconds, lag.name) for lag in look.lags if lag.seconds is not None]
    seconds, name = max(known, default=(0.0, ""))
    if 0 < settings.critical_lag < seconds:
        return f"{name} is {seconds:.1f} s behind, which is more than critical_lag"
    return ""


# --- each thing that is looked at ---


def judge_lost(look: Look, settings: ThrottleSettings, state: State) -> Wait | None:
    return Wait("primary", look.lost) if look.lost else None


def judge_lag(look: Look, settings: ThrottleSettings, state: State) -> Wait | None:
    if not settings.max_lag:
        return None
    limit = _limit(settings.max_lag, state, "lag")
    for lag in look.lags:
        if lag.seconds is None:
            return Wait("lag", f"{lag.name} does not answer")
        if lag.seconds > limit:
            return Wait("lag", f"{lag.name} is {lag.seconds:.1f} s behind, and may be {limit:g} s")
    return None


def judge_pool(look: Look, settings: ThrottleSettings, state: State) -> Wait | None:
    proxy = look.proxy
    if proxy is None:
        return None
    if settings.waiters and proxy.waiting:
        return Wait("waiters", f"{proxy.waiting} clients wait for a server")
    if 0 < settings.max_utilisation < proxy.utilisation:
        return Wait("pool", f"{proxy.utilisation:.0f} % of the servers of {proxy.pool} are lent")
    return None


def judge_p95(look: Look, settings: ThrottleSettings, state: State) -> Wait | None:
    p95 = look.proxy.p95 if look.proxy is not None else None
    if p95 is None:
        return None
    if 0 < settings.max_p95 < p95:
        return Wait("p95", f"the application's p95 is {_ms(p95)}, and may be {_ms(settings.max_p95)}")
    if settings.p95_ratio and state.usual is not None and p95 > find_limit(settings.p95_ratio, state.usual):
        return Wait(
            "p95", f"the application's p95 is {_ms(p95)}, and was {_ms(state.usual)} before the start"
        )
    return None


def judge_wal(look: Look, settings: ThrottleSettings, state: State) -> Wait | None:
    server = look.server
    if server is None:
        return None
    if settings.max_wal and server.wal is not None and server.wal > _limit(settings.max_wal, state, "wal"):
        return Wait("wal", f"{server.wal / 1048576:.0f} MiB of WAL are written a second")
    if settings.max_backlog and server.backlog > _limit(settings.max_backlog, state, "backlog"):
        return Wait("backlog", f"{server.holder} holds back {show_size(server.backlog >> 20 << 20)} of WAL")
    return None


def judge_table(look: Look, settings: ThrottleSettings, state: State) -> Wait | None:
    server = look.server
    if server is None:
        return None
    if settings.vacuum and server.maintenance:
        return Wait("vacuum", f"{server.maintenance} works on the table")
    if 0 < settings.max_snapshot < server.snapshot:
        return Wait(
            "snapshot", f"{server.snapshot_of} has held its snapshot for {server.snapshot / 60:.0f} min"
        )
    return Wait("query", "the query says so") if server.told_to_wait else None


JUDGES: tuple[Callable[[Look, ThrottleSettings, State], Wait | None], ...] = (
    judge_lost,
    judge_lag,
    judge_pool,
    judge_p95,
    judge_wal,
    judge_table,
)


def _limit(limit: float, state: State, reason: str) -> float:
    return limit / 2 if state.waits_for == reason else limit


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
