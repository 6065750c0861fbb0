"""Whether servers still give new sessions what they gave before, and what follows where they do not (pool.defaults).

Each login has its pool's server asked what was altered since the login before: by a connection beside the pools, one
for each host, so that nobody waits for a client's query. Logins that come while it is asked share the next answer. Only
if that is a new one a connection of the pool is opened, which says what new sessions get.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

import structlog

from dbproxy.cluster.journal import tell_differing
from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.pool.defaults import Place, Snapshot, even_out, find_uneven, fingerprint, kept
from dbproxy.pool.errand import Errand
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.startup import Login

log = structlog.get_logger(__name__)

# Of the connection beside the pools: in a database that nobody drops, or where there is none for us in the login's own.
STARTUP = {"application_name": "dbproxy defaults"}
NEUTRAL = {**STARTUP, "database": "postgres"}
PATIENCE = 1.0  # seconds that a login waits for it, and after which it is tried again
ALTERED = "new sessions get other settings"


class Watch:
    """`make_pool(pool, startup)` makes a pool to the same host; `renew(pool)` opens another connection of this one."""

    def __init__(
        self,
        make_pool: Callable[[Pool, Mapping[str, str]], Pool],
        renew: Callable[[Pool], "asyncio.Task[Any]"],
        spawn: Callable[[Any], "asyncio.Task[Any]"],
    ) -> None:
        self.make_pool = make_pool
        self.renew = renew
        self.spawn = spawn
        self.startup: Mapping[str, str] = NEUTRAL
        self.pools: dict[tuple[str, int], Pool] = {}  # by host
        self.running: dict[Pool, asyncio.Task[Any]] = {}
        self.coming: dict[Pool, asyncio.Task[Any]] = {}  # behind those
        self.retry_at = 0.0

    async def follow(self, pool: Pool, place: Place) -> None:
        """Return once the pool's defaults are those of a session that begins now, or they cannot be had."""
        if pool.paused or pool.is_shut(monotonic()) or monotonic() < self.retry_at:
            return
        task = self.coming.get(pool)
        if task is None:
            task = self.coming[pool] = self.spawn(self.look(pool, place, self.running.get(pool)))
        await asyncio.wait([task])

    async def look(self, pool: Pool, place: Place, previous: "asyncio.Task[Any] | None") -> None:
        """Ask once, behind the question before."""
        if previous is not None:
            await asyncio.wait([previous])
        task = self.running[pool] = self.coming.pop(pool)
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self.ask(pool, place)
        except (ProxyError, TimeoutError) as error:
            self.give_up(place, error)
        else:
            if answer != pool.defaults.fingerprint:
                await asyncio.wait([self.renew(pool)])
                if pool.defaults.snapshot is not None:
                    pool.defaults.fingerprint = answer
        finally:
            if self.running.get(pool) is task:
                del self.running[pool]

    async def ask(self, pool: Pool, place: Place) -> str:
        host, port, database = place
        own = self.pools.get((host, port))
        if own is None:
            own = self.pools[host, port] = self.make_pool(pool, self.startup)
        rows = await Errand(own).run(fingerprint(pool.defaults.snapshot, database, pool.user))
        return b"".join(rows[0] if rows else ()).decode()

    def give_up(self, place: Place, error: ProxyError | TimeoutError) -> None:
        """The next login opens another connection, as its own user."""
        why = str(error) or f"no answer within {PATIENCE:g} s"
        if isinstance(error, ServerRefused) and self.startup is NEUTRAL:
            self.startup = STARTUP
        else:
            self.retry_at = monotonic() + PATIENCE
        log.warning("not known whether settings were altered", host=place[0], port=place[1], reason=why)
        own = self.pools.pop(place[:2], None)
        if own is not None:
            own.retire(why)
            for server in own.servers():
                server.close(why)


def take_over(
    pool: Pool, replicas: Iterable[Pool], logins: Iterable[Login], server: Server, found: Snapshot
) -> None:
    """A server of the primary's has said what new sessions get: from now on that holds for all that begin."""
    defaults = pool.defaults
    before, same_server = defaults.snapshot, defaults.address == server.backend.address
    if before == found:
        return
    defaults.snapshot, defaults.address = found, server.backend.address
    for replica in replicas:
        replica.host.differing = set()
        replica.defaults.reset()
        replica.retire(ALTERED)
    if before is None:
        return
    log.info(
        "settings were altered",
        database=pool.database,
        user=pool.user,
        settings=sorted(before.differing(found)),
    )
    pool.retire(ALTERED)
    server.upkeep.generation = pool.generation
    pool.tenant.forget_statements()
    pool.tenant.parameter_sets.forget_reports()
    own = kept(before, found, same_server=same_server)
    for login in logins:
        if login.client is not None:
            login.client.keep_defaults(own, pool.welcome, server.backend.parameters)
    pool.welcome = dict(server.backend.parameters)


def is_even(pool: Pool, wanted: Snapshot | None, found: Snapshot) -> bool:
    """Whether a replica's server may be lent: the primary's give what is wanted, as far as that is known.

    If not, the next is opened with other start-up parameters.
    """
    if wanted is None:
        return True
    if even_out(pool.defaults, wanted, found):
        return False
    differing = find_uneven(wanted, found)
    if differing - pool.host.differing:
        pool.host.differing |= differing
        tell_differing(pool.host, sorted(differing))
    return True


def are_refused(error: ProxyError | None) -> bool:
    """Whether a replica has let nobody in for the start-up parameters' sake, as far as can be told."""
    return isinstance(error, ServerRefused) and error.sqlstate.startswith(("22", "42"))
