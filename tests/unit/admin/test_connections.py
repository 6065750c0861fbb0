"""SHOW CLIENTS and SHOW SERVERS tell who is connected, and who holds whom."""

from time import monotonic
from types import SimpleNamespace

import pytest

from dbproxy.admin.connections import show_clients, show_servers, show_time, wall_clock
from dbproxy.routing.room import Room
from tests.unit.admin.house import FakeHouse, records


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


def test_link_joins_a_client_to_the_server_that_it_holds(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    house.lend(house.add_client(pool))
    clients, servers = records(show_clients(house)), records(show_servers(house))
    assert {client["ptr"]: client["link"] for client in clients} == {
        server["link"]: server["ptr"] for server in servers
    }
    assert len({row["ptr"] for row in [*clients, *servers]}) == 4
    assert {row["state"] for row in [*clients, *servers]} == {"active"}


def test_connection_that_is_not_lent_has_no_link(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.add_client(pool)
    house.add_server(pool)
    for (row,) in (records(show_clients(house)), records(show_servers(house))):
        assert (row["state"], row["link"]) == ("idle", "")


def test_times_are_written_as_pgbouncer_writes_them(house: FakeHouse) -> None:
    house.add_client(house.add_pool(), connect_time=1_000_000_000.0)
    (row,) = records(show_clients(house))
    assert row["connect_time"] == row["request_time"] == "2001-09-09 01:46:40 UTC"


def test_waiting_client_shows_how_long(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.queue(house.add_client(pool), monotonic() - 3.5)
    (row,) = records(show_clients(house))
    assert (row["state"], row["wait"]) == ("waiting", 3)
    assert 500_000 <= row["wait_us"] < 1_000_000


async def test_client_that_waits_for_a_replica_shows_how_long(house: FakeHouse) -> None:
    client = house.add_client(house.add_pool())
    room = client.inbound.room = Room(house.cluster)
    client.inbound.arrived = monotonic() - 3.5
    room.enter(client, 1000, 60.0, client.inbound.arrived)
    (row,) = records(show_clients(house))
    room.leave(client)
    assert (row["state"], row["wait"]) == ("waiting", 3)


def test_console_is_a_client_and_a_login_under_way_is_not(house: FakeHouse) -> None:
    house.add_login("admin", "pgbouncer").heir = SimpleNamespace(kind="console")
    house.add_login()
    (row,) = records(show_clients(house))
    assert (row["user"], row["database"], row["state"]) == ("admin", "pgbouncer", "active")


def test_server_tells_whose_process_it_is_and_if_it_will_be_replaced(house: FakeHouse) -> None:
    pool = house.add_pool()
    server = house.lend(house.add_client(pool))
    server.backend.pid = 4711
    pool.retire()
    (row,) = records(show_servers(house))
    assert (row["type"], row["remote_pid"], row["close_needed"]) == ("S", 4711, 1)
    assert (row["addr"], row["port"], row["local_addr"], row["local_port"]) == (
        "10.0.0.1",
        5000,
        "10.0.0.2",
        6000,
    )


def test_link_tells_since_when(house: FakeHouse) -> None:
    pool = house.add_pool()
    server = house.lend(house.add_client(pool))
    for (row,) in (records(show_clients(house)), records(show_servers(house))):
        assert row["link_time"] == show_time(wall_clock(server.loan.since))
    server.upkeep.expires_at = monotonic() + 60
    house.answer(server)
    for (row,) in (records(show_clients(house)), records(show_servers(house))):
        assert row["link_time"] == ""


def test_pins_tell_why_a_client_keeps_its_server_and_for_how_long(house: FakeHouse) -> None:
    client = house.add_client(house.add_pool())
    server = house.lend(client)
    server.dialogue.traces.pins = frozenset({"temp", "lock"})
    client.state.pins = {"temp": monotonic() - 12.5, "lock": monotonic() - 3.5}
    assert [row["pins"] for row in records(show_clients(house))] == ["lock:3,temp:12"]
    assert [row["pins"] for row in records(show_servers(house))] == ["lock,temp"]
