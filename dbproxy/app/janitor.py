"""The janitor: every deadline is looked at here, those of clients once a second."""

import asyncio
import itertools
from collections.abc import Callable
from time import monotonic

from dbproxy.app import addresses, catalogs
from dbproxy.app.proxy import Proxy
from dbproxy.observe import logs
from dbproxy.pool.janitor import isolated, sweep
from dbproxy.pool.routines import REFRESH
from dbproxy.session.deadlines import sweep_hub, sweep_logins
from dbproxy.session.memory import sweep_memory
from dbproxy.session.overdue import sweep_overdue

SWEEP_INTERVAL = 0.2  # seconds
SWEEPS_PER_SECOND = 5


class Janitor:
    """Of the whole proxy."""

    def __init__(self, proxy: Proxy, swept: Callable[[float], object] | None = None) -> None:
        self.proxy = proxy
        self.swept = swept  # hears of each sweep that has come to its end
        self.behind = False  # with those who are over a limit

    async def run(self) -> None:
        for turn in itertools.count():
            await asyncio.sleep(SWEEP_INTERVAL)
            self.sweep(monotonic(), clients=turn % SWEEPS_PER_SECOND == 0)
            if self.swept is not None:
                self.swept(monotonic())

    def sweep(self, now: float, *, clients: bool) -> None:
        """`clients`: the deadlines that are looked at once a second, too. Each is isolated from the others."""
        for pool in list(self.proxy.all_pools()):
            sweep(pool, now, self.proxy.host_of(pool))
            sweep_overdue(pool, now)
        steps: list[Callable[[float], object]] = [
            self.proxy.sharing.sweep,
            self.forget_pools,
            self.sweep_hosts,
            self.proxy.caches.sweep,
        ]
        if clients:
            steps += [self.sweep_hubs, self.refresh, self.sample, self.sweep_memory]
        if clients or self.behind:
            steps.append(self.sweep_logins)
        for step in steps:
            with isolated():
                step(now)

    def forget_pools(self, now: float) -> None:
        for key, pool in list(self.proxy.pools.items()):
            unused = pool.forgettable(now) and not any(login.pool is pool for login in self.proxy.registry)
            if unused and self.proxy.hosts.forget(key):
                del self.proxy.pools[key]
                self.proxy.caches.leave()
        self.proxy.admissions.lookups.forget()

    def sweep_hosts(self, _: float) -> None:
        self.proxy.hosts.sweep()

    def sweep_hubs(self, now: float) -> None:
        for hub in self.proxy.hubs:
            with isolated(database=hub.database):
                sweep_hub(hub, now)
        self.proxy.hubs.senders.sweep()

    def refresh(self, now: float) -> None:
        """Have read again what databases define."""
        for pool in self.proxy.pools.values():
            if pool.tenant.routines.read_at and now - pool.tenant.routines.read_at >= REFRESH and pool.idle:
                self.proxy.tasks.spawn(catalogs.read_routines(pool))
        for router in self.proxy.routers.values():
            if catalogs.is_asleep(router, now):
                catalogs.sleep(router)
            elif catalogs.claim_read(router, now):
                self.proxy.tasks.spawn(catalogs.read(router))
            elif catalogs.claim_look(router, now):
                self.proxy.tasks.spawn(catalogs.look(router))

    def sample(self, now: float) -> None:
        self.proxy.averages.sample(self.proxy.pools.values(), now)
        self.proxy.monitoring.sweep(now)
        self.proxy.limits.sweep(now)
        self.proxy.batches.sweep(now)
        logs.sweep(now)
        addresses.refresh(now)

    def sweep_memory(self, _: float) -> None:
        sweep_memory(self.proxy.registry, self.proxy.settings)

    def sweep_logins(self, now: float) -> None:
        self.behind = sweep_logins(self.proxy.registry, self.proxy.settings, now)
