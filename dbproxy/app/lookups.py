"""What only the server knows of those who log in: their passwords (`auth.query`), and the roles that they have.

It is asked by connections beside the pools, as `auth.user`. Logins of one user that come at the same time share the
question; nobody else waits for it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Set
from time import monotonic
from typing import Any, TypeVar

import structlog

from dbproxy.auth.query import EXPIRY, ROLES, STARTUP, UNKNOWN, Answer, Answers, read_answer
from dbproxy.config import PoolSettings, Settings
from dbproxy.config.settings import Authority
from dbproxy.errors import ProxyError, ServerLost
from dbproxy.pool.lookup import Lookup
from dbproxy.pool.pool import Pool

log = structlog.get_logger(__name__)

T = TypeVar("T")
CONNECTIONS = 2  # to each server that is asked
MOST = 1000  # users that are asked for at the same time
NOT_LISTED = (
    "there is no such user in auth.file, in a URL or under [users], and no auth.user to ask the server"
)
MakePool = Callable[[str, str, PoolSettings, Mapping[str, str]], Pool]


class Lookups:
    """`make_pool(database, user, limits, startup)`; `spawn` runs a task of the slow lane."""

    def __init__(
        self,
        settings: Settings,
        make_pool: MakePool,
        spawn: Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"],
    ) -> None:
        self.settings = settings
        self.make_pool = make_pool
        self.spawn = spawn
        self.answers = Answers()
        self.pools: dict[Authority, Pool] = {}
        self.retired: list[Pool] = []  # of settings before, as long as one of their connections is open
        self.running: dict[tuple[Authority, str], asyncio.Task[Any]] = {}

    def apply(self, settings: Settings) -> None:
        """Other settings: what was answered before counts no more."""
        self.settings = settings
        self.answers = Answers()
        self.retired += self.pools.values()
        self.pools = {}
        for pool in self.retired:
            pool.retire("the settings were read again")

    def all_pools(self) -> list[Pool]:
        return [*self.pools.values(), *self.retired]

    def forget(self) -> None:
        """Those of before that nobody uses any more."""
        self.retired = [pool for pool in self.retired if pool.size() or pool.waiting]

    async def find_secret(self, database: str, user: str) -> Answer:
        """ServerLost if the server cannot be asked."""
        authority = self.settings.authority_for(database)
        if not authority.user:
            return Answer(None, NOT_LISTED)
        if not is_text(user):
            return Answer(None, UNKNOWN)
        answer = self.answers.find(authority, user, monotonic(), self.settings.auth.query_ttl)
        return answer if answer is not None else await self.share(authority, user, self.ask_secret)

    async def ask_secret(self, authority: Authority, user: str) -> Answer:
        rows, expiry = await self.ask(authority, user, authority.query, EXPIRY)
        answer = read_answer(user, rows, expiry, monotonic())
        self.answers.keep(authority, user, answer)
        return answer

    async def find_roles(self, database: str, user: str) -> frozenset[str]:
        """Those that the user is a member of, and the user; none if there is none such. ServerLost as above."""
        authority = self.settings.authority_for(database)
        if not authority.user:  # who would be rejected as a member must not be let in for want of an answer
            error = ServerLost(f'cannot look up user "{user}" now')
            error.detail_log = (
                f'a rule asks whose member the user is, and there is no auth.user for "{database}"'
            )
            raise error
        return await self.share(authority, user, self.ask_roles) if is_text(user) else frozenset()

    async def ask_roles(self, authority: Authority, user: str) -> frozenset[str]:
        (rows,) = await self.ask(authority, user, ROLES)
        return frozenset(row[0].decode("utf-8", "surrogateescape") for row in rows)

    def doubt(self, database: str, user: str) -> None:
        """A login has failed: the password may have been changed."""
        self.answers.doubt(self.settings.authority_for(database), user, monotonic())

    # --- asking ---

    async def share(
        self, authority: Authority, user: str, ask: Callable[[Authority, str], Coroutine[Any, Any, T]]
    ) -> T:
        """The answer, which all who want it at the same time get; a client that leaves takes it from nobody."""
        key = (authority, f"{ask.__name__} {user}")
        task = self.running.get(key)
        if task is None:
            if len(self.running) >= MOST:
                raise ServerLost("too many users' passwords are being looked up; try again later")
            task = self.running[key] = self.spawn(self.attempt(ask, authority, user))
            task.add_done_callback(lambda _: self.running.pop(key, None))
        await asyncio.wait([task])
        answer: T | ServerLost = task.result()
        if isinstance(answer, ServerLost):
            raise ServerLost(answer.message)
        return answer

    async def attempt(
        self, ask: Callable[[Authority, str], Coroutine[Any, Any, T]], authority: Authority, user: str
    ) -> T | ServerLost:
        """The answer, or what to tell those who wait for it: why, the log says alone."""
        patience = self.settings.auth.query_timeout
        try:
            async with asyncio.timeout(patience or None):
                return await ask(authority, user)
        except (ProxyError, TimeoutError) as error:
            why = str(error) or f"no answer within auth.query_timeout ({patience:g} s)"
            log.error(
                "users cannot be looked up",
                database=authority.database or authority.dbname,
                auth_user=authority.user,
                asked_for=user,
                error=why,
                sqlstate=getattr(error, "sqlstate", ""),
                hint="auth.user has to be able to log in, and to run auth.query; see docs/authentication.md.",
            )
            return ServerLost(f'cannot look up user "{user}" now')

    async def ask(self, authority: Authority, user: str, *texts: str) -> list[list[list[bytes]]]:
        pool = self.pools.get(authority)
        if pool is None:
            limits = self.settings.pool_for(authority.database, authority.user)
            few = limits.model_copy(update={"size": CONNECTIONS, "min_pool_size": 0, "reserve_size": 0})
            startup = {**STARTUP, "database": authority.dbname}
            pool = self.pools[authority] = self.make_pool(authority.database, authority.user, few, startup)
        return await Lookup(pool).find(*texts, parameter=user)

    def vacate(self, databases: Set[str]) -> None:
        """Close what is idle in these databases."""
        for authority, pool in self.pools.items():
            if authority.dbname in databases:
                for server in list(pool.idle):
                    server.close("the database is to be dropped")


def is_text(name: str) -> bool:
    """Whether it can be a name on a server: what is no UTF-8 is nobody's."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
