from hypothesis import given
from hypothesis import strategies as st

from dbproxy.cluster.failover import elect
from dbproxy.cluster.member import Member
from tests.unit.cluster.hosts import member, primary

NOT_HEARD = {"heard": False, "role": "unknown", "state": "unknown", "timeline": 0}


def test_whoever_is_writable_is_the_primary_whatever_its_name():
    old, new = member("primary", timeline=1), primary("replica1")
    assert elect([old, new], old).primary is new
    assert elect([old, new], None).primary is new


def test_a_primary_that_does_not_answer_stays_until_it_is_down():
    known = primary(failures=2)
    assert elect([known, member(timeline=1)], known).primary is known
    known.health.down = True
    assert elect([known, member(timeline=1)], known).primary is None


def test_a_demoted_primary_is_none_at_once():
    known = member("primary", timeline=1)
    assert elect([known, member()], known).primary is None


def test_the_newer_timeline_wins_and_the_other_is_fenced():
    old, new = primary(timeline=1), primary("replica1", timeline=2)
    for before in (old, new, None):
        election = elect([old, new], before)
        assert (election.primary, election.fenced) == (new, {old})


def test_of_equal_timelines_the_one_that_was_primary_stays():
    one, two = primary("one"), primary("two")
    assert elect([one, two], two).primary is two
    assert elect([one, two], two).fenced == {one}


def test_a_second_name_of_the_primary_is_not_fenced():
    one, two = primary("one", server=7), primary("two", server=7)
    assert elect([one, two], two).primary is two
    assert elect([one, two], two).fenced == frozenset()


def test_an_old_primary_is_none_even_if_the_new_one_is_down():
    old, new = primary(timeline=1), primary("replica1", timeline=2, down=True, failures=9)
    election = elect([old, new], new)
    assert (election.primary, election.fenced) == (None, {old})


def test_an_old_primary_is_none_if_a_replica_follows_a_newer_one():
    old, follower = primary(timeline=1), member(timeline=2)
    assert elect([old, follower], None).primary is None


def test_an_operator_who_disables_the_newer_one_has_the_older_one_back():
    old, new = primary(timeline=1), primary("replica1", timeline=2, order="disabled")
    election = elect([old, new], new)
    assert (election.primary, election.fenced) == (old, frozenset())


def test_where_no_timelines_are_told_the_only_writable_host_is_the_primary():
    old, new = member("primary", timeline=0), primary("replica1", timeline=0)
    assert elect([old, new], old).primary is new


def test_the_assumed_primary_stays_until_it_is_heard():
    assumed, other = member("primary", **NOT_HEARD), primary("replica1", timeline=7)
    assert elect([assumed, other], assumed).primary is assumed
    assumed.health.down = True
    assert elect([assumed, other], assumed).primary is other


def test_nobody_new_is_elected_while_somebody_may_be_on_a_newer_timeline():
    lost, other, unknown = primary(down=True), primary("one"), member("two", **NOT_HEARD)
    assert elect([lost, other, unknown], None).primary is None
    unknown.health.down = True
    assert elect([lost, other, unknown], None).primary is other


def test_a_fence_falls_when_the_host_is_down():
    old, new = primary(timeline=1, failures=1, fenced=True), primary("replica1", timeline=2)
    assert elect([old, new], new).fenced == {old}
    old.health.down = True
    assert elect([old, new], new).fenced == frozenset()


def test_a_fence_falls_when_the_host_has_become_a_replica():
    fenced, new = member("primary", timeline=2, fenced=True), primary("replica1", timeline=2)
    assert elect([fenced, new], new).fenced == frozenset()


MEMBERS = st.lists(
    st.builds(
        member,
        name=st.sampled_from("abcd"),
        role=st.sampled_from(["primary", "replica", "unknown"]),
        timeline=st.integers(0, 3),
        down=st.booleans(),
        heard=st.booleans(),
        failures=st.integers(0, 3),
        order=st.sampled_from(["", "disabled", "draining"]),
    ),
    max_size=5,
)


@given(MEMBERS, st.integers(0, 4))
def test_an_elected_host_takes_writes_and_nobody_is_known_to_be_newer(members: list[Member], before: int):
    was = members[before] if before < len(members) else None
    election = elect(members, was)
    chosen = election.primary
    assert chosen not in election.fenced
    if chosen is not None and (chosen.health.heard or chosen.health.down or chosen is not was):
        assert chosen.role == "primary"
        assert not chosen.health.down
        timelines = [found.position.timeline for found in members if found.order != "disabled"]
        assert chosen.position.timeline in (0, max(timelines))


@given(MEMBERS, st.integers(0, 4))
def test_the_primary_stays_until_the_facts_change(members: list[Member], before: int):
    elected = elect(members, members[before] if before < len(members) else None).primary
    assert elect(members, elected).primary is elected
