"""Servers and clients that only write down what a pool does with them."""

from typing import Any

from dbproxy.config import PoolSettings
from dbproxy.errors import ProxyError
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.pool import Pool
from dbproxy.pool.statements import ServerStatements
from dbproxy.pool.states import Member
from dbproxy.pool.tenant import Tenant
from dbproxy.wire.pipeline import Pipeline

FOREVER = float("inf")


class FakeServer(Member):
    def __init__(self, pool: Pool, name: str = "server") -> None:
        Member.__init__(self, pool.generation, Dialogue(ServerStatements(pool.tenant, Pipeline())))
        self.pool = pool
        self.id = name
        self.backend.parameters["server_version"] = "18.1"
        self.upkeep.expires_at = FOREVER
        self.client: Any = None
        self.closed_for = ""
        self.asked = 0

    def __repr__(self) -> str:
        return str(self.id)

    def lend(self, client: object, now: float) -> None:
        self.client = client

    def run_ours(self, *statements: str) -> None:
        self.asked += 1

    def close(self, reason: str, error: ProxyError | None = None) -> None:
        if not self.closed_for:
            self.closed_for = reason
            self.pool.lost(self, reason)


class FakeClient(Borrower):
    def __init__(self, name: str = "client", *, impatient: bool = False) -> None:
        Borrower.__init__(self)
        self.name = name
        self.impatient = impatient
        self.server: Any = None
        self.refusal: ProxyError | None = None

    def __repr__(self) -> str:
        return self.name

    def serve(self, server: Any, now: float) -> None:
        self.server = server

    def refuse(self, error: ProxyError) -> None:
        self.refusal = error


class FakePool:
    """A real pool whose connections open when the test says so; `launched` counts those it asked for."""

    def __init__(self, **settings: object) -> None:
        self.launched = 0
        tenant = Tenant("shop", "app", PoolSettings.model_validate(settings))
        self.pool = Pool(tenant, lambda _: self.launch(), lambda _: None)

    def launch(self) -> None:
        self.launched += 1

    def open(self, name: str = "server", now: float = 0) -> FakeServer:
        """A connection that the pool asked for is there."""
        server = FakeServer(self.pool, name)
        self.pool.opened(server, now)
        return server

    def lend(self, client: FakeClient, now: float = 0) -> Any:
        """As a client does; a server that is lent at once is noted as one that comes later is."""
        server = self.pool.checkout(client, now)
        if server is not None:
            client.serve(server, now)
        return server
