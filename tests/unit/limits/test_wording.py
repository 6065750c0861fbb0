"""What is told of a limit."""

import pytest

from dbproxy.config.limits import Counted, TierSettings
from dbproxy.config.rate import parse_rate, parse_server_time
from dbproxy.limits.bucket import NEVER
from dbproxy.limits.subject import Subject, Terms
from dbproxy.limits.tally import Tally
from dbproxy.limits.wording import describe_logins, describe_use, spell_patience, spell_wait


def make(count: Counted = "transactions", **keys: object) -> Subject:
    subject = Subject("tenant", "acme")
    subject.hold("own", TierSettings(**keys), Tally("own"), Terms(count=count), 0)  # type: ignore[arg-type]
    return subject


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (1, "0.1 s"),
        (5_200_000, "5.2 s"),
        (5_200_001, "5.3 s"),
        (NEVER, "the limit is raised: it can never be granted"),
    ],
)
def test_wait_is_rounded_up(wait: int, told: str):
    assert spell_wait(wait) == told


def test_limit_that_is_in_the_way_is_told_with_what_is_used():
    rate, time, rows = (
        make(rate=parse_rate("1/min")),
        make(server_time=parse_server_time("5s/min")),
        make(rows=parse_rate("10/h")),
    )
    rate.begin(0)
    time.charge(0, 6_500_000, 0, 0)
    rows.charge(0, 0, 12, 0)
    assert describe_use(rate, 0) == "Used: 1; limit: 1/min."
    assert describe_use(time, 0) == "Held servers for: 6.5s; limit: 5s/min."
    assert describe_use(rows, 0) == "Rows: 12; limit: 10/h."


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        (make(rate=parse_rate("10/min"), burst=2, logins=parse_rate("3/min")), "3/min"),
        (make(burst=2, logins=parse_rate("3/min")), "3/min"),
        (make("logins", rate=parse_rate("10/min"), burst=2), "10/min and a burst of 2"),
        (make("logins", burst=2, logins=parse_rate("3/min")), "3/min and a burst of 2"),
    ],
)
def test_login_that_is_refused_is_told_the_limit_of_logins(subject: Subject, told: str):
    assert subject.logins is not None
    assert describe_logins(subject.limits, subject.logins) == told


@pytest.mark.parametrize(
    ("patience", "told"), [(0, "refused"), (1_500_000, "held back for up to 1.5s, then refused")]
)
def test_what_becomes_of_what_is_over_the_limit(patience: int, told: str):
    assert spell_patience(patience) == told
