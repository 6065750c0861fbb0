"""Whether limits are shared, and by which Redis, as the settings say and change; no Redis."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from dbproxy.app import redis
from dbproxy.app.limits import Limits, check_limits
from dbproxy.config import PoolSettings, Settings, load
from dbproxy.errors import ConfigurationError
from dbproxy.pool.tenant import Tenant

URL = "redis://:hunter2@127.0.0.1:1/0"


def settings(**keys: str) -> Settings:
    given = {f"limits.{key}": value for key, value in keys.items()}
    return load(None, {"DATABASE_URL": "postgresql://app@db/app"}, given)


class House:
    def __init__(self, **keys: str) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.limits = Limits(settings(**keys), self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def apply(self, **keys: str) -> None:
        self.limits.apply(settings(**keys), [])
        await asyncio.gather(*self.tasks)


def test_package_that_is_not_there_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis, "is_installed", lambda: False)
    check_limits(settings())
    with pytest.raises(ConfigurationError) as caught:
        check_limits(settings(redis_url=URL))
    assert "dbproxy[redis]" in (caught.value.hint or "")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("url", ["redis://:hun/ter2@db/0", "redis://db:63790000/0", "redis://db/0?hunter2=1"])
def test_url_that_cannot_be_read_is_told_without_any_of_it(url: str):
    with pytest.raises(ConfigurationError) as caught:
        check_limits(settings(redis_url=url))
    assert caught.value.message == "limits.redis_url (DBPROXY_LIMITS__REDIS_URL) cannot be read"


async def test_limits_are_shared_where_there_is_a_redis():
    house = House()
    await house.limits.start()
    assert house.limits.limiter.store is None
    version = house.limits.limiter.version
    await house.apply(redis_url=URL)
    store = house.limits.limiter.store
    assert store is not None
    assert house.limits.limiter.version > version  # sessions look up anew
    await house.apply(redis_url=URL, redis_timeout="50ms", graceful_degradation="false")
    assert house.limits.limiter.store is store
    assert (store.courier.caller.timeout, store.fleet.graceful) == (0.05, False)
    await house.apply(redis_url=URL, redis_key_prefix="ours:")
    assert house.limits.limiter.store is not store
    assert (store.fleet.graceful, store.fleet.proxies) == (
        True,
        1,
    )  # who still has its leases is not stopped by it
    await house.apply()
    assert house.limits.limiter.store is None
    await house.limits.stop()


def test_requests_are_counted_by_arm_while_some_sessions_are_not_limited():
    tenant = Tenant("app", "app", PoolSettings())
    limits = House().limits
    for percent, heard in (("100", False), ("5", True), ("100", False)):
        limits.apply(settings(mode="on", percent=percent), [tenant])
        assert bool(tenant.listeners) == heard
    assert [feature.name for feature in tenant.features] == ["limits"]
