"""What one session may begin, and what it pays."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.config.limits import LimitSettings
from dbproxy.config.template import Facts
from dbproxy.features.mode import Feature
from dbproxy.gates import Go, Refuse
from dbproxy.limits.allowance import Allowance
from dbproxy.limits.limiter import Limiter

TWO = {"rules": [{"key": "{user}", "tier": "standard"}, {"key": "{database}", "tier": "free"}]}


class Values:
    def __init__(self, **values: str) -> None:
        self.values = values


class Client:
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def notice(self, message: bytes) -> None:
        self.heard.append(message)


class Request:
    arrived = 0.0
    kinds = b"Q"

    def read_text(self) -> bytes:
        return b"SELECT 1"


PLAIN = Values()


def make(mode: str = "on", percent: int = 100, number: int = 1, **keys: Any) -> Allowance:
    limiter = Limiter(LimitSettings(**({"tier": "free"} | keys)))
    return join(limiter, Feature("limits", mode, percent), number)


def join(limiter: Limiter, feature: Feature, number: int = 1, user: str = "app") -> Allowance:
    return Allowance(limiter, feature, Client(), number, Facts(user, "shop", "", "10.0.0.7"))


def goes(allowance: Allowance, now: float) -> bool:
    """A request; whether it may at once."""
    asker: Any = SimpleNamespace(inbound=SimpleNamespace(allowance=allowance))
    return allowance.let_go(PLAIN, now) or isinstance(allowance.warden.before(Request(), asker, now), Go)


def run(allowance: Allowance, now: float = 0.0, times: int = 1, **over: Any) -> int:
    """How many of them may."""
    done, number = 0, over.get("number", 1)
    for _ in range(times):
        if goes(allowance, now):
            done += 1
            allowance.end(
                now, over.get("held", 0.001), over.get("rows", 1), number, over.get("statements", number)
            )
    return done


def test_as_many_as_its_tier_allows_and_not_one_more():
    allowance = make()
    assert run(allowance, times=20) == 12
    assert run(allowance, now=5.99) == 0
    assert run(allowance, now=6.0, times=2) == 1


def test_all_rules_must_allow_and_nobody_pays_for_what_one_refuses():
    allowance = make(**TWO)
    assert run(allowance, times=50) == 12
    user, database = allowance.subjects
    assert (user.used, database.used) == (12, 12)


def test_observed_session_is_let_go_and_the_rest_is_counted():
    allowance = make("observe")
    assert run(allowance, times=20) == 20
    assert allowance.subjects[0].tally.observed == 8
    assert allowance.subjects[0].used == 12


def test_those_behind_one_that_would_be_refused_are_counted_too():
    allowance = make("observe")
    run(allowance, times=12)
    assert run(allowance, number=3) == 1
    assert (allowance.subjects[0].tally.observed, allowance.subjects[0].used) == (3, 12)


def test_those_behind_one_that_would_be_let_go_are_counted_as_they_would_be():
    allowance = make("observe")
    assert run(allowance, number=20) == 1
    subject = allowance.subjects[0]
    assert (subject.tally.observed, subject.tally.allowed, subject.used) == (8, 12, 12)
    assert subject.rate.used(0) == 12
    assert allowance.affords(1000, 0.0)


def test_session_of_the_control_arm_is_not_limited():
    assert run(make(percent=0), times=20) == 20


def test_switch_holds_from_the_next_transaction_on():
    limiter, feature = Limiter(LimitSettings(tier="free")), Feature("limits", "off")
    allowance = join(limiter, feature)
    assert run(allowance, times=20) == 20
    feature.switch("on", 100)
    assert run(allowance, times=20) == 12


def test_transaction_that_runs_is_not_asked_about_again():
    allowance = make()
    assert allowance.let_go(PLAIN, 0.0)
    assert allowance.running
    assert allowance.subjects[0].running == 1
    allowance.end(1.0, 1.0, 0, 1, 1)
    assert not allowance.running
    assert allowance.subjects[0].running == 0


def test_those_that_follow_on_the_same_server_are_paid_for_behind():
    allowance = make()
    assert run(allowance, number=5) == 1
    assert allowance.subjects[0].used == 5
    allowance.end(0.0, 0.1, 0, 3, 3)  # it kept its server
    assert allowance.subjects[0].used == 8


def test_each_query_counts_under_those_rules_that_count_queries():
    allowance = make(rules=[{"key": "{user}", "count": "queries"}, {"key": "{database}"}])
    assert run(allowance, statements=8) == 1
    user, database = allowance.subjects
    assert (user.used, database.used) == (8, 1)
    assert (user.rate.used(0), database.rate.used(0)) == (8, 1)


def test_preparation_alone_costs_nothing():
    allowance = make()
    assert run(allowance, times=100, number=0) == 100


def test_what_came_to_nothing_costs_nothing():
    allowance = make()
    for _ in range(100):
        assert allowance.let_go(PLAIN, 0.0)
        allowance.give_up(0.0)
    assert (allowance.subjects[0].used, allowance.subjects[0].running) == (0, 0)


def test_cached_answer_costs_a_tenth():
    allowance = make()
    for _ in range(100):
        assert allowance.let_go(PLAIN, 0.0)
        allowance.answered(0.0)
    assert run(allowance, times=5) == 2


@pytest.mark.parametrize("word", ["app", "10.0.0.7", "10.0.0.0/8"])
def test_exempt_sessions_are_held_to_nothing(word: str):
    assert run(make(exempt=[word]), times=100) == 100


def test_session_is_held_to_another_as_it_says_that_it_is_another():
    allowance = make(rules=[{"key": "{setting.app.tenant}"}], trust=["*"])
    acme, globex = Values(**{"app.tenant": "acme"}), Values(**{"app.tenant": "globex"})
    for _ in range(12):
        assert allowance.let_go(acme, 0.0)
        allowance.end(0.0, 0.0, 0, 1, 1)
    first = allowance.subjects[0]
    assert first.sessions == 1
    assert not allowance.let_go(acme, 0.0)
    assert allowance.let_go(globex, 0.0)
    assert (first.sessions, allowance.subjects[0].key) == (0, "globex")


def test_session_that_ends_holds_its_subjects_no_more():
    allowance = make()
    run(allowance)
    (subject,) = allowance.subjects
    allowance.close()
    assert subject.sessions == 0


def test_session_is_warned_once_a_minute():
    allowance = make(notice_at=0.5)
    run(allowance, times=12)
    client: Any = allowance.client
    assert len(client.heard) == 1
    assert b"01000" in client.heard[0]
    assert b'user "app" has used 6 of 10/min and a burst of 2' in client.heard[0]
    assert b"over the limit is refused" in client.heard[0]
    run(allowance, now=61.0, times=12)
    assert len(client.heard) == 2


def test_session_that_is_observed_is_not_warned():
    allowance = make("observe", notice_at=0.5)
    run(allowance, times=20)
    client: Any = allowance.client
    assert not client.heard


def test_warning_says_what_becomes_of_requests_over_the_limit():
    allowance = make(notice_at=0.5, action="delay", max_delay="5s")
    run(allowance, times=12)
    client: Any = allowance.client
    assert b"over the limit is held back for up to 5s, then refused" in client.heard[0]


@given(
    st.lists(st.tuples(st.sampled_from(["app", "web", "job"]), st.floats(0, 3)), min_size=1, max_size=150),
    st.sampled_from(["quota", "even"]),
)
def test_observed_sessions_are_counted_refused_where_limited_ones_are(
    trace: list[tuple[str, float]], pace: str
):
    def replay(mode: str) -> list[bool]:
        limiter, feature, now = Limiter(LimitSettings(pace=pace, **TWO)), Feature("limits", mode), 0.0
        sessions = {user: join(limiter, feature, user=user) for user in ("app", "web", "job")}
        outcomes = []
        for user, pause in trace:
            now += pause
            before = sum(tally.observed for tally in limiter.book.tallies.values())
            goes = run(sessions[user], now) == 1
            observed = sum(tally.observed for tally in limiter.book.tallies.values()) > before
            outcomes.append(goes and not observed)
        return outcomes

    assert replay("observe") == replay("on")


def test_each_rule_counts_what_it_is_meant_to_count():
    rules = [{"key": "{user}", "count": "queries"}, {"key": "{database}"}]
    allowance = make(rules=rules)
    assert allowance.let_go(PLAIN, 0.0)
    allowance.charge(0.0, 0.0, 0, 1, 3)  # and another transaction has begun
    allowance.end(0.0, 0.0, 0, 1, 2)
    assert [subject.used for subject in allowance.subjects] == [5, 2]


async def test_place_that_who_was_called_may_not_take_is_the_next_ones():
    limiter = Limiter(LimitSettings(tier="one", tiers={"one": {"rate": "1/min", "max_concurrent": 1}}))
    allowance = join(limiter, Feature("limits", "on", 100))
    assert allowance.let_go(PLAIN, 0.0)
    (subject,) = allowance.subjects
    turns = [asyncio.get_running_loop().create_future() for _ in range(2)]
    for turn in turns:
        subject.queue_up(turn)
    allowance.end(0.0, 0.0, 0, 1, 1)
    assert [turn.done() for turn in turns] == [True, False]
    allowance.promised = subject  # whose turn it is; but the rate is used up
    asker: Any = SimpleNamespace(inbound=SimpleNamespace(allowance=allowance))
    assert isinstance(limiter.before(Request(), asker, 0.0), Refuse)
    assert turns[1].done()
    assert subject.promised == 1, "the second's"
