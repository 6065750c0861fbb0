import pytest

from dbproxy.cluster.member import LEAST_SHARE, list_members
from dbproxy.config import Settings
from tests.unit.cluster.hosts import member


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, "up"),
        ({"heard": False}, "unknown"),
        ({"heard": False, "failures": 1}, "unknown"),
        ({"down": True}, "down"),
        ({"over": True}, "lagging"),
        ({"started_at": 95.0}, "starting"),
        ({"started_at": 90.0}, "up"),
        ({"fenced": True, "over": True}, "fenced"),
        ({"down": True, "order": "disabled"}, "disabled"),
        ({"order": "draining"}, "draining"),
    ],
)
def test_the_state_is_the_word_for_the_facts(facts: dict[str, object], state: str):
    assert member(**facts).judge(100.0, slow_start=10.0) == state


def test_a_primary_does_not_lag():
    assert member(role="primary", over=True).judge(1.0, slow_start=10.0) == "up"


def test_the_share_grows_to_the_weight_through_the_slow_start():
    found = member(weight=4, started_at=100.0)
    shares = [found.weigh(now, slow_start=10.0) for now in (100.0, 105.0, 110.0, 200.0)]
    assert shares == [4 * LEAST_SHARE, 2.0, 4.0, 4.0]


def test_without_a_slow_start_the_share_is_whole_at_once():
    assert member(weight=3, started_at=100.0).weigh(100.0, slow_start=0.0) == 3.0


def test_a_member_is_shown_without_its_password():
    assert repr(member("replica1")) == "<Member replica1 replica1.internal:5432 replica up>"


def test_a_host_is_another_server_once_it_says_so():
    found = member(server=0)
    assert not found.recognise(0, 1.0)  # it does not tell
    assert not found.recognise(7, 2.0)
    assert not found.recognise(7, 3.0)
    assert not found.recognise(0, 4.0)
    assert found.recognise(8, 5.0)
    assert found.moved_at == 4.0  # what was opened up to then leads to the one before
    assert not found.recognise(8, 6.0)


def test_a_name_that_leads_to_several_servers_in_turn_is_no_news_once_each_has_been_seen():
    found = member(server=0)
    assert [found.recognise(server, 1.0) for server in (7, 8, 7, 8, 7)] == [False, True, False, False, False]


def test_two_names_of_one_server_are_known_by_what_it_says():
    one, two = member("one", server=7), member("two", server=7)
    assert one.is_one_with(two)
    assert not one.is_one_with(member("three", server=8))
    assert not member(server=0).is_one_with(member(server=0))
    assert not one.is_one_with(None)


def test_hosts_of_the_primary_s_url_are_members_that_take_no_reads():
    settings = Settings.model_validate(
        {
            "primary": {"url": "postgresql://a,b/db"},
            "replicas": [{"name": "r", "url": "postgresql://c,d/db", "weight": 3}],
        }
    )
    found = [(one.name, one.url.host, one.weight) for one in list_members(settings)]
    assert found == [("primary", "a", 0), ("primary-2", "b", 0), ("r", "c", 3), ("r-2", "d", 3)]
