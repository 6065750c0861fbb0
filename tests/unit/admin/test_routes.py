"""SHOW HOSTS, HOST_POOLS, ROUTES, RESCUES tell what the cluster and the routers know; pools to replicas are counted."""

from time import monotonic
from typing import Any

import pytest

from dbproxy.admin.figures import client_state, read_figures
from dbproxy.admin.house import list_pools
from dbproxy.admin.show import SHOWS
from dbproxy.cluster.finding import Finding
from dbproxy.routing.rescues import RESCUED_LIMIT
from tests.unit.admin.house import FakeHouse, records, settings

REPLICAS = "postgresql://app:secret@one.example:5434/app,postgresql://app:secret@two.example/app"


@pytest.fixture
def house() -> FakeHouse:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICAS, DBPROXY_ROUTING__SLOW_START="0s"))
    for member in house.cluster.members[:2]:
        role: Any = "primary" if member.name == "primary" else "replica"
        house.cluster.learn(member, Finding(role, True, 0x3000060, 2, 0x3000060, True), monotonic())
    return house


def show(house: FakeHouse, what: str) -> list[dict]:
    return records(SHOWS[what](house))


def test_each_member_has_a_row(house: FakeHouse) -> None:
    house.cluster.members[1].load.reads = 3
    house.cluster.members[2].load.reads = 1
    primary, one, two = show(house, "hosts")
    assert (primary["name"], primary["role"], primary["lsn"], primary["timeline"]) == (
        "primary",
        "primary",
        "0/3000060",
        2,
    )
    assert (one["host"], one["port"], one["role"], one["state"]) == ("one.example", 5434, "replica", "up")
    assert (one["lag_bytes"], one["lag_seconds"], one["share"], one["reads"]) == (0, "0.000", "75.0", 3)
    assert (two["role"], two["state"], two["lsn"], two["lag_bytes"]) == ("unknown", "unknown", "", None)


def test_why_a_host_is_down_is_told_without_its_password(house: FakeHouse) -> None:
    member = house.cluster.members[1]
    for _ in range(3):
        house.cluster.failed(member, "Connection refused", monotonic())
    row = show(house, "hosts")[1]
    assert (row["state"], row["failures"], row["last_error"]) == ("down", 3, "Connection refused")
    assert "secret" not in str(show(house, "hosts"))


def test_a_primary_that_was_lost_is_none_any_more(house: FakeHouse) -> None:
    primary, one, two = house.cluster.members
    for _ in range(3):
        house.cluster.failed(primary, "Connection refused", monotonic())
        house.cluster.failed(two, "Connection refused", monotonic())
    house.cluster.learn(one, Finding("primary", True, 0x4000000, 3, 0, True), monotonic())
    assert [row["role"] for row in show(house, "hosts")] == ["unknown", "primary", "unknown"]


def test_servers_of_a_replica_count_for_its_host_and_for_its_database(house: FakeHouse) -> None:
    pool = house.add_pool()
    replica = house.add_router(pool).pool_of(house.cluster.members[1])
    house.add_server(pool)
    house.add_server(replica)
    house.add_server(replica)
    assert [row["servers"] for row in show(house, "hosts")] == [1, 2, 0]
    (row,) = show(house, "pools")
    assert row["sv_idle"] == 3
    assert show(house, "databases")[0]["current_connections"] == 3
    assert [row["host"] for row in show(house, "servers")] == ["primary", "replica1", "replica1"]
    assert [(row["host"], row["sv_idle"]) for row in show(house, "host_pools")] == [
        ("primary", 1),
        ("replica1", 2),
    ]
    assert list_pools(house, "app") == [pool, replica]


def test_features_are_shown_by_arm_with_their_sessions(house: FakeHouse) -> None:
    pool = house.add_pool()
    feature = house.add_router(pool).feature
    feature.switch("on", 40)
    clients = [house.add_client(pool) for _ in range(10)]
    house.add_login()  # not let in yet
    feature.treated.count(250, failed=True)
    feature.treated.count(50, failed=False)
    treated, control = show(house, "features")
    assert [treated[name] for name in ("feature", "database", "user", "mode", "percent", "arm")] == [
        "routing", "app", "app", "on", 40, "treated",
    ]  # fmt: skip
    assert (treated["requests"], treated["errors"], treated["avg_us"]) == (2, 1, 150)
    assert (control["arm"], control["requests"], control["avg_us"]) == ("control", 0, 0)
    share = sum(feature.arm_of(client.id) is feature.treated for client in clients)
    assert (treated["sessions"], control["sessions"]) == (share, 10 - share)
    assert {arm.name: arm.requests for arm in read_figures(house, monotonic()).features} == {
        "treated": 2,
        "control": 0,
    }


def test_session_of_a_read_only_entry_is_treated(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.add_router(pool).feature.switch("on", 0)
    house.add_client(pool, read_only=True)
    assert [row["sessions"] for row in show(house, "features")] == [1, 0]


def test_queries_that_replicas_answer_count_for_the_database(house: FakeHouse) -> None:
    pool = house.add_pool()
    replica = house.add_router(pool).pool_of(house.cluster.members[1])
    pool.stats.query(10)
    replica.stats.query(10)
    (row,) = show(house, "stats")
    assert row["total_query_count"] == 2
    (figures,) = read_figures(house, monotonic()).pools
    assert figures.stats.query_count == 2


def test_routes_are_shown_the_most_frequent_first(house: FakeHouse) -> None:
    router = house.add_router(house.add_pool())
    for _ in range(2):
        router.at_primary.count("not a read")
    for _ in range(5):
        router.find_tally("replica1").count("read")
    assert [(row["host"], row["reason"], row["count"]) for row in show(house, "routes")] == [
        ("replica1", "read", 5),
        ("primary", "not a read", 2),
    ]


def test_rescues_are_shown_with_the_statements_that_stay_away_without_literals(house: FakeHouse) -> None:
    pool = house.add_pool()
    router = house.add_router(pool)
    statement = pool.tenant.classifier.find(b"SELECT liar('very secret')")
    for _ in range(RESCUED_LIMIT):
        router.note_rescue(house.cluster.members[1], "read only", statement)
    rescued, stays = show(house, "rescues")
    assert (rescued["host"], rescued["reason"], rescued["count"]) == ("replica1", "read only", RESCUED_LIMIT)
    assert (stays["host"], stays["reason"], stays["count"]) == ("primary", "rescued too often", RESCUED_LIMIT)
    assert stays["statement"].startswith("SELECT liar(")
    assert "secret" not in stays["statement"]


def test_a_client_that_waits_for_a_replica_waits(house: FakeHouse) -> None:
    pool = house.add_pool()
    replica = house.add_router(pool).pool_of(house.cluster.members[1])
    client = house.add_client(pool)
    assert client_state(client) == "idle"
    replica.checkout(client, monotonic() - 2)
    (row,) = show(house, "pools")
    assert (row["cl_waiting"], row["maxwait"]) == (1, 2)


def test_a_host_that_nobody_probes_is_no_metric(house: FakeHouse) -> None:
    assert [host.name for host in read_figures(house, monotonic()).hosts] == [
        "primary",
        "replica1",
        "replica2",
    ]
    assert not read_figures(FakeHouse(), monotonic()).hosts
