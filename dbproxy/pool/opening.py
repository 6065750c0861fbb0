"""A connection of a pool's own, opened and asked what it is before it is lent (slow lane). It logs in by pool.login."""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

import structlog

from dbproxy.auth.exchange import KeyCache
from dbproxy.errors import ProtocolViolation, ProxyError, ServerUnavailable
from dbproxy.pool.choice import QUESTION, READ_ONLY, Standing, judge, tells
from dbproxy.pool.defaults import SNAPSHOT, Snapshot, read_snapshot
from dbproxy.pool.insertions import STANDBY
from dbproxy.pool.login import Target, list_addresses, open_at, reach_any, refusal
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.pool.states import Member
from dbproxy.wire import build
from dbproxy.wire.reply import row_values
from dbproxy.wire.startup import parse_error_response, parse_parameter_status

log = structlog.get_logger(__name__)

JITTER = 0.1  # servers opened together are not closed together
FOREVER = float("inf")


async def open_server(
    pool: Pool,
    targets: Sequence[Target],
    keys: KeyCache,
    standing: Standing,
    fits: Callable[[Server, Snapshot], bool] | None = None,
) -> Server | None:
    """Open one connection, to one of these, and give it to the pool, or tell the pool why not.

    The pool may cancel it (`Pool.retire`). `fits`: whether one that gives its session these defaults is to be lent; if
    not, another is opened instead.
    """
    attempt = asyncio.current_task()
    pool.attempts.add(attempt)
    generation = pool.generation
    told: dict[Server, Snapshot | None] = {}
    judge_one = partial(judge_server, told=told if fits is not None else None)
    open_one = partial(open_at, keys=keys, make=partial(Server, pool), judge_one=judge_one)
    try:
        server: Server = await reach_any(targets, open_one, standing, pool.settings.server_connect_timeout)
    except ProxyError as error:
        fail(pool, list_addresses(targets), error)
        return None
    except BaseException:
        pool.opening_ended(monotonic(), given_up=generation != pool.generation)
        raise
    else:
        pool.attempts.discard(attempt)  # what follows may give up all others
        now = monotonic()
        snapshot = told.get(server)
        if snapshot is not None and fits is not None and not fits(server, snapshot):
            server.close("its settings are not the primary's")
            pool.opening_ended(now, given_up=True)
            return None
        if pool.size() > pool.settings.size + pool.settings.reserve_size:
            server.close("opened only to be asked")
            pool.opening_ended(now, given_up=False)
            return None
        server.backend.mailbox = None
        server.watch()
        limit_age(server, pool.settings.server_lifetime)
        log.info("server connected", server=server.id, address=server.backend.address, database=pool.database,
                 user=pool.user, pid=server.backend.pid)  # fmt: skip
        pool.opened(server, now)
        return server
    finally:
        pool.attempts.discard(attempt)


def fail(pool: Pool, address: str, failure: ProxyError) -> None:
    """Tell the log and the pool why it gets no connection."""
    why = {"detail": failure.detail_log} if failure.detail_log else {}
    log.warning("server login failed", address=address, database=pool.database, user=pool.user,
                error=failure.message, sqlstate=failure.sqlstate, **why)  # fmt: skip
    pool.open_failed(failure, monotonic())


async def judge_server(server: Server, target: Target, told: dict[Server, Snapshot | None] | None) -> None:
    """See that a server is what is wanted, and note what it tells of what it gives a new session; None: not asked."""
    server.backend.mailbox = asyncio.Queue()  # it is not the pool's yet
    await check_attrs(server, target.attrs)
    if told is not None:
        told[server] = await ask_snapshot(server)


async def check_attrs(server: Server, attrs: str) -> None:
    """ServerUnavailable if the server is not what is asked for."""
    if attrs == "any":
        return
    parameters = server.backend.parameters
    if not tells(parameters):
        answer = await ask(server, QUESTION)
        try:
            found = dict(zip((STANDBY, READ_ONLY), map(bytes.decode, answer), strict=True)) if answer else {}
        except ValueError:
            raise ProtocolViolation("the server's answer to whether it is a standby makes no sense") from None
        parameters = found | parameters
    if why := judge(attrs, parameters):
        raise ServerUnavailable(why)


async def ask_snapshot(server: Server) -> Snapshot | None:
    """What the server gives a new session; None if it does not say."""
    answer = await ask(server, SNAPSHOT)
    try:
        return read_snapshot(answer[0].decode()) if answer else None
    except (ValueError, TypeError, LookupError, AttributeError):
        raise ProtocolViolation("the server's answer to what it gives new sessions makes no sense") from None


async def ask(server: Server, question: str) -> list[bytes]:
    """The row that a query answers, ahead of the first loan; nothing if the server does not say."""
    mailbox = server.backend.mailbox = asyncio.Queue()
    server.relay.framer.look_at_rows()
    server.write(build.query(question))
    answer: list[bytes] = []
    while True:
        message = await mailbox.get()
        if message is None:
            raise ServerUnavailable("the server closed the connection during login")
        kind, payload = message
        if kind == ord("D"):
            answer = [value or b"" for value in row_values(payload)]
        elif kind == ord("E"):
            log.info(
                "server does not tell its settings",
                server=server.id,
                error=refusal(parse_error_response(payload)).message,
            )
        elif kind == ord("S"):
            name, value = parse_parameter_status(payload)
            server.backend.note(name, value)
        elif kind == ord("Z"):
            server.relay.framer.pass_rows()
            return answer


def limit_age(server: Member, lifetime: float) -> None:
    """Have the server closed once it is so old."""
    until = server.backend.connected_at + lifetime * (1 - JITTER * random.random())  # noqa: S311 - jitter
    server.upkeep.expires_at = until if lifetime else FOREVER
