"""Opening a server connection: connect, authenticate, keep what the server says of itself (slow lane)."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.server_login import Credentials, ServerLogin
from dbproxy.errors import ProtocolViolation, ProxyError, ServerRefused, ServerUnavailable
from dbproxy.net.connect import connect
from dbproxy.pool.defaults import SNAPSHOT, Snapshot, read_snapshot
from dbproxy.pool.insertions import STANDBY
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.extended import row_values
from dbproxy.wire.startup import (
    parse_authentication,
    parse_backend_key_data,
    parse_error_response,
    parse_parameter_status,
)

log = structlog.get_logger(__name__)

JITTER = 0.1  # servers opened together are not closed together
FOREVER = float("inf")
# What PostgreSQL answers to a login that may succeed later: starting up, shutting down, no slot free.
PASSING = frozenset({"57P03", "57P01", "53300"})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a pool's servers are, and as whom to log in."""

    host: str
    port: int
    address: str
    database: str
    user: str
    credentials: Credentials = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the start-up packet, beside these
    writable: bool = False  # a standby will not do


async def open_server(
    pool: Pool, target: Target, keys: KeyCache, fits: Callable[[Server, Snapshot], bool] | None = None
) -> Server | None:
    """Open one connection and give it to the pool, or tell the pool why not. The pool may cancel it (`Pool.retire`).

    `fits`: whether one that gives its session these defaults is to be lent; if not, another is opened instead.
    """
    attempt = asyncio.current_task()
    pool.attempts.add(attempt)
    server = Server(pool)
    server.backend.address = target.address
    try:
        async with asyncio.timeout(pool.settings.server_connect_timeout or None):
            await connect(lambda: server, target.host, target.port)
            server.backend.endpoint = find_endpoint(server, target)
            await log_in(server, target, keys)
            if target.writable and server.backend.parameters.get(STANDBY) == "on":
                raise ServerUnavailable("the server is a standby: it takes no writes")
            snapshot = await ask_snapshot(server) if fits is not None else None
    except (ProxyError, OSError) as error:
        failure = explain(error, pool, target)
        server.close(failure.message)
        log.warning("server login failed", address=target.address, database=pool.database, user=pool.user,
                    error=failure.message, sqlstate=failure.sqlstate)  # fmt: skip
        pool.open_failed(failure, monotonic())
        return None
    except BaseException:
        server.close("cancelled")
        pool.opening_ended(monotonic(), given_up=server.upkeep.generation != pool.generation)
        raise
    else:
        pool.attempts.discard(attempt)  # what follows may give up all others
        now = monotonic()
        if snapshot is not None and fits is not None and not fits(server, snapshot):
            server.close("its settings are not the primary's")
            pool.opening_ended(now, given_up=True)
            return None
        if pool.size() > pool.settings.size + pool.settings.reserve_size:
            server.close("opened only to be asked")
            pool.opening_ended(now, given_up=False)
            return None
        server.backend.mailbox = None
        lifetime = pool.settings.server_lifetime
        server.upkeep.expires_at = now + lifetime * (1 - JITTER * random.random()) if lifetime else FOREVER  # noqa: S311 - jitter
        log.info("server connected", server=server.id, address=target.address, database=pool.database,
                 user=pool.user, pid=server.backend.pid)  # fmt: skip
        pool.opened(server, now)
        return server
    finally:
        pool.attempts.discard(attempt)


def find_endpoint(server: Server, target: Target) -> tuple[str, int]:
    """Where cancel requests for the server go: a name may lead elsewhere by then."""
    peer = server.transport.get_extra_info("peername")  # type: ignore[union-attr]  # the server is connected
    return peer[:2] if isinstance(peer, tuple) else (target.host, target.port)


def explain(error: ProxyError | OSError, pool: Pool, target: Target) -> ProxyError:
    """The error for those who wait."""
    if isinstance(error, ServerRefused) and error.sqlstate not in PASSING:
        return error
    if isinstance(error, ProxyError):
        return ServerUnavailable(f"{target.address}: {error.message}", detail=error.detail, hint=error.hint)
    if isinstance(error, TimeoutError):
        reason = f"no answer within server_connect_timeout ({pool.settings.server_connect_timeout:g} s)"
    else:
        reason = str(error.strerror or error)
    return ServerUnavailable(f"cannot connect to the server at {target.address}: {reason}")


async def log_in(server: Server, target: Target, keys: KeyCache) -> None:
    """PostgreSQL: "Start-up". Raises ServerRefused with PostgreSQL's own words."""
    login = ServerLogin(target.user, target.address, target.credentials, keys)
    server.write(
        build.startup_message({"user": target.user, "database": target.database, **target.parameters})
    )
    mailbox = server.backend.mailbox
    assert mailbox is not None
    ready = False
    while not ready or not mailbox.empty():
        message = await mailbox.get()
        if message is None:
            raise ServerUnavailable("the server closed the connection during login")
        kind, payload = message
        if kind == ord("R"):
            answer = login.receive(*parse_authentication(payload))
            if isinstance(answer, Work):
                answer = await asyncio.to_thread(answer.run)
            if answer is not None:
                server.write(build.authentication_response(answer.payload))
        elif kind == ord("E"):
            raise refusal(parse_error_response(payload))
        elif kind == ord("S"):
            name, value = parse_parameter_status(payload)
            server.backend.parameters[name] = value
        elif kind == ord("K"):
            server.backend.pid, server.backend.key = parse_backend_key_data(payload)
        elif kind == ord("Z"):
            if payload != b"I":
                raise ProtocolViolation("malformed ReadyForQuery message")
            ready = True
    if not login.done:
        raise ProtocolViolation("the server was ready before it had authenticated us")
    server.backend.mailbox = None


async def ask_snapshot(server: Server) -> Snapshot | None:
    """What the server gives a new session; None if it does not say."""
    mailbox = server.backend.mailbox = asyncio.Queue()
    server.relay.framer.look_at_rows()
    server.write(build.query(SNAPSHOT))
    answer = b""
    while True:
        message = await mailbox.get()
        if message is None:
            raise ServerUnavailable("the server closed the connection during login")
        kind, payload = message
        if kind == ord("D"):
            answer = row_values(payload)[0]
        elif kind == ord("E"):
            log.info(
                "server does not tell its settings",
                server=server.id,
                error=refusal(parse_error_response(payload)).message,
            )
        elif kind == ord("S"):
            name, value = parse_parameter_status(payload)
            server.backend.parameters[name] = value
        elif kind == ord("Z"):
            server.relay.framer.pass_rows()
            return read_snapshot(answer.decode()) if answer else None


def refusal(fields: dict[str, str]) -> ServerRefused:
    return ServerRefused(
        fields.get("M", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
        sqlstate=fields.get("C", ""),
    )
