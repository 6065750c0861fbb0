"""Servers and clients that only write down what a pool does with them."""

import socket
from typing import Any

from dbproxy.config import PoolSettings
from dbproxy.errors import ProxyError
from dbproxy.pool.answer import Answer
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.pool import Pool
from dbproxy.pool.quota import Share
from dbproxy.pool.request import Request
from dbproxy.pool.server import Server
from dbproxy.pool.statements import ServerStatements
from dbproxy.pool.states import Member
from dbproxy.pool.tenant import Tenant

FOREVER = float("inf")


class FakeTransport:
    """Keeps what is written; `ended`: how it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.reading = True
        self.ended = ""

    def take(self) -> bytes:
        """What was written since the last time."""
        written, self.written = self.written, b""
        return written

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def is_closing(self) -> bool:
        return bool(self.ended)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self}.get(name)

    family = socket.AF_INET

    def fileno(self) -> int:
        return -1  # takes nothing: all is left to the transport


class FakeServer(Member):
    def __init__(self, pool: Pool, name: str = "server") -> None:
        Member.__init__(self, pool.generation, Dialogue(ServerStatements(pool.tenant)))
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
        self.loss: ProxyError | None = None
        self.stays = False  # with its server when nothing is due
        self.by_hub = False
        self.calls: list[tuple[object, ...]] = []  # of the hooks below
        self.replies = b""

    def __repr__(self) -> str:
        return self.name

    def serve(self, server: Any, now: float) -> None:
        self.server = server

    def refuse(self, error: ProxyError) -> None:
        self.refusal = error

    def reply(self, data: bytes) -> None:
        self.replies += data

    def finished(self, status: int) -> bool:
        self.calls.append(("finished", chr(status)))
        return not self.stays

    def caught_up(self) -> None:
        self.calls.append(("caught_up",))

    def retry(self) -> None:
        self.calls.append(("retry",))

    def server_lost(self, error: ProxyError, told: bool) -> None:
        self.loss = error
        self.calls.append(("server_lost", told))

    def audited(self, findings: Any, effects: int) -> None:
        self.calls.append(("audited", findings, effects))

    def committed(self, position: int) -> None:
        self.calls.append(("committed", position))

    def misplaced(self) -> None:
        self.calls.append(("misplaced",))

    def told(self, name: bytes, statement: Any, columns: int) -> None:
        self.calls.append(("told", name, statement, columns))

    def told_unnamed(self, columns: int, full: int, renewed: bool) -> None:
        self.calls.append(("told_unnamed", columns, full, renewed))

    def told_portal(self, columns: bytes) -> None:
        self.calls.append(("told_portal", columns))

    def hears_by_hub(self) -> bool:
        return self.by_hub

    def merge(self, twin: Any, statement: Any) -> None:
        self.calls.append(("merge", twin, statement))

    def restore(self, name: bytes, previous: Any) -> None:
        self.calls.append(("restore", name, previous))

    def forget_statements(self, spared: set[bytes]) -> None:
        self.calls.append(("forget_statements", spared))

    def slow(self, request: Request, wait: float, run: float) -> None:
        self.calls.append(("slow", request, wait, run))


class FakePool:
    """A real pool whose connections open when the test says so; `launched` counts those it asked for."""

    def __init__(
        self, *, host: object = None, user: str = "app", share: Share | None = None, **settings: object
    ) -> None:
        self.launched = 0
        self.cancelled: list[Any] = []  # servers that a cancel request is to be sent to
        tenant = Tenant("shop", user, PoolSettings.model_validate(settings))
        self.pool = Pool(tenant, lambda _: self.launch(), self.cancelled.append, host, share)

    def launch(self) -> None:
        self.launched += 1

    def open(self, name: str = "server", now: float = 0) -> FakeServer:
        """A connection that the pool asked for is there."""
        server = FakeServer(self.pool, name)
        self.pool.opened(server, now)
        return server

    def connect(self, now: float = 0) -> Server:
        """The same, with a real server on a `FakeTransport`."""
        server = Server(self.pool)
        server.connection_made(FakeTransport())  # type: ignore[arg-type]
        server.backend.mailbox = None
        server.backend.address = "db.internal:5432"
        server.upkeep.expires_at = FOREVER
        self.pool.opened(server, now)
        return server

    def lend(self, client: FakeClient, now: float = 0) -> Any:
        """As a client does; a server that is lent at once is noted as one that comes later is."""
        server = self.pool.checkout(client, now)
        if server is not None:
            client.serve(server, now)
        return server


def fill(fake: FakePool, *names: str) -> list[Any]:
    """Servers, opened in this order, all idle."""
    for name in names:
        fake.pool.waiting.add(FakeClient(name), 0.0)
    fake.pool.open_more(0)
    waiting = list(fake.pool.waiting)
    servers = [fake.open(name) for name in names]
    for client in waiting:
        fake.pool.checkin(client.server, 0)
    return servers


def make_answer(*, lent: bool = True, **settings: object) -> Any:
    """Of a server that is lent to a `FakeClient`, or to nobody."""
    pool = FakePool(**settings).pool
    server = FakeServer(pool)
    if lent:
        server.loan.begin(FakeClient(), True, 0.0)
    return Answer(server, pool.tenant)
