"""`/metrics` for Prometheus and `/health` for load balancers and orchestrators, over HTTP."""

import asyncio
from time import monotonic

from aiohttp import web

from dbproxy import __version__, compiled
from dbproxy.admin.figures import place, read_figures, total_servers
from dbproxy.admin.health import find_fault
from dbproxy.admin.house import House
from dbproxy.errors import ConfigurationError
from dbproxy.observe.figures import ProxyFigures
from dbproxy.observe.metrics import CONTENT_TYPE, ProxyCollector, build_registry, expose
from dbproxy.pool.pool import Pool
from dbproxy.pool.stats import BOUNDS_US

STOP_TIMEOUT = 1.0  # seconds for requests under way


class Endpoints:
    """`start` and `stop`; with `http.port` 0 both do nothing."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.figures = ProxyFigures()
        self.registry = build_registry(
            ProxyCollector(lambda: self.figures, BOUNDS_US, __version__, compiled=compiled())
        )
        self.runner: web.AppRunner | None = None

    async def start(self) -> None:
        """ConfigurationError if the address is taken or not ours."""
        http = self.house.settings.http
        if not http.port:
            return
        application = web.Application()
        application.add_routes([web.get("/metrics", self.metrics), web.get("/health", self.health)])
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_TIMEOUT)
        await self.runner.setup()
        try:
            await web.TCPSite(self.runner, http.host, http.port).start()
        except OSError as error:
            await self.stop()
            raise ConfigurationError(
                f"cannot listen on {http.host} port {http.port}: {error.strerror or error}",
                hint="Change http.port (DBPROXY_HTTP__PORT); 0 turns the HTTP endpoints off.",
            ) from error

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def metrics(self, request: web.Request) -> web.Response:
        """The figures are read here; writing them down takes milliseconds and is left to a thread."""
        self.figures = read_figures(self.house, monotonic())
        body = await asyncio.to_thread(expose, self.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def health(self, request: web.Request) -> web.Response:
        now = monotonic()
        fault = find_fault(stopping=self.house.stopping, pools=primary_pools(self.house), now=now)
        figures = read_figures(self.house, now)
        answer = {
            "status": "failing" if fault else "ok",
            "reason": fault,
            "version": __version__,
            "uptime_s": round(figures.uptime_s, 3),
            "paused": self.house.paused,
            "clients": figures.clients,
            "servers": total_servers(figures.pools),
            "differing_settings": differing_settings(self.house),
        }
        return web.json_response(answer, status=503 if fault else 200)


def primary_pools(house: House) -> list[Pool]:
    """Pools of databases that live on the primary, not on a host of their own."""
    primary = house.settings.primary.url
    where = (primary.host, primary.port) if primary is not None else None
    return [pool for pool in house.pools.values() if place(house, pool.database)[:2] == where]


def differing_settings(house: House) -> dict[str, list[str]]:
    """By host: what replicas show of their own configuration."""
    return {member.name: sorted(member.differing) for member in house.cluster.members if member.differing}
