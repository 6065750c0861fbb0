"""What is served over HTTP: `/metrics`, the page at `/`, what statements cost, and health (`admin.probes`)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic

from aiohttp import web
from aiohttp.typedefs import Handler

from dbproxy import __version__, compiled
from dbproxy.admin.batches import BatchPages
from dbproxy.admin.cache_pages import CachePages
from dbproxy.admin.door import KEPT, Door, logger
from dbproxy.admin.figures import read_figures
from dbproxy.admin.guard import OPEN, is_trusted
from dbproxy.admin.house import House
from dbproxy.admin.limit_pages import LimitPages
from dbproxy.admin.page import Page
from dbproxy.admin.pressure import PressurePage
from dbproxy.admin.probes import Probes
from dbproxy.admin.query_pages import QueryPages
from dbproxy.config.sections import TOKEN_NEEDED, is_loopback
from dbproxy.errors import ConfigurationError
from dbproxy.net.dial import tell_error
from dbproxy.net.listen import is_port_refused
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.figures import ProxyFigures
from dbproxy.observe.metrics import ProxyCollector, build_registry, expose
from dbproxy.pool.stats import BOUNDS_US

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STOP_TIMEOUT = 1.0  # seconds for requests under way


class Endpoints:
    """`start` and `stop`; with `http.port` 0, and no socket that was handed over, both do nothing."""

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
        self.pressure = PressurePage(house)
        self.bound_to = house.settings.http.host
        self.runner: web.AppRunner | None = None
        self.door: Door | None = None
        self.listeners: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket] = ()) -> None:
        """On these sockets, if any. ConfigurationError if the address is taken, not ours, or needs a token."""
        http = self.house.settings.http
        if not http.port and not sockets:
            return
        self.bound_to = find_widest(sockets) if sockets else http.host
        if sockets and not is_loopback(self.bound_to) and not http.token.get_secret_value():
            raise ConfigurationError(f"{TOKEN_NEEDED} (DBPROXY_HTTP__TOKEN) to a long random text")
        application = web.Application(middlewares=[self.trace, self.guard])
        application.on_response_prepare.append(leave_out_server)
        application.add_routes([web.get("/metrics", self.metrics), *self.probes.routes()])
        application.add_routes(QueryPages(self.house).routes())
        application.add_routes(LimitPages(self.house).routes())
        application.add_routes(CachePages(self.house).routes())
        application.add_routes(BatchPages(self.house).routes())
        application.add_routes(self.pressure.routes())
        application.add_routes(self.page.routes())
        self.runner = web.AppRunner(
            application,
            access_log=None,
            logger=logger,
            keepalive_timeout=KEPT,
            shutdown_timeout=STOP_TIMEOUT,
            auto_decompress=False,  # nobody reads a body
        )
        await self.runner.setup()
        assert self.runner.server is not None
        self.door = Door(self.runner.server)
        loop = asyncio.get_running_loop()
        try:
            if not sockets:
                self.listeners.append(await loop.create_server(self.door, http.host, http.port))
        except OSError as error:
            await self.stop()
            key = "port" if is_port_refused(error) else "host"
            raise ConfigurationError(
                f"cannot listen on {http.host} port {http.port}: {tell_error(error)}",
                hint=f"Change http.{key} (DBPROXY_HTTP__{key.upper()}); http.port = 0 turns the HTTP endpoints off.",
            ) from error
        for listening in sockets:
            self.listeners.append(await loop.create_server(self.door, sock=listening))
        self.probes.start()
        self.page.start()
        self.pressure.start()

    async def stop(self) -> None:
        if self.runner is not None:
            for listener in self.listeners:
                listener.close()
            await self.page.stop()
            await self.pressure.stop()
            await self.runner.cleanup()
            self.runner = None
            await self.probes.stop()

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Turn away who may not see what is asked for; what does not exist, too, is not told to strangers."""
        if request.path not in OPEN and not self.trusts(request):
            return self.turn_away()
        if isinstance(request.match_info.http_exception, web.HTTPNotFound):
            paths = sorted({resource.canonical for resource in request.app.router.resources()})
            return web.json_response({"error": "there is nothing here", "paths": paths}, status=404)
        return await handler(request)

    def turn_away(self) -> web.Response:
        reason = "Authorization: Bearer with the token of http.token is needed"
        if not self.house.settings.http.token.get_secret_value():
            reason += "; where that is not set, ask for localhost by this name, or by its address"
        return web.json_response({"error": reason}, status=401, headers={"WWW-Authenticate": "Bearer"})

    def trusts(self, request: web.Request) -> bool:
        authorization, host = request.headers.get("Authorization", ""), request.headers.get("Host", "")
        return is_trusted(self.house.settings, self.bound_to, authorization, host)

    @web.middleware
    async def trace(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell tracing of each request."""
        begun, status = monotonic(), 500
        if self.door is not None:
            self.door.heard(request.protocol)
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
        await self.house.batches.refresh()
        self.figures = read_figures(self.house, monotonic())
        accept = request.headers.get("Accept", "")
        body, content_type = await asyncio.to_thread(expose, self.registry, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})


def find_widest(sockets: Sequence[socket.socket]) -> str:
    """The address among them that others reach, if any; a Unix socket is this machine's alone."""
    names = [listening.getsockname() for listening in sockets]
    hosts = [str(name[0]) if isinstance(name, tuple) else "localhost" for name in names]
    return next((host for host in hosts if not is_loopback(host)), hosts[0])


async def leave_out_server(_: web.Request, response: web.StreamResponse) -> None:
    """Nobody need know the versions of what answers."""
    response.headers.popall("Server", None)
