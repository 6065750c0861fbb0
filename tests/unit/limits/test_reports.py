"""What users of other limiters have reported, and that none of it happens here."""

from pathlib import Path

import pytest

from dbproxy.config.template import Facts
from dbproxy.limits.bucket import Bucket
from tests.unit.limits.test_book import MINUTE, find, make, spend

TESTS = Path(__file__).parents[2]
SECOND = 1_000_000
# By report: what went wrong there, and the test that it does not here.
REPORTS = {
    "alisaifee/limits#15": ("a key without TTL", "test_no_key_is_without_a_ttl"),
    "envoyproxy/ratelimit#185": (
        "refusals that consume",
        "test_refusals_have_used_nothing_once_the_limit_is_raised",
    ),
    "envoyproxy/ratelimit#443": (
        "one refuses, another pays",
        "test_all_rules_must_allow_and_nobody_pays_for_what_one_refuses",
    ),
    "rate-limiter-flexible#286": ("a part of the cost", "test_cost_of_more_than_is_left_consumes_nothing"),
    "rate-limiter-flexible#337": ("exhaustion as an outage", "test_exhaustion_is_no_outage"),
    "rate-limiter-flexible#49": ("no way back to Redis", "test_redis_that_has_forgotten_all_is_no_new_quota"),
    "mendableai/firecrawl#3728": ("an outage as a refusal", "test_outage_is_not_told_as_the_clients_fault"),
    "redis/redis#14826": ("no retry for all there is", "test_all_there_is_can_be_had_after_a_finite_wait"),
    "redis/redis#15093": ("a fast rate loses its key", "test_limit_of_a_million_a_second_keeps_its_key"),
    "redis/redis#15113": (
        "more than the capacity",
        "test_more_than_there_ever_is_never_comes_and_takes_nothing",
    ),
    "ratelimit_meter#36": ("a wait without the burst", "test_wait_takes_the_burst_into_account"),
    "envoyproxy/envoy#24282": ("600 of 1,000 admitted", "test_five_times_the_rate_admits_the_rate"),
    "noosphere#276": ("a full map loses state", "test_keys_that_fill_the_book_cost_none_in_use_its_state"),
    "alisaifee/limits#277": ("expiry under concurrency", "test_keys_that_expire_while_many_ask_lose_nothing"),
    "flask-limiter#16": ("Redis away at the start", "test_redis_that_is_away_at_the_start_is_found_later"),
    "pgbouncer#131": ("one starves all others", "test_crowd_of_one_name_leaves_another_its_turns"),
    "PlanetScale": ("a dry run that interferes", "test_observed_session_is_let_go_and_the_rest_is_counted"),
}


def test_each_report_has_a_test():
    texts = "".join(path.read_text() for path in TESTS.rglob("test_*limits*.py"))
    texts += "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for _, name in REPORTS.values() if f"def {name}(" not in texts] == []


def test_refusals_have_used_nothing_once_the_limit_is_raised():
    book = make(tiers={"free": {"rate": "10/min"}})
    (app,) = find(book)
    assert spend(app) == 10
    assert all(app.wait(0) for _ in range(40))
    book.override(book.rules[0], "app", "20/min", MINUTE)
    (app,) = find(book)
    assert spend(app) == 10


@pytest.mark.parametrize("burst", [0, 100])
def test_five_times_the_rate_admits_the_rate(burst: int):
    """Over ten seconds, each of them, once what was there at the start is used up."""
    bucket, admitted = Bucket(1_000, SECOND, 1_000 + burst), []
    for tick in range(11 * 5_000):
        now = 10**15 + tick * 200
        goes = not bucket.wait(now, bucket.interval)
        if goes:
            bucket.take(now, bucket.interval)
        admitted.append(goes)
    seconds = [sum(admitted[at : at + 5_000]) for at in range(0, len(admitted), 5_000)]
    assert 1_980 + burst <= seconds[0] <= 2_020 + burst
    assert all(980 <= number <= 1_020 for number in seconds[1:])


def test_keys_that_fill_the_book_cost_none_in_use_its_state():
    book = make(max_keys=1_000)
    active = [find(book, Facts(f"active{number}"))[0] for number in range(100)]
    for subject in active:
        assert spend(subject) == 12
    for number in range(10_000):
        find(book, Facts(f"passer{number}"))
    assert len(book) <= 1_000
    again = [find(book, Facts(f"active{number}"))[0] for number in range(100)]
    assert again == active
    assert [spend(subject) for subject in again] == [0] * 100
