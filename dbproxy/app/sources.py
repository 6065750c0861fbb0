"""Has each rule's `source` (limits.source) read on the primary: every `limits.source_interval`, and upon a NOTIFY.

By one connection beside the pools, as the user of `primary.url`, read only. What was read stays while it cannot be read
anew, which is told once, and tried again every RETRY seconds.
"""

import asyncio
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import replace
from time import monotonic

import asyncpg
import structlog

from dbproxy.cluster.connection import Connection, connect_as_servers
from dbproxy.cluster.monitor import FAULTS, Watched
from dbproxy.config import Host, Settings
from dbproxy.errors import ProxyError, ServerUnavailable
from dbproxy.limits.book import Book, Rule
from dbproxy.limits.source import Reading, Rows
from dbproxy.observe.masking import mask_words

log = structlog.get_logger(__name__)

APPLICATION_NAME = "dbproxy limits"
TIMEOUT = 10.0  # seconds for connecting, and for all rows of one source
RETRY = 2.0
LEAST = 0.1  # seconds from one reading to the next, however many ask for it
FETCHED = 500  # rows at a time, so that clients' queries are not held up


class Sources:
    """Of the rules of one book. `find_primary` says where the primary is; ServerUnavailable while there is none."""

    def __init__(self, book: Book, cluster: Watched, find_primary: Callable[[], Host]) -> None:
        self.book = book
        self.cluster = cluster
        self.find_primary = find_primary
        self.due = asyncio.Event()
        self.connection: Connection = None
        self.opened: tuple[Host, str] | None = None  # where, and the channel that is listened to

    @property
    def rules(self) -> list[Rule]:
        return [rule for rule in self.book.rules if rule.settings.source]

    async def run(self) -> None:
        """Until cancelled, whatever goes wrong."""
        try:
            while True:
                self.due.clear()
                began = monotonic()
                try:
                    worked = await self.read_all()
                except Exception:
                    log.exception("internal error", during="limits")
                    worked = False
                await asyncio.sleep(max(LEAST, monotonic() - began))
                interval = self.book.settings.source_interval
                await self.wait(interval if worked else min(interval, RETRY))
        finally:
            self.close()

    async def wait(self, seconds: float) -> None:
        """So long, or until somebody wants them read."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if self.rules else None):
                await self.due.wait()

    def hurry(self, *_: object) -> None:
        """Have them read now: by a NOTIFY, other settings, or as the connection was lost."""
        self.due.set()

    async def read_all(self) -> bool:
        """Whether all could be read."""
        rules = self.rules
        if not rules:
            self.close()
            return True
        try:
            await self.connect()
        except (*FAULTS, ProxyError) as error:
            for rule in rules:
                self.fail(rule, error)
            return False
        return all([await self.read(rule) for rule in rules])

    async def read(self, rule: Rule) -> bool:
        """Whether it could be."""
        rows = Rows(self.book.settings.tiers.keys())
        try:
            async with asyncio.timeout(TIMEOUT):
                await self.fetch(rule.settings.source, rows)
        except (*FAULTS, ValueError) as error:
            if isinstance(error, TimeoutError):
                self.close()  # what it still answers is nobody's
            self.fail(rule, error)
            return False
        if rule.reading.error or rows.unreadable > rule.reading.unreadable or rule.reading.at is None:
            log.info("tiers read", rule=rule.name, keys=len(rows.listed), unreadable=rows.unreadable)
        rule.reading = Reading(monotonic(), len(rows.listed), rows.unreadable)
        self.book.adopt_tiers(rule, rows.listed)
        return True

    async def fetch(self, query: str, rows: Rows) -> None:
        """ValueError if they are none that can be used."""
        connection, most = self.connection, self.book.settings.max_keys
        if connection is None:  # the database is to be dropped
            raise ConnectionResetError
        async with connection.transaction(readonly=True):
            cursor = await connection.cursor(query)
            while some := await cursor.fetch(FETCHED):
                rows.add(some)
                if len(rows.listed) > most:
                    raise ValueError(
                        f"it has more than {most} rows (limits.max_keys); leave those out that have the rule's own tier"
                    )

    def fail(self, rule: Rule, error: BaseException) -> None:
        """What was read stays; told once."""
        reason = describe(error)
        if not rule.reading.error:
            log.warning("tiers not read", rule=rule.name, error=reason, keys=rule.reading.keys)
        rule.reading.error = reason

    # --- the connection ---

    async def connect(self) -> None:
        """Have one to where the primary is now."""
        place = (self.find_primary(), self.book.settings.source_channel)
        if self.connection is not None and not self.connection.is_closed() and place == self.opened:
            return
        self.close()
        url, channel = place
        *others, last = url.each()
        for other in others:
            with suppress(*FAULTS):
                await self.open(other, channel)
                break
        else:
            await self.open(last, channel)
        self.opened = place

    async def open(self, url: Host, channel: str) -> None:
        """A replica refuses to listen: it is not the one."""
        connection = await connect_as_servers(self.cluster, url, TIMEOUT, APPLICATION_NAME)
        try:
            if channel:
                await connection.add_listener(channel, self.hurry)
        except BaseException:
            connection.terminate()
            raise
        connection.add_termination_listener(self.hurry)
        self.connection = connection

    def vacate(self, databases: Set[str]) -> None:
        """Do not keep one of these from being dropped."""
        if self.opened is not None and self.opened[0].dbname in databases:
            self.close()

    def close(self) -> None:
        connection, self.connection, self.opened = self.connection, None, None
        if connection is not None:
            connection.remove_termination_listener(self.hurry)
            connection.terminate()


def locate(settings: Settings, primary: Host | None) -> Host:
    """Where the primary is, in the database and as the user of `primary.url`."""
    written = settings.primary.url
    if primary is None or written is None:
        raise ServerUnavailable("the primary is lost")
    if written.address == primary.address:
        return written
    dbname = written.dbname or written.user
    return replace(primary, user=written.user, password=written.password, dbname=dbname, others=())


def describe(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(error, asyncpg.PostgresError):
        return mask_words(f"{error} ({error.sqlstate})")
    return mask_words(str(error)) or "the connection was closed"
