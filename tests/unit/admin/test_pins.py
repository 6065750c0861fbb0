"""SHOW PINS tells which clients keep which servers, and why."""

from time import monotonic

from dbproxy.admin.connections import show_time, wall_clock
from dbproxy.admin.figures import read_figures
from dbproxy.admin.pins import show_pins
from tests.unit.admin.house import FakeHouse, records


def test_each_reason_of_each_client_is_a_row() -> None:
    house = FakeHouse()
    pool = house.add_pool("shop", "ann")
    client, other = house.add_client(pool, application_name="worker"), house.add_client(pool)
    server = house.lend(client)
    house.lend(other)  # holds a server and does not pin it
    server.backend.pid = 4711
    since = monotonic() - 12.5
    client.state.pins = {"temp": since, "lock": monotonic()}
    lock, temp = records(show_pins(house))
    assert (lock["reason"], lock["seconds"]) == ("lock", 0)
    assert temp == {
        "database": "shop",
        "user": "ann",
        "client": client.id,
        "application_name": "worker",
        "server": server.id,
        "server_pid": 4711,
        "reason": "temp",
        "since": show_time(wall_clock(since)),
        "seconds": 12,
    }


def test_application_is_called_as_it_calls_itself_now() -> None:
    house = FakeHouse()
    client = house.add_client(house.add_pool(), application_name="before")
    house.lend(client)
    client.state.pins = {"temp": monotonic()}
    client.news.reported["application_name"] = "since"
    assert [row["application_name"] for row in records(show_pins(house))] == ["since"]


def test_clients_that_pin_are_counted_by_reason() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    for pins in ({"temp": 1.0, "lock": 1.0}, {"temp": 1.0}, {}):
        house.add_client(pool).state.pins = pins
    house.add_client(house.add_pool("other")).state.pins = {"cursor": 1.0}
    pools = {figures.database: figures for figures in read_figures(house, monotonic()).pools}
    assert pools["app"].pins == {"temp": 2, "lock": 1}
    assert pools["other"].pins == {"cursor": 1}
