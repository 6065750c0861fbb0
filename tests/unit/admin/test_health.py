"""Who can serve a write, who only a read, and who neither: as the hosts are known."""

import pytest

from dbproxy.admin.health import Readiness, judge
from dbproxy.cluster.finding import Finding
from tests.unit.admin.house import FakeHouse, settings

REPLICA_URL = "postgresql://app:secret@replica.example:5433/app"
PRIMARY, REPLICA = Finding("primary", timeline=1), Finding("replica", timeline=1)


@pytest.fixture
def house() -> FakeHouse:
    """A primary and a replica, which have answered."""
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA_URL, DBPROXY_ROUTING__SLOW_START="0s"))
    learn(house, primary=PRIMARY, replica1=REPLICA)
    return house


def learn(house: FakeHouse, now: float = 1.0, **findings: Finding) -> None:
    for name, finding in findings.items():
        house.cluster.learn(house.cluster.member(name), finding, now)


def lose(house: FakeHouse, *names: str) -> None:
    for name in names:
        for now in (2.0, 3.0, 4.0):
            house.cluster.failed(house.cluster.member(name), "no answer", now)


def ready(house: FakeHouse) -> Readiness:
    return judge(house, house.cluster)


def test_hosts_that_answer_serve_both(house: FakeHouse) -> None:
    assert ready(house) == Readiness()


def test_hosts_that_were_not_asked_yet_serve_nothing() -> None:
    fault = ready(FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA_URL)))
    assert fault.write.reason == "primary has not been asked yet"
    assert fault.read.reason == "no host answers reads: primary has not been asked yet"


def test_lost_primary_leaves_the_reads(house: FakeHouse) -> None:
    lose(house, "primary")
    readiness = ready(house)
    assert readiness.write.reason == "no host takes writes (primary is down, replica1 is a replica)"
    assert readiness.write.detail == "primary (primary.example:5433): no answer"
    assert readiness.read.reason == ""
    assert readiness.fault("read").reason == ""
    assert readiness.fault("").reason == readiness.fault("write").reason != ""


def test_replicas_that_get_no_reads_do_not_serve_them(house: FakeHouse) -> None:
    house.apply(
        settings(
            DATABASE_READ_REPLICAS=REPLICA_URL,
            DBPROXY_ROUTING__SLOW_START="0s",
            DBPROXY_ROUTING__MODE="observe",
        )
    )
    lose(house, "primary")
    assert ready(house).read.reason.startswith("no host answers reads: no host takes writes")


def test_primary_answers_reads_where_the_replicas_do_not(house: FakeHouse) -> None:
    lose(house, "replica1")
    assert ready(house) == Readiness()


def test_all_hosts_lost_serve_nothing(house: FakeHouse) -> None:
    lose(house, "primary", "replica1")
    assert ready(house).fault("write").reason == "no host takes writes (primary is down, replica1 is down)"
    assert ready(house).fault("read").reason != ""


def test_primary_that_an_administrator_drains_takes_no_writes(house: FakeHouse) -> None:
    house.cluster.drain("primary", 2.0)
    assert ready(house).write.reason == "primary is draining"
    assert ready(house).read.reason == ""


def test_primary_that_does_not_let_the_probe_in_is_there_all_the_same() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS=REPLICA_URL))
    house.cluster.refused(house.cluster.member("primary"), "no pg_hba.conf entry", 1.0)
    assert ready(house).write.reason == ""


def test_host_that_stands_alone_and_is_in_recovery_answers_reads() -> None:
    house = FakeHouse()
    learn(house, primary=REPLICA)
    assert ready(house).write.reason == "no host takes writes (primary is a replica)"
    assert ready(house).read.reason == ""


@pytest.mark.parametrize(
    ("state", "reason"),
    [("stopping", "the proxy is shutting down"), ("paused", "the proxy is paused: clients wait for RESUME")],
)
def test_proxy_that_takes_no_work_says_so_before_anything_else(
    house: FakeHouse, state: str, reason: str
) -> None:
    lose(house, "primary")
    setattr(house, state, True)
    assert (ready(house).write.reason, ready(house).read.reason) == (reason, reason)


def test_addresses_are_for_those_who_may_see_them(house: FakeHouse) -> None:
    lose(house, "primary")
    fault = ready(house).write
    assert "primary.example" in fault.tell(all_of_it=True)
    assert "primary.example" not in fault.tell(all_of_it=False)
