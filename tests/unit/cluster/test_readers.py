import random
from collections import Counter

import pytest

from dbproxy.cluster.member import Member
from dbproxy.cluster.readers import Readers
from dbproxy.config import RoutingSettings
from tests.unit.cluster.hosts import member, primary


def readers(*members: Member, leader: Member | None = None, now: float = 100.0, **routing: object) -> Readers:
    made = Readers()
    made.prepare(members, leader, RoutingSettings.model_validate(routing), now)
    return made


def tally(found: Readers, times: int = 1000, lsn: int = 0) -> Counter[str]:
    random.seed(7)
    picked = (found.pick(100.0, lsn, None) for _ in range(times))
    return Counter(one.name if one else "nobody" for one in picked)


@pytest.mark.parametrize("state", ["unknown", "down", "lagging", "fenced", "disabled", "draining"])
def test_only_those_that_are_fit_are_picked(state: str):
    assert tally(readers(member("a", state=state), member("b"))) == {"b": 1000}


def test_where_a_query_failed_nobody_goes_until_it_is_probed():
    assert tally(readers(member("a", suspect=True), member("b"))) == {"b": 1000}


def test_a_weight_of_nothing_takes_nothing():
    assert tally(readers(member("a", weight=0))) == {"nobody": 1000}


def test_a_writable_host_that_is_not_the_primary_takes_nothing():
    assert tally(readers(primary("a"), member("b"))) == {"b": 1000}


def test_only_those_that_have_replayed_the_position_are_picked():
    found = readers(member("a", lsn=100), member("b", lsn=200))
    assert tally(found, lsn=150) == {"b": 1000}
    assert tally(found, lsn=200) == {"b": 1000}
    assert tally(found, lsn=201) == {"nobody": 1000}
    assert set(tally(found, lsn=100)) == {"a", "b"}


def test_the_one_to_avoid_is_avoided():
    one, two = member("a"), member("b")
    found = readers(one, two)
    assert {found.pick(100.0, 0, one) for _ in range(50)} == {two}
    assert readers(one).pick(100.0, 0, one) is None


def test_of_several_that_are_avoided_none_is_picked():
    one, two, three = member("a"), member("b"), member("c")
    found = readers(one, two, three)
    assert {found.pick_other(100.0, 0, [one, two]) for _ in range(50)} == {three}
    assert found.pick_other(100.0, 0, [one, two, three]) is None


def test_primary_that_is_avoided_does_not_take_what_starting_replicas_cannot_yet():
    leader, starting = primary(), member("a", state="starting", started_at=99.9)
    found = readers(leader, starting, leader=leader, slow_start="100s")
    assert tally(found)["nobody"] > 0
    assert {found.pick(100.0, 0, leader) for _ in range(50)} == {starting}
    assert {found.pick_other(100.0, 0, [leader]) for _ in range(50)} == {starting}


def test_the_primary_takes_no_reads_unless_it_is_given_a_weight():
    leader = primary()
    assert tally(readers(leader, member("a"), leader=leader)) == {"a": 1000}


def test_the_primarys_weight_is_its_share_and_it_is_always_fresh():
    leader = primary(lsn=5)
    found = readers(leader, member("a", lsn=900), leader=leader, primary_reads_weight=1)
    shares = tally(found, lsn=800)
    assert 400 < shares["nobody"] < 600
    assert shares["nobody"] + shares["a"] == 1000
    assert leader.load.reads == shares["nobody"]


def test_one_that_is_starting_takes_a_part_of_its_share():
    found = readers(member("a", started_at=94.0), member("b"), leader=primary(), slow_start="30s")
    assert 120 < tally(found)["a"] < 220  # a fifth against a whole one


def test_while_all_are_starting_the_primary_goes_on_with_the_rest():
    found = readers(member("a", started_at=94.0), leader=primary(), slow_start="30s")
    assert 150 < tally(found)["a"] < 250


def test_while_all_are_starting_and_there_is_no_primary_they_take_all():
    assert tally(readers(member("a", started_at=94.0), leader=None, slow_start="30s")) == {"a": 1000}


def test_it_is_known_whether_any_replica_takes_reads():
    leader = primary()
    assert readers(leader, member("a", lsn=1), leader=leader, primary_reads_weight=1).replicas == 1
    assert readers(leader, member("a", state="down"), leader=leader, primary_reads_weight=1).replicas == 0


def test_picks_are_counted():
    one = member("a")
    tally(readers(one), times=7)
    assert one.load.reads == 7
