"""A request's way through the gates of its database and user (dbproxy.gates), and what it waits for on that way.

It waits beside the data path: a timer or a future calls it back, and whoever leaves meanwhile leaves nothing behind.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol

import structlog

from dbproxy.cache.fill import Fill
from dbproxy.cluster.lag import settle
from dbproxy.errors import ProxyError
from dbproxy.gates import GO, Await, Delay, Gate, Go, Verdict
from dbproxy.pool.query import Query
from dbproxy.pool.server import Server
from dbproxy.session.correlation import name_request
from dbproxy.wire.extended import statement_text

log = structlog.get_logger(__name__)

PRIMARY, NEVER = float("inf"), float("-inf")


class Asker(Protocol):
    """Whose request it is. One of the two is called when the wait is over, unless it has left."""

    def ask_again(self) -> None: ...
    def refuse(self, error: ProxyError) -> None: ...


def name_query(query: Query) -> dict[str, Any]:
    """For a log line: whose it is, and its ids."""
    who, text = query.session.identity, statement_text(query.chunk, query.at)
    return {**who.describe(), **name_request(text, who, query.arrived)}


def seen_by(server: Server) -> float:
    """All that was committed by then (monotonic seconds) the server has; infinite of the primary."""
    host, commits = server.pool.host, server.pool.tenant.commits
    if host is None:
        return PRIMARY
    return commits.known_for if host.position.lsn >= settle(commits.known) > 0 else NEVER


class Passage:
    """Of one request. Which gates there are is seen at its beginning."""

    def __init__(self, asker: Asker, request: Query, gates: tuple[Gate[Query, Asker], ...]) -> None:
        self.asker = asker
        self.request = request
        self.gates = gates
        self.passed = 0  # so many of them have let it go
        self.over = False
        self.waiting: dict[Asker, float] = {}  # since when, if it waits
        self.alarm: asyncio.TimerHandle | None = None
        self.work: asyncio.Future[object] | None = None
        self.owned = False  # the work is nobody else's

    def ask(self, now: float) -> Verdict:
        """What the next gates say; one that has let it go is not asked again."""
        while self.passed < len(self.gates):
            verdict = self.gates[self.passed].before(self.request, self.asker, now)
            if not isinstance(verdict, Go):
                return verdict
            self.passed += 1
        return GO

    def close(self) -> None:
        """It is over, or given up: those that have let it go hear so, once."""
        if self.over:
            return
        self.over = True
        for gate in self.gates[: self.passed]:
            try:
                gate.after(self.request)
            except Exception:  # costs nobody else theirs
                log.exception("internal error", gate=type(gate).__name__, **name_query(self.request))

    def listen(self, server: Server) -> Fill | None:
        """What hears the answer, which this server is to give."""
        fill = self.request.fill
        if fill is None or fill.over:
            return None
        then = seen_by(server)
        fill.begin(then == PRIMARY or fill.moment.was_over_by(then))
        return fill

    # --- waiting ---

    def wait(self, verdict: Delay | Await, now: float) -> None:
        self.waiting[self.asker] = now
        if isinstance(verdict, Delay):
            patience = max(0.0, verdict.until - now)
            self.alarm = asyncio.get_running_loop().call_later(patience, self.wake)
        else:
            self.begin(verdict.work)

    def begin(self, work: Awaitable[object]) -> None:
        """What is a future already may be awaited by others, too."""
        self.work = asyncio.ensure_future(work)
        self.owned = self.work is not work
        self.work.add_done_callback(self.done)

    def leave(self, _: object) -> None:
        """It waits no more."""
        self.waiting.clear()
        if self.alarm is not None:
            self.alarm.cancel()
        if self.work is not None:
            self.work.remove_done_callback(self.done)
            if self.owned:
                self.work.cancel()
        self.alarm = self.work = None

    def wake(self) -> None:
        self.leave(self.asker)
        self.asker.ask_again()

    def done(self, work: asyncio.Future[object]) -> None:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if work is not self.work:
            return  # whoever has waited for it has just left
        self.work = None
        if error is None:
            self.wake()
            return
        self.leave(self.asker)
        self.asker.refuse(error if isinstance(error, ProxyError) else self.explain(error))

    def explain(self, error: BaseException) -> ProxyError:
        """What a client is told of an error that is not meant for it."""
        gate = type(self.gates[self.passed]).__name__
        log.error("gate failed", gate=gate, exc_info=error, **name_query(self.request))
        return ProxyError(
            f"the request was refused: what {gate} has waited for failed with {type(error).__name__}",
            hint="The log of the proxy has the error.",
        )
