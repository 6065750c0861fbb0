from time import monotonic

from dbproxy.admin.show import SHOWS
from dbproxy.session.wait import NAMES, TASK
from tests.unit.admin.house import FakeHouse, records, settings


def test_every_waiting_client_is_joined_with_those_who_hold_longest():
    house = FakeHouse(settings(DBPROXY_POOL__SIZE="4", DBPROXY_POOL__RESERVE_SIZE="0"))
    pool = house.add_pool()
    holders = [house.add_client(pool) for _ in range(4)]
    servers = [house.lend(holder) for holder in holders]
    waiting = house.add_client(pool, application_name="report")
    house.queue(waiting, monotonic() - 2.5)
    rows = records(SHOWS["waits"](house))
    assert [row["holder"] for row in rows] == [holder.id for holder in holders[:3]]
    assert [row["server"] for row in rows] == [server.id for server in servers[:3]]
    (row, *_) = rows
    assert (row["client"], row["application_name"], row["position"]) == (waiting.id, "report", 1)
    assert (row["waits_for"], row["wait"], row["holders"]) == ("server", 2, 4)
    assert [row["waiting"] for row in records(SHOWS["holders"](house))] == [1] * 4


def test_who_waits_where_nobody_holds_has_one_row():
    house = FakeHouse()
    house.queue(house.add_client(house.add_pool()), monotonic())
    (row,) = records(SHOWS["waits"](house))
    assert (row["holders"], row["holder"], row["holder_statement"]) == (0, None, None)


def test_other_waits_are_named_by_what_ends_them():
    house = FakeHouse()
    client = house.add_client(house.add_pool())
    client.inbound.wait = TASK
    (row,) = records(SHOWS["waits"](house))
    assert (row["waits_for"], row["position"], row["client"]) == ("task", None, client.id)
    assert list(NAMES.values()) == [
        "",
        *dict.fromkeys(name for name in NAMES.values() if name),
    ]  # each its own
