"""How late the configured replicas are, where no proxy tells: asked as the proxy asks them (cluster.monitor)."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.rotation import ReplicaLag, list_lags
from dbproxy.config import Settings
from dbproxy.jobs.primary import Primary

PATIENCE = 5.0  # seconds until a replica that was never heard counts as one that does not answer


class ReplicaLooks:
    """Asks them from the first look on, until it is closed."""

    def __init__(self, settings: Settings, primary: Primary) -> None:
        self.settings = settings
        self.primary = primary
        self.cluster: Cluster | None = None
        self.task: asyncio.Task[None] | None = None

    async def look(self) -> Sequence[ReplicaLag]:
        if self.cluster is None:
            self.cluster = Cluster(self.settings, monotonic())
            self.cluster.find_tls, self.cluster.complete = self.primary.find_tls, self.primary.complete
            self.task = asyncio.create_task(self.cluster.run(), name="replicas")
            await self._hear(self.cluster)
        return list(list_lags(self.cluster))

    async def _hear(self, cluster: Cluster) -> None:
        """Wait until each has answered once, or for PATIENCE."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not all(  # noqa: ASYNC110  # plain facts of all members
                    member.health.heard or member.health.down for member in cluster.members
                ):
                    await asyncio.sleep(0.02)

    async def close(self) -> None:
        task, self.task, self.cluster = self.task, None, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
