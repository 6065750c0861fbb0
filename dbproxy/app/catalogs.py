"""When the catalogs are read by which reads are told (cluster.catalog), and how old they may be.

DDL that passes the proxy is seen as it is sent; what comes by another way, by a look at the database every `LOOK`
seconds. A database and user that nobody has used for `pool.server_idle_timeout` is not looked at, so that its
connections are closed: what was known of it counts no more, and is read again for who comes next.
"""

from time import monotonic

import structlog

from dbproxy.cluster.catalog import MARK, QUERY, read_catalog
from dbproxy.errors import ProxyError
from dbproxy.pool.errand import Errand
from dbproxy.pool.pool import Pool
from dbproxy.routing.router import Router

log = structlog.get_logger(__name__)

AGE = 300.0  # seconds until a catalog is read again, whatever the looks say
RETRY = 1.0  # seconds between attempts, and after DDL
LOOK = 2.0  # seconds from one look to the next


def claim_read(router: Router, now: float) -> bool:
    """Whether the catalog is to be read (again) now; whoever asks does it."""
    age = RETRY if router.catalog is None or router.freshness.stale else AGE
    if now - router.freshness.read_at < age or not router.primary.settings.read_functions:
        return False
    router.freshness.read_at = now
    return True


def claim_look(router: Router, now: float) -> bool:
    """Whether it is time to see if the catalog is still the database's; whoever asks does it."""
    pool, freshness = router.primary, router.freshness
    connected = pool.size() > pool.opening  # who waits for a primary is not kept from it
    if router.catalog is None or not connected or now - freshness.looked_at < LOOK:
        return False
    freshness.looked_at = float("inf")  # one at a time
    return True


def is_asleep(router: Router, now: float) -> bool:
    """Whether nobody has asked anything lately; note whether somebody has."""
    freshness, queries = router.freshness, router.primary.stats.query_count
    if queries != freshness.queries:
        freshness.queries, freshness.busy_at = queries, now
    timeout = router.primary.settings.server_idle_timeout
    return 0 < timeout <= now - freshness.busy_at


def sleep(router: Router) -> None:
    """From now on what was known is too old."""
    if router.catalog is not None:
        router.learn(None)
        router.freshness.mark = ""


async def look(router: Router) -> None:
    """See whether the catalog is still the database's, and read it again if not."""
    try:
        rows = await Errand(router.primary).run(MARK)
    except ProxyError as error:
        tell_failure(router, error)
        return
    finally:
        router.freshness.looked_at = monotonic()
    if rows[0][0].decode() != router.freshness.mark:
        router.freshness.read_at = monotonic()
        await read(router)
        await read_routines(router.primary)


async def read(router: Router) -> None:
    """Read which functions and views of the database are more than reads; what was known stays if that fails."""
    router.freshness.stale = False
    try:
        (mark,), *rows = await Errand(router.primary).run(f"SET LOCAL lock_timeout = '1s'; {MARK}; {QUERY}")
    except ProxyError as error:
        tell_failure(router, error)
        return
    texts = [[value.decode() for value in row] for row in rows]
    log.debug("catalog read", database=router.primary.database, user=router.primary.user, entries=len(texts))
    router.learn(read_catalog((kind, name, text or None) for kind, name, text in texts))
    router.freshness.mark, router.freshness.busy_at = mark.decode(), monotonic()


async def read_routines(pool: Pool) -> None:
    """Read again what the functions of a database do; what was known stays if that fails."""
    pool.tenant.routines.read_at = monotonic()  # not twice at a time
    try:
        await Errand(pool).refresh_routines()
    except ProxyError as error:
        log.warning("functions not read", database=pool.database, user=pool.user, error=error.message)


def tell_failure(router: Router, error: ProxyError) -> None:
    pool = router.primary
    log.warning("catalog not read", database=pool.database, user=pool.user, error=error.message)
