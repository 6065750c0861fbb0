"""`/health/detailed` names hosts, pools and queues as they are."""

from dbproxy.admin import detail
from dbproxy.admin.figures import read_figures
from dbproxy.cluster.finding import Finding
from dbproxy.pool.tenant import Tenant
from dbproxy.session.wait import NAMES
from tests.unit.admin.house import FakeHouse, settings

REPLICA_URL = "postgresql://app:secret@replica.example:5433/app"


def test_host_tells_role_lag_failures_and_its_last_transition() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA_URL))
    primary, replica = house.cluster.members
    house.cluster.learn(primary, Finding("primary", lsn=10, timeline=1), 1.0)
    house.cluster.learn(replica, Finding("replica", lsn=10, timeline=1), 1.0)
    house.cluster.learn(primary, Finding("primary", lsn=100, timeline=1), 2.0)
    house.cluster.learn(replica, Finding("replica", lsn=10, timeline=1), 5.0)
    house.cluster.failed(replica, "no answer", 6.0)
    pool = house.add_pool()
    house.add_server(pool)
    pool.welcome = {"server_version": "18.1"}
    first, second = detail.describe_hosts(house, house.cluster, 7.0)
    assert (first["role"], first["connections"], first["version"]) == ("primary", 1, "18.1")
    assert (second["role"], second["state"], second["lag_s"], second["lag_bytes"]) == (
        "replica",
        "up",
        3.0,
        90,
    )
    assert (second["failures"], second["last_error"], second["in_state_s"]) == (1, "no answer", 6.0)
    assert second["last_transition"].endswith("+00:00")


def test_pools_for_which_most_wait_come_first_and_the_rest_is_counted(monkeypatch) -> None:
    monkeypatch.setattr(detail, "MOST_POOLS", 1)
    house = FakeHouse()
    house.add_pool("quiet")
    busy = house.add_pool("busy")
    house.queue(house.add_client(busy), 10.0)
    told = detail.describe_pools(house, 12.0)
    assert told["left_out"] == 1
    (pool,) = told["listed"]
    assert (pool["database"], pool["waiting"], pool["longest_wait_s"]) == ("busy", 1, 2.0)
    assert pool["servers"]["login"] == 1
    assert pool["size"] == Tenant("busy", "app", house.settings.pool_for("busy", "app")).settings.size


def test_queues_tell_who_waits_for_what() -> None:
    house = FakeHouse(settings(DBPROXY_POOL__SIZE="1"))
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    waiting = house.add_client(pool)
    waiting.data_received(b"Q\0\0\0\x0dSELECT 1\0")
    house.add_login()
    told = detail.describe_queues(house, read_figures(house, 0.0), 0.0)
    assert told["logins"] == 1
    assert told["clients"]["server"] == 1
    assert set(told["clients"]) == {name for name in NAMES.values() if name} | {"limit"}
