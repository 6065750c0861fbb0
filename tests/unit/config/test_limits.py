"""The keys of [limits]."""

import pytest
from pydantic import SecretStr, ValidationError

from dbproxy.config import Settings
from dbproxy.config.limits import LimitSettings, TierSettings, parse_tier, show_redis_url, show_tier
from dbproxy.config.rate import parse_rate, parse_server_time


def test_tier_may_be_written_in_one_line():
    assert show_tier(parse_tier("500/min burst 50")) == "500/min burst 50"
    assert show_tier(parse_tier("500/min")) == "500/min"


def test_tier_is_shown_with_all_that_is_said_of_it():
    tier = TierSettings(
        rate=parse_rate("5/s"), server_time=parse_server_time("5s/min"), max_wait=30.0, weight=2
    )
    assert show_tier(tier) == "5/s server_time 5s/min max_wait 30s weight 2"


def test_tiers_of_the_plan_are_there_and_others_come_beside_them():
    settings = LimitSettings(tiers={"free": {"rate": "5/min"}, "own": {"rate": "7/s", "max_concurrent": 3}})
    assert {name: show_tier(tier) for name, tier in settings.tiers.items()} == {
        "free": "5/min",
        "standard": "100/min burst 20",
        "pro": "1000/min burst 100",
        "enterprise": "10000/min burst 1000",
        "none": "no limit",
        "own": "7/s max_concurrent 3",
    }


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"tier": "gold"}, "no such tier: gold; there are free, standard"),
        ({"rules": [{"key": "{user}", "tiers": {"app": "gold"}}]}, "no such tier: gold"),
        ({"rules": [{"key": "{user}"}, {"key": "{user}"}]}, "two of limits.rules have the same name"),
        ({"rules": [{"key": "{password}"}]}, "a field that is none of"),
        ({"exempt": ["10.0.0.1/8"]}, "no network"),
        ({"redis_url": "http://redis"}, "redis://"),
        ({"notice_at": 1.5}, "less than or equal to 1"),
    ],
)
def test_mistakes_are_told(keys: dict[str, object], why: str):
    with pytest.raises(ValidationError, match=why):
        LimitSettings(**keys)  # type: ignore[arg-type]


def test_rules_are_named_after_their_keys():
    rules = LimitSettings(
        rules=[{"key": "{setting.app.tenant_id}"}, {"key": "{client_addr/24}:{user}"}, {"key": "all"}]
    ).rules  # type: ignore[arg-type]
    assert [rule.name for rule in rules] == ["app.tenant_id", "client_addr+user", "key"]


def test_limits_that_hold_nobody_are_doubted():
    claim = {"name": "tenant", "key": "{setting.app.tenant_id}"}
    (doubt,) = LimitSettings(rules=[claim]).list_doubts()
    assert "limits.trust is empty" in doubt
    (doubt,) = LimitSettings(mode="observe").list_doubts()
    assert "nobody is limited" in doubt
    fine = ({"rules": [claim], "trust": ["app"]}, {"mode": "on", "tier": "free"}, {})
    assert [LimitSettings(**keys).list_doubts() for keys in fine] == [[], [], []]


def test_burst_that_would_never_come_back_is_a_mistake():
    with pytest.raises(
        ValueError, match="would not come back in 100 years: make burst smaller, or rate higher"
    ):
        parse_tier("1/365d burst 1000000000")
    assert parse_tier("1000000000/s burst 1000000000").burst == 10**9


def test_rows_are_limited_only_where_they_are_counted():
    limits = {"tiers": {"few": {"rows": "1000/min"}}}
    counted = Settings.model_validate({"limits": limits})
    uncounted = Settings.model_validate({"limits": limits, "query_stats": {"enabled": False}})
    assert [text for text in counted.warnings() if "rows" in text] == []
    (warning,) = [text for text in uncounted.warnings() if "rows" in text]
    assert "limits.tiers.few.rows limits nobody" in warning


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:5ecre7@host/1", "redis://***@host/1"),
        ("redis://:a@5ecre7@host", "redis://***@host"),
        ("redis://:5ec/re7@host/1", "redis://***@host/1"),
        ("redis://:5ec?re7@host/1", "redis://***"),
        ("redis://host/0?password=5ec@re7", "redis://***"),
        ("redis://host/0?password=5ecre7", "redis://host/0?***"),
        ("unix://:5ecre7@/run/redis.sock?db=1", "unix://***@/run/redis.sock?***"),
    ],
)
def test_login_of_redis_is_not_shown(url: str, shown: str):
    assert show_redis_url(SecretStr(url)) == shown
