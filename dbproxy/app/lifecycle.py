"""From start to stop (`serve`): listening, signals, reload, and a shutdown that lets every transaction end."""

import asyncio
import gc
import math
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import structlog
import uvloop

from dbproxy import __version__, compiled
from dbproxy.admin.actions import find_session
from dbproxy.admin.http import Endpoints
from dbproxy.app.access import list_doubts
from dbproxy.app.hedger import Hedger
from dbproxy.app.janitor import Janitor
from dbproxy.app.proxy import Proxy
from dbproxy.app.snapshots import keep_snapshots
from dbproxy.app.supervision import Supervision
from dbproxy.app.warming import Warmer
from dbproxy.config import Settings, compare
from dbproxy.errors import AdminShutdown, CommandFailed, ProxyError
from dbproxy.net.activation import HTTP, POSTGRESQL, READ_ONLY, show_address, take_sockets
from dbproxy.net.listen import Listener, listen_tcp, listen_unix, raise_file_limit
from dbproxy.net.loop import Loop
from dbproxy.net.notification import Notifier
from dbproxy.observe import logs
from dbproxy.session.startup import Login

log = structlog.get_logger(__name__)

GARBAGE = (
    2000  # objects made, and still there, after which those made since are looked at: of some twenty clients
)
RESERVED_FILES = 200  # descriptors for servers, listeners and the log, beside one for each client
DRAIN_INTERVAL = 0.02  # seconds between looks at who is still in a transaction
Sockets = Mapping[str, Sequence[socket.socket]]  # by entry


class Lifecycle:
    """One run of the proxy; `sockets` were handed over, and are listened on instead of what the settings say."""

    def __init__(
        self,
        load: Callable[[], Settings],
        proxy: Proxy,
        notifier: Notifier,
        sockets: Sockets,
    ) -> None:
        self.load = load
        self.proxy = proxy
        self.sockets = sockets
        self.supervision = Supervision(proxy, notifier)
        self.warmer = Warmer(proxy.caches, proxy.find_pool, lambda: proxy.settings.cache)
        self.listeners: list[Listener] = []
        self.stop = asyncio.Event()
        self.stop_now = asyncio.Event()
        self.started = proxy.settings  # what waits for a restart differs from these
        self.awaited = ""  # by SHUTDOWN: "servers" or "clients"

    async def run(self) -> int:
        proxy, settings = self.proxy, self.proxy.settings
        proxy.process = self
        endpoints = Endpoints(proxy, proxy.monitoring.exemplars)
        self.watch_signals()
        try:
            await proxy.limits.start()
            proxy.caches.start()
            await self.listen(settings)
            await endpoints.start(self.sockets.get(HTTP, ()))
            proxy.tracing.start()
            proxy.warm_up()
            proxy.tasks.spawn(Janitor(proxy, self.supervision.sweeper).run())
            proxy.tasks.spawn(Hedger(proxy.hosts).run())
            proxy.hosts.watch(proxy.tasks.spawn)
            proxy.tasks.spawn(proxy.sources.run())
            proxy.tasks.spawn(self.warmer.run())
            self.keep_snapshots()
            self.announce(settings)
            self.supervision.serves()
            spare_lasting()
            await self.stop.wait()
            await self.drain()
        finally:
            self.stop_listening()
            await endpoints.stop()
            await proxy.limits.stop()
            await self.warmer.stop()
            await proxy.caches.stop()
            await asyncio.to_thread(proxy.tracing.stop)
            await proxy.tasks.end()
            self.supervision.notifier.close()
        logs.sweep(math.inf)
        log.info("proxy stopped")
        return 0

    # --- starting ---

    async def listen(self, settings: Settings) -> None:
        listen, entries = settings.listen, [(POSTGRESQL, "port", self.accept)]
        if listen.read_only_port or READ_ONLY in self.sockets:
            entries.append((READ_ONLY, "read_only_port", self.accept_reader))
        for entry, key, accept in entries:
            if entry in self.sockets:
                self.listeners.append(Listener(accept, self.sockets[entry], own=False))
            elif listen.host:
                name = f"listen.{key} (DBPROXY_LISTEN__{key.upper()})"
                port = getattr(listen, key)
                self.listeners.append(await listen_tcp(accept, listen.host, port, listen.backlog, name))
        if listen.unix_socket_dir and POSTGRESQL not in self.sockets:
            self.listeners.append(
                await listen_unix(
                    self.accept, listen.unix_socket_dir, listen.port, listen.unix_socket_mode, listen.backlog
                )
            )

    def accept(self) -> Login:
        return Login(self.proxy)

    def accept_reader(self) -> Login:
        return Login(self.proxy, read_only=True)

    def announce(self, settings: Settings) -> None:
        for warning in (*settings.warnings(), *list_doubts(settings, self.proxy.admissions.access)):
            log.warning("configuration", warning=warning)
        files = raise_file_limit()
        if files < settings.pool.max_client_conn + RESERVED_FILES:
            log.warning("too few file descriptors", limit=files, max_client_conn=settings.pool.max_client_conn,
                        hint="raise the limit (ulimit -n, LimitNOFILE=) or lower pool.max_client_conn")  # fmt: skip
        if not compiled():
            log.warning("the slow build runs", hint="install with a C compiler to compile the hot modules")
        addresses = [show_address(socket) for listener in self.listeners for socket in listener.sockets]
        http = [show_address(socket) for socket in self.sockets.get(HTTP, ())]
        log.info("proxy started", version=__version__, compiled=compiled(), listen=addresses,
                 http=", ".join(http) or f"{settings.http.host}:{settings.http.port}",
                 primary=str(settings.primary.url))  # fmt: skip

    def keep_snapshots(self) -> None:
        stats = self.proxy.query_stats
        if stats is not None and self.proxy.settings.query_stats.state_dir:
            self.proxy.tasks.spawn(keep_snapshots(stats, lambda: self.proxy.settings.query_stats))

    # --- signals ---

    def watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.reload_on_signal)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop_on_signal)

    def stop_on_signal(self) -> None:
        """The first lets transactions end, the second does not."""
        if self.stop.is_set():
            self.stop_now.set()
        self.stop.set()

    def shut_down(self, awaited: str) -> None:
        """SHUTDOWN on the console: at once, or when all "servers" are free or all "clients" have left."""
        self.awaited = awaited
        if not awaited:
            self.stop_now.set()
        self.stop.set()

    async def warm(self) -> None:
        """WARM CACHE on the console. CommandFailed if nothing is kept."""
        if all(keys.mode == "off" for keys in self.proxy.settings.caches()):
            raise CommandFailed("nothing is kept: cache.mode is off", hint="SET cache = 'on' switches it on.")
        await self.warmer.refresh()

    def reload_on_signal(self) -> None:
        try:
            self.reload()
        except ProxyError as error:
            log.error("reload failed", error=error.message, hint="The settings in force stay.")

    def reload(self) -> None:
        """Read the settings again and use them; ConfigurationError if they are bad: the old ones stay."""
        self.supervision.reloads()
        failed = True
        try:
            self.renew()
            failed = False
        finally:
            self.supervision.reloaded(failed=failed)

    def renew(self) -> None:
        old = self.proxy.settings
        new = self.load()
        changes, waiting = compare(old, new), compare(self.started, new)
        before = self.show_certificate()
        self.proxy.apply(new)
        after = self.show_certificate()
        certificate = {"certificate": after} if after != before else {}
        log.info("reloaded", changed=[change.key for change in changes if not change.restart],
                 needs_restart=[change.key for change in waiting if change.restart], **certificate)  # fmt: skip

    def show_certificate(self) -> str:
        """The fingerprint of the one that clients are shown; empty without TLS."""
        tls = self.proxy.find_client_tls()
        return tls.fingerprint if tls is not None else ""

    # --- stopping ---

    async def drain(self) -> None:
        """No new clients; idle ones are told 57P01; the others may end their transaction, for a while."""
        proxy = self.proxy
        proxy.stopping = True
        self.supervision.stops()
        self.stop_listening()
        deadline = monotonic() + proxy.settings.pool.shutdown_timeout
        log.info(
            "proxy stopping",
            clients=len(proxy.registry),
            shutdown_timeout=proxy.settings.pool.shutdown_timeout,
        )
        if self.awaited == "servers":
            proxy.pause("")
        while self.waits(deadline) and not self.stop_now.is_set():
            if not self.awaited:
                self.dismiss(idle_only=True)
            await self.pause()
        if len(proxy.registry):
            log.warning("transactions cut off", clients=len(proxy.registry))
        self.dismiss(idle_only=False)
        for hub in proxy.hubs:
            hub.close()
        for pool in proxy.all_pools():
            for server in pool.servers():
                server.close("the proxy stops")
        await asyncio.sleep(0)  # the transports write their last words

    def waits(self, deadline: float) -> bool:
        """Whether there is somebody to wait for, and time; PgBouncer's SHUTDOWN WAIT_FOR_… has no limit."""
        if self.awaited == "servers":
            return self.proxy.has_servers("")
        if self.awaited == "clients":
            return any(find_session(login) is not None for login in self.proxy.registry)
        return len(self.proxy.registry) > 0 and monotonic() < deadline

    async def pause(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_INTERVAL):
                await self.stop_now.wait()
        except TimeoutError:
            return

    def dismiss(self, *, idle_only: bool) -> None:
        error = AdminShutdown("terminating connection due to administrator command")
        for login in self.proxy.registry:
            client = login.client
            if client is not None and (not idle_only or client.is_idle()):
                client.disconnect(error.message, error)
            elif client is None and login.heir is not None:
                login.heir.disconnect(error.message, error)
            elif client is None:
                login.refuse(error)

    def stop_listening(self) -> None:
        for listener in self.listeners:
            listener.close()


def serve(load: Callable[[], Settings]) -> int:
    """Run the proxy until it is told to stop. Raises ConfigurationError if it cannot start as it is told to."""
    settings = load()
    logs.configure(settings.log.format)
    logs.adjust(settings.log.level, settings.log.areas(), settings.log.flood_limit)
    notifier, sockets = Notifier(os.environ), take_sockets(os.environ, os.getpid())
    make_loop = Loop if settings.listen.event_loop == "dbproxy" else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(Lifecycle(load, Proxy(settings), notifier, sockets).run())


def spare_lasting() -> None:
    """Let the garbage collector look at clients that have gone, less often, and not at what is there for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
