"""What becomes of a request that its session's allowance does not let go."""

from dataclasses import dataclass
from typing import Any

import pytest

from dbproxy.config.limits import LimitSettings
from dbproxy.config.template import Facts
from dbproxy.errors import TooManyConnections
from dbproxy.features.mode import OBSERVE, ON, Feature
from dbproxy.gates import GO, Await, Delay, Refuse, Verdict
from dbproxy.limits.allowance import Allowance
from dbproxy.limits.limiter import Limiter
from tests.unit.limits.test_allowance import PLAIN, join, make, run

APP = Facts("app", "shop", "web", "10.0.0.7")


@dataclass
class Asked:
    """A request and whose it is, in one."""

    allowance: Allowance
    text: bytes = b"SELECT 1"
    arrived: float = 0.0
    kinds: bytes = b"Q"

    @property
    def inbound(self) -> "Asked":
        return self

    def read_text(self) -> bytes:
        return self.text


def ask(allowance: Allowance, text: bytes = b"SELECT 1", now: float = 0.0) -> Verdict:
    limiter: Any = allowance.warden
    asked = Asked(allowance, text)
    found: Verdict = limiter.before(asked, asked, now)
    return found


def spent(**keys: Any) -> Allowance:
    allowance = make(**keys)
    run(allowance, times=12)
    return allowance


def test_request_over_the_limit_is_refused_and_has_used_nothing():
    allowance = spent()
    (subject,) = allowance.subjects
    found = ask(allowance)
    assert isinstance(found, Refuse)
    assert (found.error.sqlstate, found.error.hint) == ("53400", "retry after 6.0 s")
    assert (subject.rate.used(0), subject.used, subject.refused, allowance.running) == (12, 12, 1, False)


def test_request_that_may_wait_so_long_is_paid_for_at_once_and_the_next_is_behind_it():
    allowance = spent(action="delay", max_delay="12s")
    assert ask(allowance) == Delay(6.0)
    allowance.end(6.0, 0.0, 0, 1, 1)
    assert ask(allowance) == Delay(12.0)
    allowance.end(12.0, 0.0, 0, 1, 1)
    assert isinstance(ask(allowance), Refuse)


@pytest.mark.parametrize("text", [b"COMMIT", b" rollback ;", b"DISCARD ALL", b""])
def test_what_only_ends_or_cleans_up_goes(text: bytes):
    assert ask(spent(), text) is GO


def test_what_a_limit_would_let_go_is_not_counted_as_refused_where_it_is_observed():
    allowance = spent(mode="observe")
    assert ask(allowance, b"DISCARD ALL") is GO
    allowance.end(0.0, 0.0, 0, 1, 1)
    assert allowance.subjects[0].tally.observed == 0
    assert ask(allowance) is GO
    assert allowance.subjects[0].tally.observed == 1


def test_transaction_for_which_there_is_no_place_waits_for_one_to_end():
    limiter = Limiter(LimitSettings(tier="one", tiers={"one": {"max_concurrent": 1, "max_wait": "1s"}}))  # type: ignore[dict-item]
    first, second = (join(limiter, Feature("limits", "on"), number) for number in (1, 2))
    assert first.let_go(PLAIN, 0.0)
    assert not second.let_go(PLAIN, 0.0)
    found = ask(second)
    assert isinstance(found, Await)
    turn: Any = found.work
    turn.close()
    late = ask(second, now=1.0)
    assert isinstance(late, Refuse)
    assert late.error.detail == "Transactions open: 1; limit: 1."


def test_logins_over_the_limit_are_refused_or_counted_where_that_is_observed():
    limiter = Limiter(LimitSettings(tier="few", tiers={"few": {"logins": "2/min"}}))  # type: ignore[dict-item]
    for _ in range(2):
        limiter.check_login(ON, APP, {}, 0.0)
    with pytest.raises(TooManyConnections, match='too many logins for user "app"') as caught:
        limiter.check_login(ON, APP, {}, 0.0)
    assert (caught.value.detail, caught.value.hint) == ("Used: 2; limit: 2/min.", "retry after 30.0 s")
    limiter.check_login(OBSERVE, APP, {}, 0.0)
    tally = limiter.book.tallies["few"]
    assert (tally.rejected, tally.observed) == (1, 1)
