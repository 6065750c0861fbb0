"""`/health`, `/health/ready` and `/health/detailed`: for load balancers, orchestrators, and people in a hurry."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import structlog
from aiohttp import web

from dbproxy.admin.cache_pages import describe_cache
from dbproxy.admin.degradation import Watch, find_degradations
from dbproxy.admin.detail import (
    Json,
    describe_degradations,
    describe_features,
    describe_hosts,
    describe_pools,
    describe_proxy,
    describe_queues,
    describe_versions,
)
from dbproxy.admin.figures import read_figures
from dbproxy.admin.health import Fault, judge
from dbproxy.admin.house import House
from dbproxy.admin.limit_pages import describe_limits
from dbproxy.admin.lookout import Lookout
from dbproxy.cluster.cluster import Cluster

log = structlog.get_logger()

WATCH_INTERVAL = 1.0  # seconds: how exactly it is known when something began that has no date of its own
OK, UNAVAILABLE = 200, 503


class Probes:
    """`start` and `stop`; requests are answered in between. `trusts` says whether one may see all."""

    def __init__(self, house: House, trusts: Callable[[web.Request], bool]) -> None:
        self.house = house
        self.trusts = trusts
        self.lookout = Lookout(house.settings, house.cluster.find_tls)
        self.watch = Watch()
        self.task: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.alive),
            web.get("/health/ready", self.ready),
            web.get("/health/detailed", self.detailed),
        ]

    def start(self) -> None:
        self.task = asyncio.create_task(self.keep_watch(), name="health")

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
        await self.lookout.stop()

    # --- what is asked ---

    async def alive(self, request: web.Request) -> web.Response:
        """200 as long as there is an answer: what is wrong elsewhere is not mended by starting the proxy again."""
        answer: Json = {"status": "stopping" if self.house.stopping else "ok"}
        if self.trusts(request):
            answer |= describe_proxy(self.house, read_figures(self.house, monotonic()))
            answer["differing_settings"] = differing_settings(self.house)
        return web.json_response(answer)

    async def ready(self, request: web.Request) -> web.Response:
        """`?for=write` or `?for=read` asks about one of them; 503 says why not."""
        wanted = request.query.get("for", "")
        if wanted not in ("", "write", "read"):
            return web.json_response({"error": "for is write or read"}, status=400)
        readiness = judge(self.house, await self.look())
        trusted = self.trusts(request)
        fault = readiness.fault(wanted)
        answer = {
            "status": "failing" if fault.reason else "ok",
            "reason": fault.tell(all_of_it=trusted),
            "write": describe(readiness.write, trusted=trusted),
            "read": describe(readiness.read, trusted=trusted),
        }
        return web.json_response(answer, status=UNAVAILABLE if fault.reason else OK)

    async def detailed(self, request: web.Request) -> web.Response:
        house = self.house
        if not house.settings.http.detailed_health:
            hint = "http.detailed_health (DETAILED_HEALTH_CHECK_ENABLED) is off"
            return web.json_response({"error": hint}, status=404)
        cluster = await self.look()
        now = monotonic()
        figures = read_figures(house, now)
        readiness = judge(house, cluster)
        degraded = self.watch.note(find_degradations(house, cluster, now), now)
        failing = bool(readiness.fault("").reason)
        answer = {
            "status": "failing" if failing else "degraded" if degraded else "ok",
            "write": describe(readiness.write, trusted=True),
            "read": describe(readiness.read, trusted=True),
            "degraded": describe_degradations(degraded, now),
            "proxy": describe_proxy(house, figures),
            "versions": describe_versions(),
            "hosts": describe_hosts(house, cluster, now),
            "pools": describe_pools(house, now),
            "queues": describe_queues(house, figures, now),
            "features": describe_features(house),
            "limits": describe_limits(house.limits.limiter, now),
            "cache": describe_cache(house.caches),
        }
        return web.json_response(answer)

    # --- what is known ---

    async def look(self) -> Cluster:
        """The hosts as the monitor knows them, or, where there is none, as they are now."""
        if self.house.settings.is_watched():
            return self.house.cluster
        return await self.lookout.look(self.house.settings)

    async def keep_watch(self) -> None:
        while True:
            try:
                cluster = self.house.cluster if self.house.settings.is_watched() else self.lookout.cluster
                now = monotonic()
                self.watch.note(find_degradations(self.house, cluster, now), now)
            except Exception:
                log.exception("internal error", during="health")
            await asyncio.sleep(WATCH_INTERVAL)


def describe(fault: Fault, *, trusted: bool) -> Json:
    return {"ready": not fault.reason, "reason": fault.tell(all_of_it=trusted)}


def differing_settings(house: House) -> dict[str, list[str]]:
    """By host: what replicas show of their own configuration."""
    return {member.name: sorted(member.differing) for member in house.cluster.members if member.differing}
