"""Cancel requests: to the server that the client holds, and to no other (promise 4 of docs/architecture.md).

PostgreSQL: "Canceling Requests in Progress". The request goes over a connection of its own; when the server closes
that, the signal has been sent. Until then the cancelled connection is not lent again: a late signal would hit the
next client's query.
"""

import asyncio

import structlog

from dbproxy.errors import QueryCanceled
from dbproxy.net.connect import connect
from dbproxy.pool.backend import Backend
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.wait import TASK
from dbproxy.wire import build

log = structlog.get_logger(__name__)


class _Messenger:
    """Sends one cancel request and hears when the server has dealt with it."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.write(self.request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        """A server says nothing to a cancel request."""

    def eof_received(self) -> None:
        return None


async def deliver(backend: Backend, patience: float) -> None:
    """Have the backend cancel what it does, and wait until it has heard of it; OSError if it may not have."""
    request = build.cancel_request(backend.pid, backend.key)
    async with asyncio.timeout(patience or None):
        messenger = await connect(lambda: _Messenger(request), *backend.endpoint, backend.tls)
        try:
            await messenger.ended
        finally:
            messenger.transport.abort()


async def cancel_walsender(backend: Backend, patience: float) -> None:
    """Nobody else will ever have this one."""
    try:
        await deliver(backend, patience)
    except OSError as error:
        log.warning("cancel failed", server_address=backend.address, error=str(error) or "timeout")


async def cancel_server(server: Server, patience: float) -> None:
    """Cancel what runs on this server; whoever holds it keeps it until the request has been dealt with."""
    log.debug("cancel sent", server=server.id, server_address=server.backend.address)
    try:
        await deliver(server.backend, patience)
    except OSError as error:
        # The signal may still come: this server must not be lent again.
        client = server.loan.client
        log.warning(
            "cancel failed",
            server=server.id,
            server_address=server.backend.address,
            error=str(error) or "timeout",
            **(client.describe_request() if client is not None else {}),
        )
        server.condemn("a cancel request may still be on its way")
    finally:
        server.upkeep.cancels -= 1
        server.pool.canceled(server)


def cancel_client(client: Client) -> Server | None:
    """The server to send the cancel to; None if there is nothing to cancel, or the client was still waiting."""
    if client.inbound.wait == TASK or (client.is_parked() and client.server is None):
        client.inbound.room.leave(client)
        client.refuse(QueryCanceled("canceling statement due to user request"))
        return None
    server = client.server
    return server if server is not None and server.cancel() else None
