import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.cluster.balancer import DECAY, PICKS, cost, draw, end, learn, observe
from dbproxy.cluster.member import Member
from dbproxy.config import Balancing
from tests.unit.cluster.hosts import member

ALL = sorted(PICKS)


@pytest.fixture(autouse=True)
def _same_dice() -> None:
    random.seed(7)


def three(**facts: object) -> tuple[Member, ...]:
    """Weights 1, 2 and 3."""
    return tuple(member(name, weight=weight, **facts) for name, weight in (("a", 1), ("b", 2), ("c", 3)))


def tally(kind: Balancing, members: tuple[Member, ...], times: int = 6000) -> Counter[str]:
    return Counter(PICKS[kind](members, 1.0).name for _ in range(times))


@pytest.mark.parametrize("kind", ALL)
def test_among_equals_reads_go_by_weight(kind: Balancing):
    found = tally(kind, three(latency=0.001, latency_at=1.0))
    assert [round(found[name] / 1000) for name in "abc"] == [1, 2, 3]


@pytest.mark.parametrize("kind", ALL)
def test_one_alone_takes_all(kind: Balancing):
    assert tally(kind, (member("a"),), 10) == {"a": 10}


@pytest.mark.parametrize("kind", ALL)
@given(
    shares=st.lists(st.floats(0.01, 100), min_size=1, max_size=5),
    active=st.lists(st.integers(0, 9), min_size=5),
)
def test_whoever_is_picked_is_one_of_those_given(kind: Balancing, shares: list[float], active: list[int]):
    members = tuple(
        member(str(n), share=share, active=running, latency=0.1)
        for n, (share, running) in enumerate(zip(shares, active, strict=False))
    )
    assert PICKS[kind](members, 1.0) in members


def test_round_robin_takes_turns():
    one, two = member("a"), member("b", weight=2)
    assert [PICKS["round_robin"]((one, two), 1.0).name for _ in range(6)] == ["b", "a", "b"] * 2


def test_the_fewest_connections_for_its_share_are_found():
    busy, idle, large = (
        member("busy", active=3),
        member("idle", active=2),
        member("large", weight=4, active=6),
    )
    assert tally("least_connections", (busy, idle, large), 50) == {"large": 50}


def test_a_slow_replica_is_left_alone():
    slow, fast = member("slow", latency=0.1, latency_at=1.0), member("fast", latency=0.001, latency_at=1.0)
    assert tally("peak_ewma", (slow, fast), 100) == {"fast": 100}


def test_a_busy_replica_is_left_alone():
    busy = member("busy", latency=0.001, latency_at=1.0, active=5)
    idle = member("idle", latency=0.001, latency_at=1.0)
    assert tally("peak_ewma", (busy, idle), 100) == {"idle": 100}


def test_a_replica_that_was_slow_is_tried_again_when_that_is_long_ago():
    slow, fast = member("slow", latency=0.1, latency_at=0.0), member("fast", latency=0.001, latency_at=100.0)
    assert cost(slow, 100.0) < cost(fast, 100.0)


def test_one_whose_latency_is_not_known_is_neither_sought_nor_avoided():
    new, known = member("new"), member("known", latency=0.01, latency_at=1.0)
    found = tally("peak_ewma", (new, known), 1000)
    assert 400 < found["new"] < 600


def test_a_peak_counts_at_once_and_is_forgotten_slowly():
    found = member()
    observe(found, 0.001, 0.0)
    observe(found, 0.5, 1.0)
    assert found.load.latency == 0.5
    observe(found, 0.001, 1.0 + DECAY)
    assert 0.1 < found.load.latency < 0.25
    observe(found, 0.001, 1.0 + 20 * DECAY)
    assert found.load.latency == pytest.approx(0.001, rel=0.01)


@given(st.lists(st.tuples(st.floats(0.0001, 10), st.floats(0, 60)), min_size=1, max_size=50))
def test_the_average_lies_between_what_was_seen(reads: list[tuple[float, float]]):
    found, now = member(), 0.0
    for seconds, later in reads:
        now += later
        observe(found, seconds, now)
        assert found.load.latency >= seconds
    assert found.load.latency <= max(seconds for seconds, _ in reads) * 1.000001


def test_drawing_beside_one_never_draws_it_where_there_is_another():
    one, two, three = member("a", weight=50), member("b"), member("c")
    assert {draw((one, two, three), one).name for _ in range(200)} == {"b", "c"}


@pytest.mark.parametrize("scale", [0.0005, 0.02, 0.5])
def test_p99_is_that_of_the_last_answers(scale: float):
    host = member()
    dice = random.Random(7)
    for _ in range(20_000):
        learn(host.load, dice.expovariate(1 / scale), 1.0)
    assert 0.6 < host.load.p99 / (4.6 * scale) < 1.6  # ln 100


def test_p99_of_a_host_that_has_become_slow_follows_within_some_hundred_answers():
    host = member(p99=0.001)
    for _ in range(250):
        learn(host.load, 0.1, 1.0)
    assert host.load.p99 == pytest.approx(0.1, rel=0.05)


def test_few_slow_answers_among_thousands_do_not_change_the_p99():
    host = member(p99=0.001)
    for number in range(10_000):
        learn(host.load, 0.1 if number % 1000 == 0 else 0.0005, 1.0)
    assert host.load.p99 < 0.001


def test_first_slow_answers_are_not_a_hosts_p99():
    host = member()
    end(host, 2.0, 1.9, 1.0)
    assert host.load.p99 < 0.002
    assert host.load.answered_at == 1.0
