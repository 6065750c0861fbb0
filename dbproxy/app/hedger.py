"""Looks some fifty times a second which reads wait for a slow or silent replica, and has another host asked.

There is no timer for a query: numbers that are there anyway are compared, as the janitor does.
"""

import asyncio
from collections.abc import Iterator
from itertools import takewhile
from math import inf
from time import monotonic
from typing import NamedTuple

import structlog

from dbproxy.app.hosts import Hosts
from dbproxy.cluster.member import Member
from dbproxy.observe.record import Rescue
from dbproxy.pool.janitor import isolated
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.routing.hedging import Budget, Doubts, SlowReads, count_reads, patience
from dbproxy.routing.rescue import HEDGED, SILENT
from dbproxy.routing.router import Router
from dbproxy.session.client import Client
from dbproxy.session.hedge import (
    find_read,
    is_kept_waiting,
    is_owed,
    leave,
    leave_queue,
    may_hedge,
    slow_reads,
)
from dbproxy.sql.identity import Shape

log = structlog.get_logger(__name__)

INTERVAL = 0.02  # seconds
ASLEEP = 0.2  # the same while nobody's reads go to replicas


class Hedged(NamedTuple):
    """A read that was asked of another host after `limit` seconds; `detour`: that way, and no later one.

    `slow`: the slow ones of its database and user. Of a client that has left nothing else is to be had.
    """

    read: Shape
    limit: float
    detour: Rescue | None
    slow: SlowReads


class Hedger:
    """Of the whole proxy."""

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.budget = Budget()
        self.doubts = Doubts()
        self.hedged: dict[Client, Hedged] = {}  # whose read is not answered yet

    async def run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL if self.hosts.routers else ASLEEP)
            with isolated():
                self.sweep(monotonic())

    def sweep(self, now: float) -> None:
        with isolated():
            self.follow(now)
        self.budget.earn(count_reads(self.hosts.cluster.members))
        for router in list(self.hosts.routers.values()):
            for destination in router.destinations:
                with isolated(database=router.primary.database, user=router.primary.user):
                    self.look_at(router, destination.host, destination.pool, now)
        for host in self.doubts.settle(now):
            log.warning("replica does not answer", host=host.name)
            self.hosts.cluster.report_failure(host, "it answers neither reads nor a probe", now)

    def look_at(self, router: Router, host: Member, pool: Pool, now: float) -> None:
        """Have who has waited too long for this replica be answered elsewhere."""
        limit = patience(router.settings.hedge_after, host.load.p99)
        if limit == inf:
            return
        late = list_late(pool, now - limit)
        if late and host is not self.hosts.cluster.primary:
            self.doubts.begin(host, limit, now)
        for client, server in late:
            reason = self.judge(host, client, now)
            if not reason:
                continue
            read = find_read(client)
            if server is None:
                leave_queue(client, pool, reason, now)
            else:
                leave(client, server, reason, now)
            if reason == HEDGED:
                self.hedged[client] = Hedged(read, limit, client.route.detour, slow_reads(client))

    def follow(self, now: float) -> None:
        """Note which reads take as long on the other host."""
        for client, hedged in list(self.hedged.items()):
            server = client.server
            if client.closed or not client.route.detours or client.route.detour is not hedged.detour:
                hedged.slow.clear(hedged.read)
                del self.hedged[client]
            elif server is not None and now - server.loan.since >= hedged.limit:
                hedged.slow.note(hedged.read, now)
                del self.hedged[client]

    def judge(self, host: Member, client: Client, now: float) -> str:
        """For which reason another host is asked; "": it is not."""
        if host.health.suspect or host.health.down:
            return SILENT
        return HEDGED if may_hedge(client, now) and self.budget.spend() else ""


def list_late(pool: Pool, since: float) -> list[tuple[Client, Server | None]]:
    """Who has waited since then for the first byte, and of which server.

    None: for a server. They go first, so that none is opened for them where another is closed.
    """
    owed = list(list_owed(pool, since))
    if not (owed or pool.opening or not pool.size() or pool.host.health.suspect):
        return []  # whoever waits does so for the others, and not for the host
    waiting = takewhile(lambda entry: entry[1] <= since, pool.waiting.items())
    kept = [client for client, _ in waiting if isinstance(client, Client) and is_kept_waiting(client)]
    return [*((client, None) for client in kept), *owed]


def list_owed(pool: Pool, since: float) -> Iterator[tuple[Client, Server]]:
    """The same of those who hold a server."""
    for server in pool.active:
        client = server.loan.client
        if server.loan.answered_at <= since and isinstance(client, Client) and is_owed(client, server, since):
            yield client, server
