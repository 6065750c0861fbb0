"""Rate limits at work: the limiter, where it stands for each database and user, and which sessions are held to it."""

from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import Any

import structlog

from dbproxy.app.redis import check_redis
from dbproxy.config import Settings
from dbproxy.config.limits import LimitSettings
from dbproxy.errors import RateLimited
from dbproxy.features.mode import OFF, ON, Feature
from dbproxy.limits.allowance import Allowance
from dbproxy.limits.limiter import Limiter
from dbproxy.limits.store import Store
from dbproxy.pool.pool import Pool
from dbproxy.pool.tenant import Tenant
from dbproxy.session.client import Client
from dbproxy.session.connection import Connection
from dbproxy.session.identity import Identity

log = structlog.get_logger("dbproxy.session.limits")  # where refusals are told one by one

NAME = "limits"


def check_limits(settings: Settings) -> None:
    """ConfigurationError if limits are to be shared, and cannot be."""
    check_redis(
        "limits.redis_url", settings.limits.redis_url.get_secret_value(), "each proxy then has its own limits"
    )


class Limits:
    """Of the whole proxy."""

    def __init__(self, settings: Settings, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        check_limits(settings)
        self.settings = settings
        self.spawn = spawn
        self.limiter = Limiter(settings.limits)
        self.started = False

    async def start(self) -> None:
        """The proxy runs: Redis may be asked from now on."""
        self.started = True
        store = make_store(self.settings.limits)
        self.limiter.share(store)
        if store is not None:
            await store.start()

    async def stop(self) -> None:
        if self.limiter.store is not None:
            await self.limiter.store.stop()

    def apply_store(self, before: LimitSettings) -> None:
        """Another Redis, or the same in another way."""
        keys, store = self.settings.limits, self.limiter.store
        if (keys.redis_url, keys.redis_key_prefix) != (before.redis_url, before.redis_key_prefix):
            other = make_store(keys)
            self.limiter.share(other)
            if store is not None:
                self.spawn(store.stop())
            if other is not None:
                self.spawn(other.start())
        elif store is not None:
            store.adjust(keys.redis_timeout, graceful=keys.graceful_degradation)

    def apply(self, settings: Settings, tenants: Iterable[Tenant]) -> None:
        """Other settings: what was used stays used."""
        before, self.settings = self.settings.limits, settings
        self.limiter.apply(settings.limits)
        if self.started:
            self.apply_store(before)
        for tenant in tenants:
            self.attend(tenant)

    def join(self, client: Client) -> None:
        """It came before anybody was limited."""
        if client.inbound.allowance is None:
            client.inbound.allowance = self.find_allowance(client)

    def attend(self, tenant: Tenant) -> None:
        """Have requests of this database and user asked about, or no more."""
        keys = self.settings.limits_for(tenant.database, tenant.user)
        feature = find_feature(tenant)
        if feature is not None:
            feature.switch(keys.mode, keys.percent)
        elif keys.mode != "off":
            feature = tenant.add_feature(Feature(NAME, keys.mode, keys.percent))
        if feature is not None:
            tenant.tell(feature, wanted=feature.compares())

    def arrange(self, pool: Pool) -> None:
        """Have those who wait there be served in turns, or as they came."""
        feature = find_feature(pool.tenant)
        limited = feature is not None and feature.treated.mode == ON
        pool.waiting.take_turns(wanted=limited or pool.settings.fair_by is not None)

    def find_allowance(self, client: Connection) -> Allowance | None:
        """None where nobody is limited."""
        feature = find_feature(client.pool.tenant)
        if feature is None or feature.treated.mode == OFF:
            return None
        return Allowance(self.limiter, feature, client, client.id, client.identity.facts())

    def check_login(self, pool: Pool, who: Identity) -> None:
        """TooManyConnections if it comes too soon."""
        feature = find_feature(pool.tenant)
        if feature is not None and self.limiter.counts_logins:
            self.limiter.check_login(
                feature.arm_of(who.id).mode, who.facts(), who.settings.values, monotonic()
            )

    def sweep(self, now: float) -> None:
        """Once a second."""
        time = int(now * 1e6)
        self.limiter.book.sweep(time)
        if self.limiter.store is not None:
            self.limiter.store.sweep(time)
        for subject, more in self.limiter.refusals.take(time):
            facts = self.limiter.refusals.describe(subject) if subject is not None else {}
            log.warning("request refused", sqlstate=RateLimited.sqlstate, more=more, **facts)


def find_feature(tenant: Tenant) -> Feature | None:
    for feature in tenant.features:
        if feature.name == NAME:
            return feature
    return None


def make_store(keys: LimitSettings) -> Store | None:
    url = keys.redis_url.get_secret_value()
    if not url:
        return None
    return Store(url, keys.redis_key_prefix, timeout=keys.redis_timeout, graceful=keys.graceful_degradation)
