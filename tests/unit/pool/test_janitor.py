import structlog

from dbproxy.errors import ProxyError, QueryWaitTimeout, ServerUnavailable, TooManyWaiting
from dbproxy.pool.janitor import sweep
from dbproxy.pool.states import IDLE, TESTED
from tests.unit.pool.fakes import FakeClient, FakePool, FakeServer

NEVER_CHECKED = {"server_check_delay": 0, "server_idle_timeout": 0}


def opened(fake: FakePool, number: int, now: float = 0.0) -> list:
    """Idle servers, used at `now`."""
    clients = [FakeClient() for _ in range(number)]
    for client in clients:
        fake.lend(client, now)
    servers = [fake.open(f"server{place}", now) for place in range(number)]
    for server in servers:
        fake.pool.checkin(server, now)
    return servers


class Persistent(FakeClient):
    """One that waits again at once, for what it sent behind."""

    def __init__(self, fake: FakePool) -> None:
        FakeClient.__init__(self)
        self.fake = fake
        self.refusals = 0

    def refuse(self, error: ProxyError) -> None:
        self.refusals += 1
        self.fake.lend(self, 0.0)


class Unlucky(FakeClient):
    """One that meets a bug of ours."""

    def refuse(self, error: ProxyError) -> None:
        raise RuntimeError("a bug")


def test_only_those_who_waited_too_long_are_refused():
    fake = FakePool(size=1, query_wait_timeout=10)
    opened(fake, 1)
    fake.lend(FakeClient())
    late, patient = FakeClient(), FakeClient()
    fake.lend(late, 0.0)
    fake.lend(patient, 1.0)
    sweep(fake.pool, 9.9)
    assert late.refusal is None
    sweep(fake.pool, 10.0)
    assert isinstance(late.refusal, QueryWaitTimeout)
    assert "10 s" in late.refusal.message
    assert patient.refusal is None
    assert list(fake.pool.waiting) == [patient]


def test_who_waited_in_vain_is_told_why_there_is_no_server():
    for why in (
        "1 connection, all in use",
        "no connection can be opened: refused",
        "paused by an administrator",
    ):
        fake = FakePool(size=1, query_wait_timeout=10)
        if "in use" in why:
            opened(fake, 1)
            fake.lend(FakeClient())
        client = FakeClient()
        fake.lend(client, 0.0)
        if "opened" in why:
            fake.pool.open_failed(ServerUnavailable("refused"), 9.0)
        fake.pool.paused = "paused" in why
        sweep(fake.pool, 10.0)
        assert client.refusal.detail.startswith(f"pool {fake.pool.database}/{fake.pool.user}: {why}")


def test_errand_that_waited_in_vain_is_not_counted_as_a_client():
    fake = FakePool(size=1, query_wait_timeout=10)
    errand, client = FakeClient(), FakeClient()
    errand.ours = True
    fake.lend(errand, 0.0)
    fake.lend(client, 0.0)
    with structlog.testing.capture_logs() as lines:
        sweep(fake.pool, 10.0)
    (line,) = [line for line in lines if line["event"] == "clients waited in vain"]
    assert line["refused"] == fake.pool.stats.limits["query_wait_timeout"] == 1
    assert isinstance(errand.refusal, QueryWaitTimeout)
    assert errand.refusal.detail == client.refusal.detail != ""  # somebody's login perhaps, which is told


def test_who_waits_again_at_once_is_not_refused_in_the_same_sweep():
    fake = FakePool(size=1, query_wait_timeout=10)
    opened(fake, 1)
    fake.lend(FakeClient())
    client = Persistent(fake)
    fake.lend(client, 0.0)
    sweep(fake.pool, 20.0)
    assert client.refusals == 1


def test_bug_met_as_one_is_refused_costs_the_others_nothing():
    fake = FakePool(size=2, query_wait_timeout=10, **NEVER_CHECKED)
    old, _ = opened(fake, 2)
    fake.lend(FakeClient())
    old.upkeep.expires_at = 20.0
    unlucky, late = Unlucky(), FakeClient()
    for client in (unlucky, late):
        fake.pool.waiting.add(client, 0.0)
    with structlog.testing.capture_logs() as lines:
        sweep(fake.pool, 20.0)
    assert isinstance(late.refusal, QueryWaitTimeout)
    assert not fake.pool.waiting
    assert old.closed_for == "server_lifetime"
    assert [line["event"] for line in lines][:2] == ["clients waited in vain", "internal error"]


def test_query_wait_timeout_of_nothing_is_for_ever():
    fake = FakePool(size=1, query_wait_timeout=0)
    client = FakeClient()
    fake.lend(client, 0.0)
    sweep(fake.pool, 1e9)
    assert client.refusal is None


def test_who_came_first_keeps_its_place_when_too_many_wait():
    fake = FakePool(size=1, max_waiting=2)
    opened(fake, 1)
    fake.lend(FakeClient())
    waiting = [FakeClient() for _ in range(4)]
    for client in waiting:
        fake.lend(client, 0.0)
    sweep(fake.pool, 0.1)
    assert list(fake.pool.waiting) == waiting[:2]
    assert [type(client.refusal) for client in waiting[2:]] == [TooManyWaiting] * 2
    assert "max_waiting: 2 clients" in waiting[3].refusal.message


def test_who_waits_again_at_once_is_not_refused_in_the_same_sweep_for_the_number():
    fake = FakePool(size=1, max_waiting=1)
    opened(fake, 1)
    fake.lend(FakeClient())
    fake.lend(FakeClient(), 0.0)
    client = Persistent(fake)
    fake.lend(client, 0.0)
    sweep(fake.pool, 0.1)
    assert client.refusals == 1


def test_max_waiting_of_nothing_is_no_limit():
    fake = FakePool(size=1, max_waiting=0)
    waiting = [FakeClient() for _ in range(100)]
    for client in waiting:
        fake.lend(client, 0.0)
    sweep(fake.pool, 0.1)
    assert len(fake.pool.waiting) == 100


def test_idle_servers_are_closed_down_to_the_minimum_the_longest_idle_first():
    fake = FakePool(server_idle_timeout=600, server_check_delay=0, min_pool_size=1)
    one, two, three = opened(fake, 3)
    one.used_at, two.used_at, three.used_at = 0.0, 1.0, 500.0
    sweep(fake.pool, 599.9)
    assert fake.pool.size() == 3
    sweep(fake.pool, 601.0)
    assert (one.closed_for, two.closed_for, three.closed_for) == (
        "server_idle_timeout",
        "server_idle_timeout",
        "",
    )
    sweep(fake.pool, 5000.0)
    assert three.closed_for == ""


def test_old_servers_are_closed_and_the_minimum_is_opened_again():
    fake = FakePool(min_pool_size=1, **NEVER_CHECKED)
    (server,) = opened(fake, 1)
    server.upkeep.expires_at = 100.0
    launched = fake.launched
    sweep(fake.pool, 99.0)
    assert server.closed_for == ""
    sweep(fake.pool, 100.0)
    assert server.closed_for == "server_lifetime"
    assert fake.launched == launched + 1


def test_lent_server_is_not_closed_for_its_age():
    fake = FakePool(size=1, **NEVER_CHECKED)
    (server,) = opened(fake, 1)
    server.upkeep.expires_at = 100.0
    fake.lend(FakeClient())
    sweep(fake.pool, 1000.0)
    assert server.closed_for == ""


def test_quiet_server_is_checked_once_in_each_delay():
    fake = FakePool(server_check_delay=30, server_idle_timeout=0)
    (server,) = opened(fake, 1)
    sweep(fake.pool, 29.0)
    assert server.asked == 0
    sweep(fake.pool, 30.0)
    assert (server.asked, server.state) == (1, TESTED)
    fake.pool.checkin(server, 30.5)
    sweep(fake.pool, 31.0)
    assert (server.asked, server.state) == (1, IDLE)
    sweep(fake.pool, 60.0)
    assert server.asked == 2


def test_server_that_owes_an_answer_to_a_check_has_time_for_it():
    fake = FakePool(server_check_delay=30, server_idle_timeout=0, server_connect_timeout=15)
    (server,) = opened(fake, 1)
    sweep(fake.pool, 100.0)
    sweep(fake.pool, 114.9)
    assert server.closed_for == ""
    sweep(fake.pool, 115.0)
    assert "no answer" in server.closed_for


def test_pauses_between_logins_end_without_a_client():
    fake = FakePool()
    fake.lend(FakeClient(), 0.0)
    fake.pool.open_failed(ProxyError("no"), 0.0)
    launched = fake.launched
    sweep(fake.pool, 0.05)
    assert fake.launched == launched
    sweep(fake.pool, 0.2)
    assert fake.launched == launched + 1


# --- who holds what is waited for -----------------------------------------------------------------------------


def waits(lines: list) -> list:
    return [line for line in lines if line["event"] == "clients wait for a server"]


def hold(fake: FakePool) -> FakeServer:
    holder = FakeClient("holder")
    server: FakeServer = fake.lend(holder, 0.0)
    server.loan.begin(holder, False, 0.0)
    return server


def test_log_says_who_holds_what_is_waited_for_as_the_reserve_is_opened():
    fake = FakePool(size=1, reserve_timeout=5)
    opened(fake, 1)
    hold(fake)
    fake.lend(FakeClient("late"), 0.0)
    with structlog.testing.capture_logs() as lines:
        for now in (4.9, 5.0, 5.2, 34.9, 35.0):
            sweep(fake.pool, now)
    assert [line["longest"] for line in waits(lines)] == [5.0, 35.0]
    first = waits(lines)[0]
    assert (first["waiting"], first["pinned"], first["log_level"]) == (1, 0, "warning")
    assert "for 5.0 s" in first["holders"][0]


def test_log_says_it_sooner_where_servers_are_pinned():
    fake = FakePool(size=1, reserve_timeout=5)
    opened(fake, 1)
    hold(fake).dialogue.traces.pins = frozenset({"temp"})
    fake.lend(FakeClient("late"), 0.0)
    with structlog.testing.capture_logs() as lines:
        sweep(fake.pool, 0.9)
        sweep(fake.pool, 1.0)
    [line] = waits(lines)
    assert line["pinned"] == 1
    assert "pinned (temp)" in line["holders"][0]


def test_nobody_waits_and_nothing_is_said():
    fake = FakePool(size=1, reserve_timeout=0)
    opened(fake, 1)
    fake.lend(FakeClient(), 0.0)
    with structlog.testing.capture_logs() as lines:
        sweep(fake.pool, 100.0)
        fake.lend(FakeClient(), 100.0)
        sweep(fake.pool, 104.0)
    assert not waits(lines)
