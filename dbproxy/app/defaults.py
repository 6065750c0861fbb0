"""Whether servers still give new sessions what they gave before, and what follows where they do not (pool.defaults).

Each login has its pool's server asked what was altered since the login before: by a connection beside the pools, one
for each host, so that nobody waits for a client's query. Logins that come while it is asked share the next answer. Only
if that is a new one a connection of the pool is opened, which says what new sessions get.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import monotonic
from typing import Any

import structlog

from dbproxy.cluster.journal import tell_differing
from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.pool.defaults import Place, Snapshot, even_out, find_uneven, fingerprint, kept
from dbproxy.pool.pool import Pool
from dbproxy.pool.question import Answer, Question
from dbproxy.pool.server import Server
from dbproxy.session.startup import Login
from dbproxy.wire import build

log = structlog.get_logger(__name__)

# Of the connection beside the pools: in a database that nobody drops, or where there is none for us in the login's own.
STARTUP = {"application_name": "dbproxy defaults"}
NEUTRAL = {**STARTUP, "database": "postgres"}
PATIENCE = 1.0  # seconds that a login waits for it, and after which it is tried again
NEVER = float("inf")
ALTERED = "new sessions get other settings"


class Following:
    """Of one pool: who waits for the answer at hand, and who came later."""

    __slots__ = ("about", "asked_at", "coming", "place", "query", "question", "waiting")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.question: Question | None = None
        self.about: tuple[Snapshot | None, Place] | None = None  # what is asked
        self.query = b""
        self.asked_at = NEVER
        self.waiting: list[Callable[[], None]] = []
        self.coming: list[Callable[[], None]] = []

    def spell(self, pool: Pool) -> bytes:
        about = pool.defaults.snapshot, self.place
        if self.about is None or self.about[0] is not about[0] or self.about[1] != about[1]:
            self.about = about
            self.query = build.query(fingerprint(about[0], self.place[2], pool.user))
        return self.query


class Watch:
    """`make_pool(pool, startup)` makes a pool to the same host; `renew(pool)` opens another connection of this one."""

    def __init__(
        self,
        make_pool: Callable[[Pool, Mapping[str, str]], Pool],
        renew: Callable[[Pool], "asyncio.Task[Any]"],
    ) -> None:
        self.make_pool = make_pool
        self.renew = renew
        self.startup: Mapping[str, str] = NEUTRAL
        self.pools: dict[tuple[str, int], Pool] = {}  # by host
        self.followings: dict[Pool, Following] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.retry_at = 0.0

    def follow(self, pool: Pool, place: Place, then: Callable[[], None]) -> bool:
        """Call `then` once the pool's defaults are those of a session that begins now, or they cannot be had.

        False, and it is not called: there is nothing to wait for.
        """
        if pool.paused or pool.is_shut(monotonic()) or monotonic() < self.retry_at:
            return False
        if pool.share.find_full():  # not worth the place of a connection that somebody needs
            return False
        following = self.followings.get(pool)
        if following is None:
            following = self.followings[pool] = Following(place)
        following.place = place
        following.coming.append(then)
        if not following.waiting:
            self.begin(pool, following)
        return True

    def begin(self, pool: Pool, following: Following) -> None:
        """Ask for all who have come."""
        following.waiting, following.coming = following.coming, []
        following.asked_at = monotonic()
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(PATIENCE, self.look)
        self.ask(pool, following)

    def ask(self, pool: Pool, following: Following) -> None:
        host, port, _ = following.place
        own = self.pools.get((host, port))
        if own is None:
            own = self.pools[host, port] = self.make_pool(pool, self.startup)
        question = following.question
        if question is None or question.pool is not own:
            question = following.question = Question(own, partial(self.answered, pool, following))
        question.ask(following.spell(pool))

    def answered(self, pool: Pool, following: Following, answer: Answer | TimeoutError) -> None:
        following.asked_at = NEVER
        if not isinstance(answer, bytes):
            self.give_up(following.place, answer)
        elif answer != pool.defaults.fingerprint and not pool.share.find_full():
            self.renew(pool).add_done_callback(lambda _: self.conclude(pool, following, answer))
            return
        self.end(pool, following)

    def conclude(self, pool: Pool, following: Following, answer: bytes) -> None:
        if pool.defaults.snapshot is not None:
            pool.defaults.fingerprint = answer
        self.end(pool, following)

    def end(self, pool: Pool, following: Following) -> None:
        """All who have waited go on; who has come meanwhile waits for another answer."""
        waiting, following.waiting = following.waiting, []
        if following.coming:
            self.begin(pool, following)
        for then in waiting:
            then()

    def look(self) -> None:
        """Give up what is not answered in time, and forget what nobody asks for."""
        self.timer = None
        now = monotonic()
        for pool, following in list(self.followings.items()):
            if not following.waiting:
                del self.followings[pool]
            elif now - following.asked_at >= PATIENCE and following.question is not None:
                following.question.drop()
                self.answered(pool, following, TimeoutError())
        if self.followings:
            oldest = min(min(following.asked_at for following in self.followings.values()), now)
            self.timer = asyncio.get_running_loop().call_later(oldest + PATIENCE - now, self.look)

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
    if (
        pool.tenant.fence is not None
    ):  # what is kept for sessions without settings was told under the old ones
        pool.tenant.fence.invalidate(None)
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
