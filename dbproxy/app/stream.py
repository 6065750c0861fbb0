"""The task by which the cache hears of everybody's writes, for as long as it is wanted (cache.stream)."""

import asyncio
import random
from collections.abc import Sequence
from time import monotonic

import structlog

from dbproxy.app.replication import Line, Source
from dbproxy.app.targets import Targets
from dbproxy.cache.stream import explain, find_delay
from dbproxy.errors import ProxyError

log = structlog.get_logger(__name__)

STARTUP = {"application_name": "dbproxy cache", "client_encoding": "UTF8"}
LOOK = 1.0  # seconds from one look at the clock, and at where the primary is, to the next
STEADY = 60.0  # seconds that a stream must have flowed for its end to count as the first failure
QUIET = 60.0  # seconds between two equal lines of the log


class Stream:
    """Of one database, as `user`. `run` is a task of the slow lane."""

    def __init__(self, targets: Targets, database: str, user: str, source: Source) -> None:
        self.targets = targets
        self.database = database
        self.user = user
        self.source = source
        self.line: Line | None = None
        self.address = ""  # where it was tried last
        self.error: ProxyError | None = None  # why nothing is heard
        self.failures = 0  # in a row
        self.warned_at = -QUIET

    @property
    def flows(self) -> bool:
        line = self.line
        return line is not None and line.following is not None and line.following.flows

    async def run(self) -> None:
        """Until cancelled, whatever goes wrong; each new stream begins anew."""
        try:
            while True:
                try:
                    await self.follow()
                except ProxyError as error:
                    self.warn(explain(error, self.address))
                except Exception:
                    log.exception("internal error", during="stream", database=self.database)
                self.failures += 1
                await asyncio.sleep(find_delay(self.failures, random.random()))  # noqa: S311 - no secret
        finally:
            self.error = None

    def restart(self, reason: str) -> None:
        """Begin anew, as when what the user logs in by is another."""
        if self.line is not None:
            self.line.close(reason)

    def check(self, rows: Sequence[Sequence[bytes]]) -> None:
        """The source's question is answered this now: begin anew if some writes may not have been told."""
        line = self.line
        if line is None or not self.flows:
            return
        try:
            reason = self.source.renew(rows)
        except ProxyError as error:
            line.end(error)
        else:
            if reason:
                line.close(reason)

    # --- one stream ---

    async def follow(self) -> None:
        """From the login to the end, which is always an error."""
        line = await self.open()
        try:
            self.line, self.address = line, line.backend.address
            await self.source.begin(line)
            self.error, self.warned_at = None, -QUIET
            log.info("writes are followed", database=self.database, address=self.address,
                     tables=len(self.source.published))  # fmt: skip
            await self.keep(line)
        except ProxyError as error:
            line.end(error)
            raise
        finally:
            if line.following is not None and monotonic() - line.following.began_at >= STEADY:
                self.failures = 0
            line.close("the stream is given up")
            self.line = None

    async def open(self) -> Line:
        self.address = ""
        host = self.targets.hosts.find_primary(self.database)
        self.address = host.address
        startup = {**STARTUP, **self.source.startup}
        return await self.targets.open_beside(self.database, self.user, host, startup, Line, "primary")

    async def keep(self, line: Line) -> None:
        """Say how far we are, and end it where that is to be noticed by us. Raises what has ended it."""
        following = line.following
        while not line.closed and following is not None:
            await asyncio.wait((line.over,), timeout=LOOK)
            now = monotonic()
            if following.is_silent(now):
                line.close("nothing has been heard of the server any more")
            elif self.is_elsewhere():
                line.close("the primary is another host now")
            elif following.claim_status(now):
                line.tell_status(following, reply_wanted=True)
        raise await line.over

    def is_elsewhere(self) -> bool:
        """Whether writes go to another host by now. ServerUnavailable while they go nowhere."""
        host = self.targets.hosts.find_primary(self.database)
        return self.address not in {one.address for one in host.each()}

    def warn(self, error: ProxyError) -> None:
        """Once a minute while it stays the same."""
        now, before = monotonic(), self.error
        self.error = error
        if now - self.warned_at >= QUIET or before is None or before.message != error.message:
            self.warned_at = now
            log.warning("writes are not followed", database=self.database, user=self.user,
                        error=error.message, hint=error.hint)  # fmt: skip
