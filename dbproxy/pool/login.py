"""A connection to a server, a pool's or for replication: connect, authenticate, keep what it says of itself."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Any, Protocol, TypeVar

import structlog

from dbproxy.auth.exchange import KeyCache, Work
from dbproxy.auth.required import is_allowed
from dbproxy.auth.server_login import PLAIN, Credentials, Line, ServerLogin
from dbproxy.errors import (
    ConfigurationError,
    LoginRefused,
    ProtocolViolation,
    ProxyError,
    ServerRefused,
    ServerUnavailable,
)
from dbproxy.net.certificate import bind
from dbproxy.net.connect import connect
from dbproxy.net.dial import ANY_WAY, Way
from dbproxy.net.race import AllFailed, race
from dbproxy.net.tls import ServerTls
from dbproxy.pool.backend import Backend
from dbproxy.pool.choice import PASSING, Standing, combine, is_final, judge, tells
from dbproxy.wire import build
from dbproxy.wire.startup import (
    parse_authentication,
    parse_backend_key_data,
    parse_error_response,
    parse_negotiation,
    parse_parameter_status,
)

log = structlog.get_logger(__name__)

WRONG_PASSWORD = "28P01"  # noqa: S105 - an SQLSTATE
HBA_REFUSES = "28000"
HEAD_START = 1.0  # seconds that one of several hosts has to let us in, before the next is tried, too


Opened = TypeVar("Opened", bound="Opening")


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
    minors: tuple[int, int] = (0, 0)  # the 3.x that it must speak at least, and that is asked for
    tls: ServerTls | None = None
    renew: Callable[[], Awaitable[Credentials]] | None = (
        None  # a newer password than one that was refused, or None
    )
    require_auth: str = ""
    attrs: str = "any"  # target_session_attrs
    way: Way = ANY_WAY
    timeout: float = 0.0  # seconds for this host; 0: none of its own


class Opening(Protocol):
    """A connection whose messages go to its backend's mailbox."""

    @property
    def backend(self) -> Backend: ...
    @property
    def transport(self) -> Any: ...
    @property
    def closed(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def is_encrypted(self) -> bool: ...
    def close(self, reason: str) -> None: ...


async def reach_any(
    targets: Sequence[Target],
    open_one: Callable[[Target], Coroutine[Any, Any, Opened]],
    standing: Standing,
    patience: float,
) -> Opened:
    """What `open_one` has opened at the host that lets us in first; one that is slow is not waited for alone.

    `patience`: server_connect_timeout, for all of them. Raises ProxyError.
    """
    attempts = [partial(reach, target, open_one, standing, patience) for target in targets]
    try:
        async with asyncio.timeout(patience or None):
            several = len(attempts) > 1
            reached = await (race(attempts, HEAD_START, give_up, is_final) if several else attempts[0]())
    except AllFailed as error:
        raise combine(error.errors) from None
    except TimeoutError as error:
        raise explain(error, patience, list_addresses(targets)) from None
    if reached.closed:  # by now
        raise ServerUnavailable(f"{reached.backend.address}: the server closed the connection during login")
    return reached


def give_up(late: Opening) -> None:
    late.close("another host was quicker")


async def reach(
    target: Target,
    open_one: Callable[[Target], Coroutine[Any, Any, Opened]],
    standing: Standing,
    patience: float,
) -> Opened:
    """What is opened at this host; how that went is noted. Raises ProxyError."""
    begun = monotonic()
    try:
        async with asyncio.timeout(target.timeout or None):
            reached = await open_one(target)
    except (ProxyError, OSError) as error:
        standing.note(target.address, monotonic(), failed=not is_final(error))  # a refusal is an answer
        raise explain(error, patience, target.address, target.timeout) from None
    except BaseException:
        if monotonic() - begun >= HEAD_START:  # it was too slow
            standing.note(target.address, monotonic(), failed=True)
        raise
    standing.note(target.address, monotonic(), failed=False)
    return reached


async def open_any(
    targets: Sequence[Target],
    make: Callable[[], Opened],
    keys: KeyCache,
    standing: Standing,
    patience: float,
) -> Opened:
    """One that is no pool's, at the first of these that lets us in; ProxyError if none does."""
    open_one = partial(open_at, keys=keys, make=make, judge_one=check_reported)
    return await reach_any(targets, open_one, standing, patience)


async def open_at(
    target: Target,
    keys: KeyCache,
    make: Callable[[], Opened],
    judge_one: Callable[[Opened, Target], Coroutine[Any, Any, None]],
) -> Opened:
    """Connect, log in, and judge whether the server is what is wanted. Raises OSError and ProxyError."""
    server = make()
    try:
        await start_up(server, target, keys)
        await judge_one(server, target)
    except BaseException as error:
        other = await find_other_way(server, target, error)
        server.close("cancelled" if isinstance(error, asyncio.CancelledError) else str(error))
        if other is None:
            raise
    else:
        return server
    return await open_at(other, keys, make, judge_one)


async def check_reported(server: Opening, target: Target) -> None:
    """ServerUnavailable if the server reports that it is not what is asked for; it is not queried."""
    parameters = server.backend.parameters
    if tells(parameters) and (why := judge(target.attrs, parameters)):
        raise ServerUnavailable(why)


async def start_up(server: Opening, target: Target, keys: KeyCache) -> None:
    """Connect and log in; where cancel requests for the server go is known then. Raises OSError and ProxyError."""
    backend, tls = server.backend, target.tls
    backend.address = target.address
    await connect(lambda: server, target.host, target.port, tls, target.way)
    backend.endpoint = find_endpoint(server.transport, target)
    backend.tls = tls.as_before(encrypted=server.is_encrypted()) if tls is not None else None
    await log_in(server, target, keys, find_line(server, target))


async def find_other_way(server: Opening, target: Target, error: BaseException) -> Target | None:
    """How to try once more: with a newer password, if that was refused and there is one.

    Where pg_hba.conf refuses the login, sslmode prefer tries it without encryption, and allow with. A wrong password is
    wrong both ways (libpq tries it again).
    """
    if not isinstance(error, ServerRefused):
        return None
    if error.sqlstate == WRONG_PASSWORD and target.renew is not None:
        newer = await target.renew()
        return replace(target, credentials=newer, renew=None) if newer is not None else None
    if target.tls is None or error.sqlstate != HBA_REFUSES:
        return None
    other = target.tls.after_refusal(encrypted=server.is_encrypted())
    return replace(target, tls=other) if other is not None else None


def list_addresses(targets: Sequence[Target]) -> str:
    return ", ".join(dict.fromkeys(target.address for target in targets))


def find_endpoint(transport: Any, target: Target) -> tuple[str, int]:
    """Where cancel requests for the server go: a name may lead elsewhere by then."""
    peer = transport.get_extra_info("peername")
    return peer[:2] if isinstance(peer, tuple) else (target.host, target.port)


def explain(
    error: ProxyError | OSError, timeout: float, address: str, own_timeout: float = 0.0
) -> ProxyError:
    """The error for those who wait; `address` is where we wanted to, `timeout` server_connect_timeout."""
    if isinstance(error, ServerRefused) and error.sqlstate not in PASSING:
        return error
    if isinstance(error, ProxyError):
        message = error.message if error.message.startswith(address) else f"{address}: {error.message}"
        kind = LoginRefused if isinstance(error, ConfigurationError) else ServerUnavailable
        return kind(message, detail=error.detail, hint=error.hint)
    if isinstance(error, TimeoutError) and own_timeout:
        reason = f"no answer within connect_timeout ({own_timeout:g} s)"
    elif isinstance(error, TimeoutError):
        reason = f"no answer within server_connect_timeout ({timeout:g} s)"
    else:
        reason = str(error.strerror or error)
    return ServerUnavailable(f"cannot connect to the server at {address}: {reason}")


async def log_in(server: Opening, target: Target, keys: KeyCache, line: Line = PLAIN) -> None:
    """PostgreSQL: "Start-up". Raises ServerRefused with PostgreSQL's own words."""
    login = ServerLogin(target.user, target.address, target.credentials, keys, line=line)
    who = {"user": target.user, "database": target.database}
    server.write(build.startup_message({**who, **target.parameters}, target.minors[1]))
    mailbox = server.backend.mailbox
    assert mailbox is not None
    ready = asked = False
    while not ready or not mailbox.empty():
        message = await mailbox.get()
        if message is None:
            raise ServerUnavailable("the server closed the connection during login")
        kind, payload = message
        if kind == ord("R"):
            code, asked_for = parse_authentication(payload)
            if not is_allowed(target.require_auth, code, asked=asked):
                raise ServerRefused(
                    f"{target.address}: the server asks for another login than require_auth allows",
                    sqlstate="28000",
                )
            asked = True
            answer = login.receive(code, asked_for)
            if isinstance(answer, Work):
                answer = await asyncio.to_thread(answer.run)
            if answer is not None:
                server.write(build.authentication_response(answer.payload))
        elif kind == ord("E"):
            raise refusal(parse_error_response(payload))
        elif kind == ord("S"):
            name, value = parse_parameter_status(payload)
            server.backend.note(name, value)
        elif kind == ord("K"):
            server.backend.pid, server.backend.key = parse_backend_key_data(payload)
        elif kind == ord("v"):
            check_negotiation(payload, *target.minors)
        elif kind == ord("Z"):
            if payload != b"I":
                raise ProtocolViolation("malformed ReadyForQuery message")
            ready = True
    if not login.done:
        raise ProtocolViolation("the server was ready before it had authenticated us")
    server.backend.mailbox = None


def check_negotiation(payload: bytes, least: int, asked: int) -> None:
    """NegotiateProtocolVersion: the server speaks an older 3.x than we asked for, which is well down to `least`."""
    version, options = parse_negotiation(payload)
    if version >> 16 != 3 or version & 0xFFFF >= asked or options:
        raise ProtocolViolation("the server negotiates what was not asked for")
    if version & 0xFFFF < least:
        raise ServerUnavailable(
            f"the server speaks protocol 3.{version & 0xFFFF}, and min_protocol_version is 3.{least}"
        )


def find_line(server: Opening, target: Target) -> Line:
    """What the login may be bound to."""
    channel_binding = target.tls.channel_binding if target.tls is not None else "prefer"
    if not server.is_encrypted():
        return Line(channel_binding=channel_binding)
    certificate = server.transport.get_extra_info("certificate")
    return Line(
        encrypted=True, binding=bind(certificate) if certificate else None, channel_binding=channel_binding
    )


def refusal(fields: dict[str, str]) -> ServerRefused:
    return ServerRefused(
        fields.get("M", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
        sqlstate=fields.get("C", ""),
    )
