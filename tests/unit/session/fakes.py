"""Clients and servers without sockets: a test says what either sends, and sees what the other is sent."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbproxy.cluster.catalog import Catalog
from dbproxy.errors import AdminShutdown, ProxyError
from dbproxy.net.link import Link
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.pool.states import IDLE, LOGIN
from dbproxy.routing.router import Router
from dbproxy.session.client import Client
from dbproxy.session.identity import Identity
from dbproxy.wire import build
from tests.support import speech
from tests.support.scripted_server import findings
from tests.unit.admin.house import FakeHouse, Transport
from tests.unit.pool.fakes import FOREVER, FakePool
from tests.unit.routing.test_explain import router

OK = speech.complete() + speech.IDLE  # of a Query that did something
BEGUN = speech.complete("BEGIN") + speech.INTRANS


class FakeHub:
    """Hears nothing: `subscribed` by whom, and what it was asked to call once it has caught up."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.subscribed: dict[Any, set[str]] = {}
        self.callbacks: list[Callable[[], object]] = []

    def keep(self, channels: Iterable[str]) -> bool:
        return self.heard.issuperset(channels)

    def catch_up(self, tell: Callable[[], object]) -> None:
        self.callbacks.append(tell)

    def channels_of(self, client: Any) -> frozenset[str]:
        return frozenset(self.subscribed.get(client, ()))

    def subscribe(self, client: Any, channels: Iterable[str], *, late: bool = False) -> None:
        self.subscribed.setdefault(client, set()).update(channels)

    def unsubscribe(self, client: Any, channels: Iterable[str]) -> None:
        self.subscribed.get(client, set()).difference_update(channels)

    def leave(self, client: Any) -> None:
        self.subscribed.pop(client, None)


@dataclass
class House(FakeHouse):
    hub: FakeHub = field(default_factory=FakeHub)
    cancelled: list[int] = field(default_factory=list)

    def check_login(self, pool: object, who: object) -> None:
        """Nobody is limited."""

    def find_hub(self, database: str, user: str) -> Any:
        return self.hub

    def hear(self, hub: Any, channels: list[str], heard: Callable[[ProxyError | None], None]) -> None:
        """The client waits until the test calls `client.state.listening.heard`."""

    def find_client_tls(self) -> None:
        """Nobody is encrypted."""

    def find_client(self, pid: int) -> Identity | None:
        login = self.registry.by_pid.get(pid)
        return login.identity if login is not None and login.client is not None else None

    def terminate(self, pid: int, reason: str) -> None:
        error = AdminShutdown("terminating connection due to administrator command")
        self.registry.by_pid[pid].client.disconnect(reason, error)

    def cancel(self, pid: int, key: bytes) -> None:
        self.cancelled.append(pid)

    def vacate(self, databases: tuple[str, ...]) -> None: ...

    def log_slow(self, *_: object) -> None: ...


def make_client(
    pool: Pool | None = None,
    *,
    house: House | None = None,
    router: Router | None = None,
    user: str = "",
    read_only: bool = False,
    start: Mapping[str, str] | None = None,
    **settings: object,
) -> Client:
    """Of `pool`, or of a new one with these settings.

    `user`: who it is, if not who the pool is for; `start`: what it asked for as it logged in.
    """
    house = house or House()
    pool = pool or FakePool(**settings).pool
    login = house.add_login(
        user or pool.user,
        pool.database,
        read_only=read_only,
        settings=pool.tenant.parameter_sets.find(start or {}),
    )
    login.pool, login.router = pool, router
    login.client = Client(login.identity, house, pool, router)
    login.client.attach(login.transport)
    return login.client


def make_server(pool: Pool) -> Server:
    """A connection of the pool that is idle."""
    server = Server(pool)
    server.attach(Transport())  # type: ignore[arg-type]
    server.backend.mailbox = None
    server.upkeep.expires_at = FOREVER
    pool.lists[LOGIN].add(server)
    pool.move(server, IDLE)
    return server


def make_router(**routing: str) -> Router:
    """A primary and two replicas, each with a pool of its own."""
    own = router(**routing)
    tenant = own.primary.tenant
    made = Router(
        own.primary,
        own.cluster,
        own.settings,
        lambda host: Pool(tenant, lambda _: None, lambda _: None, host),
    )
    made.learn(Catalog())
    return made


def routed(**routing: str) -> tuple[Client, Server, Server]:
    """A client, an idle server of the primary, and one of the only replica that takes reads."""
    own = make_router(**routing)
    own.cluster.disable("replica2", 101.0)
    primary = make_server(own.primary)
    replica = make_server(own.pool_of(own.cluster.member("replica1")))
    return make_client(own.primary, router=own), primary, replica


def sent(link: Link) -> bytes:
    """What was sent to it since this was last asked."""
    transport: Any = link.transport
    data, transport.written = transport.written, b""
    return data


def ask(client: Client, *messages: bytes) -> None:
    """In one chunk."""
    client.data_received(b"".join(messages))


def query(client: Client, text: str) -> None:
    client.data_received(build.query(text))


def fail(server: Server, sqlstate: str = "42601", text: str = "syntax error") -> None:
    server.data_received(speech.error(sqlstate, text) + speech.IDLE)


def conclude(server: Server, **found: object) -> None:
    """Answer the question what a transaction has left behind (support.scripted_server.findings)."""
    question = sent(server).decode(errors="replace")
    assert "json_build_object" in question
    server.data_received(findings(question, **found) + speech.IDLE)


def lend(client: Client, text: str = "SELECT 1") -> Server:
    """A new server of its pool, which the client has asked this; nothing is left to be seen by `sent`."""
    server = make_server(client.pool)
    query(client, text)
    assert client.server is server
    sent(server)
    return server


def refusal(text: str = "no server") -> ProxyError:
    return ProxyError(text, sqlstate="53300")
