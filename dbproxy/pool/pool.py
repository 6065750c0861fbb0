"""A pool: the server connections of one database and user, and the clients that wait for one.

Servers are lent last in, first out, so that few stay warm; clients are served strictly first come, first served, or in
turns (pool.waiting). The pool decides and keeps the lists; how connections come and go is in pool.supply. Deadlines are
numbers: pool.janitor looks at them.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any

from dbproxy.config.reset import EMPTY
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.quota import Share
from dbproxy.pool.states import ACTIVE, BEING_CANCELED, IDLE, TESTED, Member
from dbproxy.pool.supply import Supply
from dbproxy.pool.tenant import Tenant

QUIET = 0.01  # seconds after which a server is looked at before it is lent


class Pool(Supply):
    """Who is lent a server, and who waits. `launch(pool)` begins to open a connection, `cancel(server)` a cancel."""

    def __init__(
        self,
        tenant: Tenant,
        launch: Callable[["Pool"], object],
        cancel: Callable[[Any], object],
        host: Any = None,
        share: Share | None = None,
    ) -> None:
        Supply.__init__(self, tenant, launch, host, share)
        self.cancel = cancel

    # --- lending ---

    def checkout(self, client: Borrower, now: float) -> Any:
        """A server for this client now, or None: the client waits, and `serve` is called in its turn."""
        server: Any = self.idle.last
        if server is not None and not self.paused and not self.waiting.any():
            claimed_by = server.trail.claimed_by
            if server.dialogue.settings is not client.settings or (
                claimed_by is not None and claimed_by is not client
            ):
                server = self.find_fitting(client, now)
            if server is not None and now - server.upkeep.used_at > QUIET and server.has_news():
                server = self.find_quiet()
            if server is not None:
                self.idle.remove(server)
                server.state = ACTIVE
                self.active.add(server)
                server.lend(client, now)
                self.tenant.stats.wait(0)
                return server
        self.waiting.add(client, now)
        self.open_more(now)
        return None

    def find_fitting(self, client: Borrower, now: float) -> Any:
        """The idle server that fits best: claimed by this client, or with its settings and not claimed.

        One that another has claimed is lent only if no other can be had. None: one can still be opened.
        """
        free = claimed = None
        for server in reversed(self.idle):
            claimed_by = server.trail.claimed_by
            if claimed_by is client:
                free = server
                break
            if claimed_by is not None and not claimed_by.closed:
                claimed = server  # the one that was used longest ago
            elif free is None or (server.dialogue.settings is client.settings is not free.dialogue.settings):
                free = server
        if free is None and self.may_grow() and now >= self.retry_at:
            return None
        found: Any = free if free is not None else claimed
        found.trail.claimed_by = None
        return found

    def may_grow(self) -> bool:
        return self.size() < self.settings.size and not self.share.find_full()

    def find_quiet(self) -> Any:
        """An idle server that has nothing to say: one that was lost while idle says so before it is lent."""
        for server in reversed(self.idle):
            if not server.has_news():
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

    def checkin(self, server: Member, now: float) -> None:
        """The server is clean: to whoever waits longest, or to the idle ones."""
        if server.upkeep.condemned:
            server.close(server.upkeep.condemned)
        elif server.upkeep.cancels:
            self.move(server, BEING_CANCELED)
        elif server.upkeep.generation != self.generation or self.paused:
            server.close("paused" if self.paused else self.retired_for)
        elif now >= server.upkeep.expires_at:
            server.close("server_lifetime")
        elif self.waiting.any():
            client, since = self.waiting.take_next()
            if server.state != ACTIVE:
                self.move(server, ACTIVE)
            server.lend(client, now)
            self.tenant.stats.wait(int((now - since) * 1e6))
            client.serve(server, now)
        else:
            if server.state == ACTIVE:
                server.upkeep.used_at = now
                self.active.remove(server)
                server.state = IDLE
                self.idle.add(server)
            else:
                self.move(server, IDLE)

    def cleaning(self, server: Member) -> list[str]:
        """SQL that makes a server, taken from a client that left, as good as new."""
        statements = ["ROLLBACK"] if server.dialogue.in_transaction() else []
        if self.settings.mode == "session":
            reset = self.settings.server_reset_query
        else:
            reset = "DISCARD ALL" if server.dialogue.is_dirty() else ""
        return [*statements, reset] if reset else statements

    def canceled(self, server: Member) -> None:
        """A cancel request for this server has been dealt with."""
        if server.upkeep.condemned and server.state in (BEING_CANCELED, TESTED):
            server.close(server.upkeep.condemned)
        elif not server.upkeep.cancels and server.state == BEING_CANCELED:
            self.checkin(server, monotonic())

    def check(self, server: Member, now: float) -> None:
        """See whether an idle server still answers."""
        query = self.settings.server_check_query
        server.upkeep.checked_at = now
        self.move(server, TESTED)
        server.run_ours("" if query == EMPTY else query)
