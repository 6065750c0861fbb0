"""One database of which answers are kept: a look at it now and then says whether what is known of it still holds."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

import structlog

from dbproxy.app.replication import Source
from dbproxy.cache.catalog import MARK, QUERY, read_schema
from dbproxy.cache.definitions import PARTITIONED, Definitions
from dbproxy.cache.fence import Fence
from dbproxy.cache.shelf import Shelf
from dbproxy.cache.vouching import vouch
from dbproxy.cache.witness import Witness
from dbproxy.config.cache import CacheRuleSettings
from dbproxy.errors import ProxyError, ServerUnavailable
from dbproxy.pool.errand import Errand
from dbproxy.pool.pool import Pool

log = structlog.get_logger(__name__)

CATALOG = "catalog"  # source of invalidations
LOOK = 2.0  # seconds from one look at what a database defines to the next
HURRY = 0.2  # if what is known does not hold
RETRY = 1.0  # after a look that has failed
# Which database it is, whatever its host is called, and its life: in another one what was committed may be lost. A
# standby's answers change unseen.
CLUSTER = """
SELECT pg_catalog.pg_is_in_recovery()::pg_catalog.int4,
       pg_catalog.concat((SELECT system_identifier FROM pg_catalog.pg_control_system()), ' ',
                         (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())),
       pg_catalog.concat((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()), ' ',
                         extract(epoch FROM pg_catalog.pg_postmaster_start_time()))
"""
# The process that is asked, and all that there are: whether they wait for their client.
PROCESSES = """
SELECT pg_catalog.pg_backend_pid();
SELECT pid, COALESCE(pg_catalog.starts_with(state, 'idle'), false)::pg_catalog.int4 FROM pg_catalog.pg_stat_activity
"""


class Writers(Protocol):
    """A stream of everybody's writes (app.stream)."""

    source: Source
    error: ProxyError | None  # why nothing is told; None: it is, or has just begun

    @property
    def flows(self) -> bool: ...
    async def run(self) -> None: ...
    def restart(self, reason: str) -> None: ...
    def check(self, rows: Sequence[Sequence[bytes]]) -> None: ...


class Watched:
    """One database of which answers are kept.

    `witness` is told of what passes by the proxy, by `writers`; None: nothing does.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.fence = Fence()
        self.witness: Witness | None = None
        self.writers: Writers | None = None
        self.following: asyncio.Task[None] | None = None  # while they are told
        self.shelf: Shelf | None = None  # what other proxies may take from here, and have for us
        self.parents: frozenset[int] = frozenset()  # tables that are only their partitions
        self.identity = b""  # what CLUSTER says it is
        self.mark = b""  # the last answers to CLUSTER and MARK
        # When it is looked at next; if what is known does not hold, or something is in doubt.
        self.due_at = self.retry_at = 0.0
        self.looked_at = monotonic()
        self.rules: tuple[CacheRuleSettings, ...] = ()
        self.queries = 0  # of its clients, when they were counted last, and when that was another number
        self.busy_at = self.looked_at

    def claim(self, now: float) -> bool:
        """Whether it is time to look; whoever asks does it."""
        settled = self.fence.knows() and not self.fence.doubts
        if now < (self.due_at if settled else self.retry_at):
            return False
        self.due_at = self.retry_at = float("inf")
        return True

    def follow(self, spawn: Callable[..., "asyncio.Task[None]"], *, wanted: bool) -> None:
        """Have everybody's writes told, or no more; while they are not, no answer is current."""
        if self.writers is not None and wanted and self.following is None:
            self.following = spawn(self.writers.run())
        elif self.following is not None and not wanted:
            self.following.cancel()
            self.following = None

    def is_asleep(self, queries: int, now: float, timeout: float) -> bool:
        """Whether its clients, who have asked so much until now, have asked nothing lately."""
        if queries != self.queries:
            self.queries, self.busy_at = queries, now
        return 0 < timeout <= now - self.busy_at

    def looked(self, now: float, *, well: bool) -> None:
        """A look has come to its end."""
        self.due_at, self.retry_at = now + LOOK, now + (HURRY if well else RETRY)
        self.looked_at = now
        if not well:
            self.fence.forget()


async def look(watched: Watched, pool: Pool, identify: Callable[[Watched, bytes], None]) -> None:
    """See whether the database still is what is known of it, and read it again if not."""
    fence, well = watched.fence, False
    alterations = fence.alterations
    try:
        (standby, identity, life), (mark,) = await Errand(pool).run(f"{CLUSTER}; {MARK}")
        if identity != watched.identity:
            identify(watched, identity)
            if watched.fence is not fence:
                return
        if standby == b"1":
            raise ServerUnavailable("it is a standby, which does not tell what is written")
        if fence.doubts:
            await settle(fence, pool)
        if life + mark != watched.mark:
            fence.forget()
            await read(watched, pool, alterations)
        elif fence.knowledge is not None and not fence.knows():
            fence.learn(fence.knowledge, alterations)
        if watched.writers is not None:
            source = watched.writers.source
            watched.writers.check(await Errand(pool).run(source.question))
            told = watched.writers.flows
            fence.followed = source.find_followed(watched.parents) if told else frozenset()
        well = True
    except ProxyError as error:
        log.warning("catalog not read", database=pool.database, user=pool.user, error=error.message)
    finally:
        watched.looked(monotonic(), well=well)


def list_parents(definitions: Definitions) -> frozenset[int]:
    relations = definitions.relations.values()
    return frozenset(relation.oid for relation in relations if relation.kind == PARTITIONED)


async def settle(fence: Fence, pool: Pool) -> None:
    """Open what servers that were lost cannot commit any more."""
    errand = Errand(pool)
    async with errand.loan() as server:
        own, *rows = await errand.ask(server, PROCESSES)
        processes = {int(pid): idle == b"1" for pid, idle in rows}
        fence.settle(monotonic(), processes, own=int(own[0]) == server.backend.pid)


async def read(watched: Watched, pool: Pool, alterations: int) -> None:
    """`alterations`: how many there had been before the look."""
    fence = watched.fence
    sql = f"SET LOCAL lock_timeout = '1s'; {CLUSTER}; {MARK}; {QUERY}"
    (_, _, life), (mark,), *rows = await Errand(pool).run(sql)
    texts = [[value.decode() for value in row] for row in rows]
    schema = read_schema((kind, *rest) for kind, *rest in texts)  # type: ignore[misc]  # QUERY has so many columns
    for name in vouch(schema.definitions, watched.rules, pool.database):
        log.warning("cache rule not understood", database=pool.database, name=name)
    fence.learn(schema, alterations)
    watched.parents = list_parents(schema.definitions)
    fence.invalidate(None, CATALOG)  # what was kept may have been of what has changed meanwhile
    watched.mark = life + mark
    log.debug("catalog read", database=pool.database, user=pool.user, entries=len(rows))
