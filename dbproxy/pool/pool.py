"""A pool: the server connections of one database and user, and the clients that wait for one.

Servers are lent last in, first out, so that few stay warm; clients are served strictly first come, first served. The
pool decides and keeps the lists; how connections come and go is in pool.supply. Deadlines are numbers: pool.janitor
looks at them.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from dbproxy.config import PoolSettings
from dbproxy.net.direct import has_news
from dbproxy.pool.commits import Commits
from dbproxy.pool.parameters import ParameterSets
from dbproxy.pool.prepared import Statements
from dbproxy.pool.states import ACTIVE, BEING_CANCELED, IDLE, TESTED
from dbproxy.pool.stats import PoolStats
from dbproxy.pool.supply import Supply
from dbproxy.sql.cache import StatementCache

if TYPE_CHECKING:
    from dbproxy.pool.borrower import Borrower
    from dbproxy.pool.server import Server

QUIET = 0.01  # seconds after which a server is looked at before it is lent


class Pool(Supply):
    """Who is lent a server, and who waits. `launch(pool)` begins to open a connection, `cancel(server)` a cancel."""

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
        Supply.__init__(self, database, user, settings, launch, commits or Commits(), primary, host)
        self.statements: Statements = (
            primary.statements if primary else Statements(settings.statement_cache_size)
        )
        self.forget_statements = forget_statements or self.statements.forget  # after DDL
        self.cancel = cancel
        self.slow_after = slow_after
        self.stats: PoolStats = primary.stats if primary else PoolStats()
        self.parameter_sets: ParameterSets = primary.parameter_sets if primary else ParameterSets()
        self.classifier = classifier or StatementCache(settings.statement_cache_size)
        # The database's own functions that change a session, by name: their effects, and the settings they name.
        self.routines: dict[str, tuple[int, frozenset[str]]] = {}
        self.routines_read_at = 0.0
        self.sets_unseen = False  # some of them set settings: a trigger may call them
        self.tells_positions = True  # its servers say where a commit is
        self.recalls = False  # somebody here uses currval or lastval

    def knows_routines(self) -> bool:
        """Whether the database's functions have been read, or need not be."""
        wanted = self.settings.read_functions and self.settings.mode != "session"
        return not wanted or self.routines_read_at > 0

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

    def checkin(self, server: "Server", now: float) -> None:
        """The server is clean: to whoever waits longest, or to the idle ones."""
        if server.condemned:
            server.close(server.condemned)
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
        if server.condemned and server.state in (BEING_CANCELED, TESTED):
            server.close(server.condemned)
        elif not server.cancels and server.state == BEING_CANCELED:
            self.checkin(server, monotonic())

    def check(self, server: "Server", now: float) -> None:
        """See whether an idle server still answers."""
        server.checked_at = now
        self.move(server, TESTED)
        server.run_ours("")
