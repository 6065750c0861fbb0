"""Asks the primary whether it is there, when somebody wants to know and nobody else does: it stands alone.

Where there are replicas, the monitor asks all hosts all the time, and what the cluster knows is good enough.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

from dbproxy.cluster.cluster import Cluster, unencrypted
from dbproxy.cluster.member import Member
from dbproxy.cluster.monitor import Probe
from dbproxy.config import Host, Settings
from dbproxy.net.tls import ServerTls

FRESH = 0.5  # seconds: however many ask, the primary is asked no more often


class Lookout:
    """Has a cluster of its own, which decides nothing: one failure is enough for it, and one success."""

    def __init__(
        self, settings: Settings, find_tls: Callable[[Host], ServerTls | None] = unencrypted
    ) -> None:
        self.settings = settings
        self.cluster = Cluster(alone(settings), monotonic())
        self.cluster.find_tls = find_tls
        self.asked_at = float("-inf")
        self.probe: Probe | None = None
        self.question: asyncio.Task[None] | None = None

    async def look(self, settings: Settings) -> Cluster:
        """The cluster, once it knows; those who want to know at the same time share one question."""
        if settings is not self.settings:
            self.settings = settings
            self.cluster.apply(alone(settings), monotonic())
            self.asked_at = float("-inf")
        if self.question is None and monotonic() - self.asked_at >= FRESH and self.cluster.members:
            self.question = asyncio.create_task(self.ask(self.cluster.members[0]), name="lookout")
        if self.question is not None:
            await asyncio.shield(self.question)
        return self.cluster

    async def ask(self, member: Member) -> None:
        try:
            if self.probe is None or self.probe.member is not member:
                self.close()
                self.probe = Probe(self.cluster, member)
            await self.probe.probe()
        finally:
            self.asked_at = monotonic()
            self.question = None

    def close(self) -> None:
        if self.probe is not None:
            self.probe.close()
            self.probe = None

    async def stop(self) -> None:
        if self.question is not None:
            self.question.cancel()
            await asyncio.gather(self.question, return_exceptions=True)
        self.close()


def alone(settings: Settings) -> Settings:
    """Of these, what concerns the primary."""
    health = settings.health.model_copy(update={"failure_threshold": 1, "success_threshold": 1})
    routing = settings.routing.model_copy(update={"slow_start": 0.0})
    return settings.model_copy(update={"replicas": (), "health": health, "routing": routing})
