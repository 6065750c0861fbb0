from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.errors import ServerUnavailable
from dbproxy.pool.states import ACTIVE, CLOSED, IDLE, TESTED
from dbproxy.sql import statement as sql
from tests.unit.pool.fakes import FakeClient, FakePool, fill

UNREACHABLE = ServerUnavailable("cannot connect")


# --- lending ------------------------------------------------------------------------------------------------


def test_idle_servers_are_lent_last_in_first_out():
    fake = FakePool()
    one, two, three = fill(fake, "one", "two", "three")
    fake.lend(FakeClient())
    lent = fake.lend(FakeClient())
    fake.pool.checkin(lent, 1)
    assert (lent, fake.lend(FakeClient())) == (two, two)
    assert fake.lend(FakeClient()) is one
    assert three.client is not None


def test_waiting_clients_are_served_first_in_first_out():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient("holder"))
    waiting = [FakeClient(str(number)) for number in range(5)]
    for client in waiting:
        assert fake.lend(client) is None
    for client in waiting:
        assert client.server is None
        fake.pool.checkin(server, 1)
        assert client.server is server


def test_client_that_comes_while_others_wait_does_not_go_first():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient("holder"))
    first, second = FakeClient("first"), FakeClient("second")
    fake.lend(first)
    fake.pool.paused = True  # the server that comes back meanwhile is closed, and another opened
    fake.pool.checkin(server, 1)
    fake.pool.resume(1)
    fake.lend(second, 1)
    fake.open("fresh")
    assert (first.server is not None, second.server) == (True, None)


def test_waiter_that_has_gone_is_never_handed_a_server():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient("holder"))
    gone, patient = FakeClient("gone"), FakeClient("patient")
    fake.lend(gone)
    fake.lend(patient)
    fake.pool.leave(gone)
    fake.pool.checkin(server, 1)
    assert (gone.server, patient.server) == (None, server)
    fake.pool.leave(gone)  # twice is no matter


def test_waiting_is_timed():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient("holder"), 10)
    waited = fake.pool.stats.wait_time_us
    fake.lend(FakeClient(), 11)
    fake.pool.checkin(server, 13.5)
    assert fake.pool.stats.wait_time_us - waited == 2_500_000


steps = st.lists(
    st.sampled_from(["come", "come", "go", "back", "open", "lose", "cancel", "dealt"]), max_size=60
)


@given(steps, st.data())
def test_whatever_happens_each_server_is_in_one_list_and_lent_to_one(steps: list[str], data: st.DataObject):
    """The state is the list; nobody waits while a server is idle; the longest wait ends first."""
    fake = FakePool(size=3, reserve_size=0)
    pool = fake.pool
    queue: deque[FakeClient] = deque()
    holders: list[FakeClient] = []
    servers: list[Any] = []
    for number, step in enumerate(steps):
        cancelled = [server for server in servers if server.upkeep.cancels]
        if step == "come":
            client = FakeClient(str(number))
            fake.lend(client, number)
            queue.append(client)
        elif step == "go" and queue:
            client = data.draw(st.sampled_from(sorted(queue, key=str)))
            queue.remove(client)
            pool.leave(client)
        elif step == "back" and holders:
            pool.checkin(holders.pop(0).server, number)
        elif step == "open" and pool.opening:
            servers.append(fake.open(f"s{number}", number))
        elif step == "lose" and servers:
            servers.pop().close("lost")
        elif step == "cancel" and holders:
            holders[0].server.upkeep.cancels += 1
        elif step == "dealt" and cancelled:
            cancelled[0].cancels = 0
            pool.canceled(cancelled[0])
        while queue and queue[0].server is not None:
            holders.append(queue.popleft())
        holders = [client for client in holders if not client.server.closed_for]
        assert list(pool.waiting) == list(queue), "not first come, first served"
        assert not (pool.waiting and pool.idle)
        for server in servers:
            assert [state for state in range(CLOSED) if server in pool.lists[state]] == [server.state]
        lent = [client.server for client in holders]
        assert len(set(lent)) == len(lent)
        assert all(server.state == ACTIVE for server in lent)
        assert pool.size() <= 3


# --- coming back --------------------------------------------------------------------------------------------


def test_server_of_an_unconfirmed_cancel_is_closed():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient())
    server.condemn("in doubt")
    fake.pool.checkin(server, 1)
    assert server.closed_for == "in doubt"


def test_server_with_a_cancel_on_its_way_is_kept_from_those_who_wait():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient())
    waiting = FakeClient()
    fake.lend(waiting)
    server.upkeep.cancels = 1
    fake.pool.checkin(server, 1)
    assert (waiting.server, fake.pool.counts()["being_canceled"]) == (None, 1)
    server.upkeep.cancels = 0
    fake.pool.canceled(server)
    assert waiting.server is server


def test_unconfirmed_cancel_of_a_server_that_came_back_closes_it():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient())
    server.upkeep.cancels = 1
    fake.pool.checkin(server, 1)
    server.upkeep.cancels = 0
    server.condemn("in doubt")
    fake.pool.canceled(server)
    assert server.closed_for


def test_cancel_dealt_with_during_the_loan_changes_nothing():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    client = FakeClient()
    fake.lend(client)
    fake.pool.canceled(server)
    assert (server.state, server.closed_for) == (ACTIVE, "")


def test_server_over_its_lifetime_is_closed_when_it_comes_back():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.lend(FakeClient())
    server.upkeep.expires_at = 100.0
    fake.pool.checkin(server, 99)
    assert server.state == IDLE
    fake.lend(FakeClient(), 99)
    fake.pool.checkin(server, 100)
    assert server.closed_for == "server_lifetime"


def test_retired_servers_are_closed_at_once_or_when_they_come_back():
    fake = FakePool()
    idle, lent = fill(fake, "idle", "lent")
    fake.lend(FakeClient())
    fake.pool.retire()
    assert idle.closed_for
    assert not lent.closed_for
    fake.pool.checkin(lent, 1)
    assert lent.closed_for == "settings changed"


def test_paused_pool_lends_and_opens_nothing():
    fake = FakePool(min_pool_size=2)
    idle, lent = fill(fake, "idle", "lent")
    fake.lend(FakeClient())
    fake.pool.pause()
    launched = fake.launched
    waiting = FakeClient()
    assert idle.closed_for == "paused"
    assert fake.lend(waiting) is None
    fake.pool.checkin(lent, 1)
    assert lent.closed_for == "paused"
    assert (waiting.server, fake.launched) == (None, launched)
    fake.pool.resume(2)
    assert fake.launched > launched
    assert fake.open().client is waiting


@pytest.mark.parametrize(
    ("mode", "status", "left", "cleaning"),
    [
        ("transaction", "I", {}, []),
        ("transaction", "T", {}, ["ROLLBACK"]),
        ("transaction", "E", {}, ["ROLLBACK"]),
        ("transaction", "I", {"effects": sql.LOCKS}, ["DISCARD ALL"]),
        ("transaction", "T", {"pins": frozenset({"temp"})}, ["ROLLBACK", "DISCARD ALL"]),
        ("transaction", "I", {"pins": frozenset({"temp"})}, ["DISCARD ALL"]),
        ("session", "I", {}, ["DISCARD ALL"]),
        ("session", "T", {}, ["ROLLBACK", "DISCARD ALL"]),
    ],
)
def test_cleaning_undoes_what_a_client_left(
    mode: str, status: str, left: dict[str, object], cleaning: list[str]
):
    fake = FakePool(mode=mode)
    (server,) = fill(fake, "only")
    server.dialogue.status = ord(status)
    for what, value in left.items():
        setattr(server.dialogue.traces, what, value)
    assert fake.pool.cleaning(server) == cleaning


def test_server_under_test_is_not_lent_until_it_has_answered():
    fake = FakePool(size=1)
    (server,) = fill(fake, "only")
    fake.pool.check(server, 50.0)
    waiting = FakeClient()
    assert (server.state, server.asked, fake.lend(waiting)) == (TESTED, 1, None)
    fake.pool.checkin(server, 51)
    assert waiting.server is server


# --- which of the idle servers ------------------------------------------------------------------------------


def with_settings(settings: object, name: str = "client") -> FakeClient:
    client = FakeClient(name)
    client.settings = settings
    return client


def prepare(*names: str, size: int = 9) -> tuple[FakePool, list[Any]]:
    """A pool with these servers, all idle."""
    fake = FakePool(size=size)
    servers = fill(fake, *names)
    for server in servers:
        if server not in fake.pool.idle:
            fake.pool.checkin(server, 0)
    return fake, servers


def test_server_that_has_the_clients_settings_is_preferred():
    fake, (one, two, three) = prepare("one", "two", "three")
    tokyo = fake.pool.tenant.parameter_sets.find({"timezone": "Asia/Tokyo"})
    one.dialogue.settings = tokyo
    assert fake.lend(with_settings(tokyo)) is one
    assert fake.lend(with_settings(tokyo)) is three  # none has them: the last returned
    assert fake.lend(FakeClient()) is two


def test_of_several_servers_with_the_clients_settings_the_last_returned_is_lent():
    fake, (one, two, three) = prepare("one", "two", "three")
    tokyo = fake.pool.tenant.parameter_sets.find({"timezone": "Asia/Tokyo"})
    one.dialogue.settings = two.dialogue.settings = tokyo
    assert fake.lend(with_settings(tokyo)) is two
    assert three in fake.pool.idle


def test_server_claimed_by_the_client_comes_first_whatever_its_settings():
    fake, (one, _, three) = prepare("one", "two", "three")
    mine = with_settings(None, "mine")
    one.trail.claimed_by = mine
    three.trail.claimed_by = FakeClient("other")
    one.dialogue.settings = fake.pool.tenant.parameter_sets.find({"jit": "off"})
    assert fake.lend(mine) is one
    assert one.trail.claimed_by is None  # it is claimed anew when it comes back


def test_server_claimed_by_another_is_lent_only_if_none_is_free():
    fake, (one, two) = prepare("one", "two")
    two.trail.claimed_by = FakeClient("other")
    assert fake.lend(FakeClient()) is one


def test_connection_is_opened_before_a_claimed_server_is_taken():
    fake, (one,) = prepare("one", size=2)
    one.trail.claimed_by = FakeClient("other")
    launched = fake.launched
    client = FakeClient()
    assert fake.lend(client) is None
    assert fake.launched == launched + 1
    assert one in fake.pool.idle
    fresh = fake.open("fresh")
    assert client.server is fresh


def test_of_claimed_servers_the_one_used_longest_ago_is_taken_when_no_other_can_be_had():
    fake, (one, two) = prepare("one", "two", size=2)
    one.trail.claimed_by = FakeClient("other")
    two.trail.claimed_by = FakeClient("another")
    longest_ago = next(iter(fake.pool.idle))
    assert fake.lend(FakeClient()) is longest_ago
    assert longest_ago.trail.claimed_by is None


def test_claimed_server_is_taken_while_no_connection_can_be_opened():
    fake, (one,) = prepare("one", size=2)
    one.trail.claimed_by = FakeClient("other")
    impatient = FakeClient()
    assert fake.lend(impatient) is None
    fake.pool.leave(impatient)
    fake.pool.open_failed(UNREACHABLE, 10)
    assert fake.lend(FakeClient(), 10) is one


def test_claim_of_a_client_that_has_gone_is_void():
    fake, (one,) = prepare("one", size=2)
    gone = FakeClient("gone")
    gone.closed = True
    one.trail.claimed_by = gone
    assert fake.lend(FakeClient()) is one
