"""A job's own connections: to the host that takes writes, past every pool."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from dbproxy.cluster.connection import connect_as_servers
from dbproxy.cluster.server_tls import make_server_tls
from dbproxy.config import Host
from dbproxy.config.tls import TlsSettings
from dbproxy.errors import ConfigurationError, JobRefused, LoginRefused, ServerUnavailable
from dbproxy.net.dial import tell_error
from dbproxy.net.tls import ServerTls

Connection = Any  # asyncpg publishes no types
LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)  # no word of the server's
TIMEOUT = 10.0  # seconds, for a login
WRITABLE = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"


def find_tls(host: Host) -> ServerTls | None:
    """As its URL says, and nothing else does."""
    return make_server_tls(host, TlsSettings())


async def complete(host: Host) -> Host:
    """With the password that its URL has."""
    return host


@dataclass(frozen=True)
class Primary:
    """Hosts of which one takes writes, and how they are reached; `option`: of the command line, that says another."""

    hosts: Sequence[Host]
    find_tls: Callable[[Host], ServerTls | None] = field(default=find_tls)
    complete: Callable[[Host], Awaitable[Host]] = field(default=complete)
    option: str = "--url"

    def __post_init__(self) -> None:
        if not self.hosts:
            raise ConfigurationError("no primary is configured: set DATABASE_URL, primary.url, or --url")

    @property
    def name(self) -> str:
        """For people: where it is, without a password."""
        return ", ".join(f"{host.address}/{host.dbname}" for host in self.hosts)

    async def connect(self, name: str) -> Connection:
        """`name`: application_name. ServerUnavailable, with each host's reason, if none takes writes; JobRefused."""
        reasons, hints = [], list[str]()
        for host in self.hosts:
            try:
                connection = await connect_as_servers(self, host, host.connect_timeout or TIMEOUT, name)
            except (asyncpg.PostgresError, *LOST) as error:
                words = tell_error(error) if isinstance(error, OSError) else str(error)
                reasons.append(f"{host.address}: {words or 'no answer'}")
                hints.append(advise(error))
                continue
            if await takes_writes(connection):
                await refuse_pooler(connection, self.option)
                return connection
            reasons.append(f"{host.address}: takes no writes")
            hints.append("")
        raise make_error(reasons, hints)


def advise(error: Exception) -> str:
    """What is wrong in the URL, if that is what it comes from; else ""."""
    code = str(getattr(error, "sqlstate", ""))
    if code.startswith("28"):
        return "Is the user right, and the password, which is that of the URL, of PGPASSWORD or of ~/.pgpass?"
    if code == "3D000":
        return "Is the name of the database right, which is the last word of the URL?"
    unknown = isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
    return "Is the host's name right?" if unknown else ""


def make_error(reasons: Sequence[str], hints: Sequence[str]) -> ServerUnavailable:
    """LoginRefused if it is the URL of all hosts. `hints`: one for each."""
    if all(hints):
        return LoginRefused("; ".join(reasons), hint=hints[0])
    return ServerUnavailable("; ".join(reasons), hint="Is it the primary, and is its address right?")


async def takes_writes(connection: Connection) -> bool:
    """One that does not is closed."""
    try:
        with answered(connection, TIMEOUT):
            if await connection.fetchval(WRITABLE):
                return True
    except (asyncpg.PostgresError, *LOST):
        pass
    connection.terminate()
    return False


async def refuse_pooler(connection: Connection, option: str) -> None:
    """JobRefused if PgBouncer or its like is in between, which would give our timeouts and locks to others."""
    if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
        connection.terminate()
        raise JobRefused(
            "there is a pooler between us and PostgreSQL, which may lend our session to others",
            hint=f"A batch needs a connection to PostgreSQL itself: {option}.",
        )


@contextmanager
def answered(connection: Connection, seconds: float) -> Iterator[None]:
    """What is asked here is answered in time, or the connection is closed: then its fate is not known.

    (To cancel it instead would need another connection, over a line that may be as bad.)
    """
    timer = asyncio.get_running_loop().call_later(seconds, connection.terminate)
    try:
        yield
    except AttributeError as error:  # asyncpg's own, where the line was cut between two of its messages
        if not connection.is_closed():
            raise
        raise ConnectionResetError("the connection was cut") from error
    finally:
        timer.cancel()


def read_count(status: str) -> int:
    """How many rows, of a command's tag: `UPDATE 5`, `INSERT 0 5`."""
    found = re.search(r"(\d+)$", status)
    return int(found[1]) if found else 0
