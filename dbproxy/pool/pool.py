"""A pool: the server connections of one database and user, and the clients that wait for one.

Servers are lent last in, first out, so that few stay warm; clients are served strictly first come, first served. The
pool decides and keeps the lists; `launch`, handed in, opens connections beside the data path. Deadlines are numbers:
pool.janitor looks at them.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from dbproxy.config import PoolSettings
from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.net.direct import has_news
from dbproxy.pool.commits import Commits
from dbproxy.pool.demand import backoff, wanted
from dbproxy.pool.parameters import ParameterSets
from dbproxy.pool.prepared import Statements
from dbproxy.pool.states import ACTIVE, BEING_CANCELED, CLOSED, IDLE, LOGIN, MOVES, NAMES, TESTED, Members
from dbproxy.pool.stats import PoolStats
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.statement import WRITES

if TYPE_CHECKING:
    from dbproxy.pool.borrower import Borrower
    from dbproxy.pool.server import Server

log = structlog.get_logger()

REPLICA_RETRY = 1.0  # seconds: whether it is worth trying at all, the cluster knows
QUIET = 0.01  # seconds after which a server is looked at before it is lent


class Pool:
    """Servers by state, and who waits. `launch(pool)` begins to open one connection; `cancel(server)` one cancel."""

    def __init__(
        self,
        database: str,
        user: str,
        settings: PoolSettings,
        launch: Callable[["Pool"], object],
        cancel: Callable[["Server"], object],
        slow_after: float,
        classifier: StatementCache | None = None,
        forget_statements: Callable[[], object] | None = None,
        commits: Commits | None = None,
        primary: "Pool | None" = None,
        host: Any = None,
    ) -> None:
        """`primary`: whose clients the servers of a replica, `host`, answer, with their statements and settings."""
        self.database = database
        self.user = user
        self.settings = settings
        self.primary = primary
        self.host = host
        self.moves = False  # to another host, if that becomes the primary: worth waiting for
        self.commits = commits or Commits()
        self.statements: Statements = (
            primary.statements if primary else Statements(settings.statement_cache_size)
        )
        self.launch = launch
        self.forget_statements = forget_statements or self.statements.forget  # after DDL
        self.cancel = cancel
        self.slow_after = slow_after
        self.stats: PoolStats = primary.stats if primary else PoolStats()
        self.lists: list[Members] = [Members() for _ in NAMES]
        self.idle = self.lists[IDLE]
        self.active = self.lists[ACTIVE]
        self.waiting: OrderedDict[Any, float] = OrderedDict()
        self.parameter_sets: ParameterSets = primary.parameter_sets if primary else ParameterSets()
        self.classifier = classifier or StatementCache(settings.statement_cache_size)
        # The database's own functions that change a session, by name: their effects, and the settings they name.
        self.routines: dict[str, tuple[int, frozenset[str]]] = {}
        self.routines_read_at = 0.0
        self.sets_unseen = False  # some of them set settings: a trigger may call them
        self.tells_positions = True  # its servers say where a commit is
        self.recalls = False  # somebody here uses currval or lastval
        self.welcome: dict[str, str] = {}
        self.paused = False
        self.generation = 0
        self.retired_for = ""
        self.opening = 0
        self.attempts: set[Any] = set()  # tasks that open a connection
        self.failures = 0
        self.retry_at = 0.0
        self.last_error: ProxyError | None = None

    def __repr__(self) -> str:
        return f"<Pool {self.database}/{self.user} {self.counts()} waiting={len(self.waiting)}>"

    def knows_routines(self) -> bool:
        """Whether the database's functions have been read, or need not be."""
        wanted = self.settings.read_functions and self.settings.mode != "session"
        return not wanted or self.routines_read_at > 0

    def counts(self) -> dict[str, int]:
        return {name: len(servers) for name, servers in zip(NAMES[:-1], self.lists, strict=False)}

    def size(self) -> int:
        """Connections open or being opened."""
        return self.opening + sum(map(len, self.lists[IDLE:CLOSED]))

    def is_shut(self, now: float) -> bool:
        """Whether whoever asks would wait for the next attempt: the last has failed, and nothing is open."""
        return now < self.retry_at and not self.size()

    def servers(self) -> list["Server"]:
        return [server for servers in self.lists for server in servers]

    # --- lending ---

    def checkout(self, client: "Borrower", now: float) -> Any:
        """A server for this client now, or None: it waits, and `client.serve` is called in its turn."""
        server: Any = self.idle.last
        if server is not None and not self.paused and not self.waiting:
            if server.settings is not client.settings or (
                server.claimed_by is not None and server.claimed_by is not client
            ):
                server = self.find_fitting(client, now)
            if server is not None and now - server.used_at > QUIET and has_news(server.fd):
                server = self.find_quiet()
            if server is not None:
                self.idle.remove(server)
                server.state = ACTIVE
                self.active.add(server)
                server.lend(client, now)
                self.stats.wait(0)
                return server
        self.waiting[client] = now
        self.open_more(now)
        return None

    def find_fitting(self, client: "Borrower", now: float) -> Any:
        """The idle server that fits best: claimed by this client, or with its settings and not claimed.

        One that another has claimed is lent only if no other can be had. None: one can still be opened.
        """
        free = claimed = None
        for server in reversed(self.idle):
            if server.claimed_by is client:
                free = server
                break
            if server.claimed_by is not None and not server.claimed_by.closed:
                claimed = server  # the one that was used longest ago
            elif free is None or (server.settings is client.settings is not free.settings):
                free = server
        if free is None and self.size() < self.settings.size and now >= self.retry_at:
            return None
        found: Any = free if free is not None else claimed
        found.claimed_by = None
        return found

    def find_quiet(self) -> Any:
        """An idle server that has nothing to say: one that was lost while idle says so before it is lent."""
        for server in reversed(self.idle):
            if not has_news(server.fd):
                return server
        return None

    def match(self, now: float) -> None:
        """Lend idle servers to those who wait: they had news when they were asked for."""
        while self.waiting and self.idle and not self.paused:
            server = self.find_quiet()
            if server is None:
                return
            self.idle.remove(server)
            server.state = ACTIVE
            self.active.add(server)
            self.checkin(server, now)

    def leave(self, client: "Borrower") -> None:
        """The client does not wait any more."""
        self.waiting.pop(client, None)

    def checkin(self, server: "Server", now: float) -> None:
        """The server is clean: to whoever waits longest, or to the idle ones."""
        if server.doubtful:
            server.close("a cancel request may still be on its way")
        elif server.cancels:
            self.move(server, BEING_CANCELED)
        elif server.generation != self.generation or self.paused:
            server.close("paused" if self.paused else self.retired_for)
        elif now >= server.expires_at:
            server.close("server_lifetime")
        elif self.waiting:
            client, since = self.waiting.popitem(last=False)
            if server.state != ACTIVE:
                self.move(server, ACTIVE)
            server.lend(client, now)
            self.stats.wait(int((now - since) * 1e6))
            client.serve(server, now)
        else:
            if server.state == ACTIVE:
                server.used_at = now
                self.active.remove(server)
                server.state = IDLE
                self.idle.add(server)
            else:
                self.move(server, IDLE)

    def move(self, server: "Server", state: int) -> None:
        """The only way from one list to another."""
        if state not in MOVES[server.state]:
            raise AssertionError(f"server {server.id}: {NAMES[server.state]} to {NAMES[state]}")
        self.lists[server.state].remove(server)
        server.state = state
        if state != CLOSED:
            self.lists[state].add(server)

    def cleaning(self, server: "Server") -> list[str]:
        """SQL that makes a server, taken from a client that left, as good as new."""
        statements = ["ROLLBACK"] if server.status != ord("I") else []
        if self.settings.mode == "session":
            reset = self.settings.server_reset_query
        else:
            reset = "DISCARD ALL" if server.traces.dirty() else ""
        return [*statements, reset] if reset else statements

    def canceled(self, server: "Server") -> None:
        """A cancel request for this server has been dealt with."""
        if server.doubtful and server.state in (BEING_CANCELED, TESTED):
            server.close("a cancel request may still be on its way")
        elif not server.cancels and server.state == BEING_CANCELED:
            self.checkin(server, monotonic())

    def check(self, server: "Server", now: float) -> None:
        """See whether an idle server still answers."""
        server.checked_at = now
        self.move(server, TESTED)
        server.run_ours("")

    # --- opening and losing ---

    def open_more(self, now: float) -> None:
        """Begin to open as many connections as there is need and room for."""
        if self.paused or now < self.retry_at:
            return
        longest = now - next(iter(self.waiting.values())) if self.waiting else 0.0
        number = wanted(
            size=self.size(),
            opening=self.opening,
            waiting=len(self.waiting),
            longest_wait=longest,
            probing=self.failures > 0,
            limits=self.settings,
        )
        for _ in range(number):
            self.opening += 1
            self.launch(self)

    def opened(self, server: "Server", now: float) -> None:
        """A login has succeeded."""
        self.opening -= 1
        self.failures = 0
        self.retry_at = 0.0
        self.last_error = None
        self.lists[LOGIN].add(server)
        self.welcome = dict(server.parameters)
        self.move(server, ACTIVE)
        self.checkin(server, now)

    def open_failed(self, error: ProxyError, now: float) -> None:
        """A login has failed: wait before the next; nobody waits for what cannot be."""
        self.opening -= 1
        self.failures += 1
        longest = self.settings.server_login_retry
        self.retry_at = now + backoff(self.failures, min(longest, REPLICA_RETRY) if self.primary else longest)
        self.last_error = error
        if self.size() > self.opening:
            return
        final = isinstance(error, ServerRefused) or self.primary is not None  # which answers, too
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
        if given_up:
            self.open_more(now)

    def lost(self, server: "Server", reason: str) -> None:
        """A connection is closed, for this reason; open another if somebody waits."""
        was = NAMES[server.state]
        if server.traces.unplaced:
            self.commits.lose(monotonic())
        elif server.traces.effects & WRITES:
            self.commits.lost_at = monotonic()
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
        )
        self.open_more(monotonic())

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
