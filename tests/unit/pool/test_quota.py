"""How many connections pools have together, and how many they may."""

import gc

from dbproxy.config import Settings
from dbproxy.pool.quota import Quota, Quotas, Share

SETTINGS = Settings.model_validate(
    {
        "pool": {"max_db_connections": 10, "max_user_connections": 3},
        "databases": {"shop": {"pool": {"max_db_connections": 20}}, "plain": {}},
        "users": {"root": {"pool": {"max_user_connections": 0}}},
    }
)


def test_limit_of_a_database_or_user_goes_before_that_of_all():
    quotas = Quotas(SETTINGS)
    found = [quotas.find("max_db_connections", name) for name in ("shop", "plain", "other")]
    assert [quota.most for quota in found] == [20, 10, 10]
    assert quotas.find("max_user_connections", "root").most == 0
    assert quotas.find("max_user_connections", "app").most == 3


def test_pools_of_one_owner_count_together_and_those_of_another_apart():
    quotas = Quotas(SETTINGS)
    shop, app, root = (
        quotas.find("max_db_connections", "shop"),
        quotas.find("max_user_connections", "app"),
        quotas.find("max_user_connections", "root"),
    )
    one, other = Share([shop, app]), Share([shop, root])
    one.take()
    other.take()
    other.take()
    assert (shop.used, app.used, root.used) == (3, 1, 2)
    other.give()
    assert quotas.used("max_db_connections", "shop") == 2
    assert quotas.used("max_db_connections", "unknown") == 0


def test_reload_changes_limits_in_place_and_finds_those_that_are_exceeded():
    quotas = Quotas(SETTINGS)
    quota = quotas.find("max_db_connections", "plain")
    quota.used = 5
    assert quotas.find_exceeded() == []
    quotas.apply(Settings.model_validate({"pool": {"max_db_connections": 4}}))
    assert (quota.most, quotas.find_exceeded()) == (4, [quota])


def test_quota_that_nobody_shares_is_forgotten():
    quotas = Quotas(SETTINGS)
    share = Share([quotas.find("max_db_connections", "shop")])
    gc.collect()
    assert len(quotas.by_owner) == 1
    del share
    gc.collect()
    assert len(quotas.by_owner) == 0


def test_no_limit_is_never_full():
    quota = Quota("max_db_connections", "shop", 0)
    quota.used = 1000
    assert not quota.is_full()
    assert not Share([quota]).is_limited()


def test_connection_that_listens_may_not_take_the_last_place():
    quota = Quota("max_db_connections", "shop", 2)
    one, other, plain = Share([quota], standing=True), Share([quota], standing=True), Share([quota])
    assert one.find_bar() is None
    one.take()
    assert other.find_bar() is quota
    assert plain.find_bar() is None
    one.give()
    assert other.find_bar() is None
