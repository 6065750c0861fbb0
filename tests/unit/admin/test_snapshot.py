"""What the page shows of one moment is what SHOW and /metrics say."""

import json
from time import monotonic

import pytest

from dbproxy.admin import snapshot as module
from dbproxy.admin.show import SHOWS
from dbproxy.admin.snapshot import WAITERS, take_snapshot
from dbproxy.errors import ServerUnavailable
from dbproxy.pool.errand import Errand
from tests.unit.admin.house import FakeHouse, records, settings, share


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
    assert told["hosts"] == [{"host": "primary", "active": 1, "size": pool.settings.size}]


def test_decisions_of_all_tiers_are_added_up() -> None:
    house = FakeHouse()
    for tier in ("free", "pro"):
        house.limiter.book.find_tally(tier).rejected = 3
    share(house.limiter, 1.0)
    told = take_snapshot(house, monotonic())["limits"]
    assert (told["keys"], told["decided"]["rejected"], told["decided"]["allowed"]) == (0, 6, 0)
    assert told["degraded"]


def test_who_waits_longest_comes_first_and_is_named() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    now = monotonic()
    for number in range(WAITERS + 5):
        house.queue(house.add_client(pool, application_name=f"app{number}"), now - 100 + number)
    waiters = take_snapshot(house, now)["waiters"]
    assert [waiter["application_name"] for waiter in waiters] == [f"app{number}" for number in range(WAITERS)]
    assert waiters[0]["wait_us"] == pytest.approx(100e6)


def test_who_waits_is_told_who_holds_what_it_waits_for() -> None:
    house = FakeHouse(settings(DBPROXY_POOL__SIZE="4", DBPROXY_POOL__RESERVE_SIZE="0"))
    pool = house.add_pool()
    for number in range(4):
        house.lend(house.add_client(pool, application_name=f"holder{number}"))
    house.queue(house.add_client(pool), monotonic() - 5)
    shown = records(SHOWS["waits"](house))
    house.queue(house.add_client(pool), monotonic() - 4)
    waiter, next_one = take_snapshot(house, monotonic())["waiters"]
    assert next_one["holders"] == []  # they were told
    assert [holder["client"] for holder in waiter["holders"]] == [row["holder"] for row in shown]
    assert [holder["application_name"] for holder in waiter["holders"]] == ["holder0", "holder1", "holder2"]
    assert {holder["state"] for holder in waiter["holders"]} == {row["holder_state"] for row in shown}


async def test_errand_that_waits_is_among_those_who_wait() -> None:
    """All that count those who wait say the same."""
    house = FakeHouse()
    pool = house.add_pool()
    pool.waiting.add(Errand(pool), monotonic() - 5)
    told = take_snapshot(house, monotonic())
    assert [(waiter["client"], waiter["application_name"]) for waiter in told["waiters"]] == [(0, "dbproxy")]
    assert told["pools"][0]["cl_waiting"] == len(records(SHOWS["waits"](house))) == 1


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
    replica.lag.seconds, replica.lag.bytes = float("inf"), 7
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
