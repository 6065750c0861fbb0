"""A connection of our own to a host, past every pool: encrypted and logged in as the servers' are."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import asyncpg

from dbproxy.config import Host
from dbproxy.net.dial import prefer_alive
from dbproxy.net.tls import ServerTls

Connection = Any  # asyncpg publishes no types

APPLICATION_NAME = "dbproxy probe"
HBA_REFUSES = "28000"  # perhaps not if the line is encrypted, or is not


class Ways(Protocol):
    """How hosts are reached."""

    @property
    def find_tls(self) -> Callable[[Host], ServerTls | None]: ...
    @property
    def complete(self) -> Callable[[Host], Awaitable[Host]]: ...


async def connect_as_servers(
    ways: Ways,
    url: Host,
    timeout: float,  # noqa: ASYNC109  # asyncpg's own
    name: str = APPLICATION_NAME,
) -> Connection:
    """Encrypted as the servers' lines to this host are; with its user's password."""
    tls, url = ways.find_tls(url), await ways.complete(url)
    encrypted = tls is not None and tls.begins_encrypted
    try:
        return await connect(url, timeout, tls if encrypted else None, name)
    except (asyncpg.InvalidAuthorizationSpecificationError, ConnectionError, ssl.SSLError) as error:
        refused = getattr(error, "sqlstate", "") == HBA_REFUSES
        other = tls.after_refusal(encrypted=encrypted) if tls is not None and (refused or encrypted) else None
        if other is None:
            raise
    return await connect(url, timeout, other if other.begins_encrypted else None, name)


async def connect(
    url: Host,
    timeout: float,  # noqa: ASYNC109  # asyncpg's own
    tls: ServerTls | None = None,
    name: str = APPLICATION_NAME,
) -> Connection:
    """Encrypted or not; asyncpg knows no SCRAM-SHA-256-PLUS, so that the login is not bound to the line."""
    named = (
        tls is not None and tls.context.check_hostname
    )  # asyncpg holds the certificate against what it is given
    host = url.host if named else url.hostaddr or url.host
    await prefer_alive(host, url.port)
    return await asyncpg.connect(
        host=host,
        port=url.port,
        user=url.user or None,
        password=url.password.get_secret_value(),
        database=url.dbname or url.user or None,
        timeout=timeout,
        ssl=tls.context if tls is not None else False,
        direct_tls=tls is not None and tls.direct,
        target_session_attrs="any",  # whatever PGTARGETSESSIONATTRS says
        statement_cache_size=0,  # there may be a pooler in between
        server_settings={"application_name": name},
    )
