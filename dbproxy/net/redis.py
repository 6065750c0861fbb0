"""One connection to Redis, for one call at a time, each with an answer in time or none.

No call is ever cancelled: redis-py would leave its answer on the line, where the next call would find it
(CVE-2023-28858). What takes too long costs the connection. That this process itself had no time to look is not taken
for Redis' delay: then the answer gets as long once more.
"""

import asyncio
import importlib.util
import math
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

PACKAGE = "redis"
CONNECT_TIMEOUT = 1.0  # seconds, for the connection; nobody waits for that
LOGIN_TIMEOUT = 1.5  # with TLS, password and database
LATE = 1.25  # times the timeout: who looks so late was not running
Words = Sequence[bytes | str | int]
_late: set["asyncio.Future[object]"] = set()  # nobody else holds them while they go on


class RedisError(Exception):
    """Redis is not there, or slow, or says no."""


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


class Redis:
    """`url` may hold a password, and is told to nobody."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: AbstractConnection | None = None

    async def run(self, digest: str, script: str, words: Words, patience: float) -> object:
        """What a script answers. RedisError if nothing, or not within `patience` (seconds): the line is closed then."""
        from redis.exceptions import NoScriptError

        try:
            connection = self.connection or await self.connect()
            try:
                return await finish(ask(connection, ("EVALSHA", digest, *words)), patience)
            except NoScriptError:
                return await finish(ask(connection, ("EVAL", script, *words)), patience)
        except Exception as error:
            await self.close()
            raise RedisError(f"{type(error).__name__}: {error}") from None

    async def connect(self) -> "AbstractConnection":
        connection = self.connection = make_connection(self.url)
        connect: Callable[[], Coroutine[object, object, object]] = connection.connect  # which says no types
        await finish(connect(), LOGIN_TIMEOUT)
        return connection

    async def close(self) -> None:
        """At once: what is under way fails by itself."""
        connection, self.connection = self.connection, None
        if connection is not None:
            if connection._writer is not None:
                connection._writer.transport.abort()  # what is not sent yet will not be
            await connection.disconnect(nowait=True)


def make_connection(url: str) -> "AbstractConnection":
    """One that is not open yet. ValueError or TypeError, which may show a part of the URL, if it is none."""
    from redis.asyncio.connection import AbstractConnection, Connection, parse_url

    keys = dict(parse_url(url))
    kind = keys.pop("connection_class", Connection)
    assert isinstance(kind, type)
    keys |= {"protocol": 2, "driver_info": None, "socket_timeout": None}
    connection = kind(**keys, socket_connect_timeout=CONNECT_TIMEOUT)
    assert isinstance(connection, AbstractConnection)
    return connection


def is_url(url: str) -> bool:
    """As redis-py reads it."""
    try:
        make_connection(url)
    except (ValueError, TypeError):
        return False
    return True


async def ask(connection: "AbstractConnection", words: Words) -> object:
    await connection.send_command(*words, check_health=False)
    return await connection.read_response(timeout=math.inf)


async def finish(work: Coroutine[object, object, object], patience: float) -> object:
    """What it comes to, if that is in time; else TimeoutError, and it goes on until its line is closed."""
    running, begun = asyncio.ensure_future(work), monotonic()
    await asyncio.wait({running}, timeout=patience)
    if not running.done() and monotonic() - begun > LATE * patience:
        await asyncio.wait({running}, timeout=patience)
    if running.done():
        return running.result()
    _late.add(running)
    running.add_done_callback(bury)
    raise TimeoutError(f"no answer within {patience * 1000:.0f} ms")


def bury(work: "asyncio.Future[object]") -> None:
    """Nobody wants to know how it ended."""
    _late.discard(work)
    if not work.cancelled():
        work.exception()
