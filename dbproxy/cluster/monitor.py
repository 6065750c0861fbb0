"""Asking the hosts: one connection and one task for each, for as long as it is a member.

Each `health.interval` a new connection takes the old one's place: so a name that has another address by now is
followed, and a host that works on, but takes no new connection, is noticed. Names are looked up at each connect,
however lately somebody else did.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, Protocol

import asyncpg
import structlog

from dbproxy.cluster.connection import Connection, Ways, connect_as_servers
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.member import Member
from dbproxy.cluster.questions import QUESTIONS, NoAnswer, read
from dbproxy.config import HealthSettings, Host, Settings
from dbproxy.net.dial import tell_error

log = structlog.get_logger(__name__)

# It is there, but not for us: a wrong login, no such database, no connection left. (57P03, starting up, is a failure.)
REFUSALS = ("28", "3D", "42", "53")

NEUTRAL = "postgres"
CLOSED = ("28000", "3D000", "42501")  # that database to us: by pg_hba.conf, as there is none, or not granted

MOMENT = 0.025  # seconds
TICK = 0.002  # a loop's clock may be so much behind
FAULTS = (
    asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError, NoAnswer,
)  # fmt: skip


class Watched(Ways, Protocol):
    """What the monitor needs of the cluster."""

    settings: Settings
    changed: asyncio.Event

    @property
    def members(self) -> tuple[Member, ...]: ...
    def learn(self, member: Member, finding: Finding, now: float) -> None: ...
    def refused(self, member: Member, reason: str, now: float) -> None: ...
    def failed(self, member: Member, reason: str, now: float) -> None: ...
    def pause(self, member: Member, now: float) -> float: ...


async def watch(cluster: Watched) -> None:
    """Probe every member, whoever it is at the time, until cancelled."""
    tasks: dict[Member, asyncio.Task[None]] = {}
    try:
        while True:
            cluster.changed.clear()
            for member in tasks.keys() - set(cluster.members):
                tasks.pop(member).cancel()
            for member in set(cluster.members) - tasks.keys():
                tasks[member] = asyncio.create_task(Probe(cluster, member).run(), name=f"probe {member.name}")
            await cluster.changed.wait()
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


class Probe:
    """One member's."""

    def __init__(self, cluster: Watched, member: Member) -> None:
        self.cluster = cluster
        self.member = member
        self.connection: Connection = None
        self.url: Host | None = None  # that `connection` was opened by
        self.neutral = True  # in the database `postgres`
        self.opened_at = 0.0
        self.question = 0

    @property
    def health(self) -> HealthSettings:
        return self.cluster.settings.health

    async def run(self) -> None:
        """Until cancelled, whatever goes wrong."""
        try:
            while True:
                try:
                    await self.probe()
                except Exception:
                    log.exception("internal error", during="probe", host=self.member.name)
                await self.wait(self.cluster.pause(self.member, monotonic()))
        finally:
            self.close()

    async def wait(self, seconds: float) -> None:
        """So long, or until it is due; never less than a moment, however many ask for it."""
        await asyncio.sleep(MOMENT)
        try:
            async with asyncio.timeout(seconds - MOMENT):
                await self.member.due.wait()
        except TimeoutError:
            pass
        self.member.due.clear()

    async def probe(self) -> None:
        """Ask once, and tell the cluster what came of it."""
        try:
            await self.renew()
            began = monotonic()
            finding = replace(await self.ask(), took=monotonic() - began)
        except FAULTS as error:
            self.close()
            tell = self.cluster.refused if _is_refusal(error) else self.cluster.failed
            tell(self.member, self.describe(error), monotonic())
        else:
            log.debug("probe answered", host=self.member.name, role=finding.role, lsn=finding.lsn,
                      timeline=finding.timeline)  # fmt: skip
            self.cluster.learn(self.member, finding, monotonic())

    async def renew(self) -> None:
        """Have a connection that proves something: opened lately, and since the last failure that was reported.

        A host that has no room for it keeps the old one.
        """
        url, now = self.member.url, monotonic()
        usable = self.connection is not None and url == self.url
        if usable and now - self.opened_at < self.health.interval and not self.member.health.suspect:
            return
        try:
            connection = await self.open(url)
        except asyncpg.PostgresError as error:
            if not (usable and _is_refusal(error)):
                raise
            log.warning("probe keeps its old connection", host=self.member.name, reason=self.describe(error))
        else:
            self.close()
            self.connection, self.url, self.question = connection, url, 0
            connection.add_termination_listener(self.lost)
        self.opened_at = now

    async def open(self, url: Host) -> Connection:
        """To the first of its hosts where that can be."""
        *others, last = url.each()
        for other in others:
            with suppress(*FAULTS):
                return await self.open_at(other)
        return await self.open_at(last)

    async def open_at(self, url: Host) -> Connection:
        """In the database `postgres`, if that may be: in the application's we would keep it from being dropped."""
        if self.neutral:
            try:
                return await self.connect(url.with_dbname(NEUTRAL))
            except asyncpg.PostgresError as error:
                if error.sqlstate not in CLOSED:
                    raise
                self.neutral = False
        return await self.connect(url)

    async def connect(self, url: Host) -> Connection:
        return await connect_as_servers(self.cluster, url, self.health.timeout)

    async def ask(self) -> Finding:
        """The best answer that this server gives."""
        while True:
            try:
                return read(await self.fetch(QUESTIONS[self.question]), self.question)
            except asyncpg.PostgresError as error:
                if self.question == len(QUESTIONS) - 1 or not _is_inability(error):
                    raise
                self.question += 1
                log.info("host cannot tell all", host=self.member.name, reason=str(error))

    async def fetch(self, question: str) -> Any:
        """The row. A connection that does not answer is closed; to cancel on another would be no quicker."""
        deadline = monotonic() + self.health.timeout
        timer = asyncio.get_running_loop().call_later(self.health.timeout + TICK, self.connection.terminate)
        try:
            return await self.connection.fetchrow(question)
        except asyncpg.ConnectionDoesNotExistError as error:
            raise TimeoutError if monotonic() >= deadline else error from None
        finally:
            timer.cancel()

    def describe(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer within {self.health.timeout:g} s"
        words = tell_error(error) if isinstance(error, OSError) else str(error)
        return words or "the connection was closed"

    def lost(self, _: Connection) -> None:
        """The server closed the connection: see at once what became of it."""
        self.member.due.set()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.remove_termination_listener(self.lost)
            self.connection.terminate()
            self.connection = None


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and str(error.sqlstate).startswith(REFUSALS)


def _is_inability(error: asyncpg.PostgresError) -> bool:
    """Not for want of anything or because it shuts down, but because there is no such function for us."""
    return not str(error.sqlstate).startswith(("08", "53", "57", "58"))
