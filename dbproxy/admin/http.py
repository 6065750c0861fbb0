"""What is served over HTTP: `/metrics`, the page at `/`, what statements cost, and health (`admin.probes`)."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler

from dbproxy import __version__, compiled
from dbproxy.admin.figures import read_figures
from dbproxy.admin.guard import OPEN, is_trusted
from dbproxy.admin.house import House
from dbproxy.admin.page import Page
from dbproxy.admin.probes import Probes
from dbproxy.admin.query_pages import QueryPages
from dbproxy.errors import ConfigurationError
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.figures import ProxyFigures
from dbproxy.observe.metrics import ProxyCollector, build_registry, expose
from dbproxy.pool.stats import BOUNDS_US

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STOP_TIMEOUT = 1.0  # seconds for requests under way


class Endpoints:
    """`start` and `stop`; with `http.port` 0 both do nothing."""

    def __init__(self, house: House, exemplars: Exemplars | None = None) -> None:
        self.house = house
        self.figures = ProxyFigures()
        self.registry = build_registry(
            ProxyCollector(
                lambda: self.figures, BOUNDS_US, __version__, compiled=compiled(), exemplars=exemplars
            )
        )
        self.probes = Probes(house, self.trusts)
        self.page = Page(house)
        self.bound_to = house.settings.http.host
        self.runner: web.AppRunner | None = None

    async def start(self) -> None:
        """ConfigurationError if the address is taken or not ours."""
        http = self.house.settings.http
        if not http.port:
            return
        self.bound_to = http.host
        application = web.Application(middlewares=[self.trace, self.guard])
        application.add_routes([web.get("/metrics", self.metrics), *self.probes.routes()])
        application.add_routes(QueryPages(self.house).routes())
        application.add_routes(self.page.routes())
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
        self.probes.start()
        self.page.start()

    async def stop(self) -> None:
        if self.runner is not None:
            await self.page.stop()
            await self.runner.cleanup()
            self.runner = None
            await self.probes.stop()

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn away who may not see what is asked for; what does not exist, too, is not told to strangers."""
        if request.path not in OPEN and not self.trusts(request):
            answer = {"error": "Authorization: Bearer with the token of http.token is needed"}
            return web.json_response(answer, status=401, headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    def trusts(self, request: web.Request) -> bool:
        authorization = request.headers.get("Authorization", "")
        return is_trusted(self.house.settings, self.bound_to, authorization)

    @web.middleware
    async def trace(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell tracing of each request."""
        begun, status = monotonic(), 500
        try:
            answer = await handler(request)
            status = answer.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else ""
            method = request.method if request.method in METHODS else "_OTHER"
            self.house.tracing.hear_http(method, route, status, request.headers.get("traceparent", ""), begun)
        return answer

    async def metrics(self, request: web.Request) -> web.Response:
        """The figures are read here; writing them down takes milliseconds and is left to a thread."""
        self.figures = read_figures(self.house, monotonic())
        accept = request.headers.get("Accept", "")
        body, content_type = await asyncio.to_thread(expose, self.registry, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})
