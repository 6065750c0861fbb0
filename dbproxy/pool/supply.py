"""The connections of a pool: opened where there is need and room, and by the list that each is in.

`launch`, handed in, opens one beside the data path. An attempt that failed is followed by a pause, in which nobody
waits for what cannot be.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

import structlog

from dbproxy.config import PoolSettings
from dbproxy.errors import LoginRefused, ProxyError, ServerRefused
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.defaults import Defaults
from dbproxy.pool.demand import backoff, wanted
from dbproxy.pool.quota import Share
from dbproxy.pool.states import ACTIVE, CLOSED, IDLE, LOGIN, MOVES, NAMES, Member, Members
from dbproxy.pool.stats import PoolStats
from dbproxy.pool.tenant import Tenant
from dbproxy.pool.waiting import Waiting
from dbproxy.sql.statement import WRITES

log = structlog.get_logger(__name__)

REPLICA_RETRY = 1.0  # seconds: whether it is worth trying at all, the cluster knows


class Supply:
    """Base of `Pool`: servers by state. `host`: the replica that they are connections to; None: the primary."""

    def __init__(
        self, tenant: Tenant, launch: Callable[[Any], object], host: Any, share: Share | None = None
    ) -> None:
        self.tenant = tenant
        self.share = share or Share()
        self.launch = launch
        self.host = host
        self.moves = False  # to another host, if that becomes the primary: so clients wait
        self.lists: list[Members] = [Members() for _ in NAMES]
        self.idle = self.lists[IDLE]
        self.active = self.lists[ACTIVE]
        self.waiting = Waiting()
        self.welcome: dict[str, str] = {}  # replaced, never changed (pool.greeting)
        self.defaults = Defaults()
        self.paused = False
        self.generation = 0
        self.retired_for = ""
        self.opening = 0
        self.attempts: set[Any] = set()  # tasks that open a connection
        self.failures = 0
        self.retry_at = 0.0
        self.last_error: ProxyError | None = None
        self.told_at = float("-inf")  # when the log said last who holds what is waited for

    @property
    def database(self) -> str:
        return self.tenant.database

    @property
    def user(self) -> str:
        return self.tenant.user

    @property
    def settings(self) -> PoolSettings:
        return self.tenant.settings

    @property
    def stats(self) -> PoolStats:
        return self.tenant.stats

    def __repr__(self) -> str:
        return f"<Pool {self.database}/{self.user} {self.counts()} waiting={len(self.waiting)}>"

    def leave(self, client: Borrower) -> None:
        """The client does not wait any more."""
        self.waiting.remove(client)

    def checkin(self, server: Member, now: float) -> None:
        """The server is clean: to whoever waits longest, or to the idle ones."""
        raise NotImplementedError

    # --- what there is ---

    def counts(self) -> dict[str, int]:
        return {name: len(servers) for name, servers in zip(NAMES[:-1], self.lists, strict=False)}

    def size(self) -> int:
        """Connections open or being opened."""
        return self.opening + sum(map(len, self.lists[IDLE:CLOSED]))

    def is_shut(self, now: float) -> bool:
        """Whether whoever asks would wait for the next attempt: the last has failed, and nothing is open."""
        return now < self.retry_at and not self.size()

    def servers(self) -> list[Member]:
        return [server for servers in self.lists for server in servers]

    def move(self, server: Member, state: int) -> None:
        """The only way from one list to another."""
        if state not in MOVES[server.state]:
            raise AssertionError(f"server {server.id}: {NAMES[server.state]} to {NAMES[state]}")
        self.lists[server.state].remove(server)
        server.state = state
        if state != CLOSED:
            self.lists[state].add(server)

    # --- opening and losing ---

    def open_more(self, now: float) -> None:
        """Begin to open as many connections as there is need and room for."""
        number = self.missing(now)
        if not number:
            return
        if self.share.is_limited():
            self.share.ask(self, now)  # type: ignore[misc]  # there is one where there are quotas
            return
        log.debug("servers wanted", number=number, database=self.database, user=self.user, size=self.size(),
                  waiting=len(self.waiting))  # fmt: skip
        for _ in range(number):
            self.begin_opening()

    def missing(self, now: float) -> int:
        """How many connections are to be opened now, as far as the pool's own limits go."""
        if self.paused or now < self.retry_at:
            return 0
        longest = now - self.waiting.oldest() if self.waiting else 0.0
        return wanted(
            size=self.size(),
            opening=self.opening,
            waiting=len(self.waiting),
            longest_wait=longest,
            probing=self.failures > 0,
            limits=self.settings,
        )

    def begin_opening(self) -> None:
        self.expect()
        self.launch(self)

    def expect(self) -> None:
        """A connection is being opened."""
        self.opening += 1
        self.share.take()

    def opened(self, server: Member, now: float) -> None:
        """A login has succeeded."""
        self.opening -= 1
        self.failures = 0
        self.retry_at = 0.0
        self.last_error = None
        self.lists[LOGIN].add(server)
        self.welcome = dict(server.backend.parameters)
        self.move(server, ACTIVE)
        self.checkin(server, now)

    def open_failed(self, error: ProxyError, now: float) -> None:
        """A login has failed: wait before the next; nobody waits for what cannot be."""
        self.opening -= 1
        self.share.give()
        self.failures += 1
        longest = self.settings.server_login_retry
        self.retry_at = now + backoff(
            self.failures, min(longest, REPLICA_RETRY) if self.host is not None else longest
        )
        self.last_error = error
        self.share.freed(now)
        if self.size() > self.opening:
            return
        # Another host would let nobody in, either; and where this is a replica, the primary answers, too.
        final = isinstance(error, (ServerRefused, LoginRefused)) or self.host is not None
        for client in [client for client in self.waiting if final or (client.impatient and not self.moves)]:
            self.leave(client)
            client.refuse(error)

    def try_again(self, now: float) -> None:
        """What was wrong is over."""
        self.failures = 0
        self.retry_at = 0.0
        self.open_more(now)

    def opening_ended(self, now: float, *, given_up: bool) -> None:
        """An attempt was cancelled; `given_up`: by `retire`, so that others are begun."""
        self.opening -= 1
        self.share.give()
        self.share.freed(now)
        if given_up:
            self.open_more(now)

    def lost(self, server: Member, reason: str) -> None:
        """A connection is closed, for this reason; open another if somebody waits."""
        was = NAMES[server.state]
        if server.dialogue.traces.unplaced:
            self.tenant.commits.lose(monotonic())
        elif server.dialogue.traces.effects & WRITES:
            self.tenant.commits.lost_at = monotonic()
        if server.state not in (LOGIN, CLOSED):
            self.share.give()
        if server.state != CLOSED:
            self.lists[server.state].remove(server)
            server.state = CLOSED
        log.info(
            "server closed",
            server=server.id,
            database=self.database,
            user=self.user,
            state=was,
            reason=reason,
            age=round(monotonic() - server.backend.connected_at, 3),
        )
        now = monotonic()
        self.share.freed(now)
        self.open_more(now)

    def retire(self, why: str = "settings changed") -> None:
        """Every connection is closed once it is free, and replaced; what is being opened is given up."""
        self.generation += 1
        self.retired_for = why
        for attempt in self.attempts:
            attempt.cancel()
        for server in list(self.idle):
            server.close(why)

    def pause(self) -> None:
        """Lend no more; what is lent is closed when it comes back."""
        self.paused = True
        for server in list(self.idle):
            server.close("paused")

    def resume(self, now: float) -> None:
        self.paused = False
        self.open_more(now)

    def forgettable(self, now: float) -> bool:
        """Whether nothing would be lost with this pool: no connection, nobody who waits, no back-off."""
        kept = self.paused or self.settings.min_pool_size > 0
        return not kept and not self.size() and not self.waiting and now >= self.retry_at
