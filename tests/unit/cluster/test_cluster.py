from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dbproxy.cluster.cluster import PATIENCE, Cluster
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.health import RETRY, WANTED
from dbproxy.errors import CommandFailed
from tests.unit.cluster.hosts import fail, following, running, settings, writable

QUICK = {"slow_start": 0}


def hear(cluster: Cluster) -> list[tuple[str, str]]:
    """What the cluster tells from now on: the event, and whom it is about."""
    heard: list[tuple[str, str]] = []

    def listen(event: str) -> Callable[[Any], None]:
        return lambda member: heard.append((event, member.name if member else "nobody"))

    cluster.on_primary, cluster.on_out = listen("primary"), listen("out")
    cluster.on_in, cluster.on_position = listen("in"), listen("position")
    return heard


def names(cluster: Cluster, lsn: int = 0, now: float = 5.0) -> set[str]:
    """Who answers reads."""
    picked = {cluster.readers.pick(now, lsn) for _ in range(100)}
    return {member.name for member in picked if member}


# --- the start ---


def test_before_any_answer_the_configured_primary_is_it_and_no_replica_is_read():
    cluster = Cluster(settings())
    assert cluster.primary is cluster.member("primary")
    assert names(cluster) == set()


def test_a_replica_is_read_from_its_first_answer_on():
    cluster = Cluster(settings())
    heard = hear(cluster)
    cluster.learn(cluster.member("replica2"), following(), 1.0)
    assert names(cluster) == {"replica2"}
    assert heard == [("in", "replica2")]


def test_the_real_primary_is_found_where_the_configuration_is_out_of_date():
    cluster = Cluster(settings())
    heard = hear(cluster)
    cluster.learn(cluster.member("replica1"), writable(timeline=2), 1.0)
    assert cluster.primary is cluster.member("primary")  # it has not been heard
    cluster.learn(cluster.member("primary"), following(timeline=2), 1.1)
    cluster.learn(cluster.member("replica2"), following(timeline=2), 1.2)
    assert cluster.primary is cluster.member("replica1")
    assert names(cluster) == {"primary", "replica2"}
    assert [event for event in heard if event[0] == "primary"] == [
        ("primary", "nobody"),
        ("primary", "replica1"),
    ]


def test_without_replicas_all_is_the_primarys():
    cluster = running(0)
    assert cluster.readers.pick(1.0) is None


# --- names that lead elsewhere ---


def test_another_server_at_the_primarys_address_is_told_and_nobody_is_known_to_be_anywhere():
    cluster = running()
    moved: list[str] = []
    cluster.on_moved = lambda member: moved.append(member.name)
    cluster.learn(cluster.member("primary"), writable(2000, server=7), 2.0)
    cluster.learn(cluster.member("replica1"), following(2000, server=8), 2.1)
    assert names(cluster, 2000) == {"replica1"}
    cluster.learn(cluster.member("primary"), writable(1500, timeline=1, server=9), 3.0)
    assert moved == ["primary"]
    assert names(cluster, 1) == set()
    cluster.learn(cluster.member("replica1"), following(1400, server=8), 3.1)
    assert names(cluster, 1400) == {"replica1"}
    assert moved == ["primary"]


# --- replicas out and in ---


def test_a_replica_is_out_at_the_threshold_and_back_after_two_answers():
    cluster = running(routing=QUICK)
    heard = hear(cluster)
    fail(cluster, "replica1", times=2)
    assert names(cluster) == {"replica1", "replica2"}
    fail(cluster, "replica1", times=1)
    assert names(cluster) == {"replica2"}
    cluster.learn(cluster.member("replica1"), following(), 3.0)
    assert names(cluster) == {"replica2"}
    cluster.learn(cluster.member("replica1"), following(), 3.1)
    assert names(cluster) == {"replica1", "replica2"}
    assert heard == [("out", "replica1"), ("in", "replica1")]


def test_one_that_comes_back_is_starting_until_its_slow_start_is_over():
    cluster = running(routing={"slow_start": "10s"})
    found = cluster.member("replica1")
    fail(cluster, "replica1")
    for now in (3.0, 4.0, 13.9, 14.0):
        cluster.learn(found, following(), now)
        assert found.state == {3.0: "down", 4.0: "starting", 13.9: "starting", 14.0: "up"}[now]
    assert found.since == 14.0


def test_a_replica_that_lags_over_the_limit_is_out_until_it_lags_half_of_that():
    cluster = running(routing=QUICK)
    primary, replica = cluster.member("primary"), cluster.member("replica1")
    cluster.learn(primary, writable(2000), 10.0)
    cluster.learn(replica, following(1500), 39.9)
    assert "replica1" in names(cluster)
    cluster.learn(replica, following(1500), 40.0)
    assert (replica.state, replica.lag.seconds, replica.lag.bytes) == ("lagging", 30.0, 500)
    assert "replica1" not in names(cluster)
    cluster.learn(replica, following(2000), 41.0)
    assert "replica1" in names(cluster)
    assert replica.health.started_at == 41.0


def test_lag_over_the_warning_is_told_once():
    cluster = running()
    cluster.learn(cluster.member("primary"), writable(2000), 10.0)
    with capture_logs() as lines:
        for now in (14.0, 16.0, 17.0):
            cluster.learn(cluster.member("replica1"), following(1500), now)
    assert [(line["event"], line["host"], line["seconds"]) for line in lines] == [
        ("replica lags", "replica1", 6.0)
    ]


def test_replicas_do_not_lag_behind_a_primary_that_is_gone():
    cluster = running()
    cluster.learn(cluster.member("primary"), writable(2000), 10.0)
    fail(cluster, "primary", now=11.0)
    cluster.learn(cluster.member("replica1"), following(1990), 500.0)
    assert cluster.member("replica1").lag.seconds == 1.0
    assert "replica1" in names(cluster)


def test_a_failed_query_takes_a_replica_out_until_it_is_probed_which_is_at_once():
    cluster = running()
    replica = cluster.member("replica1")
    replica.due.clear()
    cluster.report_failure(replica, "server closed the connection", 2.0)
    assert replica.due.is_set()
    assert names(cluster) == {"replica2"}
    cluster.learn(replica, following(), 2.1)
    assert names(cluster) == {"replica1", "replica2"}


def test_many_failed_queries_are_one_reason_to_probe():
    cluster = running()
    replica = cluster.member("replica1")
    cluster.report_failure(replica, "server closed the connection", 2.0)
    replica.due.clear()
    cluster.report_failure(replica, "server closed the connection", 2.0)
    assert not replica.due.is_set()


# --- positions ---


def test_a_read_goes_where_its_position_is_replayed():
    cluster = running()
    cluster.learn(cluster.member("replica1"), following(1500), 2.0)
    assert names(cluster, lsn=1500) == {"replica1"}
    assert names(cluster, lsn=1501) == set()


def test_a_commit_tells_where_the_primary_is():
    cluster = running()
    cluster.note_primary_lsn(5000, 10.0)
    cluster.learn(cluster.member("replica1"), following(4000), 12.0)
    replica = cluster.member("replica1")
    assert (replica.lag.bytes, replica.lag.seconds) == (1000, 2.0)


def test_a_wanted_position_is_asked_for_often_until_a_replica_has_it():
    cluster = running()
    heard = hear(cluster)
    replica = cluster.member("replica1")
    replica.due.clear()
    assert cluster.pause(replica, 2.0) == cluster.settings.health.lag_interval
    cluster.want(3000, 2.0)
    assert replica.due.is_set()
    assert cluster.pause(replica, 2.0) == WANTED
    cluster.learn(replica, following(2000), 2.1)
    assert cluster.pause(replica, 2.1) == WANTED
    cluster.learn(replica, following(2000), 2.2)
    cluster.learn(replica, following(3000), 2.3)
    assert cluster.pause(replica, 2.3) == cluster.settings.health.lag_interval
    assert heard == [("position", "replica1")] * 2


def test_nobody_asks_often_for_ever():
    cluster = running()
    cluster.want(3000, 2.0)
    assert cluster.pause(cluster.member("replica1"), 2.0 + PATIENCE) == cluster.settings.health.lag_interval


def test_a_position_that_was_never_reached_is_not_waited_for_again():
    cluster = running()
    cluster.want(9000, 2.0)
    cluster.want(3000, 2.0 + PATIENCE)
    cluster.learn(cluster.member("replica1"), following(3000), 2.1 + PATIENCE)
    assert cluster.pause(cluster.member("replica1"), 2.1 + PATIENCE) == cluster.settings.health.lag_interval


def test_a_new_timeline_forgets_all_positions():
    cluster = running()
    cluster.learn(cluster.member("primary"), writable(1200, timeline=2), 2.0)
    assert names(cluster, lsn=1) == set()
    cluster.learn(cluster.member("replica1"), following(1300, timeline=1), 2.1)
    assert names(cluster, lsn=1) == set()
    cluster.learn(cluster.member("replica1"), following(1100, timeline=2), 2.2)
    assert names(cluster, lsn=1) == {"replica1"}


def test_a_primary_that_comes_back_may_be_behind_what_it_was():
    cluster = running()
    fail(cluster, "primary", times=1)
    cluster.learn(cluster.member("primary"), writable(900), 3.0)
    cluster.learn(cluster.member("replica1"), following(900), 60.0)
    assert cluster.member("replica1").lag.seconds == 0.0


def test_a_failure_of_the_primary_makes_no_lag_young():
    cluster = running()
    cluster.learn(cluster.member("primary"), writable(2000), 10.0)
    fail(cluster, "primary", times=1, now=39.0)
    cluster.learn(cluster.member("primary"), writable(2000), 40.0)
    cluster.learn(cluster.member("replica1"), following(1500), 41.0)
    assert cluster.member("replica1").lag.seconds == 31.0


def test_positions_are_known_as_long_as_the_primary_tells_them():
    cluster = running()
    assert cluster.positions
    cluster.learn(cluster.member("primary"), Finding("primary", positions=False), 2.0)
    assert not cluster.positions


# --- the primary ---


def test_a_promotion_is_found_and_told_with_the_time_that_it_took():
    cluster = running()
    heard = hear(cluster)
    fail(cluster, "primary", now=10.0)
    assert (cluster.primary, cluster.primary_lost_at) == (None, 10.0)
    with capture_logs() as lines:
        cluster.learn(cluster.member("replica1"), writable(1100, timeline=2), 10.5)
    assert cluster.primary is cluster.member("replica1")
    assert cluster.primary_lost_at is None
    assert [event for event in heard if event[0] == "primary"] == [
        ("primary", "nobody"),
        ("primary", "replica1"),
    ]
    found = next(line for line in lines if line["event"] == "primary found")
    assert (found["host"], found["timeline"], found["lost_for"]) == ("replica1", 2, 0.5)


def test_all_is_settled_when_a_new_primary_is_told():
    cluster = running(routing=QUICK)
    seen: list[set[str]] = []
    cluster.on_primary = lambda _: seen.append(names(cluster))
    fail(cluster, "primary")
    cluster.learn(cluster.member("replica1"), writable(timeline=2), 3.0)
    assert seen == [{"replica1", "replica2"}, {"replica2"}]


def test_all_hosts_are_asked_fast_and_at_once_when_the_primary_begins_to_fail():
    cluster = running()
    for member in cluster.members:
        member.due.clear()
    fail(cluster, "primary", times=1)
    assert [member.due.is_set() for member in cluster.members] == [False, True, True]
    assert [cluster.pause(member, 2.0) for member in cluster.members] == [RETRY] * 3


def test_a_second_writable_host_is_fenced_loudly_and_once():
    cluster = running()
    with capture_logs() as lines:
        for now in (2.0, 2.1):
            cluster.learn(cluster.member("replica1"), writable(timeline=2), now)
    old = cluster.member("primary")
    assert cluster.primary is cluster.member("replica1")
    assert old.state == "fenced"
    loud = [line for line in lines if line["log_level"] == "error"]
    assert [(line["host"], line["primary"]) for line in loud] == [("primary", "replica1 on timeline 2")]
    assert names(cluster) == {"replica2"}


def test_a_replica_that_is_the_primary_by_another_name_is_told_as_that():
    cluster = Cluster(settings())
    with capture_logs() as lines:
        cluster.learn(cluster.member("primary"), writable(server=7), 1.0)
        cluster.learn(cluster.member("replica1"), writable(server=7), 1.1)
        cluster.learn(cluster.member("replica2"), following(server=8), 1.2)
    told = {line["host"]: line.get("same_server_as") for line in lines if line["event"] == "host up"}
    assert told == {"primary": None, "replica1": "primary", "replica2": None}
    assert names(cluster) == {"replica2"}


def test_a_primary_that_has_just_died_is_no_alarm_until_it_answers_again():
    cluster = running()
    fail(cluster, "primary", times=1)
    with capture_logs() as lines:
        cluster.learn(cluster.member("replica1"), writable(timeline=2), 2.1)
        fail(cluster, "primary", times=1)
        assert cluster.member("primary").state == "fenced"
        assert "error" not in {line["log_level"] for line in lines}
        cluster.learn(cluster.member("primary"), writable(timeline=1), 2.2)
        assert "error" in {line["log_level"] for line in lines}


def test_who_takes_writes_is_no_alarm_while_the_configured_primary_was_never_heard():
    cluster = Cluster(settings())
    with capture_logs() as lines:
        cluster.learn(cluster.member("replica1"), writable(timeline=1), 1.0)
        assert "error" not in {line["log_level"] for line in lines}
        cluster.learn(cluster.member("primary"), writable(timeline=1), 1.1)
        assert "error" in {line["log_level"] for line in lines}


def test_an_old_primary_that_comes_back_as_a_replica_is_one():
    cluster = running(routing=QUICK)
    cluster.learn(cluster.member("replica1"), writable(timeline=2), 2.0)
    cluster.learn(cluster.member("primary"), following(timeline=2), 3.0)
    assert cluster.member("primary").state == "up"
    assert "primary" in names(cluster)


def test_a_probe_that_is_not_let_in_leaves_the_configured_primary_in_its_place():
    cluster = Cluster(settings())
    primary = cluster.member("primary")
    with capture_logs() as lines:
        for now in (1.0, 2.0, 3.0, 4.0):
            cluster.refused(primary, "password authentication failed", now)
    assert cluster.primary is primary
    assert [line["event"] for line in lines] == ["probe refused"]


# --- orders and reloads ---


def test_a_disabled_or_draining_replica_is_out_until_it_is_enabled():
    cluster = running(routing=QUICK)
    heard = hear(cluster)
    for order in (cluster.disable, cluster.drain):
        order("replica1", 2.0)
        assert names(cluster) == {"replica2"}
        cluster.enable("replica1", 3.0)
        assert names(cluster) == {"replica1", "replica2"}
    assert heard == [("out", "replica1"), ("in", "replica1")] * 2


def test_disabling_the_primary_leaves_none_until_it_is_enabled():
    cluster = running()
    cluster.disable("primary", 2.0)
    assert cluster.primary is None
    cluster.enable("primary", 3.0)
    assert cluster.primary is cluster.member("primary")


def test_an_order_for_an_unknown_host_names_those_that_there_are():
    with pytest.raises(CommandFailed, match='no host "replica9"; there are primary, replica1, replica2'):
        running().disable("replica9", 1.0)


def test_probing_asks_all_at_once():
    cluster = running()
    for member in cluster.members:
        member.due.clear()
    cluster.probe()
    assert all(member.due.is_set() for member in cluster.members)


def test_a_reload_keeps_what_is_known_of_those_that_stay():
    cluster = running()
    kept, gone = cluster.member("replica1"), cluster.member("replica2")
    heard = hear(cluster)
    cluster.changed.clear()
    url = "postgresql://app:other@replica1.internal/app"
    cluster.apply(settings(replicas=[{"name": "replica1", "url": url, "weight": 5}]), 2.0)
    assert cluster.member("replica1") is kept
    assert (kept.weight, kept.url.password.get_secret_value(), kept.state) == (5, "other", "up")
    assert gone not in cluster.members
    assert heard == [("out", "replica2")]
    assert cluster.changed.is_set()


def test_another_address_is_another_host():
    cluster = running()
    before = cluster.member("replica1")
    cluster.apply(settings(replicas=[{"name": "replica1", "url": "postgresql://app@elsewhere/app"}]), 2.0)
    assert cluster.member("replica1") is not before
    assert cluster.member("replica1").state == "unknown"


def test_a_reload_while_the_primary_is_lost_does_not_find_it():
    cluster = running()
    fail(cluster, "primary", now=2.0)
    heard = hear(cluster)
    cluster.apply(settings(), 3.0)
    assert (cluster.primary, cluster.primary_lost_at, heard) == (None, 2.0, [])


def test_what_a_probe_of_a_removed_host_finds_is_not_heard():
    cluster = running()
    gone = cluster.member("replica2")
    cluster.apply(settings(1), 2.0)
    heard = hear(cluster)
    cluster.learn(gone, writable(timeline=9), 2.1)
    cluster.failed(gone, "connection refused", 2.1)
    assert (cluster.primary, heard) == (cluster.member("primary"), [])


# --- whatever happens ---

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["primary", "replica1", "replica2"]),
        st.sampled_from(
            ["writes", "follows", "fails", "is refused", "is reported", "disable", "drain", "enable"]
        ),
        st.integers(0, 3),  # timeline
        st.integers(0, 100),  # position
        st.floats(0, 40),  # seconds since the event before
    ),
    max_size=60,
)


def happen(cluster: Cluster, name: str, event: str, timeline: int, lsn: int, now: float) -> None:
    member = cluster.member(name)
    match event:
        case "writes":
            cluster.learn(member, writable(lsn, timeline), now)
        case "follows":
            cluster.learn(member, following(lsn, timeline), now)
        case "fails":
            cluster.failed(member, "refused", now)
        case "is refused":
            cluster.refused(member, "too many clients", now)
        case "is reported":
            cluster.report_failure(member, "closed", now)
        case "disable" | "drain" | "enable":
            getattr(cluster, event)(name, now)


@given(EVENTS)
def test_whatever_happens_reads_go_to_fit_replicas_and_listeners_know_all(events: list[Any]):
    cluster, now = Cluster(settings()), 0.0
    fit: set[str] = set()
    told: list[Any] = [cluster.primary]
    cluster.on_in, cluster.on_out = (
        lambda member: fit.add(member.name),
        lambda member: fit.remove(member.name),
    )
    cluster.on_primary = told.append
    for name, event, timeline, lsn, seconds in events:
        now += seconds
        happen(cluster, name, event, timeline, lsn, now)
        assert told[-1] is cluster.primary
        assert fit == {member.name for member in cluster.members if member.fit}
        picked = cluster.readers.pick(now, lsn)
        if picked is not None:
            assert picked.fit
            assert picked.role == "replica"
            assert picked is not cluster.primary
            assert picked.position.lsn >= lsn
        assert cluster.primary is None or not cluster.primary.fenced
        writers = [member for member in cluster.members if member.role == "primary" and member.fit]
        assert len(writers) < 2
    assert all(before is not after for before, after in pairwise(told))
