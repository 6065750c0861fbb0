"""What the page shows of one moment is what SHOW and /metrics say."""

import json
from time import monotonic

import pytest

from dbproxy.admin import snapshot as module
from dbproxy.admin.show import SHOWS
from dbproxy.admin.snapshot import WAITERS, take_snapshot
from dbproxy.errors import ServerUnavailable
from tests.unit.admin.house import FakeHouse, records, settings


def test_pools_are_those_of_show_pools() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    house.queue(house.add_client(pool, application_name="web"), monotonic() - 5)
    (told,) = take_snapshot(house, monotonic())["pools"]
    (shown,) = [row for row in records(SHOWS["pools"](house)) if row["database"] == "app"]
    for name in ("database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle"):
        assert told[name] == shown[name]
    assert told["maxwait_us"] >= 5_000_000
    assert told["size"] == pool.settings.size


def test_who_waits_longest_comes_first_and_is_named() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    now = monotonic()
    for number in range(WAITERS + 5):
        house.queue(house.add_client(pool, application_name=f"app{number}"), now - 100 + number)
    waiters = take_snapshot(house, now)["waiters"]
    assert [waiter["application_name"] for waiter in waiters] == [f"app{number}" for number in range(WAITERS)]
    assert waiters[0]["wait_us"] == pytest.approx(100e6)


def test_pools_with_waiting_clients_are_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POOLS", 2)
    house = FakeHouse()
    for number in range(5):
        pool = house.add_pool(f"db{number}")
    house.queue(house.add_client(pool), monotonic())
    told = take_snapshot(house, monotonic())
    assert told["pools"][0]["database"] == "db4"
    assert (len(told["pools"]), told["pools_left_out"]) == (2, 3)


def test_hosts_tell_role_state_and_lag() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS="postgresql://app:secret@replica.example/app"))
    replica = house.cluster.members[1]
    replica.lag_seconds, replica.lag_bytes = float("inf"), 7
    told = take_snapshot(house, monotonic())
    assert told["watched"]
    assert [host["name"] for host in told["hosts"]] == [member.name for member in house.cluster.members]
    assert told["hosts"][1]["lag_seconds"] is None  # JSON has no infinity
    assert (told["hosts"][1]["lag_bytes"], told["hosts"][1]["address"]) == (7, "replica.example:5432")


def test_no_password_and_nothing_that_is_not_json() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    pool.open_failed(ServerUnavailable("cannot connect"), 0.0)
    told = take_snapshot(house, monotonic())
    assert "secret" not in json.dumps(told, allow_nan=False)
    assert told["pools"][0]["last_error"] == "cannot connect"
