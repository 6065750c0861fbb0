"""The whole proxy on the test's own event loop, between raw clients and a scripted server."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from types import MappingProxyType
from typing import Self

from dbproxy.app.janitor import Janitor
from dbproxy.app.proxy import Proxy
from dbproxy.config.load import load
from dbproxy.net.listen import Listener, listen_tcp
from dbproxy.pool.janitor import sweep
from dbproxy.pool.pool import Pool
from dbproxy.session.client import Client
from dbproxy.session.deadlines import sweep_logins
from dbproxy.session.memory import sweep_memory
from dbproxy.session.overdue import sweep_overdue
from dbproxy.session.startup import Login
from tests.support.peer import PATIENCE, let_others_run
from tests.support.raw_client import NOTHING, RawClient
from tests.support.scripted_server import Backend, ScriptedServer

NO_SETTINGS: Mapping[str, object] = MappingProxyType({})


class House:
    """`async with House(server, {"pool.size": 1}) as house`. The janitor comes when it is called (`sweep`)."""

    def __init__(self, server: ScriptedServer, settings: Mapping[str, object] = NO_SETTINGS) -> None:
        self.server = server
        url = f"postgresql://app@127.0.0.1:{server.port}/shop"
        given = {
            "auth.type": "trust",
            "primary.url": url,
            "pool.read_functions": False,
            "pool.follow_defaults": False,
            **settings,
        }
        self.proxy = Proxy(load(None, {}, {key: str(value) for key, value in given.items()}))
        self.janitor = Janitor(self.proxy)
        self.port = 0
        self._listener: Listener | None = None
        self._clients: list[RawClient] = []

    async def __aenter__(self) -> Self:
        self._listener = await listen_tcp(lambda: Login(self.proxy), ["127.0.0.1"], 0, 100, "listen.port")
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for client in self._clients:
            client.cut()
        for login in self.proxy.registry:
            if login.transport is not None:
                login.transport.abort()  # one that is not read does not hear that it was cut
        for hub in self.proxy.hubs:
            hub.close()
        for pool in self.proxy.all_pools():
            for server in pool.servers():
                server.close("the test is over")
        await let_others_run()
        await self.proxy.tasks.end()
        await let_others_run()

    async def dial(self) -> RawClient:
        """A client that is connected and has said nothing."""
        client = RawClient(*await asyncio.open_connection("127.0.0.1", self.port), self.dial)
        self._clients.append(client)
        return client

    async def client(
        self, user: str = "app", database: str = "shop", parameters: Mapping[str, str] = NOTHING
    ) -> RawClient:
        """A client that is logged in."""
        client = await self.dial()
        await client.log_in(user, database, parameters)
        return client

    async def pair(self) -> tuple[RawClient, Backend]:
        """The first client, and the server connection that was opened for its login."""
        client = await self.client()
        return client, await self.server.accept()

    @property
    def pool(self) -> Pool:
        return self.proxy.pools["shop", "app"]

    def inside(self, client: RawClient) -> Client:
        """The proxy's end of this client's connection."""
        found = self.proxy.registry.by_pid[client.pid].client
        assert found is not None
        return found

    def sweep(self, later: float = 0) -> None:
        """What the janitor does, `later` seconds from now."""
        now = monotonic() + later
        sweep_logins(self.proxy.registry, self.proxy.settings, now)
        for pool in list(self.proxy.pools.values()):
            sweep(pool, now)
            sweep_overdue(pool, now)
        sweep_memory(self.proxy.registry, self.proxy.settings)
        self.proxy.sharing.sweep(now)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a state of the proxy."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  # plain numbers and lists: nothing to await
                await asyncio.sleep(0)
