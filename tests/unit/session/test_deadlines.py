"""Deadlines compared with an explicit `now`."""

from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from dbproxy.config import PoolSettings, Settings
from dbproxy.errors import AdminShutdown, LoginTimeout, ProxyError
from dbproxy.pool.stats import PoolStats
from dbproxy.session.deadlines import AT_ONCE, FLUSH_AFTER, STALL_LIMIT, end_client, judge, sweep_logins

IDLE, BUSY, NO_SERVER = "idle", "busy", None


class FakeClient:
    """A client as far as its deadlines go; `last_active` at 0."""

    def __init__(self, server: str | None = NO_SERVER, **limits: float) -> None:
        self.pool = SimpleNamespace(settings=PoolSettings.model_validate(limits), stats=PoolStats())
        self.server = server and SimpleNamespace()
        self.silent = server != BUSY
        self.half_a_batch = False
        self.inbound = SimpleNamespace(arrived=0.0)
        self.lending = self
        self.flushes = 0
        self.transport = None
        self.parked = self.gone = self.departed = self.full = False
        self.idle = True
        self.stalled_since = 0.0
        self.ended_for: ProxyError | None = None

    def stranded(self) -> bool:
        return self.gone

    def depart(self) -> None:
        self.departed = True

    def is_silent(self) -> bool:
        return self.silent and not self.parked

    def lacks_flush(self) -> bool:
        return self.half_a_batch

    def flush(self) -> None:
        self.flushes += 1

    def is_idle(self) -> bool:
        return self.idle

    def last_active(self) -> float:
        return 0.0

    def describe_request(self) -> dict[str, Any]:
        return {}

    def disconnect(self, reason: str, error: ProxyError) -> None:
        self.ended_for = error


def verdict(client: FakeClient, now: float) -> tuple[type, str] | None:
    error = judge(client, now)  # type: ignore[arg-type]
    return error and (type(error), error.sqlstate)


def test_client_without_limits_may_stay():
    assert verdict(FakeClient(), 1e9) is None


@pytest.mark.parametrize(("now", "ended"), [(9.9, None), (10.0, (AdminShutdown, "57P05"))])
def test_idle_client(now: float, ended: Any):
    assert verdict(FakeClient(client_idle_timeout=10), now) == ended


@pytest.mark.parametrize(("now", "ended"), [(9.9, None), (10.0, (AdminShutdown, "25P03"))])
def test_client_idle_in_a_transaction(now: float, ended: Any):
    client = FakeClient(IDLE, idle_transaction_timeout=10, client_idle_timeout=5)
    client.idle = False
    assert verdict(client, now) == ended


def test_client_that_waits_or_is_being_answered_is_not_idle():
    limits = {"client_idle_timeout": 10, "idle_transaction_timeout": 10}
    waiting, busy = FakeClient(**limits), FakeClient(BUSY, **limits)
    waiting.parked = True
    busy.idle = False
    assert (verdict(waiting, 1e9), verdict(busy, 1e9)) == (None, None)


def test_answer_left_unread_while_a_server_is_held():
    client, free = FakeClient(BUSY), FakeClient()
    client.stalled_since = free.stalled_since = 100.0
    assert verdict(client, 100 + STALL_LIMIT - 1) is None
    assert verdict(client, 100 + STALL_LIMIT) == (AdminShutdown, "57P01")
    assert verdict(free, 100 + STALL_LIMIT) is None  # it keeps nobody from anything


def test_client_of_whom_nothing_more_can_come_has_gone_without_a_word():
    client = FakeClient(BUSY)
    client.gone = True
    assert end_client(client, 0.0)  # type: ignore[arg-type]
    assert (client.departed, client.ended_for) == (True, None)


def test_half_a_batch_is_asked_for_if_it_can_be_over_its_limit():
    limited, free = FakeClient(BUSY, idle_transaction_timeout=10), FakeClient(BUSY)
    for client in (limited, free):
        client.half_a_batch = True
        for now in (FLUSH_AFTER - 0.1, FLUSH_AFTER):
            assert not end_client(client, now)  # type: ignore[arg-type]
    assert (limited.flushes, free.flushes) == (1, 0)


# --- all of them --------------------------------------------------------------------------------------------


class FakeLogin:
    def __init__(
        self, client: FakeClient | None = None, connected_at: float = 0, heir: object = None
    ) -> None:
        self.client = client
        self.heir = heir
        self.identity = SimpleNamespace(id=7, connected_at=connected_at)
        self.refusal: ProxyError | None = None
        self.aborted = False
        if client is not None:
            client.transport = SimpleNamespace(abort=lambda: setattr(self, "aborted", True))

    def refuse(self, error: ProxyError) -> None:
        self.refusal = error


def test_sweep_ends_those_over_a_limit_and_nobody_else():
    slow, quick = FakeLogin(connected_at=0), FakeLogin(connected_at=50)
    console = FakeLogin(heir=object())
    idle, patient = FakeLogin(FakeClient(client_idle_timeout=10)), FakeLogin(FakeClient())
    logins: Any = [slow, quick, console, idle, patient]
    sweep_logins(logins, Settings(), 60.0)
    assert isinstance(slow.refusal, LoginTimeout)
    assert (quick.refusal, console.refusal, patient.client.ended_for) == (None, None, None)
    assert idle.client.ended_for.sqlstate == "57P05"
    assert idle.client.pool.stats.limits == {"client_idle_timeout": 1}
    assert not idle.aborted


def test_sweep_ends_only_so_many_at_once_and_says_that_more_are_left():
    flood: Any = [FakeLogin() for _ in range(2 * AT_ONCE + 1)]
    idle = FakeLogin(FakeClient(client_idle_timeout=10))
    left = [idle, *flood]
    for ended, more in ((AT_ONCE, True), (AT_ONCE, True), (2, False)):
        assert sweep_logins(left, Settings(), 60.0) == more
        now_left = [
            login for login in left if not (login.refusal or (login.client and login.client.ended_for))
        ]
        assert len(left) - len(now_left) == ended
        left = now_left


def test_who_reads_nothing_is_not_waited_for_at_the_end():
    stalled = FakeLogin(FakeClient(BUSY))
    stalled.client.stalled_since, stalled.client.full = 1.0, True
    logins: Any = [stalled]
    sweep_logins(logins, Settings(), 1 + STALL_LIMIT)
    assert stalled.aborted


def test_bug_met_with_one_client_ends_no_sweep():
    broken = FakeLogin(SimpleNamespace())  # type: ignore[arg-type]  # it has nothing that is asked for
    idle = FakeLogin(FakeClient(client_idle_timeout=10))
    logins: Any = [broken, idle]
    with structlog.testing.capture_logs() as lines:
        sweep_logins(logins, Settings(), 60.0)
    assert idle.client.ended_for.sqlstate == "57P05"
    faults = [line for line in lines if line["event"] != "limit reached"]
    assert [(line["event"], line["client"]) for line in faults] == [("internal error", 7)]
